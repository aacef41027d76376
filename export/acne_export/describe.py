"""Describes a model file from its manifest, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acne_runtime.cli.text_table import aligned
from acne_runtime.manifest import ANY, Manifest


def describe(file: Path, manifest: Manifest) -> str:
    """Returns the manifest in lines of at most a name and a value."""
    spec = manifest.input
    shape = _describe_shape((spec.batch or ANY, *spec.tensor_shape[1:]))
    rows: list[tuple[str, str]] = [
        (manifest.name, f"{file.name}, {file.stat().st_size / 1e6:.1f} MB, {manifest.precision}"),
        ("task", f"{manifest.task} of {', '.join(manifest.classes)}"),
        ("input", f"{spec.name} {spec.dtype} {shape} {spec.color}, {_describe_fit(manifest)}"),
    ]
    for output in manifest.outputs:
        rows.append(("output", f"{output.name} float32 {_describe_shape(manifest.output_shape(output))}"))
    rows.append(("thresholds", _pairs(dict(zip(manifest.threshold_names, manifest.thresholds, strict=True)))))
    if manifest.task == "detection":
        where = "in the graph" if manifest.has_nms else "in the runtime"
        more = f", containment {manifest.nms_containment}" if manifest.nms_containment < 1 else ""
        more += f", box voting from a score of {manifest.box_voting_score}" if manifest.box_voting_score < 1 else ""
        rows.append(("NMS", f"{where}: IoU {manifest.nms_iou}{more}, at most {manifest.max_detections} boxes"))
    for name, value in manifest.validation.items():
        rows.append((name, _pairs(value)))
    for name, value in manifest.provenance.items():
        rows.append((name, _pairs(value)))
    return "\n".join(aligned(rows, words=2))


def _describe_shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("any" if side == ANY else str(side) for side in shape) + "]"


def _describe_fit(manifest: Manifest) -> str:
    spec = manifest.input
    fitted = "stretched" if spec.resize == "stretch" else f"letterboxed with {spec.pad_value}"
    return f"{fitted}, {'averaged' if spec.shrink == 'average' else 'sampled'} when shrunk"


def _pairs(value: Any) -> str:
    if isinstance(value, dict):
        parts = (
            f"{name} ({_pairs(one)})" if isinstance(one, dict) else f"{name} {_pairs(one)}"
            for name, one in value.items()
        )
        return ", ".join(parts)
    if isinstance(value, list):
        return " to ".join(map(_pairs, value)) if len(value) == 2 else " ".join(map(_pairs, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
