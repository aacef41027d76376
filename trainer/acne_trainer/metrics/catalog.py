"""The metrics that are reported of a model, by task: their keys in `metrics.json`, their names, their direction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of `metrics.json`.

    Attributes:
        key: Its key under `model` and `baseline`.
        label: What a reader calls it.
        higher_is_better: Its direction.
        headline: Whether it stands at the top of a report, in `acne-train compare` and in the manifest.
    """

    key: str
    label: str
    higher_is_better: bool = True
    headline: bool = False


METRICS: dict[str, tuple[Metric, ...]] = {
    "multilabel": (
        Metric("argmax_agreement", "argmax agreement (the paper's accuracy)", headline=True),
        Metric("exact_match", "exact match", headline=True),
        Metric("macro_f1", "macro F1", headline=True),
        Metric("macro_ap", "macro AP", headline=True),
        Metric("loss", "loss", higher_is_better=False, headline=True),
        Metric("macro_precision", "macro precision"),
        Metric("macro_recall", "macro recall"),
        Metric("macro_auroc", "macro AUROC"),
        Metric("micro_precision", "micro precision"),
        Metric("micro_recall", "micro recall"),
        Metric("micro_f1", "micro F1"),
        Metric("micro_ap", "micro AP"),
        Metric("micro_auroc", "micro AUROC"),
        Metric("calibration_error", "expected calibration error", higher_is_better=False),
    ),
    "detection": (
        Metric("ap50", "AP50", headline=True),
        Metric("ap", "AP, IoU 0.50 to 0.95"),
        Metric("ap75", "AP75"),
        Metric("ap50_one_class", "AP50, all types as one", headline=True),
        Metric("ap30_one_class", "AP at IoU 0.3, all types as one", headline=True),
        Metric("ap_centre_one_class", "AP by centre, all types as one"),
        Metric("precision_one_class", "precision at IoU 0.3, all types as one"),
        Metric("recall_one_class", "recall at IoU 0.3, all types as one"),
        Metric("f1_one_class", "F1 at IoU 0.3, all types as one", headline=True),
        Metric("precision", "precision at IoU 0.5"),
        Metric("recall", "recall at IoU 0.5"),
        Metric("f1", "F1 at IoU 0.5"),
        Metric("count_error", "count error, lesions an image", higher_is_better=False, headline=True),
        Metric("count_rho", "Spearman's rho of the counts"),
        Metric("type_agreement", "type accuracy of matched lesions"),
        Metric("calibration_error", "calibration error of the lesion score", higher_is_better=False),
    ),
}
"""In the order in which they are shown. Precision, recall, F1 and counts are those at the decision thresholds."""

CLASS_METRICS: dict[str, tuple[Metric, ...]] = {
    "multilabel": (
        Metric("ap", "AP"),
        Metric("auroc", "AUROC"),
        Metric("calibration_error", "calibration error", higher_is_better=False),
    ),
    "detection": (
        Metric("ap50", "AP50"),
        Metric("f1", "F1"),
        Metric("count_error", "count error", higher_is_better=False),
    ),
}
"""What reports show by class, from `{key}_by_class`."""


def headline(task: str) -> tuple[Metric, ...]:
    """Returns the few metrics that stand for a model of a task."""
    return tuple(metric for metric in METRICS[task] if metric.headline)
