"""Everything that decides a training run, typed, and saved with the run as `config.toml`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import tomllib

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import SourceError
from acne_trainer.data.source import DataSource
from acne_trainer.model_names import BACKBONES, DETECTORS, FEATURES, MODELS, PRETRAINED_DETECTORS

_TYPES = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "tuple[str, ...]": (tuple,)} | {
    "tuple[DataSource, ...]": (tuple,)
}


GRID = 32
"""Pixels to a cell of the detector's coarsest grid, which its sizes are multiples of."""
_CHOICES = {
    "optimizer": ("adam", "rmsprop"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
}
_MIN = {
    "epochs": 1,
    "patience": 1,
    "validate_every": 1,
    "batch_size": 1,
    "input_size": 32,
    "warmup_steps": 0,
    "focal": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """The settings of one training run that all models have; each family adds its own.

    Attributes:
        model: Name of the model, a key of `DEFAULTS`.
        data: The labelled sets, each with `train`, `valid` and `test`; a text names the folder of one.
        epochs: Most passes over the training photographs.
        patience: Validations without a better model after which training stops.
        validate_every: Epochs between two validations.
        batch_size: Photographs (multi-label models) or crops (detectors) in a step, over all devices together.
        optimizer: `adam` or `rmsprop`.
        learning_rate: Peak rate.
        warmup_steps: Steps over which the rate rises linearly from 0.
        final_rate: Where a half cosine over all epochs ends, as a fraction of `learning_rate`; 1 keeps it constant.
        average_decay: Decay a step of the exponential moving average of the weights; 0 keeps the weights themselves.
        seed: Seeds weights, shuffling and augmentation.
        input_size: Side of the model's square input in pixels.
        weights: What to start from: `none`, `imagenet` (pretrained networks), `coco` (KerasCV's detectors), or a file
            that Keras saved.
        precision: Of the arithmetic: `float32`, `mixed_float16` or `mixed_bfloat16`. Weights stay float32.
        jit: Whether XLA compiles the training step.
        focal: Power of the focal term that plays down what is easy (Lin et al. 2017); 0 switches it off.
        label_smoothing: Share of each label that is spread over the other answers, 0 to below 1.
        absent_unknown: `GLOB=CLASS,CLASS`: on photographs of such names these classes were not looked for, so that
            their absence teaches nothing.
    """

    model: str
    data: tuple[DataSource, ...] = ()
    epochs: int
    patience: int
    validate_every: int
    batch_size: int
    optimizer: str
    learning_rate: float
    warmup_steps: int
    final_rate: float
    average_decay: float
    seed: int = 0
    input_size: int
    weights: str = "none"
    precision: str = "float32"
    jit: bool = False
    focal: float = 0.0
    label_smoothing: float = 0.0
    absent_unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` where a setting is out of its range."""
        if isinstance(self.data, str):
            object.__setattr__(self, "data", (DataSource(self.data),) if self.data else ())
        _check(self.model in MODELS, f"model = {self.model!r} is none of {', '.join(MODELS)}")
        for name, known in _CHOICES.items():
            _check_choice(self, name, known)
        for name, minimum in _MIN.items():
            _check_min(self, name, minimum)
        _check(self.learning_rate > 0, f"learning_rate = {self.learning_rate} is not above 0")
        _check_fraction(self, "average_decay")
        _check_fraction(self, "label_smoothing")
        _check(0 <= self.final_rate <= 1, f"final_rate = {self.final_rate} is not within 0 to 1")
        _check(all(isinstance(entry, str) for entry in self.absent_unknown), "absent_unknown holds more than texts")

    @property
    def data_names(self) -> str:
        """The names of the labelled sets' folders, such as `acne4+acne04`."""
        return "+".join(source.name for source in self.data)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values; of paths only the last name: they are this machine's."""
        sources = [source.to_dict() | {"path": source.name} for source in self.data]
        return dataclasses.asdict(self) | {"data": sources, "weights": Path(self.weights).name}

    def save(self, file: Path) -> None:
        """Writes TOML."""
        write_atomically(file, tomli_w.dumps(dataclasses.asdict(self)).encode())

    @classmethod
    def read(cls, file: Path) -> TrainConfig:
        """Reads what `save` wrote.

        Raises:
            SourceError: The file is missing, no TOML, or holds other settings.
        """
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
            settings = cls.for_model(**values)
            missing = [field.name for field in dataclasses.fields(settings) if field.name not in values]
            _check(not missing, f"{', '.join(missing)} missing")
            return settings
        except FileNotFoundError:
            raise SourceError(f"{file}: not found; --resume takes a folder in which a training was begun") from None
        except (ValueError, TypeError) as error:
            raise SourceError(f"{file}: these are no settings of acne-train ({error})") from None

    @staticmethod
    def for_model(model: str, **changes: Any) -> TrainConfig:
        """Returns the defaults of a model with some changed.

        Args:
            model: Its name, one of `DEFAULTS`.
            **changes: Attributes, as TOML holds them; `data` may be the path of one labelled set.

        Raises:
            TypeError, ValueError: A setting is unknown, of another type or out of its range.
        """
        if model not in DEFAULTS:
            raise ValueError(f"model = {model!r} is none of {', '.join(DEFAULTS)}")
        return DEFAULTS[model].changed_by_values(changes)

    def changed_by_values(self, values: dict[str, Any]) -> TrainConfig:
        """Returns these settings with some replaced, given as TOML holds them.

        Raises:
            TypeError, ValueError: A setting is unknown, of another type or out of its range.
        """
        if values.get("model", self.model) != self.model:
            raise ValueError(f"settings of {values['model']}, not of {self.model}")
        return dataclasses.replace(self, **self._typed(values))

    def changed_by(self, file: Path) -> TrainConfig:
        """Returns these settings with those that a TOML file names replaced.

        Raises:
            SourceError: The file is missing, no TOML, or holds other settings.
        """
        try:
            return self.changed_by_values(tomllib.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise SourceError(f"{file}: {error.strerror}") from None
        except (ValueError, TypeError) as error:
            raise SourceError(f"{file}: these are no settings of acne-train ({error})") from None

    def _typed(self, values: dict[str, Any]) -> dict[str, Any]:
        """Returns the values with lists as tuples.

        Raises:
            TypeError: A setting is unknown, or a value has another type than its setting.
        """
        types = {field.name: str(field.type) for field in dataclasses.fields(self)}
        made = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        if "data" in made:
            tables = [{"path": made["data"]}] if isinstance(made["data"], str) else made["data"]
            made["data"] = tuple(DataSource.from_dict(table) for table in tables)
        for name, value in made.items():
            if name not in types:
                raise TypeError(f"{name} is no setting of {self.model}")
            if type(value) not in _TYPES[types[name]]:
                raise TypeError(f"{name} = {values[name]!r} is no {types[name]}")
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class CnnConfig(TrainConfig):
    """The paper's CNN, trained from scratch: Experiment I."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneConfig(TrainConfig):
    """A pretrained network under the paper's head: Experiment I.

    Attributes:
        input_scaling: `own` is what each network was pretrained with, `paper` feeds 0 to 1 to all of them.
        fine_tune_epochs: Epochs for which the backbone's top is trained after its head; 0 leaves it frozen.
        fine_tune_layers: Layers of the backbone, counted from its end, that are trained then.
        fine_tune_rate: Learning rate of that stage.
    """

    input_scaling: str = "own"
    fine_tune_epochs: int = 0
    fine_tune_layers: int = 20
    fine_tune_rate: float = 1e-5

    def __post_init__(self) -> None:
        """Raises `ValueError` where a setting is out of its range."""
        TrainConfig.__post_init__(self)  # `super()` does not work in dataclasses with slots
        _check_choice(self, "input_scaling", ("own", "paper"))
        _check_min(self, "fine_tune_epochs", 0)
        _check_min(self, "fine_tune_layers", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig(TrainConfig):
    """A logistic regression on the pooled features of a pretrained network, fitted at once and not in steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig(TrainConfig):
    """KerasCV's YOLOv8: Experiment II.

    Attributes:
        crop_size: Side of the training crops in pixels.
        crops_per_photo: Crops taken from each photograph in an epoch, less the steps that `whole_every` takes.
        whole_every: Every so many steps the detector sees a batch of whole photographs with as many pixels; 0 never.
        start_share: Where training starts from a file: the share of the starting weights in the finished ones, which
            keeps what was learnt before (Wortsman et al. 2022); 0 for the trained weights alone.
    """

    crop_size: int
    crops_per_photo: int
    whole_every: int
    start_share: float = 0.0

    def __post_init__(self) -> None:
        """Raises `ValueError` where a setting is out of its range."""
        TrainConfig.__post_init__(self)
        for name in ("input_size", "crop_size"):
            size = getattr(self, name)
            _check(size > 0 and size % GRID == 0, f"{name} = {size} is no multiple of {GRID}: the detector's grids")
        _check_min(self, "crops_per_photo", 1)
        _check_min(self, "whole_every", 0)
        _check_fraction(self, "start_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedDetectorConfig(DetectorConfig):
    """YOLOv8's neck and heads on a backbone with ImageNet weights.

    Attributes:
        backbone_rate: The backbone's learning rate, as a fraction of `learning_rate`.
        freeze_stages: How many of its first stages are not trained; the stem is the first of eight.
    """

    backbone_rate: float = 0.25
    freeze_stages: int = 3

    def __post_init__(self) -> None:
        """Raises `ValueError` where a setting is out of its range."""
        DetectorConfig.__post_init__(self)
        _check(0 < self.backbone_rate <= 1, f"backbone_rate = {self.backbone_rate} is not within above 0 to 1")
        _check(0 <= self.freeze_stages <= 8, f"freeze_stages = {self.freeze_stages} is not within 0 to 8")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _check_choice(settings: TrainConfig, name: str, known: tuple[str, ...]) -> None:
    _check(getattr(settings, name) in known, f"{name} = {getattr(settings, name)!r} is none of {', '.join(known)}")


def _check_min(settings: TrainConfig, name: str, minimum: int) -> None:
    _check(getattr(settings, name) >= minimum, f"{name} = {getattr(settings, name)} is less than {minimum}")


def _check_fraction(settings: TrainConfig, name: str) -> None:
    _check(0 <= getattr(settings, name) < 1, f"{name} = {getattr(settings, name)} is not within 0 to below 1")


_MULTILABEL: dict[str, Any] = {
    "epochs": 25,
    "patience": 6,
    "validate_every": 1,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 2e-4,
    "warmup_steps": 0,
    "final_rate": 1.0,
    "average_decay": 0.0,
    "input_size": 416,
}
_PAPERS_HEAD = _MULTILABEL | {"epochs": 20, "optimizer": "rmsprop", "learning_rate": 1e-4, "weights": "imagenet"}
"""The paper's three: a frozen backbone under a new head, RMSprop at 1e-4."""
_DETECTOR: dict[str, Any] = {
    "epochs": 32,
    "patience": 8,
    "validate_every": 2,
    "batch_size": 16,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "warmup_steps": 300,
    "final_rate": 0.02,
    "average_decay": 0.998,
    "input_size": 640,
    "crop_size": 256,
    "crops_per_photo": 2,
    "whole_every": 3,
}

DEFAULTS: dict[str, TrainConfig] = {
    "cnn": CnnConfig(model="cnn", **_MULTILABEL),
    **{name: BackboneConfig(model=name, **_PAPERS_HEAD) for name in BACKBONES},
    **{name: FeaturesConfig(model=name, **_MULTILABEL, weights="imagenet") for name in FEATURES},
    **{
        name: PretrainedDetectorConfig(model=name, **_DETECTOR, weights="imagenet")
        if name in PRETRAINED_DETECTORS
        else DetectorConfig(model=name, **_DETECTOR)
        for name in DETECTORS
    },
}
