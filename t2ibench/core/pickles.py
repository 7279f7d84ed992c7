"""Pickles read as data. Nothing that a pickle asks for is imported, called or executed.

Each class or function that a pickle names is replaced by a subclass of `Record`, which keeps its arguments, items and
state. Names that the caller does not expect are refused. Tensors and arrays are made later, from the records that the
caller chooses.
"""

import io
import math
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError

STORAGE = "torch.storage._load_from_bytes"
TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")  # arrays, by protocol 5
SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
CONTAINERS = ("collections.OrderedDict", "builtins.set", "__builtin__.set")
ENCODED = "_codecs.encode"  # how protocol 2 stores bytes
NUMPY = frozenset((*ARRAYS, *BUFFERS, *SCALARS, ENCODED, "numpy.dtype", "numpy.ndarray"))
TORCH = frozenset((STORAGE, *TENSORS, *PARAMETERS, "torch.Size", "torch.device", "torch.float32", "torch.float16"))
DTYPES = {  # of the storages that a file names
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class Record(dict):
    """The data of an object in a pickle; its items are those of the dict. Each name gets its own subclass.

    name: the class or function that the pickle asked for.
    args: the arguments of the call.
    state: the state of the object.
    """

    name: ClassVar[str]
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Record":
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read(path: Path, known: Callable[[str], bool], expected: str) -> Any:
    """The content of a pickle, with records in the place of objects.

    known: whether a name, as "module.name", may occur.
    expected: what the file should be, for the error text.
    Raises UserError for a damaged file, and for a name that may not occur.
    """
    with path.open("rb") as file:
        return load(file, path, known, expected)


def load(
    file: IO[bytes],
    path: Path,
    known: Callable[[str], bool],
    expected: str,
    storage: Callable[[Any], Any] | None = None,
) -> Any:
    """The same for an open file, which may be an entry of an archive.

    storage: what stands for a persistent id, such as the memory of a tensor. None refuses them.
    """
    try:
        return _Reader(file, path, known, expected, storage).load()
    except DAMAGED as error:
        size = path.stat().st_size
        raise UserError(
            f"{path}: no whole pickle in its {size:,} bytes ({reason(error)}), expected {expected}: get the file again"
        ) from error


class _Reader(pickle.Unpickler):
    def __init__(
        self,
        file: IO[bytes],
        path: Path,
        known: Callable[[str], bool],
        expected: str,
        storage: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(file, encoding="latin1")
        self.path, self.known, self.expected, self.storage = path, known, expected, storage
        self.records: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> type[Record]:
        full = f"{module}.{name}"
        if not self.known(full):
            raise UserError(
                f"{self.path}: asks for {full}, which {self.expected} does not need; it was not run: use a file that "
                f"you can trust"
            )
        if full not in self.records:
            self.records[full] = type("Record", (Record,), {"name": full})  # type: ignore[assignment]
        return self.records[full]

    def persistent_load(self, pid: Any) -> Any:
        if self.storage is None:
            raise pickle.UnpicklingError("it asks for memory outside of itself")
        return self.storage(pid)


def tensor(value: Any) -> Tensor:
    """The tensor that a record describes, contiguous and copied.

    Raises ValueError for anything else.
    """
    if not isinstance(value, Record):
        raise ValueError(f"{type(value).__name__} in the place of a tensor")
    if value.name in PARAMETERS:
        return tensor(value.args[0])
    if value.name in (*ARRAYS, *BUFFERS):
        return torch.from_numpy(array(value))
    if value.name not in TENSORS:
        raise ValueError(f"{value.name} in the place of a tensor")
    storage, offset, size, stride = value.args[:4]
    if isinstance(storage, Record) and storage.name == STORAGE:
        untyped = torch.load(
            io.BytesIO(storage.args[0]), map_location="cpu", weights_only=True
        )  # a pickle again, and again restricted
        storage = torch.empty(0, dtype=untyped.dtype).set_(untyped)  # type: ignore[call-overload]
    if not isinstance(storage, Tensor):
        raise ValueError(f"{type(storage).__name__} in the place of the memory of a tensor")
    if math.prod(size) > max(len(storage), 1):  # one value for many places: no file of weights needs it
        raise ValueError(f"a tensor of {math.prod(size):,} values in the memory of {len(storage):,}")
    return storage.as_strided(size, stride, offset).clone(
        memory_format=torch.contiguous_format
    )  # refuses to reach outside


def array(value: Any) -> np.ndarray:
    """The array of numpy that a record describes, copied; a number of numpy is an array without axes.

    Raises ValueError for anything else, and for objects.
    """
    if isinstance(value, Record) and value.name in SCALARS:
        return np.frombuffer(_bytes(value.args[1]), _dtype(value.args[0]))[0].copy().reshape(())
    if isinstance(value, Record) and value.name in BUFFERS:
        data, record, shape, order = value.args
        return np.frombuffer(_bytes(data), _dtype(record)).reshape(shape, order=order).copy()
    if not isinstance(value, Record) or value.name not in ARRAYS or not isinstance(value.state, tuple):
        raise ValueError(f"{type(value).__name__} in the place of an array")
    _, shape, dtype, columns_first, data = value.state
    kind = _dtype(dtype)
    return np.frombuffer(_bytes(data), kind).reshape(shape, order="F" if columns_first else "C").copy()


def number(value: Any) -> float | None:
    """A number, plain or of numpy; None stays None. Raises ValueError for anything else."""
    if isinstance(value, Record) and value.name in SCALARS:
        value = array(value).item()
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{type(value).__name__} in the place of a number")
    return float(value)


def _bytes(value: Any) -> bytes:
    """Bytes as protocol 3 and later store them, as protocol 2 does, or as Python 2 wrote them."""
    if isinstance(value, Record) and value.name == ENCODED:
        value = value.args[0]
    if not isinstance(value, bytes | bytearray | str):
        raise ValueError(f"{type(value).__name__} in the place of bytes")
    return value.encode("latin1") if isinstance(value, str) else bytes(value)


def _dtype(record: Record) -> np.dtype[Any]:
    """A number's type: no objects, which would be pickles again."""
    order = record.state[1] if isinstance(record.state, tuple) else "="
    dtype = np.dtype(record.args[0]).newbyteorder(order)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}")
    return dtype


def kind_of(value: Any) -> str:
    """What a value of a file is, for an error text: its keys, its length or its type."""
    if isinstance(value, Record):
        return f"an object of {value.name}"
    if isinstance(value, Mapping):
        return f"keys {', '.join(map(repr, list(value)[:6]))}" if value else "no keys"
    if isinstance(value, Tensor):
        return f"a tensor [{', '.join(map(str, value.shape))}]"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def reason(error: BaseException) -> str:
    """The error in one short line.

    If torch refused a name, the line gives that name; torch's advice to load the file with its code is left out.
    """
    foreign = re.search(r"GLOBAL (\S+) (?:was not an allowed global|whose module)", str(error))
    if foreign:
        return f"asks for {foreign[1]}, which was not run"
    inner = str(error).rpartition("WeightsUnpickler error: ")[2].strip() or type(error).__name__
    if "weights_only" in inner or "Weights only" in inner:
        return "holds something else than tensors, numbers and texts"
    return inner.splitlines()[0].partition(". Please")[0]
