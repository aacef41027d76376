"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from acne_runtime.digest import digest_mismatch
from acne_runtime.errors import BackendError, ModelError
from acne_runtime.manifest import METADATA_KEY

_SUFFIX = "ExecutionProvider"
_NOT_LOCAL = frozenset({"azure"})
"""Sends pictures over the network, which nothing here does."""
_SLOW_TO_START = frozenset({"tensorrt"})
"""Builds an engine for minutes; only for those who ask for it."""
_WAYS_OUT = {"cuda": "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"}


def devices() -> dict[str, str]:
    """Returns the installed build's execution providers by the name that `--device` takes, best first."""
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
            threads: Threads of one inference; 0 leaves it to ONNX Runtime.

        Raises:
            BackendError: The device is not in this build of ONNX Runtime, or does not start.
            ModelError: The file is no ONNX model.
        """
        there = devices()
        if device != "auto" and device not in there:
            raise BackendError(
                f"--device {device}: the installed ONNX Runtime has {', '.join(there)}; use --device cpu, or "
                + _WAYS_OUT.get(device, "install a build of ONNX Runtime that has it")
            )
        wanted = [device] if device != "auto" else [name for name in there if name not in _SLOW_TO_START]
        self.passed_over: Mapping[str, str]
        self._session, self.device, self.passed_over = _first_that_starts(file, wanted, there, threads)
        self._file = file
        try:
            (given,) = self._session.get_inputs()
            self._input = given.name
            self.input_shape: Sequence[int | str] = given.shape
            self.outputs: Sequence[str] = [output.name for output in self._session.get_outputs()]
            self.foreign_metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except ValueError as error:  # not one input, or text that is no UTF-8
            raise ModelError(f"{file}: ONNX Runtime cannot open this model: {_first_line(error)}") from error
        self.manifest_text: str | None = self.foreign_metadata.get(METADATA_KEY)
        if digest_mismatch(file.read_bytes(), self.manifest_text):
            raise ModelError(f"{file}: damaged, it is not the file that was exported; copy it again")

    def run(self, tensor: NDArray[np.uint8 | np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs, float32, by name.

        Raises:
            ModelError: The tensor does not fit the file's input.
        """
        try:
            outputs = self._session.run(self.outputs, {self._input: tensor})
        except Exception as error:  # as above
            raise ModelError(f"{self._file}: ONNX Runtime refuses the input: {_first_line(error)}") from error
        return dict(zip(self.outputs, outputs, strict=True))


def _first_that_starts(
    file: Path, wanted: Sequence[str], there: Mapping[str, str], threads: int
) -> tuple[onnxruntime.InferenceSession, str, dict[str, str]]:
    """Returns a session, the device it runs on, and why those before it did not start."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads wait for work by spinning, on the cores that the time between two inferences needs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # errors; its warnings concern those who build models, not those who run them

    def session_on(device: str) -> onnxruntime.InferenceSession:
        try:
            session = onnxruntime.InferenceSession(file, options, providers=[there[device]], enable_fallback=0)
        except Exception as error:  # ONNX Runtime's errors share no narrower class
            raise BackendError(_first_line(error)) from error
        if there[device] not in session.get_providers():
            raise BackendError("its libraries are missing or too old")
        return session

    failed: dict[str, str] = {}
    for device in wanted:
        try:
            return session_on(device), device, failed
        except BackendError as error:
            failed[device] = str(error)
    try:
        if "cpu" not in failed:
            session_on("cpu")
    except BackendError as error:
        failed["cpu"] = str(error)
    if "cpu" in failed:  # which runs every sound file
        raise ModelError(f"{file}: ONNX Runtime cannot open this model: {failed['cpu']}")
    device, why = failed.popitem()
    raise BackendError(f"--device {device}: ONNX Runtime could not start it here ({why}); use --device cpu")


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()[:1]
    return "".join(one if one.isprintable() else " " for one in said[0]) if said else type(error).__name__
