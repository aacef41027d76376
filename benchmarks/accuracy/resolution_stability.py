"""The same skin at 1, 3, 12 and 48 megapixels: does the answer stay?

    python -m benchmarks.accuracy.resolution_stability [SPLIT]

The rendered sample, whose lesions' places are known, is enlarged, given the grain of a sensor of that many pixels, and
saved as a JPEG. Three ways to the model's input: sampled by bilinear interpolation (as files without `shrink` are),
averaged over blocks first, and averaged after the JPEG was decoded at a part of its size, as `acne-run` does. With
SPLIT (such as ../shared/data/acne04/test), some of its photographs as well, against the answer to each as it is.
"""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.preprocess import reading_scale
from acne_runtime.result import Result
from acne_runtime.sources.image_files import decode_frame, list_images, read_image

MEGAPIXELS = (1, 3, 12, 48)
GRAIN = 12.0
"""Deviation of the sensor's noise in grey levels: a phone indoors."""
SEED = 0

Boxes = NDArray[np.float64]


def enlarge(image: NDArray[np.uint8], megapixels: int) -> bytes:
    """Returns the picture as a JPEG of so many megapixels with the grain of its sensor."""
    factor = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    large = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    noise = np.random.default_rng(SEED).standard_normal(large.shape, np.float32)
    grainy = np.clip(large + GRAIN * noise, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", grainy, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def ways(model: Model) -> dict[str, Callable[[bytes], Result]]:
    """Returns the three ways from a JPEG to an answer."""

    def of(shrink: str) -> Model:
        spec = dataclasses.replace(model.manifest.input, shrink=shrink)
        return Model(dataclasses.replace(model.manifest, input=spec), model.backend)

    sampled, averaged = of("bilinear"), of("average")

    def reduced(jpeg: bytes) -> Result:
        frame = decode_frame(jpeg, "", scale=lambda w, h: reading_scale(w, h, averaged.manifest.input))
        return averaged(frame.image, size=frame.size)

    return {
        "bilinear": lambda jpeg: sampled(decode_frame(jpeg, "").image),
        "averaged": lambda jpeg: averaged(decode_frame(jpeg, "").image),
        "averaged, JPEG in part": reduced,
    }


def found(result: Result, lesions: Boxes) -> int:
    """Returns how many lesions, as boxes in shares of the picture's sides, a box of the answer holds by its centre."""
    middle = (lesions[:, :2] + lesions[:, 2:]) / 2
    size = np.array([result.width, result.height] * 2)
    boxes = np.array([lesion.box for lesion in result.lesions or ()]).reshape(-1, 4) / size
    inside = (middle[:, None] >= boxes[None, :, :2]) & (middle[:, None] <= boxes[None, :, 2:])
    return int(inside.all(-1).any(1).sum())


def known_lesions() -> Boxes:
    """Returns the rendered sample's lesions as boxes in shares of its sides."""
    rendering = runpy.run_path(str(Path(__file__).parents[2] / "samples" / "render_skin.py"))
    rows = [(x - d / 2, y - d / 2, x + d / 2, y + d / 2) for kind in rendering["LESIONS"].values() for x, y, d in kind]
    return np.array(rows) / rendering["SIZE"]


def own_answer(model: Model, image: NDArray[np.uint8]) -> Boxes:
    """Returns what the model finds on a photograph as it is, as boxes in shares of its sides."""
    size = np.array([image.shape[1], image.shape[0]] * 2)
    return np.array([lesion.box for lesion in model(image).lesions or ()], np.float64).reshape(-1, 4) / size


def rows(
    model: Model, pictures: Sequence[tuple[NDArray[np.uint8], Boxes | None]]
) -> list[tuple[str, str, int, int, int]]:
    """Returns way, size, lesions of the reference, found again, and count, summed over the pictures."""
    table = []
    for megapixels in MEGAPIXELS:
        totals = {name: [0, 0, 0] for name in ways(model)}
        for image, known in pictures:
            lesions = own_answer(model, image) if known is None else known
            jpeg = enlarge(image, megapixels)
            for name, way in ways(model).items():
                result = way(jpeg)
                for place, value in enumerate((len(lesions), found(result, lesions), len(result.lesions or ()))):
                    totals[name][place] += value
        table += [(name, f"{megapixels} MP", *totals[name]) for name in totals]
    return table


@click.command(help=__doc__)
@click.argument("split", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "name", default="acne-yolov8-lite0", show_default=True)
@click.option("--photographs", default=20, show_default=True, help="Of SPLIT, evenly spread.")
def main(split: Path | None, name: str, photographs: int) -> None:
    """Measures and prints."""
    model = load_model(name, threads=2)
    sample = read_image(Path(__file__).parents[2] / "samples" / "rendered_skin.jpg")
    pictures: list[tuple[str, list[tuple[NDArray[np.uint8], Boxes | None]]]] = [
        ("rendered skin, its drawn lesions", [(sample, known_lesions())])
    ]
    if split:
        files = list_images(split)
        chosen = [files[i] for i in np.linspace(0, len(files) - 1, min(photographs, len(files))).astype(int)]
        pictures.append(
            (f"{len(chosen)} of {split}, the model's own answer", [(read_image(path), None) for path in chosen])
        )
    for title, several in pictures:
        click.echo(f"\n{title}\n{'way':24}{'size':>8}{'lesions':>9}{'found':>7}{'count':>7}")
        for way, size, lesions, again, count in rows(model, several):
            click.echo(f"{way:24}{size:>8}{lesions:9}{again:7}{count:7}")


if __name__ == "__main__":
    main()
