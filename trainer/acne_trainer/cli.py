"""`acne-train`: photographs become a trained model in a run folder."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import click

from acne_runtime import __version__, files
from acne_runtime.command import Group
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import load_model
from acne_runtime.quiet import native_logs_silenced

_DATA = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="acne-train")
def main() -> None:
    """Trains the models of Acne Edge and scores them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@main.command()
@click.argument("model", type=click.Choice(["cnn", "yolov8-xs"]))
@click.option("--data", type=_DATA, metavar="DIR", help="Holds train, valid and test in Roboflow's Keras TXT form.")
@click.option("--run", type=_DATA, required=True, metavar="DIR", help="The run folder to write.")
@click.option("--resume", is_flag=True, help="Go on with the training in --run, with its own settings.")
@click.option("--epochs", type=click.IntRange(min=1), help="Most passes over the photographs.")
@click.option("--batch-size", type=click.IntRange(min=1))
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Adam's peak rate.")
@click.option("--input-size", type=click.IntRange(min=32), metavar="PX", help="Side of the model's square input.")
@click.option("--seed", type=int)
def fit(
    model: str,
    data: Path | None,
    run: Path,
    resume: bool,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    input_size: int | None,
    seed: int | None,
) -> None:
    """Trains MODEL: the paper's multi-label cnn (Experiment I), or the detector yolov8-xs (Experiment II).

    Stopped at any moment, it goes on from its last whole epoch with --resume.
    """
    _need_tensorflow()
    from acne_trainer.fit import fit as train
    from acne_trainer.settings import DEFAULTS, Settings

    if resume:
        settings = Settings.read(run / "config.toml")
        if settings.model != model:
            raise AcneEdgeError(f"{run / 'config.toml'}: this is a training of {settings.model}, not of {model}")
    elif data is None:
        raise click.UsageError("--data DIR is needed to begin a training")
    elif run.exists() and any(run.iterdir()):
        raise AcneEdgeError(f"{run}: not empty; --resume goes on with it, another --run begins anew")
    else:
        settings = DEFAULTS[model]
    given: dict[str, Any] = {
        "data": None if data is None else str(data),
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "input_size": input_size,
        "seed": seed,
    }
    settings = dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})
    if model != "cnn" and settings.input_size % 32:
        raise click.UsageError(f"--input-size {settings.input_size}: the detector's grids need a multiple of 32")
    train(settings, run, click.echo)


@main.command()
@click.option("--model", required=True, metavar="NAME|FILE", help="A shipped model, or a .onnx or .tflite file.")
@click.option("--data", type=_DATA, required=True, metavar="DIR", help="Holds train (for the baseline) and the split.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--backend", type=click.Choice(["onnx", "litert"]))
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures here too."
)
def evaluate(model: str, data: Path, split: str, backend: str | None, json_file: Path | None) -> None:
    """Scores an exported model on a labelled split, with the constant predictor beside it."""
    _need_tensorflow()
    from acne_trainer.evaluate import evaluate as score
    from acne_trainer.labels.keras_txt import read_keras_txt

    runner = load_model(model, backend=backend)
    text = json.dumps(score(runner, read_keras_txt(data / "train"), read_keras_txt(data / split)), indent=2) + "\n"
    if json_file:
        files.write_atomically(json_file, text.encode())
    click.echo(text, nl=False)


def _need_tensorflow() -> None:
    """Says how to install what training needs, before anything is begun."""
    try:
        with native_logs_silenced():
            import faster_coco_eval  # noqa: F401
            import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise AcneEdgeError(
            f"{error.name} is not installed; in a checkout of acne-edge run: pip install '.[train]'"
        ) from error


if __name__ == "__main__":
    main()
