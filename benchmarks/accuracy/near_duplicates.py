"""What a multi-label model scores where no photograph of train looks nearly the same.

    python -m benchmarks.accuracy.near_duplicates DATA MODEL...

Each model a run folder or what `acne-run --model` takes. No two splits
of acne4 share a source photograph by its name; yet people stand in several photographs. A photograph counts as a near
twin if the cosine of its features to those of any photograph of train is over 0.9: the averages of EfficientNet-Lite0's
last 1,280 features (ImageNet, needs the extra `pretrained`), less their mean over train.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.load import load_model
from acne_runtime.manifest import Manifest
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Result
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.load import read_split
from acne_trainer.data.source_names import source_of
from acne_trainer.evaluation.evaluate import predict_split
from acne_trainer.evaluation.predictions import load_predictions, predictions_file
from acne_trainer.metrics.baselines import ConstantClassifier
from acne_trainer.metrics.multilabel import multilabel_report
from acne_trainer.models.pretrained import build_pretrained
from acne_trainer.tasks.in_memory import input_spec
from benchmarks.tables import Row, publish

COSINE = 0.9
SIZE = 320
METRICS = ("macro_ap", "macro_auroc", "macro_f1", "exact_match")


def head_averages(data: Dataset) -> NDArray[np.float32]:
    """Returns `[photographs, 1280]`."""
    network = build_pretrained("efficientnet-lite0", "imagenet")
    pooled = keras.layers.GlobalAveragePooling2D()(network.taps["head"])
    model = keras.Model(network.classifier.input, pooled)
    answer = tf.function(lambda image: model(tf.cast(image, tf.float32), training=False))
    return np.concatenate([answer(preprocess(sample.image(), input_spec(SIZE))[0]).numpy() for sample in data.samples])


def nearest_cosine(features: NDArray[np.float32], train: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns `[photographs]`: the highest cosine to any row of train, both less the mean of train."""
    mean = train.mean(axis=0)
    unit = [(part - mean) / np.linalg.norm(part - mean, axis=1, keepdims=True) for part in (features, train)]
    return np.asarray((unit[0] @ unit[1].T).max(axis=1))


def answers(model: str, data: Dataset, split: str) -> tuple[list[Result], tuple[float, ...]]:
    """Returns a model's answers to a split, and its thresholds."""
    saved = predictions_file(Path(model), split)
    if saved.exists():
        manifest = Manifest.from_json((Path(model) / "manifest.json").read_bytes(), model)
        return load_predictions(saved), manifest.thresholds
    runner = load_model(model)
    return predict_split(runner, data), runner.manifest.thresholds


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.argument("models", nargs=-1, required=True)
def main(data: Path, models: tuple[str, ...]) -> None:
    """Measures and prints."""
    train = read_split(data, "train")
    features = head_averages(train)
    rows = [
        row for split in ("valid", "test") for row in measure(models, train, features, read_split(data, split), split)
    ]
    publish("near_duplicates", rows)


def measure(
    models: tuple[str, ...], train: Dataset, train_features: NDArray[np.float32], part: Dataset, split: str
) -> list[Row]:
    """Returns the metrics of one split."""
    cosine = nearest_cosine(head_averages(part), train_features)
    presence = [np.stack([sample.presence(len(some.classes)) for sample in some.samples]) for some in (train, part)]
    baseline = ConstantClassifier(presence[0].mean(axis=0), Counter(map(tuple, presence[0])).most_common(1)[0][0])
    click.echo(f"{(cosine > COSINE).sum()} of {len(cosine)} photographs of {split} are near twins of one of train")
    rows: list[Row] = []
    for model in models:
        results, thresholds = answers(model, part, split)
        scores = np.array([[label.score for label in result.labels or ()] for result in results], np.float32)
        for which, chosen in (("all", cosine > -1), ("without near twins", cosine <= COSINE)):
            names = [one.path.name for one, kept in zip(part.samples, chosen, strict=True) if kept]
            report = multilabel_report(
                [source_of(name) for name in names],
                presence[1][chosen],
                scores[chosen],
                part.classes,
                thresholds,
                baseline,
            )
            for who in ("model", "baseline") if model == models[-1] else ("model",):
                shown = {
                    name: "{:.3f} ({:.3f} to {:.3f})".format(report[who][name], *report[who][f"{name}_interval_95"])
                    for name in METRICS
                }
                told = model if who == "model" else "trivial baseline"
                rows.append({"model": told, "photographs": f"{split}, {which}: {chosen.sum()}"} | shown)
    return rows


if __name__ == "__main__":
    main()
