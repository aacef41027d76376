"""`acne-train evaluate`, `thresholds` and `counts`: what is measured of a trained or exported model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from acne_runtime.atomic_write import write_atomically
from acne_runtime.cli.click_command import Command
from acne_runtime.load import load_model
from acne_trainer.cli.requirements import load_tensorflow

_DATA = click.Path(path_type=Path)
_RUN = click.Path(file_okay=False, path_type=Path)


@click.command(cls=Command)
@click.option("--model", required=True, metavar="NAME|FILE", help="A shipped model, or a .onnx or .tflite file.")
@click.option("--data", type=_DATA, required=True, metavar="DIR", help="Data set with train and the split.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--backend", type=click.Choice(["onnx", "litert"]))
@click.option("--json", "json_file", metavar="FILE", help="Write all metrics here; - for standard output.")
def evaluate(model: str, data: Path, split: str, backend: str | None, json_file: str | None) -> None:
    """Evaluates an exported model on a labelled split, with the trivial baseline next to it."""
    load_tensorflow()
    from acne_trainer.data.load import read_split
    from acne_trainer.evaluation.evaluate import evaluate as score
    from acne_trainer.metrics.catalog import METRICS
    from acne_trainer.reports.tables import overall_text

    runner = load_model(model, backend=backend)
    report = score(runner, read_split(data, "train"), read_split(data, split))
    text = json.dumps(report, indent=2) + "\n"
    if json_file == "-":
        click.echo(text, nl=False)
        return
    if json_file:
        write_atomically(Path(json_file), text.encode())
    task = runner.manifest.task
    click.echo(f"{runner.manifest.name} on {report['images']} photographs of {data / split}\n")
    click.echo(overall_text(METRICS[task], report["model"], report["baseline"]))


@click.command(cls=Command)
@click.option("--model", required=True, metavar="NAME|FILE", help="A shipped model, or a .onnx or .tflite file.")
@click.option("--data", type=_DATA, required=True, metavar="DIR", help="Data set with the split valid.")
@click.option("--like", metavar="NAME|FILE", help="Predict as many positives as this model, instead of maximising F1.")
@click.option("--backend", type=click.Choice(["onnx", "litert"]))
@click.option("--json", "json_file", metavar="FILE", help="Write them here; - for standard output.")
def thresholds(model: str, data: Path, like: str | None, backend: str | None, json_file: str | None) -> None:
    """Chooses an exported model's decision thresholds on valid, by default for the highest F1."""
    load_tensorflow()
    from acne_trainer.data.load import read_split
    from acne_trainer.evaluation.evaluate import predict_split, with_best_thresholds, with_matching_thresholds

    runner, valid = load_model(model, backend=backend), read_split(data, "valid")
    if like is None:
        manifest = with_best_thresholds(runner.manifest, valid, predict_split(runner, valid))
    else:
        source = load_model(like)
        if source.manifest.classes != runner.manifest.classes or source.manifest.task != runner.manifest.task:
            raise click.UsageError(f"--like {like}: it does not answer what {model} answers")
        exact = predict_split(source, valid)
        manifest = with_matching_thresholds(runner.manifest, predict_split(runner, valid), source.manifest, exact)
    chosen = dict(zip(manifest.threshold_names, manifest.thresholds, strict=True))
    text = json.dumps(chosen, indent=2) + "\n"
    if json_file and json_file != "-":
        write_atomically(Path(json_file), text.encode())
    click.echo(text if json_file == "-" else "\n".join(f"{name}  {value:.4f}" for name, value in chosen.items()))


@click.command(cls=Command)
@click.option("--run", type=_RUN, required=True, metavar="DIR", help="Run folder of a trained detector.")
@click.option("--data", type=_DATA, required=True, metavar="DIR", help="Fully annotated data set.")
@click.option("--split", default="valid", show_default=True)
def counts(run: Path, data: Path, split: str) -> None:
    """Calibrates the lesion counts of a detector, on which severity grades are based.

    Training does this on its own valid split; this command repeats it on a fully annotated data set. In a data set of
    one class those types count that its marks follow best. The run's manifest is updated; export the model again.
    """
    load_tensorflow()
    from acne_runtime.severity import COUNTED
    from acne_trainer.evaluation.count_calibration import measure_counting

    measured = measure_counting(run, data, split)
    low, high = measured["ratio_90"]
    types = ", ".join(measured.get("types", COUNTED))
    click.echo(f"{types} count from a score of {measured['threshold']} on")
    click.echo(f"(labelled + 1) / (counted + 1): median {measured['ratio_50']}; ", nl=False)
    click.echo(f"{low} to {high} on nine of ten of {measured['photographs']} photographs")
    click.echo(f"wrote {run / 'manifest.json'}")
