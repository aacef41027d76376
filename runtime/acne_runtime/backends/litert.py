"""LiteRT (TensorFlow Lite) with XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from acne_runtime.backends.tflite_metadata import read_metadata
from acne_runtime.errors import BackendError, ModelError
from acne_runtime.manifest import METADATA_KEY

SUFFIX = ".tflite"


class LiteRtBackend:
    """A TFLite file opened in LiteRT; see `acne_runtime.backends.base.Backend`."""

    name = "litert"
    device = "cpu"

    def __init__(self, file: Path, device: str, threads: int):
        """Opens the file.

        Args:
            file: The model.
            device: `cpu` or `auto`.
            threads: Threads of one inference; 0 leaves it to LiteRT.

        Raises:
            BackendError: Another device was asked for.
            ModelError: The file is no TFLite model.
        """
        if device not in ("cpu", "auto"):
            raise BackendError(f"--device {device}: LiteRT runs on the CPU here; use --device cpu, or --backend onnx")
        content = file.read_bytes()
        try:
            text = read_metadata(content, METADATA_KEY)
            self._interpreter = Interpreter(model_content=content, num_threads=threads or None)
            self._interpreter.allocate_tensors()
            # The signature knows the outputs' names, which the graph itself does not keep.
            signature = self._interpreter.get_signature_runner()
            (self._input,) = signature.get_input_details().values()
            self._outputs = {name: detail["index"] for name, detail in signature.get_output_details().items()}
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{file}: LiteRT cannot open this model: {error}") from error
        self.manifest_text: str | None = None if text is None else text.decode("utf-8", "replace")
        self._lock = Lock()

    def run(self, tensor: NDArray[np.uint8 | np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs, float32, by name. Calls from several threads wait for each other.

        Raises:
            ModelError: The tensor does not fit the file's input.
        """
        with self._lock:
            try:
                self._interpreter.set_tensor(self._input["index"], tensor)
                self._interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"LiteRT refuses the input: {error}") from error
            return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}
