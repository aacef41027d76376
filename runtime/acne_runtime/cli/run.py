"""`acne-run`: runs a model on images, videos, cameras and streams. The options; `cli.pipeline` does the work."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from acne_runtime import __version__
from acne_runtime.archive.ray_engine import PART_SIZE
from acne_runtime.cli.click_command import Command
from acne_runtime.cli.log_handler import log_to_stderr
from acne_runtime.cli.pipeline import RunOptions, run
from acne_runtime.load import DEFAULT_MODEL
from acne_runtime.predictors.face_severity import REGIONS
from acne_runtime.predictors.tiling import OVERLAP

_FILE = click.Path(dir_okay=False, path_type=Path)


def _region(value: str) -> tuple[str, Path]:
    region, _, file = value.partition("=")
    if region not in REGIONS or not file:
        raise click.BadParameter(f"{value!r} is not NAME=FILE with one of {', '.join(REGIONS)}")
    return region, Path(file)


@click.command(
    cls=Command,
    flags={"overlap": "--tile-overlap", "max_pixels": "--max-megapixels"},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--source",
    metavar="PATH|URL|-",
    help="An image, folder, pattern, list (.txt), video or stream; - is standard input.",
)
@click.option("--recursive", is_flag=True, help="Look into a folder's folders too.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    type=_region,
    metavar="NAME=FILE",
    help=f"With --severity: a photograph of a region of the face ({', '.join(REGIONS)}); may be repeated.",
)
@click.option("--camera", type=click.IntRange(min=0), metavar="N", help="A camera; 0 is the first.")
@click.option(
    "--model",
    "models",
    default=[DEFAULT_MODEL],
    show_default=True,
    multiple=True,
    metavar="NAME|FILE",
    help="A shipped model or a model file; may be repeated.",
)
@click.option(
    "--backend", type=click.Choice(["onnx", "litert"]), help="Default: the one that fits the model and is installed."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, auto, or a device of ONNX Runtime: cuda, ...")
@click.option("--delegate", type=_FILE, help="LiteRT: a shared library with a delegate, used instead of XNNPACK.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0: automatic.")
@click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    help="Minimum score, instead of the model's own: of a lesion, or of each class in models with class scores.",
)
@click.option("--tile", is_flag=True, help="Tiled inference for large images.")
@click.option(
    "--tile-overlap",
    type=click.IntRange(min=0),
    metavar="PX",
    help=f"Minimum overlap of neighbouring tiles.  [default: {OVERLAP}]",
)
@click.option(
    "--severity", is_flag=True, help="Grade the severity of half a face by papules and pustules (Hayashi 2008)."
)
@click.option("--track", is_flag=True, help="Follow lesions through a video, for ids and steady counts.")
@click.option(
    "--quality",
    type=click.Choice(["off", "warn", "reject"]),
    default="off",
    show_default=True,
    help="Measure blur, light, distance and motion: say what to do, or leave unusable images out too.",
)
@click.option(
    "--max-fps", type=click.FloatRange(min=0), default=0.0, help="Maximum rate of a camera or stream; 0: no limit."
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0, min_open=True),
    default=256.0,
    show_default=True,
    help="Reject larger images.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write one JSON line per frame; - is standard output.")
@click.option("--csv", "csv_file", type=_FILE, metavar="FILE", help="Write one line per lesion.")
@click.option("--coco", "coco_file", type=_FILE, metavar="FILE", help="Write COCO JSON.")
@click.option(
    "--save", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write annotated images or video."
)
@click.option("--show", is_flag=True, help="Show a live window; q quits.")
@click.option("--timing/--no-timing", default=True, help="Say in JSON how long each step took.  [default: timing]")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: archives of millions of photographs, on many machines.",
)
@click.option("--out", metavar="DIR|URL", help="Ray: the folder of the results, which are written in parts.")
@click.option("--out-format", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@click.option(
    "--part-size",
    type=click.IntRange(min=1),
    default=PART_SIZE,
    show_default=True,
    help="Ray: images of a part.",
)
@click.option("--num-workers", type=click.IntRange(min=0), default=0, help="Ray: worker processes; 0: one per core.")
@click.option("--cluster", metavar="ADDRESS", help="Ray: a cluster, such as ray://head:10001, instead of this machine.")
@click.option("--resume", is_flag=True, help="Ray: go on with the parts that are missing in --out.")
@click.option("--quiet", is_flag=True, help="Print no summary and no progress.")
@click.version_option(__version__, prog_name="acne-run")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Find acne lesions in an image, a folder of images, a video, or live.

    For education and monitoring only. Not a medical diagnosis.
    """
    ctx.with_resource(log_to_stderr("acne_runtime", logging.WARNING if options["quiet"] else logging.INFO))
    wanted = RunOptions(**options)
    wanted.check()
    if wanted.engine == "ray":
        from acne_runtime.cli.archive import run_ray  # only here: the packages of an archive

        run_ray(wanted)
    else:
        run(wanted)


if __name__ == "__main__":
    main()
