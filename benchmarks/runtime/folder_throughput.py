"""Photographs a second of a folder: `python -m benchmarks.runtime.folder_throughput`.

Generated photographs of 12 megapixels through `acne-run` as it is (each by one thread, side by side), against one after
the other with the backend's own threads, decoded by OpenCV at the scale that suffices, as it was before 26 November.
Beside it decoding alone and inference alone, side by side too. The four take turns; medians over the rounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import click
import cv2
import numpy as np

from acne_runtime.cli.pipeline import Pipeline
from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.parallel import cpu_count, map_in_order
from acne_runtime.preprocess import reading_scale
from acne_runtime.sinks.json_lines import JsonLines
from acne_runtime.sources.image_files import list_images, read_frame, read_images
from acne_runtime.sources.open_source import open_source
from benchmarks.tables import publish

SAMPLE = Path(__file__).parents[2] / "samples" / "rendered_skin.jpg"
WIDTH, HEIGHT = 4032, 3024
SCALES = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def generate(folder: Path, count: int) -> None:
    large = cv2.resize(cv2.imread(str(SAMPLE)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    for index in range(count):
        noisy = large + rng.normal(0, 4, large.shape).astype(np.float32)
        cv2.imwrite(
            str(folder / f"{index:03}.jpg"), noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92]
        )


def ways(folder: Path, backend: str) -> dict[str, Callable[[], object]]:
    own, single = load_model(backend=backend), load_model(backend=backend, threads=1)
    files = list_images(folder)

    def scale_of(model: Model) -> Callable[[int, int], int]:
        return lambda width, height: reading_scale(width, height, model.manifest.input)

    def one_after_the_other() -> None:
        sink = JsonLines(str(folder / "before.jsonl"))
        for file in files:
            flag = SCALES[scale_of(own)(WIDTH, HEIGHT)]
            image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), flag)
            result = own(image, source=str(file), size=(WIDTH, HEIGHT))  # type: ignore[arg-type]
            sink.write(None, [result])  # type: ignore[arg-type]
        sink.close()

    def side_by_side() -> None:
        source = open_source(str(folder), scale=scale_of(single))
        Pipeline(source, [single], [JsonLines(str(folder / "now.jsonl"))], workers=cpu_count()).run()

    def decoding() -> None:
        for _ in read_images(files, scale=scale_of(single)):
            pass

    frame = read_frame(files[0], scale=scale_of(single))

    def inference() -> None:
        for _ in map_in_order(lambda _: single.predict(frame), files, cpu_count()):
            pass

    return {"before": one_after_the_other, "now": side_by_side, "decoding": decoding, "inference": inference}


@click.command(help=__doc__)
@click.option("--photographs", default=40, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(photographs: int, rounds: int) -> None:
    """Generates, measures and prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, photographs)
        rows = []
        for file, backend in (("ONNX float32", "onnx"), ("TFLite int8", "litert")):
            taken: dict[str, list[float]] = {}
            for _ in range(rounds + 1):
                for way, call in ways(folder, backend).items():
                    started = perf_counter()
                    call()
                    taken.setdefault(way, []).append(perf_counter() - started)
            rate = {
                way: photographs / float(np.median(seconds[1:])) for way, seconds in taken.items()
            }  # first: warm up
            bound = min(rate["decoding"], rate["inference"])
            rows.append(
                {
                    "photographs a second": file,
                    "before": round(rate["before"], 1),
                    "now": round(rate["now"], 1),
                    "ratio": round(rate["now"] / rate["before"], 2),
                    "decoding alone": round(rate["decoding"], 1),
                    "inference alone": round(rate["inference"], 1),
                    "the slower over now": round(bound / rate["now"], 2),
                }
            )
    publish("folder_throughput", rows)


if __name__ == "__main__":
    main()
