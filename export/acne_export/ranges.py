"""The range of every activation, as the trainer saves it in `calibration.json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from acne_export.run_folder import Ranges


def ranges_of(model: keras.Model, tensors: Iterable[NDArray[np.uint8]]) -> Ranges:
    """Returns the least and greatest value at the output of every operation of a Keras graph.

    Args:
        model: A functional model.
        tensors: Inputs `[1, height, width, 3]` uint8 RGB.
    """
    named: dict[str, Any] = {}

    def call(op: Any, *args: Any, **kwargs: Any) -> Any:
        output = op(*args, **kwargs)
        if isinstance(output, keras.KerasTensor):
            named[op.name] = output
        return output

    # Called anew: a layer that a simplified graph shares with its source has outputs in both.
    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    probe = keras.Model(copy.input, named)
    low, high = dict.fromkeys(named, np.inf), dict.fromkeys(named, -np.inf)
    for tensor in tensors:
        for name, output in probe(tensor.astype(np.float32), training=False).items():
            values = np.asarray(output)
            low[name], high[name] = min(low[name], float(values.min())), max(high[name], float(values.max()))
    return {name: (low[name], high[name]) for name in named}
