"""Writes files in the form of torch/torch7 (File.lua), for the tests: the inverse of what `torchfile` reads."""

import struct

import numpy as np

CLASSES = {"u1": "Byte", "i1": "Char", "i2": "Short", "i4": "Int", "i8": "Long", "f4": "Float", "f8": "Double"}


def write(path, value):
    """Write a dict, list, text, number, bool, None or array. Lists become tables with the keys 1 to n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_parts(value, {})))
    return path


def _parts(value, seen):
    if value is None:
        yield struct.pack("<i", 0)
    elif isinstance(value, bool):
        yield struct.pack("<ii", 5, value)
    elif isinstance(value, int | float):
        yield struct.pack("<id", 1, value)
    elif isinstance(value, str):
        yield struct.pack("<i", 2) + _string(value)
    elif id(value) in seen:
        yield struct.pack("<ii", 4 if isinstance(value, np.ndarray) else 3, seen[id(value)])
    elif isinstance(value, dict | list):
        items = value if isinstance(value, dict) else {place + 1: item for place, item in enumerate(value)}
        seen[id(value)] = len(seen) + 1
        yield struct.pack("<iii", 3, seen[id(value)], len(items))
        for key, item in items.items():
            yield from _parts(key, seen)
            yield from _parts(item, seen)
    else:
        kind = CLASSES[value.dtype.str[1:]]
        seen[id(value)] = len(seen) + 1
        strides = [stride // value.itemsize for stride in np.ascontiguousarray(value).strides]
        yield struct.pack("<ii", 4, seen[id(value)]) + _string("V 1") + _string(f"torch.{kind}Tensor")
        yield struct.pack(f"<i{2 * value.ndim + 1}q", value.ndim, *value.shape, *strides, 1)
        seen[id(seen) + len(seen)] = len(seen) + 1  # the memory is an object of its own
        yield struct.pack("<ii", 4, len(seen)) + _string("V 1") + _string(f"torch.{kind}Storage")
        yield struct.pack("<q", value.size) + value.tobytes()


def _string(text):
    return struct.pack("<i", len(text.encode())) + text.encode()
