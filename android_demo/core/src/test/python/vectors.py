"""Writes what the Python runtime computes for random inputs and for the samples, for the Kotlin tests to compare.

    python vectors.py OUT

The inputs themselves are not stored: both sides make them from a seed, see `noise`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from acne_runtime.frame import Frame
from acne_runtime.load import load_model
from acne_runtime.manifest import InputSpec
from acne_runtime.model import Model
from acne_runtime.postprocess.box_voting import vote_on_boxes
from acne_runtime.postprocess.decode import Candidates, decode
from acne_runtime.postprocess.nms import drop_surrounding, non_max_suppression
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tiling import TiledModel, _Region, tiles
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Lesion, Result, Timing
from acne_runtime.sources.image_files import read_image

ROOT = Path(__file__).resolve().parents[5]
IMAGES, DECODED, SUPPRESSED, MERGED, COVERED = 1000, 200, 300, 300, 500
SHIPPED = ("acne-cnn", "acne-efficientnet-lite0", "acne-yolov8-lite0")


def noise(count: int, seed: int) -> np.ndarray:
    """Returns `[count]` uint32: a multiplicative hash of the index, the same in Kotlin's `Noise.kt`."""
    values = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 40503 % 2**32)
    values ^= values >> np.uint32(15)
    values *= np.uint32(2246822519)
    values ^= values >> np.uint32(13)
    return values


def image(width: int, height: int, seed: int) -> np.ndarray:
    """Returns a BGR image whose RGB bytes are the noise's highest bytes."""
    rgb = (noise(width * height * 3, seed) >> np.uint32(24)).astype(np.uint8).reshape(height, width, 3)
    return np.ascontiguousarray(rgb[..., ::-1])


def preprocessed() -> list[dict]:
    """Random sizes from 1 to 5,000 pixels; the pixels of a case are limited, so that 1,000 take a minute."""
    rng = np.random.default_rng(1)
    cases = []
    for seed in range(IMAGES):
        limit = 25e6 if seed % 100 == 0 else 5e5
        while True:
            width, height = (int(5000 ** rng.uniform(0, 1)) for _ in range(2))
            if width * height <= limit:
                break
        spec = InputSpec(
            "image",
            int(rng.choice([96, 320, 416, 640])),
            int(rng.choice([96, 320, 416, 640])),
            str(rng.choice(["stretch", "letterbox"])),
            shrink=str(rng.choice(["bilinear", "average"])),
        )
        tensor, letterbox = preprocess(image(width, height, seed), spec)
        corners = np.array([[0, 0, spec.width, spec.height], [31.25, 17.5, 60.75, 90.125]], np.float32)
        cases.append(
            {
                "seed": seed,
                "width": width,
                "height": height,
                "input": dataclasses.asdict(spec),
                "sha256": hashlib.sha256(tensor.tobytes()).hexdigest(),
                "boxes": letterbox.to_image(corners).tolist(),
            }
        )
    return cases


def raw_outputs(manifest, seed: int) -> dict[str, np.ndarray]:
    """Returns outputs of a detector: logits within -8 to 8, and scores of which one in a hundred is high."""
    outputs = {}
    for index, spec in enumerate(manifest.outputs):
        shape = manifest.output_shape(spec)
        bits = noise(int(np.prod(shape)), seed * 100 + index)
        if spec.kind == "box":
            values = (bits >> np.uint32(16)).astype(np.float32) / np.float32(4096) - np.float32(8)
        else:
            values = (bits >> np.uint32(8)).astype(np.float32) / np.float32(2**24)
            values = np.where(bits % np.uint32(97) == 0, values, values * np.float32(0.05))
        outputs[spec.name] = values.reshape(shape)
    return outputs


def decoded(model: Model) -> list[dict]:
    """Random outputs of the shipped detector, decoded and suppressed."""
    cases = []
    for seed in range(DECODED):
        outputs, threshold = raw_outputs(model.manifest, seed), np.float32(0.3 + 0.6 * seed / DECODED)
        found = decode(outputs, model.manifest.outputs, threshold, model.manifest.bins)
        kept = non_max_suppression(found, model.manifest.nms_iou, model.manifest.max_detections)
        cases.append(
            {
                "seed": seed,
                "threshold": float(threshold),
                "scores": found.scores.tolist(),
                "boxes": found.boxes.tolist(),
                "kept": [kept.scores.tolist(), kept.boxes.tolist()],
            }
        )
    return cases


