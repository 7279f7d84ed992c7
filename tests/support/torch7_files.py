"""Writes files in the form of torch/torch7 (File.lua), for the tests: the inverse of what `torchfile` reads."""

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CLASSES = {"u1": "Byte", "i1": "Char", "i2": "Short", "i4": "Int", "i8": "Long", "f4": "Float", "f8": "Double"}


@dataclass(eq=False)
class Thing:
    """An object of a class, such as `nn.Linear`, with the fields of its table."""

    name: str
    fields: dict[str, Any]
    version: str = "V 1"


@dataclass(eq=False)
class Memory:
    """The memory that tensors of a network share, as `getParameters` leaves it: float32, or float64."""

    kind: str = "Float"
    values: list[np.ndarray] = field(default_factory=list)

    def tensor(self, value):
        """A tensor of these numbers that lies behind those that came before."""
        offset = sum(part.size for part in self.values)
        self.values.append(np.asarray(value, {"Double": np.float64}.get(self.kind, np.float32)).ravel())
        return View(self, np.shape(value), offset)


@dataclass(eq=False)
class View:
    memory: Memory
    shape: tuple[int, ...]
    offset: int


def write(path, value, long="q"):
    """Write a dict, list, text, number, bool, None, array, `Thing` or `View`. Lists become tables with the keys 1 to n.

    long: "q", or "i" for the files of 32-bit machines.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_flat(_parts(value, {}, long))))
    return path


def _flat(parts):
    """The bytes of parts and of parts inside them, however deep."""
    running = [parts]
    while running:
        part = next(running[-1], None)
        if part is None:
            running.pop()
        elif isinstance(part, bytes):
            yield part
        else:
            running.append(part)


def _parts(value, seen, long):
    if value is None:
        yield struct.pack("<i", 0)
    elif isinstance(value, bool):
        yield struct.pack("<ii", 5, value)
    elif isinstance(value, int | float):
        yield struct.pack("<id", 1, value)
    elif isinstance(value, str):
        yield struct.pack("<i", 2) + _string(value)
    elif id(value) in seen:
        yield struct.pack("<ii", 3 if isinstance(value, dict | list) else 4, seen[id(value)])
    elif isinstance(value, dict | list):
        items = value if isinstance(value, dict) else {place + 1: item for place, item in enumerate(value)}
        seen[id(value)] = len(seen) + 1
        yield struct.pack("<iii", 3, seen[id(value)], len(items))
        for key, item in items.items():
            yield _parts(key, seen, long)
            yield _parts(item, seen, long)
    elif isinstance(value, Thing):
        seen[id(value)] = len(seen) + 1
        yield struct.pack("<ii", 4, seen[id(value)]) + _string(value.version) + _string(value.name)
        yield _parts(value.fields, seen, long)
    elif isinstance(value, View):
        seen[id(value)] = len(seen) + 1
        strides = [int(np.prod(value.shape[axis + 1 :])) for axis in range(len(value.shape))]
        yield struct.pack("<ii", 4, seen[id(value)]) + _string("V 1") + _string(f"torch.{value.memory.kind}Tensor")
        form = f"<i{2 * len(value.shape) + 1}{long}"
        yield struct.pack(form, len(value.shape), *value.shape, *strides, value.offset + 1)
        yield _parts(value.memory, seen, long)
    elif isinstance(value, Memory):
        seen[id(value)] = len(seen) + 1
        yield struct.pack("<ii", 4, seen[id(value)]) + _string("V 1") + _string(f"torch.{value.kind}Storage")
        numbers = np.concatenate(value.values)
        yield struct.pack(f"<{long}", numbers.size) + numbers.tobytes()
    else:
        kind = CLASSES[value.dtype.str[1:]]
        seen[id(value)] = len(seen) + 1
        strides = [stride // value.itemsize for stride in np.ascontiguousarray(value).strides]
        yield struct.pack("<ii", 4, seen[id(value)]) + _string("V 1") + _string(f"torch.{kind}Tensor")
        yield struct.pack(f"<i{2 * value.ndim + 1}{long}", value.ndim, *value.shape, *strides, 1)
        seen[id(seen) + len(seen)] = len(seen) + 1  # the memory is an object of its own
        yield struct.pack("<ii", 4, len(seen)) + _string("V 1") + _string(f"torch.{kind}Storage")
        yield struct.pack(f"<{long}", value.size) + value.tobytes()


def _string(text):
    return struct.pack("<i", len(text.encode())) + text.encode()
