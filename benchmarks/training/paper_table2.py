"""The paper's Table 2 on other photographs: frozen ImageNet networks under its head, by how the pixels are scaled.

    python -m benchmarks.training.paper_table2 ../shared/data/acne4

Each frozen network answers every photograph once; the paper's head (flatten, dropout, dense sigmoid) is fitted on
`train` by Keras' own binary cross-entropy, its epoch and the thresholds are chosen on `valid`, and `test` is scored
once. `paper` feeds pixels of 0 to 1 to a network that was trained on 0 to 255, `own` feeds what it was trained on. Loss
and accuracy are what Keras' `evaluate` returns. The shipped models' figures are read from their `metrics.json`. Also
printed: what a constant answer scores on 51 photographs drawn at random. Writes `paper-table2.json`; needs the extra
`pretrained`.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.stats import binom

from acne_trainer.config import DEFAULTS, BackboneConfig
from acne_trainer.data.dataset import names_of
from acne_trainer.data.load import load_train_valid_test
from acne_trainer.data.source_names import source_of
from acne_trainer.metrics.baselines import ConstantClassifier
from acne_trainer.metrics.bootstrap import wilson_interval
from acne_trainer.metrics.multilabel import choose_thresholds_together, multilabel_report
from acne_trainer.model_names import BACKBONES
from acne_trainer.models.backbones import build_backbone, build_head, unfreeze_top
from acne_trainer.models.pretrained import build_pretrained
from acne_trainer.tasks.frozen_backbone import FeatureCache, FrozenBackboneTask
from acne_trainer.tasks.in_memory import InMemorySplit
from acne_trainer.training.loop import Trainer

NETWORKS = (
    ("efficientnet-lite0", "imagenet", "paper"),
    ("efficientnet-lite0", "imagenet", "own"),
    ("mobilenet-v2", "imagenet", "paper"),
    ("mobilenet-v2", "imagenet", "own"),
    ("resnet50", "none", "paper"),
    ("resnet50", "none", "own"),
)
"""Network, weights, scaling. Of Lite0 with random weights nothing is left after its last layer: all features are 0."""
FINE_TUNED = ("efficientnet-lite0", "imagenet", "own")
FROZEN_UP_TO = "stage6_block13_add"
"""The last 20 layers of Lite0 follow it: acne-train's `fine_tune_layers`, trained at its `fine_tune_rate`."""
FINE_TUNE_EPOCHS = 5
SHIPPED = ("acne-cnn", "acne-efficientnet-lite0")
POSTER = (42, 51)
"""Photographs that the poster's models agree on, of its test set."""
DRAWS = 10_000
ABOUT_FEATURES = ("features", "logit_change_of_a_step", "spread_between_photographs")
_AT_ONCE = 16


