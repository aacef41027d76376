"""Weights files as PyTorch writes them, made without it."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STORAGES = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage"}


class Tensor:
    """A tensor to write: its numbers, and how the file says they are laid out."""

    def __init__(self, values, shape=None, strides=None, offset=0):
        self.values = np.array(values, order="C")
        self.shape = self.values.shape if shape is None else shape
        whole = [stride // self.values.itemsize for stride in self.values.strides]
        self.strides, self.offset = tuple(whole if strides is None else strides), offset

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(self.values), self.offset, self.shape, self.strides, False, OrderedDict())


class Storage:
    def __init__(self, values):
        self.values = values


class Pickler(pickle.Pickler):
    def __init__(self, stream):
        super().__init__(stream, protocol=2)
        self.storages = {}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = value.values
        kind = getattr(sys.modules["torch"], STORAGES[value.values.dtype.name])
        return "storage", kind, key, "cpu", value.values.size


@contextmanager
def torch_to_name():
    """Has `torch` importable for as long as a file is pickled, by name only."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        raise NotImplementedError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write_torch_file(file, state, form="legacy"):
    """Writes a state dict, of arrays or of anything that shall be pickled in their place."""
    if isinstance(state, dict):
        items = ((name, Tensor(one) if isinstance(one, np.ndarray) else one) for name, one in state.items())
        state = OrderedDict(items)
    stream = io.BytesIO()
    with torch_to_name():
        pickler = Pickler(stream)
        pickler.dump(state)
    storages = {key: np.ascontiguousarray(values).tobytes() for key, values in pickler.storages.items()}
    if form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("weights/data.pkl", stream.getvalue())
            for key, values in storages.items():
                archive.writestr(f"weights/data/{key}", values)
        return file
    head = b"".join(pickle.dumps(one, 2) for one in (MAGIC_NUMBER, 1001, {"little_endian": True}))
    tail = b"".join(struct.pack("<q", pickler.storages[key].size) + values for key, values in storages.items())
    file.write_bytes(head + stream.getvalue() + pickle.dumps(list(storages), 2) + tail)
    return file
