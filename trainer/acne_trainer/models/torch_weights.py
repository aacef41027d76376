"""Reads the tensors of a PyTorch weights file: without PyTorch, and without running what the file holds.

Such a file is a pickle, which may call any function. This unpickler admits what a state dict needs and nothing else:
`collections.OrderedDict`, `torch._utils._rebuild_tensor_v2` and PyTorch's storage classes.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError, one_line

_STORAGE_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""First pickle of PyTorch's format before 1.6 (`torch.serialization.MAGIC_NUMBER`)."""


@dataclass(slots=True)
class _Storage:
    """A block of numbers that tensors are views of.

    Attributes:
        dtype: Of its numbers.
        count: How many there are.
        values: `[count]`; empty until the file's own part with them is read.
    """

    dtype: np.dtype[Any]
    count: int
    values: NDArray[Any] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """Stands for `torch._utils._rebuild_tensor_v2`."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a tensor has an invalid storage, offset, shape or stride")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors only.

    Attributes:
        storages: By the file's own keys, those that tensors named so far.
    """

    def __init__(self, stream: BinaryIO, file: Path):
        super().__init__(stream)
        self._file = file
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return np.dtype(_STORAGE_DTYPES[name])
        raise SourceError(f"{self._file}: rejected: it asks for {module}.{name}, but weights need tensors only")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(count, int) or count < 0:
            raise ValueError("an invalid storage")
        return self.storages.setdefault(str(key), _Storage(dtype, count))


def read_torch_weights(file: Path) -> dict[str, NDArray[np.float32]]:
    """Reads a state dict that `torch.save` wrote, in the format before or since PyTorch 1.6.

    Args:
        file: `.pth` or `.pt`.

    Returns:
        The tensors by name, in the file's order, as float32.

    Raises:
        SourceError: The file is missing, is no state dict of plain tensors, or asks for anything but tensors.
    """
    try:
        with file.open("rb") as stream:
            tensors = _read_zip(stream, file) if zipfile.is_zipfile(stream) else _read_legacy(stream, file)
            if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
                raise ValueError("no dictionary of tensors")
            return {str(name): _array(tensor) for name, tensor in tensors.items()}
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror or error}") from None
    except SourceError:
        raise
    except Exception as error:  # a corrupt pickle fails in any way
        reason = one_line(error)
        raise SourceError(f"{file}: no weights file of PyTorch ({reason})") from None


def _read_legacy(stream: BinaryIO, file: Path) -> Any:
    """Reads magic number, version, system, state dict and storage keys, each a pickle, then the storages themselves."""
    stream.seek(0)
    if _Unpickler(stream, file).load() != _MAGIC_NUMBER:
        raise ValueError("another magic number")
    _Unpickler(stream, file).load()
    _Unpickler(stream, file).load()
    unpickler = _Unpickler(stream, file)
    tensors = unpickler.load()
    for key in _Unpickler(stream, file).load():
        storage = unpickler.storages[key]
        (count,) = struct.unpack("<q", stream.read(8))
        if count != storage.count:
            raise ValueError(f"a storage has {count} numbers instead of {storage.count}")
        _fill(storage, stream, file.stat().st_size)
    return tensors


def _read_zip(stream: BinaryIO, file: Path) -> Any:
    with zipfile.ZipFile(stream) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        unpickler = _Unpickler(io.BytesIO(archive.read(pickled)), file)
        tensors = unpickler.load()
        for key, storage in unpickler.storages.items():
            member = archive.getinfo(f"{pickled.removesuffix('data.pkl')}data/{key}")
            with archive.open(member) as part:
                _fill(storage, part, member.file_size)
    return tensors


def _fill(storage: _Storage, stream: Any, available: int) -> None:
    size = storage.count * storage.dtype.itemsize
    if size > available:  # before so much memory is asked for
        raise ValueError("it is truncated")
    storage.values = np.frombuffer(stream.read(size), storage.dtype, storage.count)


def _array(tensor: _Tensor) -> NDArray[np.float32]:
    values = tensor.storage.values
    last = tensor.offset + sum(
        (length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    # The first keeps it within the storage's memory, the second from growing beyond it: a stride may be 0.
    if 0 in tensor.shape or last >= len(values) or math.prod(tensor.shape) > len(values):
        raise ValueError("a tensor is empty or reaches beyond its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.array(np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides), np.float32)
