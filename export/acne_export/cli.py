"""`acne-export`: exports a trained model to a file for a device."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from acne_export.accuracy import LabelledSet
from acne_export.recipe import ANY_BATCH, DEFAULT_PRECISION, Format, Input, Precision, Recipe, read_recipe
from acne_runtime import __version__
from acne_runtime.atomic_write import write_atomically
from acne_runtime.cli.click_command import Group
from acne_runtime.cli.log_handler import log_to_stderr
from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import DEFAULT_MODEL

if TYPE_CHECKING:
    from acne_export.exporting import ExportOptions
    from acne_export.run_folder import RunFolder

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _batch(value: str) -> int:
    if value == "dynamic":
        return ANY_BATCH
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number of images nor 'dynamic'")
    return int(value)


@click.group(
    cls=Group,
    flags={"size": "--imgsz"},
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--format", "format", type=click.Choice([*get_args(Format), "litert"]), help="litert is an alias of tflite."
)
@click.option("--precision", type=click.Choice(get_args(Precision)), help="Default: int8 for TFLite, float32 for ONNX.")
@click.option(
    "--run",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"A run folder of acne-train, or one of models/. Default: the shipped {DEFAULT_MODEL}.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: named after the model, in this folder."
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--input",
    "dtype",
    type=click.Choice(get_args(Input)),
    default="uint8",
    show_default=True,
    help="Input dtype; 0 to 255 in both.",
)
@click.option("--imgsz", type=click.IntRange(min=32), metavar="PX", help="Input width and height. Default: as trained.")
@click.option("--batch", type=_batch, default="1", metavar="N|dynamic", help="Images per call (ONNX only).")
@click.option("--nms", is_flag=True, help="Put box decoding and NMS into the graph.")
@click.option(
    "--calibration",
    type=_FOLDER,
    metavar="DIR",
    help="Photographs to take activation ranges from instead.",
)
@click.option("--data", type=_FOLDER, metavar="DIR", help="Labelled photographs (train, valid, test) to evaluate on.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", show_default=True, help="Of --data.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Largest drop of AP50 or macro F1; exits with 3 beyond.",
)
@click.option("--fallback", is_flag=True, help="If validation fails, try w8a16, then dynamic (ONNX: float16).")
@click.option("--recipe", type=_FILE, metavar="FILE", help="Repeat the export recorded in an exported file's .json.")
@click.version_option(__version__, prog_name="acne-export")
@click.pass_context
def main(
    ctx: click.Context,
    format: Format | Literal["litert"] | None,
    precision: Precision | None,
    run: Path | None,
    out: Path | None,
    dtype: Input,
    imgsz: int | None,
    batch: int,
    nms: bool,
    calibration: Path | None,
    data: Path | None,
    split: str,
    max_drop: float,
    fallback: bool,
    recipe: Path | None,
    force: bool,
) -> None:
    """Exports a trained model to one ONNX or TFLite file with its manifest inside, validated against Keras.

    Needs no network and no photographs: int8 takes its ranges from the run folder's calibration.json.
    """
    if ctx.invoked_subcommand is not None:
        return
    if (format is None) == (recipe is None):
        raise click.UsageError("choose --format onnx or --format tflite, or repeat an export with --recipe FILE")
    wanted = read_recipe(recipe) if recipe else None
    flags = {
        "--precision": precision,
        "--imgsz": imgsz,
        "--nms": nms,
        "--batch": batch != 1,
        "--input": dtype != "uint8",
    }
    set_flags = [flag for flag, value in flags.items() if value]
    if recipe and set_flags:
        raise click.UsageError(f"--recipe sets everything; leave {' and '.join(set_flags)} out")
    target_format: Format = wanted.format if wanted else "onnx" if format == "onnx" else "tflite"
    if out is not None and out.suffix != f".{target_format}":
        raise click.UsageError(f"--out {out}: a file for --format {target_format} must end in .{target_format}")
    _require_converters()
    ctx.with_resource(log_to_stderr("acne_export"))
    with silence_native_logs():
        from acne_export.exporting import ExportOptions
        from acne_export.run_folder import read_run_folder, shipped_run

        folder = read_run_folder(run or shipped_run())
        if wanted is None:
            wanted = Recipe(
                format=target_format,
                precision=precision or DEFAULT_PRECISION[target_format],
                input=dtype,
                size=imgsz or folder.manifest.input.width,
                batch=batch,
                nms=nms,
            )
        options = ExportOptions(calibration, LabelledSet(data, split) if data else None, max_drop, force)
        _export(folder, wanted, out, options, fallback)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(file: Path, as_json: bool) -> None:
    """Describes an exported FILE from the manifest inside it."""
    from acne_export.describe import describe
    from acne_runtime.load import load_model

    with silence_native_logs():
        manifest = load_model(file).manifest
    click.echo(manifest.to_json() if as_json else describe(file, manifest), nl=not as_json)


@main.command()
@click.argument("file", type=_FILE)
def verify(file: Path) -> None:
    """Re-runs the golden test stored in FILE, and the golden vectors next to it, and compares the outputs."""
    from acne_export.verification import verify as replay_golden_test

    with silence_native_logs():
        for line in replay_golden_test(file):
            click.echo(line)


@main.command()
@click.argument("models", type=click.Path(file_okay=False, exists=True, path_type=Path), nargs=-1, required=True)
def golden(models: tuple[Path, ...]) -> None:
    """Rewrites the golden vectors of each folder of MODELS from its files, only after an intentional change."""
    from acne_export.golden.vectors import write_golden_vectors

    for folder in models:
        with silence_native_logs():
            written = write_golden_vectors(folder)
        for file in written:
            click.echo(f"wrote {file}")


@main.command()
@click.argument("model_files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--threads", type=click.IntRange(min=1), multiple=True, default=(2,), show_default=True, help="Repeatable."
)
@click.option("--runs", type=click.IntRange(min=1), default=50, show_default=True, help="Timed inferences per file.")
@click.option("--json", "json_file", metavar="FILE", help="Write the measurements as JSON; - for standard output.")
def bench(model_files: tuple[Path, ...], threads: tuple[int, ...], runs: int, json_file: str | None) -> None:
    """Benchmarks each FILE, interleaved in one run: latency, load time, size, peak memory."""
    from acne_export.bench.bench import bench as run_benchmark
    from acne_export.bench.bench import table

    with silence_native_logs():
        rows = run_benchmark(model_files, threads, runs)
    text = json.dumps(rows, indent=2) + "\n"
    if json_file == "-":
        click.echo(text, nl=False)
        return
    if json_file:
        write_atomically(Path(json_file), text.encode())
    click.echo(table(rows))


def _export(run: RunFolder, recipe: Recipe, out: Path | None, options: ExportOptions, fallback: bool) -> None:
    from acne_export.exporters import fallbacks_of
    from acne_export.exporting import export, export_with_fallback
    from acne_export.validation import ValidationError

    if fallback:
        export_with_fallback(run, recipe, out, options)
        return
    try:
        export(run, recipe, out, options)
    except ValidationError as error:
        precisions = ", ".join(fallbacks_of(recipe))
        way_out = f"; --fallback tries {precisions}" if precisions else ""
        raise type(error)(f"{error}{way_out}", parameter=error.parameter) from error


def _require_converters() -> None:
    """Imports TensorFlow, or says how to install it; not at the top, so that --help and usage errors are immediate."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # converting needs no GPU
    try:
        with silence_native_logs():
            import acne_export.exporting  # noqa: F401
    except ModuleNotFoundError as error:
        raise AcneEdgeError(
            f"{error.name} is not installed; in a checkout run: pip install --editable '.[export]'"
        ) from error


if __name__ == "__main__":
    main()
