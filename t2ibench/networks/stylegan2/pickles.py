"""Pickles read as data. Nothing that a pickle asks for is imported, called or executed.

Each class or function that a pickle names is replaced by a subclass of `Record`, which keeps its arguments, items and
state. Names outside `KNOWN` are refused. Tensors are made later, from the records that the caller chooses.
"""

import io
import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
STORAGE = "torch.storage._load_from_bytes"
TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
CONTAINERS = ("collections.OrderedDict", "dnnlib.util.EasyDict", "builtins.set", "__builtin__.set")
PLAIN = ("numpy.dtype", "numpy.ndarray", "torch.Size", "torch.device", "torch.float32", "torch.float16")
KNOWN = {PERSISTENT, STORAGE, *TENSORS, *PARAMETERS, *ARRAYS, *SCALARS, *CONTAINERS, *PLAIN}
TENSORFLOW = "dnnlib.tflib.network.Network"
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


def read(path: Path) -> Any:
    """The content of a pickle, with records in the place of objects.

    Raises UserError for a damaged file or a name outside `KNOWN`.
    """
    with path.open("rb") as file:
        try:
            return _Reader(file, path).load()
        except DAMAGED as error:
            size = path.stat().st_size
            raise UserError(
                f"{path}: no whole pickle in its {size:,} bytes ({reason(error)}): get the file again"
            ) from error


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self.path = path
        self.records: dict[str, type[Record]] = {}

    def find_class(self, module: str, name: str) -> type[Record]:
        full = f"{module}.{name}"
        if full == TENSORFLOW:
            raise UserError(
                f"{self.path}: a TensorFlow checkpoint ({full}), expected stylegan2-ada-pytorch's: convert it with "
                f"that code's legacy.py"
            )
        if full not in KNOWN:
            raise UserError(
                f"{self.path}: asks for {full}, which no StyleGAN2-ADA checkpoint needs; it was not run: use a file "
                f"you can trust"
            )
        if full not in self.records:
            self.records[full] = type("Record", (Record,), {"name": full})  # type: ignore[assignment]
        return self.records[full]


def tensor(value: Any) -> Tensor:
    """The tensor that a record describes, contiguous and copied.

    Raises ValueError for anything else.
    """
    if not isinstance(value, Record):
        raise ValueError(f"{type(value).__name__} in the place of a tensor")
    if value.name in PARAMETERS:
        return tensor(value.args[0])
    if value.name in ARRAYS and isinstance(value.state, tuple):
        _, shape, dtype, columns_first, data = value.state
        return torch.from_numpy(
            np.frombuffer(data, _dtype(dtype)).reshape(shape, order="F" if columns_first else "C").copy()
        )
    if value.name not in TENSORS or not isinstance(value.args[0], Record) or value.args[0].name != STORAGE:
        raise ValueError(f"{value.name} in the place of a tensor")
    storage, offset, size, stride = value.args[:4]
    untyped = torch.load(
        io.BytesIO(storage.args[0]), map_location="cpu", weights_only=True
    )  # a pickle again, and again restricted
    flat = torch.empty(0, dtype=untyped.dtype).set_(untyped)  # type: ignore[call-overload]
    return flat.as_strided(size, stride, offset).clone(
        memory_format=torch.contiguous_format
    )  # refuses to reach outside


def number(value: Any) -> float | None:
    """A number, plain or of numpy; None stays None. Raises ValueError for anything else."""
    if isinstance(value, Record) and value.name in SCALARS:
        value = np.frombuffer(value.args[1], _dtype(value.args[0]))[0].item()
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{type(value).__name__} in the place of a number")
    return float(value)


class Module:
    """An object of NVlabs' persistence wrapper: its attributes as data.

    The source code that travels with it is left alone.
    """

    def __init__(self, record: Any) -> None:
        meta = record.args[0] if isinstance(record, Record) and record.name == PERSISTENT else None
        if not isinstance(meta, dict) or not isinstance(meta.get("state"), Mapping):
            raise ValueError(f"{getattr(record, 'name', type(record).__name__)} in the place of a module")
        self.class_name, self.state = str(meta.get("class_name")), meta["state"]

    def get(self, name: str, default: Any = None) -> Any:
        return self.state.get(name, default)

    @property
    def modules(self) -> dict[str, "Module"]:
        """Its submodules by name."""
        return {name: Module(record) for name, record in self.state.get("_modules", {}).items()}

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """The state dict: parameters and buffers by dotted name."""
        values = {**self.state.get("_parameters", {}), **self.state.get("_buffers", {})}
        tensors = {prefix + name: tensor(value) for name, value in values.items() if value is not None}
        for name, module in self.modules.items():
            tensors |= module.tensors(f"{prefix}{name}.")
        return tensors


def _dtype(record: Record) -> np.dtype[Any]:
    """A number's type: no objects, which would be pickles again."""
    order = record.state[1] if isinstance(record.state, tuple) else "="
    dtype = np.dtype(record.args[0]).newbyteorder(order)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}")
    return dtype


def reason(error: BaseException) -> str:
    """The error in one short line. If torch refused a name, the line gives that name."""
    foreign = re.search(r"GLOBAL (\S+) (?:was not an allowed global|whose module)", str(error))
    return (
        f"asks for {foreign[1]}, which was not run" if foreign else (str(error) or type(error).__name__).splitlines()[0]
    )
