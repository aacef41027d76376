"""ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from acne_runtime.digest import digest_mismatch
from acne_runtime.errors import BackendError, ModelError, one_line
from acne_runtime.manifest import METADATA_KEY

logger = logging.getLogger(__name__)

_SUFFIX = "ExecutionProvider"
_NOT_LOCAL = frozenset({"azure"})
"""Providers that send images off the machine; never used."""
_SLOW_TO_START = frozenset({"tensorrt"})
"""Providers that build an engine for minutes; used only on request."""
_NUMPY_NAMES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_INSTALL = {"cuda": "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"}


def devices() -> dict[str, str]:
    """Returns the execution providers of the installed ONNX Runtime by device name, fastest first."""
    names = {provider: provider.removesuffix(_SUFFIX).lower() for provider in onnxruntime.get_available_providers()}
    return {name: provider for provider, name in names.items() if name not in _NOT_LOCAL}


class OnnxBackend:
    """An ONNX file opened in ONNX Runtime; see `acne_runtime.backends.base.OpenedFile`."""

    name = "onnx"

    def __init__(self, file: Path, device: str, threads: int):
        """Opens the file.

        Args:
            file: The model.
            device: A key of `devices()`, or `auto` for the first of them that starts.
            threads: Threads of one inference; 0 leaves the choice to ONNX Runtime.

        Raises:
            BackendError: The device is not available in this ONNX Runtime, or does not start.
            ModelError: The file is not an ONNX model, or is corrupt.
        """
        available = devices()
        if device != "auto" and device not in available:
            raise BackendError(
                f"`device` {device}: the installed ONNX Runtime has {', '.join(available)}; use `device` cpu, or "
                + _INSTALL.get(device, "install a build of ONNX Runtime that has it"),
                parameter="device",
            )
        candidates = [device] if device != "auto" else [name for name in available if name not in _SLOW_TO_START]
        self._session, self.device = _start_session(file, candidates, available, threads)
        self._file = file
        try:
            inputs = self._session.get_inputs()
            if len(inputs) != 1:
                names = ", ".join(model_input.name for model_input in inputs)
                raise ModelError(f"{file}: has {len(inputs)} inputs ({names}), expected one: the image")
            model_input = inputs[0]
            self._input = model_input.name
            self.input_shape: Sequence[int | str] = model_input.shape
            self.input_dtype = _NUMPY_NAMES.get(model_input.type, model_input.type)
            self.outputs: Sequence[str] = [output.name for output in self._session.get_outputs()]
            self.foreign_metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except ValueError as error:  # metadata that is not UTF-8
            raise ModelError(f"{file}: ONNX Runtime cannot open this model: {one_line(error)}") from error
        self.manifest_text: str | None = self.foreign_metadata.get(METADATA_KEY)
        if digest_mismatch(file.read_bytes(), self.manifest_text):
            raise ModelError(f"{file}: corrupt, it differs from the file that was exported; copy it again")

    def run(self, tensor: NDArray[np.uint8 | np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Returns all outputs by name, float32.

        Raises:
            ModelError: The tensor does not match the model's input.
        """
        try:
            outputs = self._session.run(self.outputs, {self._input: tensor})
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise ModelError(f"{self._file}: ONNX Runtime rejects the input: {one_line(error)}") from error
        return dict(zip(self.outputs, outputs, strict=True))


def _start_session(
    file: Path, candidates: Sequence[str], available: Mapping[str, str], threads: int
) -> tuple[onnxruntime.InferenceSession, str]:
    """Returns a session on the first device that starts, and that device."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its idle threads spin, on the cores that the work between two inferences needs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # errors only; the warnings are for those who build models

    def start(device: str) -> onnxruntime.InferenceSession:
        try:
            session = onnxruntime.InferenceSession(file, options, providers=[available[device]], enable_fallback=0)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise BackendError(one_line(error)) from error
        if available[device] not in session.get_providers():
            raise BackendError("its libraries are missing or too old")
        return session

    failed: dict[str, str] = {}
    for device in candidates:
        try:
            session = start(device)
        except BackendError as error:
            failed[device] = str(error)
            continue
        for other, reason in failed.items():
            logger.info("%s does not start: %s", other, reason)
        return session, device
    try:
        if "cpu" not in failed:
            start("cpu")
    except BackendError as error:
        failed["cpu"] = str(error)
    if "cpu" in failed:  # the CPU runs every valid file
        raise ModelError(f"{file}: ONNX Runtime cannot open this model: {failed['cpu']}")
    device, reason = failed.popitem()
    raise BackendError(
        f"`device` {device}: ONNX Runtime could not start it here ({reason}); use `device` cpu", parameter="device"
    )
