"""The manifest: everything that a device needs to run a model file, stored in the file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from acne_runtime.errors import ModelError, one_line

SCHEMA = 2
"""Version of the format. In 1 a detector had a threshold, and a lesion a box, per type; in 2 they have one."""

LEFT_OUT = "left_out_of_schema_1"
"""Key in `validation` and `golden` for what was dropped from a manifest of schema 1, as no longer valid."""
METADATA_KEY = "acne_edge_manifest"
"""Key of the manifest in ONNX `metadata_props` and in TFLite metadata."""

MAX_SIDE = 8192
"""Pixels; a manifest with a larger input is corrupt, and would exhaust the memory."""

MAX_DETECTIONS = 300
"""Default maximum number of boxes per image; a face may have 180 lesions."""

Task = Literal["multilabel", "detection"]

Kind = Literal["box", "score", "label", "lesion_box", "lesion_score", "lesion_types", "lesion_count", "row", "unit_row"]

NMS_KINDS: tuple[Kind, ...] = ("lesion_box", "lesion_score", "lesion_types", "lesion_count")
"""The outputs of a detector whose graph includes decoding and non-maximum suppression."""

ROW_KINDS: tuple[Kind, ...] = ("row", "unit_row")
"""The outputs of Ultralytics detectors, which concatenate the cells of their grids."""

ANY = -1
"""A dimension that a manifest does not state."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The one input tensor, `[batch, height, width, 3]` RGB.

    Attributes:
        name: The tensor's name.
        width: In pixels.
        height: In pixels.
        resize: `stretch` ignores the aspect ratio; `letterbox` keeps it and pads with `pad_value`.
        dtype: `uint8` or `float32`.
        layout: `NHWC`; `NCHW` in Ultralytics files.
        color: Always `RGB`.
        pad_value: Grey level of the letterbox padding, 0 to 255.
        scale: Factor from pixel values, 0 to 255, to tensor values; 1 if the graph does the scaling.
        batch: Images per call; 0 for a dynamic batch size.
        shrink: How an image of at least twice the input's size is shrunk: `average` averages whole blocks of pixels
            first, so that none is skipped; `bilinear` samples it, as older files do.
    """

    name: str
    width: int
    height: int
    resize: Literal["stretch", "letterbox"]
    dtype: Literal["uint8", "float32"] = "uint8"
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    color: Literal["RGB"] = "RGB"
    pad_value: int = 114
    scale: float = 1.0
    batch: int = 1
    shrink: Literal["bilinear", "average"] = "bilinear"

    @property
    def tensor_shape(self) -> tuple[int, int, int, int]:
        """The shape of the tensor; the first dimension is 0 for a dynamic batch size."""
        if self.layout == "NCHW":
            return (self.batch, 3, self.height, self.width)
        return (self.batch, self.height, self.width, 3)


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output tensor.

    Attributes:
        name: The tensor's name.
        kind: `box` `[1, h, w, 4 * bins]` logits, `score` `[1, h, w, classes]` probabilities, or `label`
            `[1, classes]` probabilities. With NMS inside the graph, for n = `max_detections`: `lesion_box` `[1, n, 4]`
            float32 `xyxy` in pixels of the input, `lesion_score` `[1, n]`, `lesion_types` `[1, n, classes]`
            probabilities, `lesion_count` `[1, 1]`, all float32.
            Of Ultralytics detectors: `row` `[1, 4 + classes, cells]`, centre x and y, width, height in pixels of the
            input, then probabilities; `unit_row` the same with the box as fractions of the input's sides.
        stride: Input pixels per grid cell; 0 if there is no grid.
    """

    name: str
    kind: Kind
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the runtime needs to know about a model, and where the model comes from.

    Attributes:
        name: The model's name, such as `acne-yolov8-lite0`.
        task: `multilabel` (which types are present) or `detection` (where each lesion is).
        classes: Class names in the order of the output channels.
        input: The input tensor.
        outputs: The output tensors; for detection one `box` and one `score` per stride.
        thresholds: Decision thresholds, 0 to 1. For `detection` one, for the lesion score (see
            `acne_runtime.postprocess.decode`); for `multilabel` and Ultralytics detectors one per class, in the order
            of `classes`.
        bins: Bins of the distance distribution of each side (DFL, Li et al. 2020); 0 for `multilabel`.
        nms_iou: IoU above which two boxes are one lesion; for Ultralytics detectors, two boxes of one class.
        nms_containment: Share of a box's area inside a worse, larger one, above which the larger one is dropped; 1, as
            in older files, if none is.
        max_detections: Maximum number of boxes per image.
        box_voting_score: Score above which a candidate votes on the box of the lesion it belongs to, see
            `acne_runtime.postprocess.box_voting`; 1, as in older files, if each lesion has its best candidate's box.
        precision: How the weights and activations are stored, such as `float32` or `int8`.
        validation: Measured metrics, before and after conversion.
        provenance: Data fingerprint, library versions, revision and licence of the weights.
        golden: SHA-256 of a generated input and of the file's outputs for it, and the lesions or labels in them.
        digest: SHA-256 of the model file, see `acne_runtime.digest`; empty if there is no file yet.
        schema: Version of this format.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    thresholds: tuple[float, ...]
    bins: int = 0
    nms_iou: float = 0.5
    nms_containment: float = 1.0
    max_detections: int = MAX_DETECTIONS
    box_voting_score: float = 1.0
    precision: str = "float32"
    validation: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    golden: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Raises `ModelError` if a value has the wrong type or values contradict each other."""
        _check_types(self)
        _check_types(self.input)
        for output in self.outputs:
            _check_types(output)
        _check(self.schema == SCHEMA, f"unsupported schema {self.schema}, this version reads {SCHEMA}")
        _check(len(set(self.classes)) == len(self.classes) > 0, f"classes {self.classes} are empty or not unique")
        for text in (self.name, *self.classes):  # they are printed in lines of text and in tables
            _check(text.isprintable() and text != "", f"name {text!r} is empty or not printable")
        if self.one_box_per_lesion:
            _check(
                len(self.thresholds) == 1,
                f"{len(self.thresholds)} thresholds, but a detector has one, for the lesion score",
            )
        else:
            _check_one_per_class(self.thresholds, self.classes)
        _check_range(self.thresholds)
        size = (self.input.width, self.input.height)
        _check(all(0 < side <= MAX_SIDE for side in size), f"input size {size} is not within 1 to {MAX_SIDE}")
        _check(0 <= self.input.pad_value <= 255, f"pad_value {self.input.pad_value} is not within 0 to 255")
        _check(self.input.batch >= 0, f"batch {self.input.batch} is negative")
        _check(0.0 < self.nms_iou <= 1.0, f"nms_iou {self.nms_iou} is not within 0 to 1")
        _check(0.0 < self.nms_containment <= 1.0, f"nms_containment {self.nms_containment} is not within 0 to 1")
        _check(0.0 <= self.box_voting_score <= 1.0, f"box_voting_score {self.box_voting_score} is not within 0 to 1")
        _check(self.max_detections > 0, f"max_detections {self.max_detections} is not positive")
        names = [output.name for output in self.outputs]
        _check(len(set(names)) == len(names), f"outputs {names} are not unique")
        if self.task == "multilabel":
            _check(
                [output.kind for output in self.outputs] == ["label"],
                "a multilabel model has one output, of kind label",
            )
        else:
            self._check_detection()

    @property
    def has_nms(self) -> bool:
        """Whether the graph includes decoding and non-maximum suppression."""
        return any(output.kind in NMS_KINDS for output in self.outputs)

    @property
    def is_ultralytics_layout(self) -> bool:
        """Whether boxes and scores are in one output, as in Ultralytics detectors."""
        return any(output.kind in ROW_KINDS for output in self.outputs)

    @property
    def one_box_per_lesion(self) -> bool:
        """Whether a lesion has one box, one score and a probability per type; Ultralytics has a score per class."""
        return self.task == "detection" and not self.is_ultralytics_layout

    @property
    def threshold_names(self) -> tuple[str, ...]:
        """What each threshold is for: `lesion`, or the classes."""
        return ("lesion",) if self.one_box_per_lesion else self.classes

    @property
    def distributions(self) -> dict[str, int]:
        """The bins of each distribution in an output of box logits, by the output's name."""
        return {output.name: self.bins for output in self.outputs if output.kind == "box"}

    def _check_detection(self) -> None:
        kinds = [output.kind for output in self.outputs]
        if self.is_ultralytics_layout:
            _check(len(kinds) == 1, f"outputs {kinds}: an output of kind {kinds[0]} must be the only one")
            return
        if self.has_nms:
            _check(sorted(kinds) == sorted(NMS_KINDS), f"outputs {kinds}: a model with NMS has {NMS_KINDS}")
            return
        _check(self.bins > 1, f"bins {self.bins}: a detection model needs at least 2")
        _check(all(o.kind != "label" for o in self.outputs), "a detection model has no output of kind label")
        strides = {kind: sorted(o.stride for o in self.outputs if o.kind == kind) for kind in ("box", "score")}
        _check(
            bool(strides["box"]) and strides["box"] == strides["score"] == sorted(set(strides["box"])),
            f"strides {strides}: a detection model has one box and one score output for each stride",
        )
        for stride in strides["box"]:
            _check(
                stride > 0 and self.input.width % stride == 0 and self.input.height % stride == 0,
                f"stride {stride} does not divide the input {self.input.width}x{self.input.height}",
            )

    def output_shape(self, output: OutputSpec) -> tuple[int, ...]:
        """Returns the shape that an output must have; `ANY` for the cells of Ultralytics detectors.

        Their number depends on the strides, such as 8, 16 and 32, with 4 or 64 in some, which the file does not state.
        """
        if output.kind == "label":
            return (1, len(self.classes))
        if output.kind in NMS_KINDS:
            count = self.max_detections
            shapes = {
                "lesion_box": (1, count, 4),
                "lesion_types": (1, count, len(self.classes)),
                "lesion_count": (1, 1),
            }
            return shapes.get(output.kind, (1, count))
        if output.kind in ROW_KINDS:
            return (1, 4 + len(self.classes), ANY)
        channels = 4 * self.bins if output.kind == "box" else len(self.classes)
        return (1, self.input.height // output.stride, self.input.width // output.stride, channels)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Returns indented JSON; deterministic."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str) -> Manifest:
        """Reads a manifest of this schema or of schema 1.

        Args:
            text: JSON as `to_json` writes it.
            origin: The file it is from, for error messages.

        Raises:
            ModelError: The text is not a valid manifest.
        """
        try:
            raw = _as_schema_2(json.loads(text))
            return cls(
                **{
                    **raw,
                    "classes": _list(raw, "classes"),
                    "thresholds": _list(raw, "thresholds"),
                    "input": InputSpec(**raw["input"]),
                    "outputs": tuple(OutputSpec(**output) for output in _list(raw, "outputs")),
                }
            )
        except ModelError as error:
            raise ModelError(f"{origin}: invalid manifest: {error}") from None
        except KeyError as error:
            raise ModelError(f"{origin}: invalid manifest: missing {error}") from None
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ModelError(f"{origin}: not an Acne Edge manifest ({one_line(error)})") from None


def _as_schema_2(raw: dict[str, Any]) -> dict[str, Any]:
    """Converts a manifest of schema 1 to schema 2; returns others unchanged.

    Raises:
        ModelError: The file has NMS inside the graph and returns a box per type, which cannot be converted.
    """
    if type(raw.get("schema")) is not int or raw["schema"] != 1:
        return raw
    raw = raw | {"schema": SCHEMA}
    kinds = [output["kind"] for output in raw["outputs"]]
    if raw["task"] != "detection" or set(kinds) & set(ROW_KINDS):
        return raw
    _check(
        not any(str(kind).startswith("lesion_") for kind in kinds),
        "schema 1 with NMS inside the graph; export the model again with acne-export",
    )
    thresholds = _list(raw, "thresholds")
    _check(_fits(thresholds, tuple[float, ...]), f"thresholds {thresholds!r} is not tuple[float, ...]")
    _check_one_per_class(thresholds, raw["classes"])
    _check_range(thresholds)
    # The lesion score is at least that of each type: with the lowest threshold, every cell that passed still passes.
    # More may pass.
    raw["thresholds"] = [min(thresholds)]
    # The counting and the lesions of the golden image were measured with a box per type and are no longer valid.
    for name, part in (("validation", "counting"), ("golden", "lesions")):
        if isinstance(raw.get(name), dict) and part in raw[name]:
            raw[name] = {key: value for key, value in raw[name].items() if key != part} | {LEFT_OUT: part}
    return raw


def _check_one_per_class(thresholds: tuple[float, ...], classes: Sequence[str]) -> None:
    _check(len(thresholds) == len(classes), f"{len(thresholds)} thresholds for {len(classes)} classes")


def _check_range(thresholds: tuple[float, ...]) -> None:
    _check(all(0.0 <= threshold <= 1.0 for threshold in thresholds), f"thresholds {thresholds} are not within 0 to 1")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ModelError(message)


def _list(raw: dict[str, Any], name: str) -> tuple[Any, ...]:
    value = raw[name]
    if not isinstance(value, list):
        raise TypeError(f"{name}: {value!r} is not a list")
    return tuple(value)


def _check_types(part: Manifest | InputSpec | OutputSpec) -> None:
    """Checks every field against its annotation, since JSON may hold anything."""
    for name, hint in get_type_hints(type(part)).items():
        value = getattr(part, name)
        _check(_fits(value, hint), f"{name} {value!r} is not {hint if get_args(hint) else hint.__name__}")


def _fits(value: object, hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if kind is Literal:
        return value in get_args(hint)
    if kind is float:
        return type(value) in (int, float) and abs(value) < math.inf  # type: ignore[arg-type]
    if kind is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    return type(value) is kind  # a bool does not count as an int


def manifest_path(model_file: Path) -> Path:
    """Returns the path of the readable copy of a model file's manifest: `m.onnx` -> `m.onnx.json`."""
    return model_file.with_name(model_file.name + ".json")