def suppressed() -> list[dict]:
    """Random boxes, suppressed, and voted on."""
    cases = []
    for seed in range(SUPPRESSED):
        rng = np.random.default_rng(seed)
        count = 1500 if seed % 100 == 0 else int(rng.integers(0, 250))  # more than may vote
        corner = rng.uniform(-20, 640, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0, 80, (count, 2))], axis=1).astype(np.float32)
        scores = (rng.integers(0, 256, count) / 256).astype(np.float32)  # many are equal, as in int8
        types = rng.uniform(0, 1, (count, 4)).astype(np.float32)
        iou, limit = float(np.float32(rng.uniform(0.1, 0.9))), int(rng.integers(1, 100))
        found = Candidates(boxes, scores, types.argmax(axis=1), types)
        kept = non_max_suppression(found, iou, limit)
        voting_score = float(np.float32(rng.uniform(0, 1)))
        containment = float(np.float32(rng.uniform(0.2, 1)))
        voted = vote_on_boxes(kept, found, iou, voting_score)
        cases.append(
            {
                "boxes": boxes.tolist(),
                "scores": scores.tolist(),
                "iou": iou,
                "max": limit,
                "kept": [kept.scores.tolist(), kept.boxes.tolist()],
                "voting_score": voting_score,
                "voted": voted.boxes.tolist(),
                "containment": containment,
                "not_surrounding": drop_surrounding(kept, containment).scores.tolist(),
            }
        )
    return cases


def covered() -> list[dict]:
    """Tiles of random sizes."""
    rng = np.random.default_rng(3)
    cases = []
    for _ in range(COVERED):
        width, height, side = (int(value) for value in (*rng.integers(1, 5000, 2), rng.choice([320, 640])))
        cases.append({"width": width, "height": height, "side": side, "corners": list(tiles(width, height, side))})
    return cases


def merged(model: Model) -> list[dict]:
    """Random lesions of tiles, merged."""
    tiled, manifest = TiledModel(model), model.manifest
    cases = []
    for seed in range(MERGED):
        rng = np.random.default_rng(seed)
        width, height = (int(value) for value in rng.integers(641, 2500, 2))
        corners = list(tiles(width, height, 640))
        whole = [(0, 0, width, height)]
        regions = whole + [(x, y, min(x + 640, width), min(y + 640, height)) for x, y in corners]
        made = []
        for left, top, right, bottom in regions:
            lesions = []
            for _ in range(int(rng.integers(0, 8))):
                x, y = rng.uniform(0, right - left - 2), rng.uniform(0, bottom - top - 2)
                if rng.uniform() < 0.5:  # at a border, where tiles cut
                    x = float(rng.choice([0, right - left - 12]))
                x2, y2 = min(x + rng.uniform(4, 90), right - left), min(y + rng.uniform(4, 90), bottom - top)
                box = tuple(np.array([x, y, x2, y2], np.float32).tolist())
                types = tuple(rng.uniform(0, 1, 4).astype(np.float32).tolist())
                score = float(np.float32(rng.integers(1, 256) / 256))
                lesions.append(Lesion.of_types(manifest.classes, score, box, types))
            result = Result(
                "", 0, 0.0, right - left, bottom - top, "m", manifest.classes, tuple(lesions), None, Timing(0, 0, 0)
            )
            made.append(_Region(result, left, top, right, bottom))
        cases.append(
            {
                "regions": [
                    {
                        "region": [region.left, region.top, region.right, region.bottom],
                        "lesions": [[*lesion.box, lesion.score, *lesion.types] for lesion in region.result.lesions],
                    }
                    for region in made
                ],
                "merged": [[*lesion.box, lesion.score, *lesion.types] for lesion in tiled._merge(made)],
            }
        )
    return cases


def sample_results(out: Path) -> list[dict]:
    """`acne-run`'s JSON of the sample pictures, plain, with severity and tiled; the pictures as PNG next to it."""
    pictures = {"rendered_skin": ROOT / "samples/rendered_skin.jpg", "astronaut": ROOT / "samples/astronaut.png"}
    decoded_images = {name: read_image(file) for name, file in pictures.items()}
    decoded_images["large"] = cv2.resize(decoded_images["rendered_skin"], None, fx=1.9, fy=1.9)
    for name, picture in decoded_images.items():
        cv2.imwrite(str(out / f"{name}.png"), picture)
    cases = []
    for name in SHIPPED:
        for file in (f"{name}.onnx", f"{name}-int8.tflite"):
            model = load_model(ROOT / "models" / name / file)
            detects = model.manifest.task == "detection"
            plain = SeverityModel(model) if detects else model
            for picture, pixels in decoded_images.items():
                cases.append(
                    {"file": f"{name}/{file}", "image": picture, "tile": False, "json": plain(pixels).to_dict()}
                )
            if detects:
                tiled = TiledModel(model).predict(Frame(decoded_images["large"], ""))
                cases.append({"file": f"{name}/{file}", "image": "large", "tile": True, "json": tiled.to_dict()})
    return cases


def main() -> None:
    """Writes all."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    detector = load_model(ROOT / "models/acne-yolov8-lite0/acne-yolov8-lite0.onnx")
    for name, cases in {
        "preprocess": preprocessed(),
        "decode": decoded(detector),
        "nms": suppressed(),
        "tiles": covered(),
        "merge": merged(detector),
        "results": sample_results(out),
    }.items():
        (out / f"{name}.json").write_text(json.dumps(cases))
    (out / "manifest.json").write_text(detector.manifest.to_json())


if __name__ == "__main__":
    main()
