"""LiteRT (TensorFlow Lite) with XNNPACK."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
from numpy.typing import NDArray

from acne_runtime.backends.tflite_metadata import archived_metadata, read_metadata
from acne_runtime.digest import digest_mismatch
from acne_runtime.errors import BackendError, ModelError, one_line
from acne_runtime.manifest import METADATA_KEY


class LiteRtBackend:
    """A TFLite file opened in LiteRT; see `acne_runtime.backends.base.OpenedFile`."""

    name = "litert"

    def __init__(self, file: Path, device: str, threads: int, delegate: Path | None = None):
        """Opens the file.

        Args:
            file: The model.
            device: `cpu` or `auto`.
            threads: Threads of one inference; 0 leaves the choice to LiteRT.
            delegate: A shared library with a delegate, such as that of an accelerator, used instead of XNNPACK.

        Raises:
            BackendError: The device is another one, or the delegate cannot be loaded.
            ModelError: The file is not a TFLite model, or is corrupt.
        """
        if device not in ("cpu", "auto"):
            raise BackendError(
                f"`device` {device}: LiteRT runs on the CPU or on a `delegate`; use `device` cpu, or `backend` onnx",
                parameter="device",
            )
        self._file, self._threads, self._delegate = file, threads, delegate
        self._content = content = file.read_bytes()
        self.device = delegate.stem if delegate else "cpu"
        try:
            text = read_metadata(content, METADATA_KEY)
            manifest = None if text is None else text.decode("utf-8", "replace")
            if digest_mismatch(content, manifest):  # some corrupt files crash LiteRT
                raise ModelError(f"{file}: corrupt, it differs from the file that was exported; copy it again")
            interpreter = self._start()
            # The names of the outputs are in the signature only.
            signature = interpreter.get_signature_runner()
            (self._input,) = signature.get_input_details().values()
            self._outputs = {name: detail["index"] for name, detail in signature.get_output_details().items()}
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{file}: LiteRT cannot open this model: {one_line(error)}") from error
        self.input_shape: Sequence[int | str] = self._input["shape"].tolist()
        self.input_dtype = np.dtype(self._input["dtype"]).name
        self.outputs: Sequence[str] = list(self._outputs)
        self.manifest_text = manifest
        self.foreign_metadata: Mapping[str, str] = archived_metadata(content) if text is None else {}
        self._idle = [interpreter]

    def _start(self) -> Interpreter:
        delegates = [_load_delegate(self._delegate)] if self._delegate else None
        interpreter = Interpreter(
            model_content=self._content, num_threads=self._threads or None, experimental_delegates=delegates
        )
        interpreter.allocate_tensors()
        return interpreter

    def run(self, tensor: NDArray[np.uint8 | np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Returns all outputs by name, float32.

        Thread-safe: an interpreter runs one call at a time, so as many are started as there are calls at once.

        Raises:
            ModelError: The tensor does not match the model's input.
        """
        try:
            interpreter = self._idle.pop()  # atomic
        except IndexError:
            interpreter = self._start()
        try:
            interpreter.set_tensor(self._input["index"], tensor)
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in self._outputs.items()}
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self._file}: LiteRT rejects the input: {one_line(error)}") from error
        finally:
            self._idle.append(interpreter)


def _load_delegate(delegate: Path) -> Any:
    # The bare name of a file in this folder would be searched among the system's libraries.
    library = str(delegate.absolute() if delegate.is_file() else delegate)
    try:
        loaded = ctypes.CDLL(library)  # for a library that does not load, LiteRT prints a traceback
        if not hasattr(loaded, "tflite_plugin_destroy_delegate"):
            raise ValueError("not a LiteRT delegate")
        return load_delegate(library)
    except (ValueError, OSError, RuntimeError) as error:
        raise BackendError(
            f"`delegate` {delegate}: cannot be loaded ({one_line(error)})", parameter="delegate"
        ) from error