class KerasObjective(FrozenBackboneTask):
    """The head under Keras' own loss: it takes the logits, so that it has no upper bound."""

    def loss(self, outputs: tf.Tensor, targets: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Returns the mean binary cross-entropy of a batch."""
        return {"loss": tf.reduce_mean(keras.losses.binary_crossentropy(targets[0], outputs))}

    def validate(self, network: keras.Model) -> dict[str, float]:
        """Returns Keras' loss and accuracy."""
        loss, accuracy = keras_evaluate(logits_of(network, self._of_valid, len(self._valid.images)), self._valid)
        return {"val_loss": loss, "val_accuracy": accuracy}


@dataclass(frozen=True, slots=True)
class Photographs:
    """The three splits, and what the metrics need to know of them."""

    train: InMemorySplit
    valid: InMemorySplit
    test: InMemorySplit
    classes: tuple[str, ...]
    test_sources: Sequence[str]
    constant: ConstantClassifier

    @property
    def splits(self) -> tuple[InMemorySplit, ...]:
        """All of them."""
        return self.train, self.valid, self.test


def logits_of(head: keras.Model, features: FeatureCache, count: int) -> NDArray[np.float32]:
    """Returns `[count, classes]`."""
    before_sigmoid = keras.Model(head.input, head.get_layer("logits").output)
    parts = [slice(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]
    return np.concatenate([np.asarray(before_sigmoid(features[part], training=False)) for part in parts])


def keras_evaluate(logits: NDArray[np.float32], split: InMemorySplit) -> tuple[float, float]:
    """Returns what Keras prints as loss and accuracy."""
    sigmoid = keras.Sequential([keras.Input(logits.shape[1:]), keras.layers.Activation("sigmoid")])
    sigmoid.compile(loss="binary_crossentropy", metrics=["accuracy"])
    loss, accuracy = sigmoid.evaluate(logits, split.targets, verbose=0)
    return float(loss), float(accuracy)


def build(name: str, weights: str, scaling: str, size: int) -> keras.Model:
    """Returns a frozen network from `image` to its last feature map."""
    if name in BACKBONES:
        return build_backbone(name, size, weights, scaling)
    network = build_pretrained(name, weights, (size, size))
    model = keras.Model(network.classifier.input, network.taps["head"], name=name.replace("-", "_"))
    model.trainable = False
    if scaling == "own":
        return model
    image = keras.Input((size, size, 3), name="image")
    # As with EfficientNetB3 in Keras: the network scales again what was scaled already.
    return keras.Model(image, model(keras.layers.Rescaling(1 / 255)(image)))


def train_head(
    photographs: Photographs, settings: BackboneConfig, backbone: keras.Model, head: keras.Model, folder: Path
) -> tuple[dict[str, Any], keras.Model]:
    """Fits a head on the features of a frozen network; returns its row of the table and itself."""
    caches = [FeatureCache(backbone, part.images, folder / f"{i}.npy") for i, part in enumerate(photographs.splits)]
    task = KerasObjective(settings, photographs.train, photographs.valid, (caches[0], caches[1]), head)
    trainer = Trainer(task, settings, folder / "run")
    head = trainer.fit()
    row = scored(photographs, *(logits_of(head, caches[i], len(photographs.splits[i].images)) for i in (1, 2)))
    values = caches[2][slice(None)].astype(np.float32).reshape(len(photographs.test.images), -1)
    moved = settings.learning_rate * float(np.abs(values).sum(axis=1).mean())
    return row | {
        "features": values.shape[1],
        "logit_change_of_a_step": moved,  # RMSprop moves each weight by about the rate, whatever its gradient
        "spread_between_photographs": float(np.sqrt(values.var(axis=0).mean() / np.square(values).mean())),
        "valid_loss_by_epoch": [round(epoch["val_loss"], 4) for epoch in trainer.history],
    }, head


def scored(photographs: Photographs, of_valid: NDArray[np.float32], of_test: NDArray[np.float32]) -> dict[str, Any]:
    """Returns the metrics on test, with thresholds from valid."""
    # As the model would give them: those of large logits are exactly 0 or 1.
    valid, test = (np.asarray(tf.sigmoid(logits)) for logits in (of_valid, of_test))
    thresholds = choose_thresholds_together(photographs.valid.targets, valid)
    truth, classes = photographs.test.targets, photographs.classes
    report = multilabel_report(photographs.test_sources, truth, test, classes, thresholds, photographs.constant)
    loss, accuracy = keras_evaluate(of_test, photographs.test)
    answers = np.bincount(test.argmax(axis=1), minlength=len(classes))
    return {
        "keras_loss": loss,
        "keras_accuracy": accuracy,
        "logit_deviation": float(of_test.std()),
        "answers": dict(zip(classes, answers.tolist(), strict=True)),
        **headline(report["model"]),
    }


def headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """Returns the metrics of the table, with their intervals."""
    names = ("loss", "argmax_agreement", "macro_ap", "macro_f1", "exact_match")
    return {key: metrics[key] for name in names for key in (name, f"{name}_interval_95")}


def constant_answers(photographs: Photographs) -> dict[str, Any]:
    """Returns what "always the commonest type" scores as Keras' accuracy, on test and on 51 photographs of it."""
    truth, prevalence = photographs.test.targets, photographs.constant.prevalence
    hits = truth.argmax(axis=1) == int(prevalence.argmax())
    agreed, total = POSTER
    rng = np.random.default_rng(0)
    drawn = np.array([hits[rng.choice(len(hits), total, replace=False)].mean() for _ in range(DRAWS)])
    of_count = binom.pmf(np.arange(total + 1), total, agreed / total)
    three, four = float((of_count**3 * (1 - of_count)).sum()), float((of_count**4).sum())
    return {
        "type": photographs.classes[int(prevalence.argmax())],
        "of_train": dict(zip(photographs.classes, prevalence.tolist(), strict=True)),
        "argmax_agreement": float(hits.mean()),
        "of_51_photographs": {
            "percentiles_2.5_50_97.5": np.percentile(drawn, [2.5, 50, 97.5]).tolist(),
            "least_and_most": [float(drawn.min()), float(drawn.max())],
        },
        "of_several_types": float((truth.sum(axis=1) > 1).mean()),
        "first_type_shown": dict(
            zip(photographs.classes, np.bincount(truth.argmax(axis=1), minlength=len(prevalence)).tolist(), strict=True)
        ),
        "poster_wilson_interval_95": wilson_interval(agreed, total),
        "three_of_four_independent_models_equal": 4 * three + four,
    }


def read(data: Path, settings: BackboneConfig, most: int | None) -> Photographs:
    """Reads the photographs; `most` of each split, for a trial."""
    parts = [dataclasses.replace(part, samples=part.samples[:most]) for part in load_train_valid_test(data)]
    train, valid, test = (InMemorySplit(part, settings, to_train=place == 0) for place, part in enumerate(parts))
    common = Counter(map(tuple, train.targets)).most_common(1)[0][0]
    sources = [source_of(name) for name in names_of(parts[2].samples)]
    constant = ConstantClassifier(train.targets.mean(axis=0), common)
    return Photographs(train, valid, test, parts[0].classes, sources, constant)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", default=Path("benchmarks/results"), show_default=True, type=click.Path(path_type=Path))
@click.option("--models", default=Path("models"), show_default=True, help="The shipped models' folders.", type=Path)
@click.option("--photographs", type=int, help="Most of each split, for a trial; 51 or more.")
@click.option("--input-size", default=416, show_default=True)
def main(data: Path, out: Path, models: Path, photographs: int | None, input_size: int) -> None:
    """Trains one after the other and prints."""
    begun = time.monotonic()
    settings = DEFAULTS["resnet50"]
    assert isinstance(settings, BackboneConfig)
    settings = dataclasses.replace(settings, data=str(data), input_size=input_size)
    of = read(data, settings, photographs)
    rows: dict[str, Any] = {}
    shipped = {name: json.loads((models / name / "metrics.json").read_text())["test"] for name in SHIPPED}
    rows["constant"] = headline(shipped["acne-cnn"]["baseline"])
    for name in SHIPPED:
        rows[f"{name} (shipped)"] = headline(shipped[name]["model"])
    counts = dict(zip(("train", "valid", "test"), (len(split.images) for split in of.splits), strict=True))
    record = {"photographs": counts, "input_size": input_size, "seed": settings.seed, "rows": rows}
    record["constant_answer"] = constant_answers(of)
    out.mkdir(parents=True, exist_ok=True)
    for chosen in NETWORKS:
        keras.utils.set_random_seed(settings.seed)
        backbone = build(*chosen, input_size)
        head = build_head(backbone.output.shape[1:], len(of.classes))
        with tempfile.TemporaryDirectory() as folder:
            rows[", ".join(chosen)], head = train_head(of, settings, backbone, head, Path(folder))
        if chosen == FINE_TUNED:
            rows[", ".join((*chosen, "fine-tuned"))] = fine_tune(of, settings, backbone, head)
        record["minutes"] = round((time.monotonic() - begun) / 60, 1)
        (out / "paper-table2.json").write_text(json.dumps(record, indent=1) + "\n")
        click.echo(f"{', '.join(chosen)}: {record['minutes']} minutes so far", err=True)
        keras.backend.clear_session()
    for name, row in rows.items():
        click.echo(as_text(name, row))
    click.echo(json.dumps(record["constant_answer"], indent=1))


def fine_tune(of: Photographs, settings: BackboneConfig, backbone: keras.Model, head: keras.Model) -> dict[str, Any]:
    """Trains the end of a network with its head, on the outputs of the layer before."""
    unfreeze_top(backbone, settings.fine_tune_layers)
    cut = backbone.get_layer(FROZEN_UP_TO).output
    x = backbone.output
    for layer in head.layers[1:]:
        x = layer(x)
    second = dataclasses.replace(settings, epochs=FINE_TUNE_EPOCHS, learning_rate=settings.fine_tune_rate)
    end = keras.Model(cut, x)
    copy = keras.models.clone_model(end)  # of one graph only, so that its layers have one output each
    copy.set_weights(end.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        row, _ = train_head(of, second, keras.Model(backbone.input, cut), copy, Path(folder))
    for name in ABOUT_FEATURES:  # those of the cut are not the head's
        del row[name]
    return row


def as_text(name: str, row: dict[str, Any]) -> str:
    """Returns a line of the table."""
    low, high = row["argmax_agreement_interval_95"]
    low_ap, high_ap = row["macro_ap_interval_95"]
    return (
        f"{name:50s} loss {row.get('keras_loss', row['loss']):8.3f}  "
        f"agreement {row['argmax_agreement']:.3f} ({low:.3f} to {high:.3f})  "
        f"macro AP {row['macro_ap']:.3f} ({low_ap:.3f} to {high_ap:.3f})  exact match {row['exact_match']:.3f}"
    )


if __name__ == "__main__":
    main()
