"""How well two visits are compared, where the truth is known: photographs taken again by `samples/render_revisit.py`.

    python -m benchmarks.monitor.revisits matching ../shared/data/acne04      true boxes
    python -m benchmarks.monitor.revisits strangers ../shared/data/acne04     different people: none may be aligned
    python -m benchmarks.monitor.revisits change ../shared/data/acne04        the whole chain with detector and store

The background and the skin are the same at both visits, which flatters. Nothing is chosen on `test`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import click
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "samples"))
from render_revisit import LEVELS, Revisit, expose, heal

from acne_monitor.comparing.matching import match
from acne_monitor.comparing.registration import align
from acne_monitor.detector import Detector
from acne_monitor.following import add_photograph
from acne_monitor.history import NEW, RESOLVED, History, change
from acne_monitor.store.photographs import parse_time
from acne_monitor.store.store import Store
from acne_runtime.load import DEFAULT_MODEL
from acne_trainer.data.load import read_split

MIN_LESIONS = 8
JITTER = 4.0


def labelled(data, split):
    """Returns the photographs with enough lesions."""
    return [sample for sample in read_split(data, split).samples if len(sample.boxes) >= MIN_LESIONS]


def edit(image, boxes, donors, rng):
    """Heals a quarter of the lesions and pastes as many others in; returns image, healed indices and new boxes."""
    count = max(2, len(boxes) // 4)
    healed = rng.choice(len(boxes), count, replace=False)
    out = heal(image, boxes[healed])
    height, width = image.shape[:2]
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    hull, new = cv2.convexHull(centers.astype(np.float32)), []
    for _ in range(400):
        if len(new) == count:
            break
        donor, donor_boxes = donors[rng.integers(len(donors))]
        x1, y1, x2, y2 = donor_boxes[rng.integers(len(donor_boxes))].astype(int)
        margin = int(0.3 * max(x2 - x1, y2 - y1))
        x1, y1, x2, y2 = x1 - margin, y1 - margin, x2 + margin, y2 + margin
        if x1 < 0 or y1 < 0 or x2 > donor.shape[1] or y2 > donor.shape[0] or x2 - x1 > 90:
            continue
        patch = donor[y1:y2, x1:x2]
        ph, pw = patch.shape[:2]
        one, other = rng.choice(len(boxes), 2)
        part = rng.uniform()
        center = (centers[one] * part + centers[other] * (1 - part) + rng.normal(0, 15, 2)).astype(int)
        if cv2.pointPolygonTest(hull, (float(center[0]), float(center[1])), False) < 0:
            continue
        if not (pw < center[0] < width - pw and ph < center[1] < height - ph):
            continue
        box = np.array([center[0] - pw / 2, center[1] - ph / 2, center[0] + pw / 2, center[1] + ph / 2])
        box += np.array([margin, margin, -margin, -margin])
        every = np.vstack([boxes, *new]) if new else boxes
        sides = np.sqrt(np.prod(every[:, 2:] - every[:, :2], axis=1))
        away = np.linalg.norm((every[:, :2] + every[:, 2:]) / 2 - center, axis=1)
        if (away < 0.9 * (sides + np.sqrt(np.prod(box[2:] - box[:2])))).any():
            continue
        mask = np.zeros((ph, pw), np.uint8)
        cv2.ellipse(mask, (pw // 2, ph // 2), (pw // 2 - 2, ph // 2 - 2), 0, 0, 360, 255, -1)
        try:
            out = cv2.seamlessClone(patch, out, mask, (int(center[0]), int(center[1])), cv2.NORMAL_CLONE)
        except cv2.error:
            continue
        new.append(box)
    return out, healed, np.array(new).reshape(-1, 4)


def middle(boxes):
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def share(sums, part, whole):
    return round(sums[part] / max(1, sums[whole]), 3)


def inside(points, width, height):
    return ((points > 6) & (points < (width - 6, height - 6))).all(axis=1)


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--split", default="valid", show_default=True)
@click.option("--seeds", default=50, show_default=True, help="Revisits of each level.")
def matching(data, split, seeds):
    """Precision and recall of matched, new and resolved lesions, with the true boxes."""
    cv2.setNumThreads(1)
    samples = labelled(data, split)
    donors = [(sample.image(), sample.boxes) for sample in samples[:12]]
    for level in LEVELS:
        sums = dict.fromkeys(("tp", "pairs", "kept", "new_tp", "new_said", "new", "gone_tp", "gone_said", "gone"), 0)
        refused, seconds = [], []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            sample = samples[seed % len(samples)]
            image, boxes = sample.image(), sample.boxes.astype(float)
            height, width = image.shape[:2]
            edited, healed, pasted = edit(image, boxes, donors, rng)
            revisit = Revisit(width, height, LEVELS[level], rng)
            later = revisit.render(edited)
            begun = perf_counter()
            alignment = align(image, later)
            seconds.append(perf_counter() - begun)
            if alignment.refused is not None:
                refused.append(alignment.refused)
                continue
            truth = revisit.boxes(boxes)
            visible = inside(middle(truth), width, height)
            kept = [index for index in range(len(boxes)) if visible[index] and index not in healed]
            gone = {index for index in healed.tolist() if visible[index]}
            new = revisit.boxes(pasted)
            new = new[inside(middle(new), width, height)]
            now = np.vstack([truth[kept], new])
            places, in_view = alignment.map(middle(boxes))
            in_view &= inside(places, width, height)
            sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) * alignment.scale
            pairs = match(places, sides, now, max(width, height))
            where = {index: position for position, index in enumerate(kept)}
            matched = {row for row, _ in pairs}
            taken = {column for _, column in pairs}
            said_new = [column for column in range(len(now)) if column not in taken]
            said_gone = [index for index in np.flatnonzero(in_view).tolist() if index not in matched]
            sums["tp"] += sum(where.get(row) == column for row, column in pairs)
            sums["pairs"] += len(pairs)
            sums["kept"] += len(kept)
            sums["new_tp"] += sum(column >= len(kept) for column in said_new)
            sums["new_said"] += len(said_new)
            sums["new"] += len(new)
            sums["gone_tp"] += sum(index in gone for index in said_gone)
            sums["gone_said"] += len(said_gone)
            sums["gone"] += len(gone)
        report = {
            "level": level,
            "revisits": seeds,
            "refused": len(refused),
            "lesions": {"kept": sums["kept"], "new": sums["new"], "resolved": sums["gone"]},
            "matched_precision_recall": [share(sums, "tp", "pairs"), share(sums, "tp", "kept")],
            "new_precision_recall": [share(sums, "new_tp", "new_said"), share(sums, "new_tp", "new")],
            "resolved_precision_recall": [share(sums, "gone_tp", "gone_said"), share(sums, "gone_tp", "gone")],
            "median_seconds": round(float(np.median(seconds)), 2),
        }
        click.echo(json.dumps(report))
        for reason in sorted(set(refused)):
            click.echo(f"  refused: {reason}")


@main.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--split", default="valid", show_default=True)
@click.option("--pairs", default=300, show_default=True)
def strangers(data, split, pairs):
    """How many pairs of different photographs are aligned; the largest number of features that agree."""
    images = [sample.image() for sample in read_split(data, split).samples]
    rng = np.random.default_rng(0)
    accepted, inliers = [], []
    for _ in range(pairs):
        one, other = rng.choice(len(images), 2, replace=False)
        alignment = align(images[one], images[other])
        inliers.append(alignment.inliers)
        if alignment.refused is None:
            accepted.append((int(one), int(other), alignment.inliers))
    click.echo(json.dumps({"pairs": pairs, "accepted": accepted, "most_inliers": max(inliers)}))


@main.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--split", default="valid", show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--photographs", default=40, show_default=True)
@click.option("--level", type=click.Choice(list(LEVELS)), default="home", show_default=True)
@click.option("--frames", default=10, show_default=True, help="1 for single photographs.")
@click.option("--healed", multiple=True, type=float, default=[0.0, 0.5], show_default=True, help="Share of lesions.")
@click.option("--seed", default=0, show_default=True)
def change_command(data, split, model, photographs, level, frames, healed, seed):
    """What two visits read as: nothing changed, half of the marked lesions healed."""
    detector = Detector(model)
    rng = np.random.default_rng(seed)
    samples = labelled(data, split)
    samples = [samples[index] for index in rng.permutation(len(samples))[:photographs]]
    for healed_share in healed:
        verdicts, false_share, differences, refused, errors = [], [], [], 0, []
        for number, sample in enumerate(samples):
            own = np.random.default_rng((seed, number, round(100 * healed_share)))
            image, boxes = sample.image(), sample.boxes.astype(float)
            gone_boxes = boxes[own.choice(len(boxes), round(healed_share * len(boxes)), replace=False)]
            first = expose(image, LEVELS[level], own)
            height, width = image.shape[:2]
            second = Revisit(width, height, LEVELS[level], own).render(heal(image, gone_boxes))
            with tempfile.TemporaryDirectory() as folder, Store.create(Path(folder) / "store") as store:
                with store.transaction() as audit:
                    subject = store.insert("subject", code="S", created="")
                    store.insert("consent", subject=subject, purpose="", text_sha256="", given_at="", by="benchmark")
                    audit("subject", "")
                for day, photo in ((1, first), (8, second)):
                    burst = [photo, *(shake(photo, own) for _ in range(frames - 1))]
                    taken = parse_time(f"2026-11-0{day}")
                    add_photograph(store, "S", "left", burst, taken, detector, override_by="benchmark")
                history = History(store, "S")
                compared = history.compare(*history.visits)
                found = change(compared)
                if found is None:
                    refused += 1
                    continue
                verdicts.append(found.verdict)
                differences.append(100 * found.difference / max(1, found.earlier))
                errors.append((found.difference, found.earlier, found.later))
                false_share.append(
                    [compared[0].count(NEW), compared[0].count(RESOLVED), max(1, found.earlier), max(1, found.later)]
                )
        new, gone, earlier, later = np.sum(false_share, axis=0)
        report = {
            "healed": healed_share,
            "level": level,
            "frames": frames,
            "pairs": len(verdicts),
            "refused": refused,
            "shown": round(earlier / len(verdicts), 1),
            "verdicts": {name: verdicts.count(name) for name in dict.fromkeys(verdicts)},
            "new_share": round(new / later, 3),
            "resolved_share": round(gone / earlier, 3),
            "median_change_percent": round(float(np.median(differences)), 1),
            "difference_over_root_count_95": round(
                float(np.quantile([abs(d) / max(1, a + b) ** 0.5 for d, a, b in errors], 0.95)), 3
            ),
        }
        click.echo(json.dumps(report))


main.add_command(change_command, "change")


def shake(image, rng):
    """Returns the next frame of a burst held by hand."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-1, 1), np.exp(rng.uniform(-0.02, 0.02)))
    matrix[:, 2] += rng.uniform(-JITTER, JITTER, 2)
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    moved = moved * rng.uniform(0.96, 1.04) + rng.normal(0, 2.5, moved.shape)
    return np.clip(moved, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
