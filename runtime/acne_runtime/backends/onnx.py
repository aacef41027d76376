"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from acne_runtime.errors import BackendError, ModelError
from acne_runtime.manifest import METADATA_KEY

SUFFIX = ".onnx"

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxBackend:
    """An ONNX file opened in ONNX Runtime; see `acne_runtime.backends.base.Backend`."""

    name = "onnx"

    def __init__(self, file: Path, device: str, threads: int):
        """Opens the file.

        Args:
            file: The model.
            device: `cpu`, `cuda`, or `auto` for the fastest of them that is installed.
            threads: Threads of one inference; 0 leaves it to ONNX Runtime.

        Raises:
            BackendError: The device is not in this build of ONNX Runtime.
            ModelError: The file is no ONNX model.
        """
        installed = onnxruntime.get_available_providers()
        if device == "auto":
            device = "cuda" if _PROVIDERS["cuda"] in installed else "cpu"
        if _PROVIDERS[device] not in installed:
            raise BackendError(
                f"--device {device}: not in the installed ONNX Runtime; run: pip uninstall onnxruntime && "
                "pip install onnxruntime-gpu; or use --device cpu"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors; its warnings concern those who build models, not those who run them
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=[_PROVIDERS[device]])
        except Exception as error:  # ONNX Runtime's errors share no narrower class
            raise ModelError(f"{file}: ONNX Runtime cannot open this model: {_first_line(error)}") from error
        if _PROVIDERS[device] not in self._session.get_providers():  # its libraries may be missing or too old
            raise BackendError(f"--device {device}: ONNX Runtime could not start it here; use --device cpu")
        self.device = device
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.manifest_text: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)

    def run(self, tensor: NDArray[np.uint8 | np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs, float32, by name.

        Raises:
            ModelError: The tensor does not fit the file's input.
        """
        try:
            outputs = self._session.run(self._outputs, {self._input: tensor})
        except Exception as error:  # as above
            raise ModelError(f"ONNX Runtime refuses the input: {_first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
