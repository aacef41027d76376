"""`acne-export`: a trained model becomes a file for a device."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal, get_args

import click

from acne_export.accuracy import Photographs
from acne_export.recipe import ANY_BATCH, DEFAULT_PRECISION, Format, Input, Precision, Recipe
from acne_runtime import __version__
from acne_runtime.atomic_write import write_atomically
from acne_runtime.cli.click_command import Group
from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import DEFAULT_MODEL, model_folders

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _batch(value: str) -> int:
    if value == "dynamic":
        return ANY_BATCH
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number of photographs nor 'dynamic'")
    return int(value)


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--format", "form", type=click.Choice([*get_args(Format), "litert"]), help="litert is another name of tflite."
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
    "--input", "dtype", type=click.Choice(get_args(Input)), default="uint8", show_default=True, help="0 to 255 in both."
)
@click.option("--imgsz", type=click.IntRange(min=32), metavar="PX", help="Side of the input. Default: as trained.")
@click.option("--batch", type=_batch, default="1", metavar="N|dynamic", help="Photographs in a call (ONNX).")
@click.option("--nms", is_flag=True, help="Box decoding and suppression inside the graph.")
@click.option(
    "--calibration", type=_FOLDER, metavar="DIR", help="Photographs to take activation ranges from, not the trainer's."
)
@click.option("--data", type=_FOLDER, metavar="DIR", help="Labelled photographs (train, valid, test): measure.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", show_default=True, help="Of --data.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Most that AP50 or macro F1 may fall; exit 3 beyond.",
)
@click.option("--fallback", is_flag=True, help="Try int8, w8a16, dynamic (ONNX: int8, float16) until one holds.")
@click.option("--recipe", type=_FILE, metavar="FILE", help="Make what this exported file's .json says was made.")
@click.version_option(__version__, prog_name="acne-export")
@click.pass_context
def main(
    ctx: click.Context,
    form: Format | Literal["litert"] | None,
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
    """Converts a trained model to one ONNX or TFLite file, its manifest inside, and proves that it answers the same.

    Needs no network and no photograph: int8 takes its ranges from the run folder's calibration.json.
    """
    if ctx.invoked_subcommand is not None:
        return
    if (form is None) == (recipe is None):
        raise click.UsageError("--format onnx or --format tflite is needed, or --recipe FILE instead of it")
    given = _read_recipe(recipe) if recipe else None
    flags = {
        "--precision": precision,
        "--imgsz": imgsz,
        "--nms": nms,
        "--batch": batch != 1,
        "--input": dtype != "uint8",
    }
    said = [flag for flag, value in flags.items() if value]
    if recipe and said:
        raise click.UsageError(f"--recipe says it all; leave {' and '.join(said)} out")
    wanted: Format = given.form if given else "onnx" if form == "onnx" else "tflite"
    if out is not None and out.suffix != f".{wanted}":
        raise click.UsageError(f"--out {out}: the name of a file for --format {wanted} ends in .{wanted}")
    run = run or _shipped_run()
    _need_converters()
    with silence_native_logs():
        from acne_export.export import ExportOptions, export
        from acne_export.run_folder import read_run_folder

        folder = read_run_folder(run)
        if given is None:
            given = Recipe(
                form=wanted,
                precision=precision or DEFAULT_PRECISION[wanted],
                input=dtype,
                size=imgsz or folder.manifest.input.width,
                batch=batch,
                nms=nms,
            )
        photographs = Photographs(data, split) if data else None
        export(folder, given, out, ExportOptions(calibration, photographs, max_drop, fallback, force), click.echo)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="The manifest as it is.")
def inspect(file: Path, as_json: bool) -> None:
    """Prints what an exported FILE says about itself."""
    from acne_export.describe import describe
    from acne_runtime.load import load_model

    with silence_native_logs():
        manifest = load_model(file).manifest
    click.echo(manifest.to_json() if as_json else describe(file, manifest), nl=not as_json)


@main.command()
@click.argument("file", type=_FILE)
def verify(file: Path) -> None:
    """Asks FILE again what it answered when it was made, and what its golden vectors say."""
    from acne_export.verify import verify as replay

    with silence_native_logs():
        for line in replay(file):
            click.echo(line)


@main.command()
@click.argument("models", type=click.Path(file_okay=False, exists=True, path_type=Path), nargs=-1, required=True)
def golden(models: tuple[Path, ...]) -> None:
    """Writes the golden vectors of each folder of MODELS anew, from the files in it: after a change on purpose only."""
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
@click.option("--runs", type=click.IntRange(min=1), default=50, show_default=True, help="Timed inferences of each.")
@click.option("--json", "json_file", metavar="FILE", help="Write the figures here; - for standard output.")
def bench(model_files: tuple[Path, ...], threads: tuple[int, ...], runs: int, json_file: str | None) -> None:
    """Times each FILE, taking turns in one run: latency, load time, size, peak memory."""
    from acne_export.bench.bench import bench as measure
    from acne_export.bench.bench import table

    with silence_native_logs():
        rows = measure(model_files, threads, runs)
    text = json.dumps(rows, indent=2) + "\n"
    if json_file == "-":
        click.echo(text, nl=False)
        return
    if json_file:
        write_atomically(Path(json_file), text.encode())
    click.echo(table(rows))


def _read_recipe(file: Path) -> Recipe:
    try:
        raw = json.loads(file.read_bytes())["provenance"]["recipe"]
    except (ValueError, KeyError, TypeError):
        raise AcneEdgeError(f"--recipe {file}: not the .json beside an exported file") from None
    return Recipe.from_dict(raw, str(file))


def _shipped_run() -> Path:
    for folder in model_folders():
        if (folder / DEFAULT_MODEL / "inference.keras").is_file():
            return folder / DEFAULT_MODEL
    raise AcneEdgeError(
        f"the shipped {DEFAULT_MODEL} has its Keras form in a checkout only (pip install --editable); give a run "
        "folder with --run"
    )


def _need_converters() -> None:
    """Imports TensorFlow, here since --help and wrong flags answer at once, or says how to install it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # converting needs no GPU
    try:
        with silence_native_logs():
            import acne_export.export  # noqa: F401
    except ModuleNotFoundError as error:
        raise AcneEdgeError(
            f"{error.name} is not installed; in a checkout of acne-edge run: pip install '.[export]'"
        ) from error


if __name__ == "__main__":
    main()
