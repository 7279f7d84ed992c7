"""core/torch7.py: files that Torch wrote, files of our own read equally by `torchfile`, and files that are broken."""

import math
from pathlib import Path

import numpy as np
import pytest
from torch7_files import write

from t2ibench.core import torch7
from t2ibench.core.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "torch7"  # written by Torch; from python-torchfile
EVERYTHING = {
    "img": "001.Bird/one.jpg",
    "char": np.arange(12, dtype=np.float64).reshape(4, 3),
    "codes": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
    "more": [1, 2.5, True, None, {"deep": np.array([-3, 2**40], np.int64)}],
    "short": np.array([-7], np.int16),
}


def read(path, **more):
    return torch7.read(path, "a table of captions", **more)


def test_files_of_torch_give_what_torch_wrote():
    floats = read(GOLDEN / "floattensor.t7")
    assert (floats.shape, floats.dtype) == ((2, 3, 4), np.float32)
    assert math.isclose(floats.sum(dtype=np.float64), 12.97241666913, abs_tol=1e-5)
    assert read(GOLDEN / "doubletensor.t7").tolist() == [[1, 2, 3], [4, 5, 6.9]]
    assert read(GOLDEN / "list_table.t7").listed() == ["hello", "world", "third item", 123]
    itself = read(GOLDEN / "recursive_kv_table.t7")
    [(key, value)] = itself.items()
    assert key is itself
    assert value is itself


@pytest.mark.parametrize("name", ["floattensor", "doubletensor", "list_table", "map_table2", "written"])
def test_torchfile_reads_the_same(name, tmp_path):
    torchfile = pytest.importorskip("torchfile", reason="the extra dev-all brings torchfile")
    path = write(tmp_path / "written.t7", EVERYTHING) if name == "written" else GOLDEN / f"{name}.t7"
    theirs = torchfile.load(str(path))
    assert plain(theirs) == plain(read(path))


def plain(value):
    """Tables of either reader as dicts, tensors as lists."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return {place + 1: plain(item) for place, item in enumerate(value)}
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tolist()
    return value.decode() if isinstance(value, bytes) else value


def test_a_back_reference_is_the_same_table(tmp_path):
    shared = {"a": 1}
    table = read(write(tmp_path / "x.t7", {"first": shared, "second": shared}))
    assert table["first"] is table["second"]


def test_an_object_is_read_as_its_table_only_if_its_class_is_expected(tmp_path):
    path = GOLDEN / "recursive_class.t7"
    with pytest.raises(UserError, match="holds an object of"):
        read(path)
    thing = read(path, known=lambda name: True)
    assert isinstance(thing, torch7.Object)
    assert any(value is thing for value in thing.values())


def test_a_function_is_refused():
    with pytest.raises(UserError, match=r"function\.t7: holds a function of Lua, which a table of captions"):
        read(GOLDEN / "function.t7")


def test_every_cut_of_a_file_is_one_line(tmp_path):
    whole = write(tmp_path / "whole.t7", EVERYTHING).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.t7").write_bytes(whole[:length])
        with pytest.raises(UserError, match="no whole Torch 7 file") as error:
            read(tmp_path / "cut.t7")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 9, "no value is of the kind 9"),
        (4 + 4 + 7 + 20 + 4, 5, r"reaches beyond its memory of 4 values"),  # the first axis of the tensor
        (4 + 4 + 7 + 20, 99, "a tensor of 99 axes"),
    ],
)
def test_a_damaged_file_is_named_with_its_damage(tmp_path, place, value, message):
    path = write(tmp_path / "x.t7", np.zeros((2, 2), np.float64))
    content = bytearray(path.read_bytes())
    at = place if not place else content.index(b"Tensor") + 6 + (place - 35)
    content[at : at + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(path)


def test_bytes_after_the_end_and_a_missing_file_are_errors(tmp_path):
    path = write(tmp_path / "x.t7", "text")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match="1 bytes are left after its end"):
        read(path)
    with pytest.raises(UserError, match=r"gone\.t7 cannot be read"):
        read(tmp_path / "gone.t7")
