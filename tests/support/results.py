"""Results and frames for the tests of drawing and sinks."""

from support.images import picture

from acne_runtime.frame import Frame
from acne_runtime.result import Label, Lesion, Result, Timing

CLASSES = ("comedones", "nodules", "papules", "pustules")
LESIONS = (
    Lesion("papules", 0.9, (10.0, 12.0, 40.0, 44.0)),
    Lesion("comedones", 0.5, (0.0, 0.0, 8.5, 7.25)),
    Lesion("papules", 0.4, (50.0, 60.0, 80.0, 90.0)),
)
LABELS = tuple(Label(name, score, score > 0.5) for name, score in zip(CLASSES, (0.9, 0.2, 0.7, 0.1), strict=True))


def detection_result(source="a.jpg", index=0, *, lesions=LESIONS, labels=None, size=(120, 160)):
    return Result(source, index, index / 10, *size[::-1], "tiny", CLASSES, lesions, labels, Timing(1.0, 2.0, 3.0))


def multilabel_result(**kwargs):
    return detection_result(lesions=None, labels=LABELS, **kwargs)


def make_frame(source="a.jpg", index=0, *, size=(120, 160), time_s=None):
    return Frame(picture(*size), str(source), index, index / 10 if time_s is None else time_s)
