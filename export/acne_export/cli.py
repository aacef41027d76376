"""`acne-export`: a trained model becomes a file for a device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import click

from acne_runtime import __version__
from acne_runtime.command import Command
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import DEFAULT_MODEL, model_folders
from acne_runtime.quiet import native_logs_silenced


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--format", "form", type=click.Choice(["onnx", "tflite"]), required=True)
@click.option("--precision", type=click.Choice(["float32", "int8"]), help="Default: int8 for TFLite, float32 for ONNX.")
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
@click.version_option(__version__, prog_name="acne-export")
def main(form: str, precision: str | None, run: Path | None, out: Path | None, force: bool) -> None:
    """Converts a trained model to one ONNX or TFLite file, its manifest inside, and proves that it answers the same.

    Needs no network and no photograph: int8 takes its ranges from the run folder's calibration.json.
    """
    if out is not None and out.suffix != f".{form}":
        raise click.UsageError(f"--out {out}: a {form} file's name ends in .{form}")
    run = run or _shipped_run()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # converting needs no GPU
    try:
        # Imported here: --help and wrong flags answer at once, TensorFlow takes seconds.
        with native_logs_silenced():
            from acne_export.export import DEFAULT_PRECISION, Format, Precision, export, file_name
            from acne_export.run_folder import read_run_folder
    except ModuleNotFoundError as error:
        raise AcneEdgeError(
            f"{error.name} is not installed; in a checkout of acne-edge run: pip install '.[export]'"
        ) from error
    chosen = cast("Format", form)
    wanted = cast("Precision", precision) if precision else DEFAULT_PRECISION[chosen]
    with native_logs_silenced():
        folder = read_run_folder(run)
    target = out or Path(file_name(folder.manifest.name, chosen, wanted))
    if target.exists() and not force:
        raise AcneEdgeError(f"{target}: exists already; --force replaces it, --out names another file")
    with native_logs_silenced():
        export(folder, chosen, wanted, target, click.echo)


def _shipped_run() -> Path:
    for folder in model_folders():
        if (folder / DEFAULT_MODEL / "inference.keras").is_file():
            return folder / DEFAULT_MODEL
    raise AcneEdgeError(
        f"the shipped {DEFAULT_MODEL} is not installed with its Keras form; name a run folder with --run"
    )


if __name__ == "__main__":
    main()
