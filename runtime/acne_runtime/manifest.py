"""The manifest: what a model file says about itself, so that a device can run it without asking anyone."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from acne_runtime.errors import ModelError

SCHEMA = 1
METADATA_KEY = "acne_edge_manifest"
"""The name under which the manifest lies in ONNX `metadata_props` and in TFLite's metadata."""

Task = Literal["multilabel", "detection"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The one input tensor, `[1, height, width, 3]` RGB.

    Attributes:
        name: The tensor's name.
        width: In pixels.
        height: In pixels.
        resize: `stretch` ignores the aspect ratio; `letterbox` keeps it and pads with `pad_value`.
        dtype: `uint8`, or `float32` for callers who want it.
        layout: Always `NHWC`.
        color: Always `RGB`.
        pad_value: Grey level of the letterbox border, 0 to 255.
        scale: Factor from a 0-255 pixel to what the tensor holds; 1 where the graph scales inside.
    """

    name: str
    width: int
    height: int
    resize: Literal["stretch", "letterbox"]
    dtype: Literal["uint8", "float32"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    color: Literal["RGB"] = "RGB"
    pad_value: int = 114
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output tensor.

    Attributes:
        name: The tensor's name.
        kind: `box` `[1, h, w, 4 * bins]` logits, `score` `[1, h, w, classes]` probabilities, or `label`
            `[1, classes]` probabilities.
        stride: Pixels of the input per cell of the grid (0 for `label`).
    """

    name: str
    kind: Literal["box", "score", "label"]
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the runtime has to know of a model, and where the model comes from.

    Attributes:
        name: The model's name, such as `acne-yolov8-xs`.
        task: `multilabel` (which types are on the photograph) or `detection` (where each lesion is).
        classes: Class names in the order of the output channels.
        input: The input tensor.
        outputs: The output tensors; for detection one `box` and one `score` a stride.
        thresholds: The decision threshold of each class, 0 to 1, in the order of `classes`.
        bins: Bins of each side's distance distribution (DFL, Li et al. 2020); 0 for `multilabel`.
        nms_iou: Boxes of one class that overlap more than this are one lesion.
        max_detections: Most boxes kept per photograph.
        precision: How the weights and activations are stored, such as `float32` or `int8`.
        validation: Measured figures, before and after conversion.
        provenance: Data fingerprint, library versions, revision and licence of the weights.
        golden: SHA-256 of a generated input and of the file's answer to it.
        schema: Version of this form.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    thresholds: tuple[float, ...]
    bins: int = 0
    nms_iou: float = 0.6
    max_detections: int = 300
    precision: str = "float32"
    validation: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    golden: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Raises `ModelError` where the parts contradict each other."""
        _check(self.schema == SCHEMA, f"schema {self.schema} is not the {SCHEMA} that this version reads")
        _check(self.task in ("multilabel", "detection"), f"unknown task {self.task!r}")
        _check(len(self.classes) > 0, "no classes")
        _check(
            len(self.thresholds) == len(self.classes),
            f"{len(self.thresholds)} thresholds for {len(self.classes)} classes",
        )
        _check(all(0.0 <= t <= 1.0 for t in self.thresholds), f"thresholds {self.thresholds} not within 0 to 1")
        _check(self.input.width > 0 and self.input.height > 0, "the input has no size")
        _check(self.input.resize in ("stretch", "letterbox"), f"unknown resize {self.input.resize!r}")
        _check(self.input.dtype in ("uint8", "float32"), f"unknown input dtype {self.input.dtype!r}")
        _check(0.0 < self.nms_iou <= 1.0, f"nms_iou {self.nms_iou} not within 0 to 1")
        if self.task == "multilabel":
            _check(
                [o.kind for o in self.outputs] == ["label"],
                "a multilabel model has one output, of kind label",
            )
        else:
            strides = [o.stride for o in self.outputs if o.kind == "box"]
            _check(self.bins > 1, "a detection model needs bins > 1")
            _check(
                bool(strides) and strides == [o.stride for o in self.outputs if o.kind == "score"],
                "a detection model has one box and one score output for each stride",
            )
            _check(all(s > 0 for s in strides), f"strides {strides} are not positive")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Returns indented JSON; the same manifest always gives the same text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str) -> Manifest:
        """Reads a manifest.

        Args:
            text: JSON as `to_json` writes it.
            origin: The file it came from, for error messages.

        Raises:
            ModelError: The text is no manifest, or one that contradicts itself.
        """
        try:
            raw = json.loads(text)
            return cls(
                **{
                    **raw,
                    "classes": tuple(map(str, raw["classes"])),
                    "thresholds": tuple(map(float, raw["thresholds"])),
                    "input": InputSpec(**raw["input"]),
                    "outputs": tuple(OutputSpec(**output) for output in raw["outputs"]),
                }
            )
        except ModelError as error:
            raise ModelError(f"{origin}: the manifest is wrong: {error}") from None
        except KeyError as error:
            raise ModelError(f"{origin}: the manifest lacks {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{origin}: this is no Acne Edge manifest ({error})") from None


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise ModelError(sentence)


def manifest_beside(model_file: Path) -> Path:
    """Returns where the readable copy of a model file's manifest lies: `m.onnx` -> `m.onnx.json`."""
    return model_file.with_name(model_file.name + ".json")
