"""Everything that decides a training run, typed, and saved with the run as `config.toml`."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from acne_runtime import files
from acne_runtime.errors import SourceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_TYPES = {"str": (str,), "int": (int,), "float": (float, int)}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one training run.

    Attributes:
        model: `cnn` or `yolov8-xs`.
        data: Folder with the splits `train`, `valid` and `test`.
        epochs: Most passes over the training photographs.
        patience: Validations without a better model after which training stops.
        validate_every: Epochs between two validations.
        batch_size: Photographs (`cnn`) or crops (`yolov8-xs`) in a step.
        learning_rate: Adam's peak rate.
        warmup_steps: Steps over which the rate rises linearly from 0.
        final_rate: Where a half cosine over all epochs ends, as a fraction of `learning_rate`; 1 keeps it constant.
        average_decay: Decay a step of the exponential moving average of the weights; 0 keeps the weights themselves.
        seed: Seeds weights, shuffling and augmentation.
        input_size: Side of the model's square input in pixels.
        crop_size: Side of the detector's training crops in pixels.
        crops_per_photo: Crops taken from each photograph in an epoch.
        whole_every: Every so many steps the detector sees a batch of whole photographs with as many pixels; 0 never.
    """

    model: str
    data: str
    epochs: int
    patience: int
    validate_every: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    final_rate: float
    average_decay: float
    seed: int
    input_size: int
    crop_size: int = 0
    crops_per_photo: int = 0
    whole_every: int = 0

    def save(self, file: Path) -> None:
        """Writes TOML."""
        files.write_atomically(file, tomli_w.dumps(dataclasses.asdict(self)).encode())

    @classmethod
    def read(cls, file: Path) -> Settings:
        """Reads what `save` wrote.

        Raises:
            SourceError: The file is missing, no TOML, or holds other settings.
        """
        try:
            settings = cls(**tomllib.loads(file.read_text(encoding="utf-8")))
            for field in dataclasses.fields(cls):
                value = getattr(settings, field.name)
                if type(value) not in _TYPES[str(field.type)]:
                    raise TypeError(f"{field.name} = {value!r} is no {field.type}")
            return settings
        except FileNotFoundError:
            raise SourceError(f"{file}: not found; --resume takes a folder in which a training was begun") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
            raise SourceError(f"{file}: these are no settings of acne-train ({error})") from None


CNN = Settings(
    model="cnn",
    data="",
    epochs=25,
    patience=6,
    validate_every=1,
    batch_size=32,
    learning_rate=2e-4,
    warmup_steps=0,
    final_rate=1.0,
    average_decay=0.0,
    seed=0,
    input_size=416,
)

YOLOV8_XS = Settings(
    model="yolov8-xs",
    data="",
    epochs=32,
    patience=8,
    validate_every=2,
    batch_size=16,
    learning_rate=1e-3,
    warmup_steps=300,
    final_rate=0.02,
    average_decay=0.998,
    seed=0,
    input_size=640,
    crop_size=256,
    crops_per_photo=2,
    whole_every=3,
)

DEFAULTS = {settings.model: settings for settings in (CNN, YOLOV8_XS)}
