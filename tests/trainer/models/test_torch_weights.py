import os
import pickle

import numpy as np
import pytest
from support.torch_files import Tensor, write_torch_file

from acne_runtime.errors import SourceError
from acne_trainer.models.torch_weights import read_torch_weights

RNG = np.random.default_rng(0)
STATE = {
    "conv.weight": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "bn.running_var": RNG.normal(size=4),
    "bn.num_batches_tracked": np.array(7, np.int64),
}
FORMATS = pytest.mark.parametrize("form", ["legacy", "zip"])


class Calls:
    """Pickled, it has whoever unpickles it call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@FORMATS
def test_tensors_come_by_name_as_float32(tmp_path, form):
    read = read_torch_weights(write_torch_file(tmp_path / "w.pth", STATE, form))
    assert list(read) == list(STATE)
    assert {values.dtype.name for values in read.values()} == {"float32"}
    for name, values in STATE.items():
        np.testing.assert_allclose(read[name], values, rtol=1e-6)


@FORMATS
def test_strides_are_followed(tmp_path, form):
    values = np.arange(24, dtype=np.float32)
    state = {
        "transposed": Tensor(values, shape=(4, 6), strides=(1, 4)),
        "part": Tensor(values, shape=(2, 3), strides=(6, 1), offset=7),
    }
    read = read_torch_weights(write_torch_file(tmp_path / "w.pth", state, form))
    np.testing.assert_array_equal(read["transposed"], values.reshape(6, 4).T)
    np.testing.assert_array_equal(read["part"], values.reshape(4, 6)[1:3, 1:4])


@FORMATS
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Calls(os.system, "touch {folder}/executed"), "system"),
        (Calls(eval, "open('{folder}/executed', 'w')"), "eval"),
        (Calls(pickle.loads, b""), "loads"),
        (Calls(getattr, "a", "upper"), "getattr"),
        (np.dtype("float32"), "numpy.dtype"),
    ],
    ids=["system", "eval", "loads", "getattr", "dtype"],
)
def test_what_is_no_tensor_is_refused_and_never_called(tmp_path, form, evil, name):
    if isinstance(evil, Calls):
        function, arguments = evil.call
        evil = Calls(
            function,
            *(argument.format(folder=tmp_path) if isinstance(argument, str) else argument for argument in arguments),
        )
    for state in ({**STATE, "evil": evil}, [evil]):
        file = write_torch_file(tmp_path / "w.pth", state, form)
        with pytest.raises(
            SourceError, match=rf"w\.pth: rejected: it asks for \S*{name}, but weights need tensors only"
        ):
            read_torch_weights(file)
    assert not (tmp_path / "executed").exists()


def test_the_first_pickles_of_the_old_form_are_restricted_too(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Calls(os.system, f"touch {tmp_path}/executed"), 2))
    with pytest.raises(SourceError, match=r"rejected: it asks for \S+system"):
        read_torch_weights(tmp_path / "w.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (Tensor(np.zeros(6, np.float32), shape=(7,), strides=(1,)), "reaches beyond its storage"),
        (Tensor(np.zeros(6, np.float32), shape=(3,), strides=(3,)), "reaches beyond its storage"),
        (Tensor(np.zeros(6, np.float32), shape=(2,), strides=(1,), offset=5), "reaches beyond its storage"),
        (Tensor(np.zeros(6, np.float32), shape=(10**12,), strides=(0,)), "reaches beyond its storage"),
        (Tensor(np.zeros(6, np.float32), shape=(2,), strides=(-1,), offset=5), "invalid storage, offset, shape"),
        (Tensor(np.zeros(6, np.float32), shape=(2, 3), strides=(1,)), "shorter than"),
        (3, "no dictionary of tensors"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(tmp_path, tensor, reason):
    file = write_torch_file(tmp_path / "w.pth", {"w": tensor})
    with pytest.raises(SourceError, match=rf"w\.pth: no weights file of PyTorch \(.*{reason}"):
        read_torch_weights(file)


@FORMATS
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, form):
    file = write_torch_file(tmp_path / "w.pth", STATE, form)
    whole = file.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        file.write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"w\.pth: no weights file of PyTorch"):
            read_torch_weights(file)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x02K\x01.", pickle.dumps({"a": 1})])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(SourceError, match=r"w\.pth: no weights file of PyTorch"):
        read_torch_weights(tmp_path / "w.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"w\.pth: No such file"):
        read_torch_weights(tmp_path / "w.pth")
