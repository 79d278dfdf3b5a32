"""What a pickle names is never run, whatever it names."""

import pickle

import numpy as np
import pytest
import torch

from zoo.errors import UserError
from zoo.unpickle import KNOWN, Inert, as_tensor, read_pickle, read_torch


class Call:
    """Pickled as a call of any function."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self):
        return self.call


def written(tmp_path, content, write=pickle.dumps):
    (tmp_path / "w.pkl").write_bytes(write(content))
    return tmp_path / "w.pkl"


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i4", "i8", "u1", "b1", "c8", ">f4", "<i2"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_kind_of_number(tmp_path, kind, protocol):
    arrays = [
        np.arange(6).astype(kind),
        np.arange(6).astype(kind).reshape(2, 3).T,
        np.array(1, kind),
        np.zeros((0, 2), kind),
    ]
    found = read_pickle(written(tmp_path, arrays, lambda content: pickle.dumps(content, protocol)))
    for given, array in zip(found, arrays, strict=True):
        assert (
            as_tensor(given).numpy().tobytes() == np.ascontiguousarray(array, array.dtype.newbyteorder("=")).tobytes()
        )
        assert as_tensor(given).shape == array.shape


@pytest.mark.parametrize("array", [
    np.array(["a"]), np.array([None]), np.array([1], "M8[s]"), np.zeros(2, [("a", "f4"), ("b", "O")]),
    np.zeros(2, np.longdouble),
])  # fmt: skip
def test_other_arrays_are_no_tensors(tmp_path, array):
    assert as_tensor(read_pickle(written(tmp_path, array))) is None
    torch.save({"a": array}, tmp_path / "w.pth")
    assert as_tensor(read_torch(tmp_path / "w.pth")["a"]) is None


def test_getattr_and_paths_are_not_called(tmp_path):
    content = [Call(getattr, "word", "upper"), Call(pickle.PickleBuffer, b"")]
    path = written(tmp_path, content[:1])
    assert type(read_pickle(path)[0]) is Inert
    with pytest.raises(UserError, match=r"holds more than weights \(pickle.PickleBuffer\)"):
        read_pickle(written(tmp_path, content))


@pytest.mark.parametrize("function", [print, exec, eval, torch.load, torch.hub.load, np.load, pickle.loads])
def test_no_function_is_called_that_is_not_on_the_list(tmp_path, capsys, function):
    for write in (pickle.dumps, lambda content: pickle.dumps(content, 2)):
        with pytest.raises(UserError, match="holds more than weights"):
            read_pickle(written(tmp_path, {"a": Call(function, "print('ran')")}, write))
    torch.save({"a": Call(function, "print('ran')")}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds more than weights"):
        read_torch(tmp_path / "w.pth")
    assert not capsys.readouterr().out


def test_the_list_holds_nothing_that_runs():
    ours = {value for value in KNOWN.values() if getattr(value, "__module__", "") != "zoo.unpickle"}
    assert {value.__qualname__ for value in ours} == {"OrderedDict"}


def test_torchs_list_is_as_it_was_after_reading(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.save({"a": np.float64(1)}, tmp_path / "w.pth")
    read_torch(tmp_path / "w.pth")
    assert torch.serialization.get_safe_globals() == before
