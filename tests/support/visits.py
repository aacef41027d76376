"""Stores with visits for the tests of the monitor."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from acne_monitor.detector import EVIDENCE, Found
from acne_monitor.following import add_photograph
from acne_monitor.store.photographs import parse_time
from acne_monitor.store.store import Store
from acne_runtime.manifest import Manifest
from acne_runtime.result import Lesion
from acne_runtime.severity import Severity
from acne_runtime.sources.image_files import read_image

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SKIN = read_image(SAMPLES / "rendered_skin.jpg")
CLASSES = ("comedones", "nodules", "papules", "pustules")
BOXES = [(130, 180, 182, 236), (296, 318, 340, 366), (396, 440, 448, 496), (510, 300, 562, 344), (70, 310, 114, 358)]
DIGESTS = {"one": "1" * 64, "two": "2" * 64}


def load_sample(name):
    """Returns a program of samples/ as a module."""
    if str(SAMPLES) not in sys.path:
        sys.path.insert(0, str(SAMPLES))
    spec = importlib.util.spec_from_file_location(name, SAMPLES / f"{name}.py")
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


class KnownLesions:
    """Stands in for a detector: says of each photograph what a test wants, at the threshold 0.5."""

    threshold = 0.5

    def __init__(self, model="one", accuracy=None):
        manifest = SimpleNamespace(
            name=f"model-{model}", digest=DIGESTS[model], classes=CLASSES, validation={"accuracy": accuracy}
        )
        self.model = SimpleNamespace(manifest=manifest)
        self.says = []

    def __call__(self, frames):
        lesions = []
        for box, score, kind in self.says:
            types = tuple(0.9 if name == kind else 0.05 for name in CLASSES)
            lesions.append(Lesion.of_types(CLASSES, score, tuple(map(float, box)), types))
        lesions = [lesion for lesion in lesions if lesion.score >= EVIDENCE * self.threshold]
        ratios = tuple(lesion.score / self.threshold for lesion in lesions)
        counts = (sum(ratio >= 1 for ratio in ratios),) * len(frames)
        return Found(frames[-1], tuple(lesions), ratios, counts, Severity("mild", 3, (1, 8)))


def new_store(folder, *codes):
    store = Store.create(Path(folder))
    with store.transaction() as audit:
        for code in codes or ("S-01",):
            subject = store.insert("subject", code=code, created="2026-11-01")
            store.insert(
                "consent", subject=subject, purpose="monitoring", text_sha256="0" * 64, given_at="2026-11-01", by="test"
            )
            audit("subject", f"subject {subject}")
    return store


def add(store, detector, day, says, image=SKIN, view="left", code="S-01", frames=1, override_by="test"):
    """Adds a visit with lesions `(box, score, kind)` or boxes alone."""
    detector.says = [one if len(one) == 3 else (one, 0.8, "papules") for one in says]
    return add_photograph(store, code, view, [image] * frames, parse_time(f"2026-11-{day:02}"), detector, override_by)


def shifted(image, x, y):
    return np.roll(image, (y, x), axis=(0, 1))


__all__ = ["BOXES", "CLASSES", "SKIN", "KnownLesions", "Manifest", "add", "load_sample", "new_store", "shifted"]
