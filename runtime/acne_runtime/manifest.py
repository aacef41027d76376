"""The manifest: what a model file says about itself, so that a device can run it without asking anyone."""

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
"""In 1 a detector had a threshold, and a lesion a box, for each type; in 2 they have one."""

LEFT_OUT = "left_out_of_schema_1"
"""Under it `validation` and `golden` name what stood there in a manifest of schema 1 and does not hold any more."""
METADATA_KEY = "acne_edge_manifest"
"""The name under which the manifest lies in ONNX `metadata_props` and in TFLite's metadata."""

MAX_SIDE = 8192
"""Pixels; a manifest that asks for more is damaged, and would have the runtime fill the memory."""

MAX_DETECTIONS = 300
"""Most boxes kept per photograph unless a manifest says otherwise; a face may bear 180 lesions."""

Task = Literal["multilabel", "detection"]

Kind = Literal["box", "score", "label", "lesion_box", "lesion_score", "lesion_types", "lesion_count", "row", "unit_row"]

NMS_KINDS: tuple[Kind, ...] = ("lesion_box", "lesion_score", "lesion_types", "lesion_count")
"""The outputs of a detector that decodes and suppresses inside its graph."""

ROW_KINDS: tuple[Kind, ...] = ("row", "unit_row")
ROW_STRIDES = (8, 16, 32)
"""Of the grids whose cells Ultralytics' detectors join in one output."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The one input tensor, `[batch, height, width, 3]` RGB.

    Attributes:
        name: The tensor's name.
        width: In pixels.
        height: In pixels.
        resize: `stretch` ignores the aspect ratio; `letterbox` keeps it and pads with `pad_value`.
        dtype: `uint8`, or `float32` for callers who want it.
        layout: `NHWC`; `NCHW` in files of other makers.
        color: Always `RGB`.
        pad_value: Grey level of the letterbox border, 0 to 255.
        scale: Factor from a 0-255 pixel to what the tensor holds; 1 where the graph scales inside.
        batch: Photographs in one call; 0 for any number.
        shrink: How a photograph of at least twice the input's size gets there: `average` averages blocks of whole
            pixels first, so that nothing is skipped; `bilinear` samples it, as files did before there was a choice.
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


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output tensor.

    Attributes:
        name: The tensor's name.
        kind: `box` `[1, h, w, 4 * bins]` logits, `score` `[1, h, w, classes]` probabilities, or `label`
            `[1, classes]` probabilities. With suppression inside the graph: `lesion_box` `[1, most, 4]` float32 `xyxy`
            in pixels of the input, `lesion_score` `[1, most]`, `lesion_types` `[1, most, classes]` probabilities,
            `lesion_count` `[1, 1]`, all float32.
            Of Ultralytics' detectors: `row` `[1, 4 + classes, cells]`, centre x and y, width, height in pixels of the
            input, then probabilities; `unit_row` the same with the box as shares of the input's sides.
        stride: Pixels of the input per cell of the grid (0 where there is none).
    """

    name: str
    kind: Kind
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
        thresholds: Decision thresholds, 0 to 1. For `detection` one, that of the lesion score (see
            `acne_runtime.postprocess.decode`); for `multilabel`, and for Ultralytics' detectors, one a class in the
            order of `classes`.
        bins: Bins of each side's distance distribution (DFL, Li et al. 2020); 0 for `multilabel`.
        nms_iou: Boxes that overlap more than this are one lesion; of Ultralytics' detectors, boxes of one class.
        max_detections: Most boxes kept per photograph.
        precision: How the weights and activations are stored, such as `float32` or `int8`.
        validation: Measured figures, before and after conversion.
        provenance: Data fingerprint, library versions, revision and licence of the weights.
        golden: SHA-256 of a generated input and of the file's answer to it, and the lesions or labels in that.
        digest: SHA-256 of the model file, see `acne_runtime.digest`; empty where there is no file yet.
        schema: Version of this form.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    thresholds: tuple[float, ...]
    bins: int = 0
    nms_iou: float = 0.5
    max_detections: int = MAX_DETECTIONS
    precision: str = "float32"
    validation: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    golden: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Raises `ModelError` where a value is not of its type or the parts contradict each other."""
        _check_types(self)
        _check_types(self.input)
        for output in self.outputs:
            _check_types(output)
        _check(self.schema == SCHEMA, f"schema {self.schema} is not the {SCHEMA} that this version reads")
        _check(len(set(self.classes)) == len(self.classes) > 0, f"classes {self.classes}: none, or one twice")
        for text in (self.name, *self.classes):  # they stand in lines of text and in tables
            _check(text.isprintable() and text != "", f"name {text!r}: empty, or not printable")
        if self.one_box_per_lesion:
            _check(
                len(self.thresholds) == 1,
                f"{len(self.thresholds)} thresholds for a detector, which has one, that of the lesion score",
            )
        else:
            _check_one_a_class(self.thresholds, self.classes)
        _check_range(self.thresholds)
        size = (self.input.width, self.input.height)
        _check(all(0 < side <= MAX_SIDE for side in size), f"input size {size} not within 1 to {MAX_SIDE}")
        _check(0 <= self.input.pad_value <= 255, f"pad_value {self.input.pad_value} not within 0 to 255")
        _check(self.input.batch >= 0, f"batch {self.input.batch} is negative")
        _check(0.0 < self.nms_iou <= 1.0, f"nms_iou {self.nms_iou} not within 0 to 1")
        _check(self.max_detections > 0, f"max_detections {self.max_detections} is not positive")
        names = [output.name for output in self.outputs]
        _check(len(set(names)) == len(names), f"outputs {names}: one twice")
        if self.task == "multilabel":
            _check([o.kind for o in self.outputs] == ["label"], "a multilabel model has one output, of kind label")
        else:
            self._check_detection()

    @property
    def has_nms(self) -> bool:
        """Whether decoding and suppression lie inside the graph."""
        return any(output.kind in NMS_KINDS for output in self.outputs)

    @property
    def is_ultralytics_layout(self) -> bool:
        """Whether boxes and scores come in one output, as Ultralytics' detectors have it."""
        return any(output.kind in ROW_KINDS for output in self.outputs)

    @property
    def one_box_per_lesion(self) -> bool:
        """Whether a lesion has one box and one score, and a probability a type; Ultralytics' have a score a class."""
        return self.task == "detection" and not self.is_ultralytics_layout

    @property
    def threshold_names(self) -> tuple[str, ...]:
        """What each threshold is held against: `lesion`, or the classes."""
        return ("lesion",) if self.one_box_per_lesion else self.classes

    def _check_detection(self) -> None:
        kinds = [output.kind for output in self.outputs]
        if self.is_ultralytics_layout:
            _check(len(kinds) == 1, f"outputs {kinds}: a detector with an output of kind {kinds[0]} has no other")
            sides = (self.input.width, self.input.height)
            _check(all(side % max(ROW_STRIDES) == 0 for side in sides), f"input size {sides}: no multiples of 32")
            return
        if self.has_nms:
            _check(sorted(kinds) == sorted(NMS_KINDS), f"outputs {kinds}: a model that suppresses has {NMS_KINDS}")
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
        """Returns the shape that one of the outputs must have."""
        if output.kind == "label":
            return (1, len(self.classes))
        if output.kind in NMS_KINDS:
            most = self.max_detections
            shapes = {"lesion_box": (1, most, 4), "lesion_types": (1, most, len(self.classes)), "lesion_count": (1, 1)}
            return shapes.get(output.kind, (1, most))
        if output.kind in ROW_KINDS:
            cells = sum((self.input.height // one) * (self.input.width // one) for one in ROW_STRIDES)
            return (1, 4 + len(self.classes), cells)
        channels = 4 * self.bins if output.kind == "box" else len(self.classes)
        return (1, self.input.height // output.stride, self.input.width // output.stride, channels)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Returns indented JSON; the same manifest always gives the same text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, origin: str) -> Manifest:
        """Reads a manifest, of this schema or of schema 1.

        Args:
            text: JSON as `to_json` writes it.
            origin: The file it came from, for error messages.

        Raises:
            ModelError: The text is no manifest, or one that contradicts itself.
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
            raise ModelError(f"{origin}: the manifest is wrong: {error}") from None
        except KeyError as error:
            raise ModelError(f"{origin}: the manifest lacks {error}") from None
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ModelError(f"{origin}: this is no Acne Edge manifest ({one_line(error)})") from None


def _as_schema_2(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest of schema 1 as one of schema 2, any other as it is.

    Raises:
        ModelError: It is that of a file with suppression inside, which cannot be told to give one box a lesion.
    """
    if type(raw.get("schema")) is not int or raw["schema"] != 1:
        return raw
    raw = raw | {"schema": SCHEMA}
    kinds = [output["kind"] for output in raw["outputs"]]
    if raw["task"] != "detection" or set(kinds) & set(ROW_KINDS):
        return raw
    _check(
        not any(str(kind).startswith("lesion_") for kind in kinds),
        "schema 1 with suppression inside (--nms), which gives a box a type; export the model again with acne-export",
    )
    thresholds = _list(raw, "thresholds")
    _check(_fits(thresholds, tuple[float, ...]), f"thresholds {thresholds!r} is not tuple[float, ...]")
    _check_one_a_class(thresholds, raw["classes"])
    _check_range(thresholds)
    # A lesion scores at least as high as each of its types: with the lowest threshold no cell is lost that passed its
    # own class's before. More may pass.
    raw["thresholds"] = [min(thresholds)]
    # How it counts, and what it found on the golden picture, was measured with a box a type: it holds no longer.
    for name, part in (("validation", "counting"), ("golden", "lesions")):
        if isinstance(raw.get(name), dict) and part in raw[name]:
            raw[name] = {key: value for key, value in raw[name].items() if key != part} | {LEFT_OUT: part}
    return raw


def _check_one_a_class(thresholds: tuple[float, ...], classes: Sequence[str]) -> None:
    _check(len(thresholds) == len(classes), f"{len(thresholds)} thresholds for {len(classes)} classes")


def _check_range(thresholds: tuple[float, ...]) -> None:
    _check(all(0.0 <= one <= 1.0 for one in thresholds), f"thresholds {thresholds} not within 0 to 1")


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise ModelError(sentence)


def _list(raw: dict[str, Any], name: str) -> tuple[Any, ...]:
    value = raw[name]
    if not isinstance(value, list):
        raise TypeError(f"{name}: {value!r} is not a list")
    return tuple(value)


def _check_types(part: Manifest | InputSpec | OutputSpec) -> None:
    """Holds every field to its annotation: JSON brings whatever somebody wrote."""
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
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    return type(value) is kind  # a bool is no int here


def manifest_path(model_file: Path) -> Path:
    """Returns where the readable copy of a model file's manifest lies: `m.onnx` -> `m.onnx.json`."""
    return model_file.with_name(model_file.name + ".json")
