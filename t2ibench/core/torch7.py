"""Files of Torch 7 (`.t7`) read as data: tables, texts, numbers and tensors. No code of a file is run.

The binary form of torch/torch7 (File.lua, generic/Tensor.c, generic/Storage.c), little-endian. Sizes have 8 bytes, or 4
in files from Windows or a 32-bit machine. Objects of other classes, such as the layers of a network, are read as a name
and a table if the caller expects them. Functions are refused.
"""

import contextlib
import math
import struct
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN, FUNCTIONS = 0, 1, 2, 3, 4, 5, (6, 7, 8)
KINDS = {
    "Byte": "<u1",
    "Char": "<i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Float": "<f4",
    "Double": "<f8",
    "Cuda": "<f4",
}
STORAGES = {f"torch.{kind}Storage": np.dtype(code) for kind, code in KINDS.items()}
TENSORS = {f"torch.{kind}Tensor": np.dtype(code) for kind, code in KINDS.items()}
MOST_AXES = 32


class Table(dict):
    """A table of Lua. Keys that are whole numbers are int; a table may hold itself, also as a key."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def listed(self) -> list[Any]:
        """The values of a table with the keys 1 to n, in their order. Raises ValueError for other keys."""
        if set(self) != set(range(1, len(self) + 1)):
            raise ValueError(f"a table with the keys {', '.join(map(repr, list(self)[:4]))}, expected 1 to n")
        return [self[key] for key in range(1, len(self) + 1)]


class Object(Table):
    """An object of a class that is no tensor: the fields of its table.

    name: of its class.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def read(path: Path, expected: str, known: Callable[[str], bool] = lambda name: False) -> Any:
    """The content of a file: Table, str, float or int, bool, None, Object, or an array of numpy for a tensor.

    expected: what the file should be, for the error text.
    known: whether an object of this class may occur.
    Raises UserError for a file that is missing, cut short or damaged, and for a class that may not occur.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}), expected {expected}") from error
    reader = _Reader(content, known, "q")
    try:
        return reader.whole()
    except (_ForeignError, ValueError, struct.error) as error:
        with contextlib.suppress(_ForeignError, ValueError, struct.error):
            return _Reader(content, known, "i").whole()
        if isinstance(error, _ForeignError):
            advice = f"which {expected} does not need: use a file that you can trust"
            raise UserError(f"{path}: {error}, {advice}") from error
        raise UserError(
            f"{path}: no whole Torch 7 file in its {len(content):,} bytes ({error} at byte {reader.at:,}), expected "
            f"{expected}: get the file again"
        ) from error


class _ForeignError(Exception):
    pass


Reading = Generator["Reading", Any, Any]  # gives what is to be read first, gets that value, and returns its own


class _Reader:
    """Reads one value after the other.

    at: the byte where the next begins. long: the form of a size, "q" for 8 bytes or "i" for 4.
    """

    def __init__(self, content: bytes, known: Callable[[str], bool], long: str) -> None:
        self.content, self.known, self.long, self.at = content, known, long, 0
        self.objects: dict[int, Any] = {}  # by the index that back references name

    def whole(self) -> Any:
        """The value of a whole file. Graphs of networks nest as deep as texts are long, so no function calls itself."""
        running, value = [self._value()], None
        while running:
            try:
                running.append(running[-1].send(value))
                value = None
            except StopIteration as done:
                running.pop()
                value = done.value
        if self.at != len(self.content):
            raise ValueError(f"{len(self.content) - self.at:,} bytes are left after its end")
        return value

    def _value(self) -> Reading:
        kind = self._int()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return _whole(self._unpack("<d"))
        if kind == STRING:
            return self._string()
        if kind == BOOLEAN:
            return self._int() == 1
        if kind in FUNCTIONS:
            raise _ForeignError("holds a function of Lua")
        if kind not in (TABLE, TORCH):
            raise ValueError(f"no value is of the kind {kind}")
        index = self._int()
        if index in self.objects:
            return self.objects[index]
        return (yield self._table(index, Table()) if kind == TABLE else self._object(index))

    def _table(self, index: int, table: Table) -> Reading:
        self.objects[index] = table  # before its members, since it may hold itself
        count = self._int()
        if count < 0:
            raise ValueError(f"a table of {count} entries")
        for _ in range(count):
            key = yield self._value()
            value = yield self._value()
            if not isinstance(key, str | int | float | Table):
                raise ValueError(f"a key is {type(key).__name__}")
            table[key] = value
        return table

    def _object(self, index: int) -> Reading:
        name = self._string()
        if name.startswith("V "):  # a version, behind which the class stands
            name = self._string()
        if name in STORAGES:
            self.objects[index] = self._storage(STORAGES[name])
        elif name in TENSORS:
            self.objects[index] = yield self._tensor(TENSORS[name])
        elif self.known(name):
            thing = self.objects[index] = Object(name)
            fields = yield self._value()
            if not isinstance(fields, Table):
                raise ValueError(f"{name} holds {type(fields).__name__}, expected a table")
            thing.update(fields)
        else:
            raise _ForeignError(f"holds an object of {name[:80]!r}")
        return self.objects[index]

    def _storage(self, dtype: np.dtype[Any]) -> np.ndarray:
        length = self._unpack(f"<{self.long}")
        return np.frombuffer(self._take(length * dtype.itemsize), dtype)

    def _tensor(self, dtype: np.dtype[Any]) -> Reading:
        axes = self._int()
        if not 0 <= axes <= MOST_AXES:
            raise ValueError(f"a tensor of {axes} axes")
        shape, strides = (self._sizes(axes) for _ in range(2))
        [offset] = self._sizes(1)
        offset -= 1
        storage = yield self._value()
        if storage is None or axes == 0 or 0 in shape:
            return np.zeros(shape if axes else 0, dtype)
        if not isinstance(storage, np.ndarray) or storage.dtype != dtype:
            raise ValueError(f"the memory of a tensor of {dtype} is something else")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if min(*shape, *strides, offset) < 0 or last >= len(storage) or math.prod(shape) > len(storage):
            raise ValueError(f"a tensor of {list(shape)} reaches beyond its memory of {len(storage):,} values")
        strided = np.lib.stride_tricks.as_strided(
            storage[offset:], shape, [stride * dtype.itemsize for stride in strides]
        )
        return np.ascontiguousarray(strided)

    def _int(self) -> int:
        return self._unpack("<i")

    def _string(self) -> str:
        return bytes(self._take(self._int())).decode("utf-8", "replace")

    def _sizes(self, count: int) -> tuple[int, ...]:
        form = f"<{count}{self.long}"
        return struct.unpack(form, self._take(struct.calcsize(form)))

    def _unpack(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, count: int) -> memoryview:
        if not 0 <= count <= len(self.content) - self.at:
            raise ValueError(f"{count:,} bytes are asked for, {len(self.content) - self.at:,} are left")
        part = memoryview(self.content)[self.at : self.at + count]
        self.at += count
        return part


def _whole(number: float) -> float | int:
    """A number of Lua, which are all floats, as int where it is whole."""
    return int(number) if math.isfinite(number) and number == int(number) else number
