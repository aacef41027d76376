"""`acne-train fit` and `acne-train reproduce`."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from acne_runtime.cli.click_command import Command
from acne_runtime.errors import AcneEdgeError
from acne_trainer.cli.requirements import load_tensorflow
from acne_trainer.model_names import MODELS

_DATA = click.Path(path_type=Path)
_RUN = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command)
@click.argument("model", type=click.Choice(MODELS))
@click.option(
    "--data",
    type=_DATA,
    multiple=True,
    metavar="DIR",
    help="Data set with train, valid and test in any supported format, or a splits.json. Repeatable for detectors.",
)
@click.option("--run", type=_RUN, required=True, metavar="DIR", help="The run folder to write.")
@click.option("--resume", is_flag=True, help="Resume the training in --run; --epochs may change.")
@click.option("--config", type=_FILE, metavar="FILE", help="Settings in TOML; flags override it.")
@click.option("--epochs", type=click.IntRange(min=1), help="Maximum number of epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Over all devices together.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate.")
@click.option("--input-size", type=click.IntRange(min=32), metavar="PX", help="Width and height of the model's input.")
@click.option("--seed", type=int, help="Random seed.")
@click.option("--weights", metavar="NAME|FILE", help="none, imagenet, coco, a .keras file, or a PyTorch .pth.")
@click.option("--input-scaling", type=click.Choice(["own", "paper"]), help="Backbones: own, or paper for 0 to 1.")
@click.option("--focal", type=click.FloatRange(min=0), metavar="POWER", help="Focal loss exponent; 2 is usual.")
@click.option("--label-smoothing", type=click.FloatRange(0, 1, max_open=True), metavar="SHARE")
@click.option(
    "--absent-unknown",
    multiple=True,
    metavar="GLOB=CLASS,CLASS",
    help="Photographs that were not labelled for these classes. Repeatable.",
)
@click.option(
    "--fine-tune-epochs",
    type=click.IntRange(min=0),
    help="Backbones: epochs that fine-tune the top layers.",
)
@click.option("--fine-tune-layers", type=click.IntRange(min=1), help="Number of layers to fine-tune.")
@click.option("--fine-tune-rate", type=click.FloatRange(min=0, min_open=True), help="Learning rate of that stage.")
@click.option("--precision", type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]))
@click.option("--jit/--no-jit", default=None, help="Compile the training step with XLA.")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, gpu or gpu:0,1.")
def fit(
    model: str, data: tuple[Path, ...], run: Path, resume: bool, config: Path | None, devices: str, **flags: Any
) -> None:
    """Trains MODEL and writes a run folder.

    Experiment I, multi-label classification: the paper's cnn, and resnet50, vgg19 and efficientnetb3 with a new head;
    efficientnet-lite0, -lite1, -lite2 and mobilenet-v2 with a logistic regression on their features.
    Experiment II, object detection: yolov8-xs, -s, -m, -l and -xl; on a pretrained backbone yolov8-lite0, -lite1,
    -lite2 and -mobilenetv2.

    Ctrl-C saves and stops; --resume continues.
    """
    load_tensorflow()
    from acne_trainer.config import DEFAULTS, TrainConfig

    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if resume:
        settings = TrainConfig.read(run / "config.toml")
        if settings.model != model:
            raise AcneEdgeError(f"{run / 'config.toml'}: this is a training of {settings.model}, not of {model}")
    elif run.exists() and any(path.name != "config.toml" for path in run.iterdir()):  # all that a failed start leaves
        raise AcneEdgeError(f"{run}: not empty; use --resume to continue, or another --run to start over")
    else:
        settings = DEFAULTS[model]
    begun = settings
    if config:
        settings = settings.changed_by(config)
    try:
        _check_known(settings, given)
        settings = dataclasses.replace(settings, **given | ({"data": _sources(settings, data)} if data else {}))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if resume:
        _check_resumable(begun, settings)
    _check(settings, model)
    _train(settings, run, devices, f"acne-train fit {model} --run {run} --resume")


@click.command(cls=Command)
@click.argument("recipe", type=_FILE)
@click.option("--data-root", type=_RUN, required=True, metavar="DIR", help="Folder with the data sets of the recipe.")
@click.option("--run", type=_RUN, required=True, metavar="DIR", help="The run folder to write or resume.")
@click.option("--weights", type=_FILE, metavar="FILE", help="Initial weights, for recipes that start from a file.")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, gpu or gpu:0,1.")
def reproduce(recipe: Path, data_root: Path, run: Path, weights: Path | None, devices: str) -> None:
    """Trains a model from a TOML recipe; those of the shipped models are in trainer/recipes.

    Data sets that the recipe merges are written into the run folder first. The same command resumes an interrupted run.
    """
    load_tensorflow()
    from acne_trainer.data.merge import write_merged
    from acne_trainer.recipe import merged_folder, read_recipe

    read = read_recipe(recipe)
    settings = read.located(data_root, run)
    if weights:
        settings = dataclasses.replace(settings, weights=str(weights))
    _check(settings, settings.model)
    for merge in read.merges:
        target = merged_folder(run, merge.into)
        if not target.exists():
            click.echo(f"merging {merge.source} with {', '.join(merge.marks)}")
            write_merged(data_root / merge.source, [data_root / path for path in merge.marks], target, link=False)
    _train(settings, run, devices, f"the same command again (run folder {run})")


def _train(settings: Any, run: Path, devices: str, way_on: str) -> None:
    """Trains, or resumes, until it is done or somebody stops it."""
    from acne_trainer.distributed import make_strategy
    from acne_trainer.train import ProgressHooks
    from acne_trainer.train import fit as train
    from acne_trainer.training.errors import StoppedError
    from acne_trainer.training.signals import stop_requests

    strategy = make_strategy(devices)
    with stop_requests() as request, _log_shown():
        try:
            train(settings, run, strategy, ProgressHooks(_progress, request))
        except StoppedError as stopped:
            click.echo(f"{stopped}; to go on: {way_on}", err=True)
            raise SystemExit(128 + (request.signal or 0)) from None


def _sources(settings: Any, folders: tuple[Path, ...]) -> tuple[Any, ...]:
    """Returns the labelled sets in these folders, with what the settings say of a set of the same name."""
    from acne_trainer.data.source import DataSource

    known = {source.name: source for source in settings.data}
    return tuple(
        dataclasses.replace(known[folder.name], path=str(folder)) if folder.name in known else DataSource(str(folder))
        for folder in folders
    )


def _check_resumable(begun: Any, settings: Any) -> None:
    """Refuses to change what has been trained with: half of a run would follow other settings than its record says."""
    fields = (field.name for field in dataclasses.fields(begun) if field.name not in ("epochs", "data"))
    changed = [
        f"--{name.replace('_', '-')}" for name in sorted(fields) if getattr(begun, name) != getattr(settings, name)
    ]
    if changed:
        raise click.UsageError(
            f"--resume: {', '.join(changed)} cannot change now; only --epochs, --data and --devices can"
        )


def _check(settings: Any, model: str) -> None:
    """Refuses settings that cannot work together."""
    from acne_trainer.config import BackboneConfig, DetectorConfig, FeaturesConfig, PretrainedDetectorConfig

    if not settings.data:
        raise click.UsageError("--data DIR is needed to begin a training")
    if isinstance(settings, FeaturesConfig):
        _check_fitted_at_once(settings)
    has_imagenet = isinstance(settings, BackboneConfig | FeaturesConfig | PretrainedDetectorConfig)
    if settings.weights == "imagenet" and not has_imagenet:
        raise click.UsageError(f"--weights imagenet: {model} has none; give none or a .keras file")
    if settings.weights == "coco" and (has_imagenet or not isinstance(settings, DetectorConfig)):
        raise click.UsageError(f"--weights coco: {model} has none; give none or a .keras file")
    from_file = settings.weights not in ("none", "imagenet", "coco")
    if isinstance(settings, DetectorConfig) and settings.start_share and not from_file:
        raise click.UsageError("start_share: goes with --weights FILE, whose weights it keeps a share of")


def _check_known(settings: Any, given: dict[str, Any]) -> None:
    """Refuses flags of another family of models."""
    from acne_trainer.config import DEFAULTS

    for name in given:
        if not hasattr(settings, name):
            having = ", ".join(model for model, default in DEFAULTS.items() if hasattr(default, name))
            raise click.UsageError(f"--{name.replace('_', '-')}: not a setting of {settings.model}, only of {having}")


_OF_STEPS = (
    *("epochs", "batch_size", "learning_rate", "focal", "label_smoothing", "precision", "jit"),
    *("optimizer", "average_decay"),
)


def _check_fitted_at_once(settings: Any) -> None:
    """Refuses settings of a training in steps where the model is a logistic regression, which has none."""
    from acne_trainer.config import DEFAULTS

    for name in _OF_STEPS:
        if getattr(settings, name) != getattr(DEFAULTS[settings.model], name):
            raise click.UsageError(
                f"--{name.replace('_', '-')}: {settings.model} is fitted at once, by a logistic regression"
            )


class _LogLines(logging.Handler):
    """Prints log records, in place of a progress line that stands there."""

    def emit(self, record: logging.LogRecord) -> None:
        _progress("")
        click.echo(record.getMessage())


@contextmanager
def _log_shown() -> Iterator[None]:
    """Prints what the trainer logs."""
    package, lines = logging.getLogger("acne_trainer"), _LogLines()
    level = package.level
    package.addHandler(lines)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(lines)
        package.setLevel(level)


def _progress(line: str) -> None:
    """Shows a line over the one before, on a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)
