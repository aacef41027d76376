"""How steady counts are with and without tracking, on clips made of single photographs.

Each clip shows one photograph as a hand-held camera would: shifted by up to 4 px, turned by 1 degree, scaled by 2 % and
5 % brighter or darker from frame to frame, with noise and JPEG. Nothing changes on the skin, so all change is error.

    python -m benchmarks.runtime.tracking ../shared/data/acne04
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from time import perf_counter

import click
import cv2
import numpy as np

from acne_runtime.frame import Frame
from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_runtime.predictors.tracked_model import TrackedModel
from acne_runtime.predictors.tracker import FLOOR
from acne_trainer.data.load import read_split
from acne_trainer.metrics.detection_report import average_precision

SETTLED = 5
"""Frames at a clip's beginning that are not counted: the tracker has not confirmed anything yet."""


def clip(image, frames, rng):
    """Yields the frames of a clip."""
    height, width = image.shape[:2]
    for _ in range(frames):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-1, 1), np.exp(rng.uniform(-0.02, 0.02)))
        matrix[:, 2] += rng.uniform(-4, 4, 2)
        moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
        moved = moved * rng.uniform(0.95, 1.05) + rng.normal(0, 2.5, moved.shape)
        frame = np.clip(moved, 0, 255).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 95))]
        yield cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)


def naive_ids(results, threshold):
    """Returns the number of ids that a tracker without memory gives: IoU of 0.3 with the frame before."""
    ids, before = 0, []
    for result in results:
        boxes = [lesion.box for lesion in result.lesions if lesion.score >= threshold]
        free = list(before)
        for box in boxes:
            best = max(free, key=lambda other: iou(box, other), default=None)
            if best is not None and iou(box, best) >= 0.3:
                free.remove(best)
            else:
                ids += 1
        before = boxes
    return ids


def iou(one, other):
    sides = [min(one[2 + axis], other[2 + axis]) - max(one[axis], other[axis]) for axis in (0, 1)]
    if min(sides) <= 0:
        return 0.0
    common = sides[0] * sides[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


class Replay:
    """A detector whose results are known: tracking is measured, not the network."""

    def __init__(self, model, results):
        self.manifest, self._results = model.manifest, iter(results)

    def predict(self, frame):
        """Returns the next result."""
        return dataclasses.replace(next(self._results), frame_index=frame.index, time_s=frame.time_s)


def track(model, images, results, rate):
    """Returns the results of tracking a clip, the number of ids, and the milliseconds a frame took."""
    wrapped = TrackedModel(model)
    wrapped._model = Replay(model, results)
    begun = perf_counter()
    tracked = [wrapped.predict(Frame(image, "", index, index / rate)) for index, image in enumerate(images)]
    return tracked, wrapped.tracker.ids, 1e3 * (perf_counter() - begun) / len(images)


def stable(results):
    return [sum(result.stable_counts.values()) for result in results]


def relative(counts):
    """Returns the standard deviation within a clip over the mean; pooled, since the mean of several would flatter."""
    return float(np.sqrt(counts.var(axis=1, ddof=1).mean()) / counts.mean())


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="valid", show_default=True)
@click.option("--model", "name", default=DEFAULT_MODEL, show_default=True)
@click.option("--photographs", default=60, show_default=True)
@click.option("--seconds", default=2, show_default=True, help="Length of a clip of 30 frames a second.")
@click.option("--seed", default=0, show_default=True)
def main(data, split, name, photographs, seconds, seed):
    """Measures and prints."""
    model = load_model(name)
    threshold = float(model.thresholds[0])
    lowered = load_model(name, score_threshold=FLOOR * threshold)
    labelled = read_split(data, split)
    rng = np.random.default_rng(seed)
    samples = [labelled.samples[index] for index in rng.permutation(len(labelled.samples))[:photographs]]
    single, steady, between, naive, times = [], [], [], [], []
    ids = dict.fromkeys((5, 10, 30), 0)
    alone, fused = [], []
    for sample in samples:
        photo = sample.image()
        images = [*clip(photo, 30 * seconds, rng), photo]  # the last one as it is, for its labels
        results = [lowered(image) for image in images]
        for rate in ids:
            chosen = slice(None, None, 30 // rate)
            tracked, count, milliseconds = track(model, images[chosen], results[chosen], rate)
            ids[rate] += count
            if rate == 10:
                single.append([shown(result, threshold) for result in results[chosen]])
                steady.append(stable(tracked)[SETTLED:])
                naive.append(naive_ids(results[chosen], threshold))
                times.append(milliseconds)
                fused.append(tracked[-1])
                alone.append(dataclasses.replace(results[-1], lesions=above(results[-1], threshold)))
        halves = [slice(start, start + 30, 3) for start in (0, 30 * seconds - 30)]
        between.append([stable(track(model, images[half], results[half], 10)[0])[-1] for half in halves])
    single, steady, between = (np.array(counts, float) for counts in (single, steady, between))
    truth = np.array([len(sample.boxes) for sample in samples])
    report = {
        "photographs": len(samples),
        "lesions": {"marked": truth.mean(), "single": single.mean(), "tracked": steady.mean()},
        "relative_sd": {
            "single": relative(single),
            "tracked_within_a_clip": relative(steady),
            "tracked_between_clips": relative(between),
        },
        "change_per_frame": {
            "single": float(np.abs(np.diff(single)).mean()),
            "tracked": float(np.abs(np.diff(steady)).mean()),
        },
        "ids_per_lesion": {
            "tracked": ids[10] / steady.mean(axis=1).sum(),
            "without_memory": sum(naive) / single.mean(axis=1).sum(),
        },
        "ids_by_frames_per_second": ids,
        "ap50_one_class": {
            "single": average_precision(samples, alone, model.manifest.classes, one_class=True).ap50,
            "tracked": average_precision(samples, fused, model.manifest.classes, one_class=True).ap50,
        },
        "count_error": {
            "single": float(np.abs([len(result.lesions) for result in alone] - truth).mean()),
            "tracked": float(np.abs([stable([result])[0] for result in fused] - truth).mean()),
        },
        "milliseconds_per_frame": float(np.median(times)),
    }
    click.echo(json.dumps(report, indent=2, default=float))


def above(result, threshold):
    return tuple(lesion for lesion in result.lesions if lesion.score >= threshold)


def shown(result, threshold):
    return len(above(result, threshold))


if __name__ == "__main__":
    main()
