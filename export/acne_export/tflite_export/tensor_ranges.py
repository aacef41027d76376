"""Writes activation ranges into a float32 TFLite file, as calibration on photographs would."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

from acne_export.golden.image import synthetic_skin
from acne_export.quantization.fake_quant import needs_range
from acne_export.run_folder import Ranges
from acne_runtime.backends.keras import activation_extremes
from acne_runtime.errors import ModelError

_ALIKE = 1e-4
"""Tensors whose minima and maxima on one image differ by less, relative to their range, are the same tensor."""


def add_tensor_ranges(file: bytes, model: keras.Model, ranges: Ranges) -> bytes:
    """Returns the file with the minimum and maximum of each activation in it.

    The converter's tensors do not have Keras' names. But for one image both graphs hold the same values: a tensor takes
    the range of the Keras operation of its size, minimum and maximum.

    Args:
        file: A float32 TFLite file of the model.
        model: The simplified model.
        ranges: The range of at least every operation that computes new values.

    Raises:
        ModelError: An operation has no range.
    """
    height, width = model.inputs[0].shape[1:3]
    image = synthetic_skin(height, width)
    here = activation_extremes(model, [image])
    sizes = {op.name: int(np.prod(op.output.shape)) for op in model.operations if op.name in here}
    missing = [op.name for op in model.operations if op.name in here and op.name not in ranges and needs_range(op)]
    if missing:
        raise ModelError(f"calibration.json has no range for {missing[0]!r}: it belongs to another model")
    known = [(sizes[name], here[name], ranges[name]) for name in here if name in ranges]
    known.append((image.size, (float(image.min()), float(image.max())), (0.0, 255.0)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that this is for debugging only
        interpreter = Interpreter(model_content=file, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    spec = interpreter.get_input_details()[0]
    interpreter.set_tensor(spec["index"], image.astype(spec["dtype"]))
    interpreter.invoke()
    graph = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    _separate_constants(graph)
    for operator in graph.subgraphs[0].operators:
        for index in operator.outputs:
            tensor = graph.subgraphs[0].tensors[index]
            values = interpreter.get_tensor(index)
            if values.dtype == np.float32:
                low, high = _range(values, known)
                tensor.quantization = flatbuffer_utils.schema_fb.QuantizationParametersT()
                tensor.quantization.min, tensor.quantization.max = [low], [high]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(graph))


def _separate_constants(graph: Any) -> None:
    """Gives each operation constants of its own.

    The converter keeps equal ones once; but the quantizer stores a bias in steps that its operation's input decides.
    """
    (subgraph,) = graph.subgraphs
    seen: set[int] = set()
    for operator in subgraph.operators:
        for position, index in enumerate(operator.inputs):
            if index < 0 or graph.buffers[subgraph.tensors[index].buffer].data is None:
                continue
            if index in seen:
                tensor = copy.deepcopy(subgraph.tensors[index])
                graph.buffers.append(copy.deepcopy(graph.buffers[tensor.buffer]))
                tensor.buffer = len(graph.buffers) - 1
                subgraph.tensors.append(tensor)
                operator.inputs[position] = len(subgraph.tensors) - 1
            seen.add(index)


def _range(
    values: NDArray[np.float32], known: list[tuple[int, tuple[float, float], tuple[float, float]]]
) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    tolerance = _ALIKE * max(high - low, 1e-6)
    alike = [
        everywhere
        for size, here, everywhere in known
        if size == values.size and abs(here[0] - low) < tolerance and abs(here[1] - high) < tolerance
    ]
    if alike:
        lowest = min(0.0, *(known_range[0] for known_range in alike))
        highest = max(0.0, *(known_range[1] for known_range in alike))
        return lowest, highest if highest > lowest else 1.0  # units that never fired: any range will do
    if low >= 0 and high <= 1:  # the sigmoid inside a swish is no operation of Keras' own
        return 0.0, 1.0
    return min(2 * low, 0.0), max(2 * high, 0.0)  # a step between two operations: int16 has room for twice as much
