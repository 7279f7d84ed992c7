"""Files of tensors, read as data: what torch.save writes, safetensors, and TorchScript archives.

A TorchScript archive holds the code of a network beside its tensors, and torch's own loader runs it. Here its pickles
are read by a restricted unpickler, and its code is left alone.
"""

import argparse
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from t2ibench.core import pickles
from t2ibench.core.containers import NAMES, kind_of, members
from t2ibench.core.errors import UserError

SCRIPTED = frozenset(
    (
        *pickles.TENSORS,
        *pickles.DTYPES,
        "collections.OrderedDict",
        *(f"torch.jit._pickle.{name}" for name in ("build_intlist", "build_doublelist", "build_boollist")),
        *(f"torch.jit._pickle.{name}" for name in ("build_tensorlist", "restore_type_tag")),
    )
)
CLASSES = "__torch__."  # what the names of a scripted network's classes begin with


@dataclass(frozen=True)
class Script:
    """A scripted network as data.

    tensors: its state dict: parameters and buffers by dotted name.
    classes: the names of its classes.
    constants: the numbers and tensors that its code uses, in no particular order.
    """

    tensors: Mapping[str, Tensor]
    classes: frozenset[str]
    constants: tuple[Tensor, ...]


def read(path: Path, expected: str) -> Any:
    """What torch.save or safetensors stored: dicts, lists, tensors, numbers and texts; or a `Script`.

    expected: what the file should hold, for the error text.
    Raises UserError for a file that is missing, damaged or of another kind, and for one that asks for code.
    """
    kind = kind_of(path, expected)
    if kind == "torchscript":
        return read_script(path, expected)
    if kind == "safetensors":
        return _safetensors(path, expected)
    if kind not in ("torch", "legacy torch"):
        raise UserError(f"{path}: {NAMES[kind]}, expected {expected}: name another file")
    if kind == "torch":
        members(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # arguments of a training: names and values
            return torch.load(path, map_location="cpu", weights_only=True)
    except (*pickles.DAMAGED, RuntimeError, OSError) as error:
        size = path.stat().st_size
        raise UserError(
            f"{path}: no whole file of torch.save in its {size:,} bytes ({pickles.reason(error)}), expected "
            f"{expected}: get the file again"
        ) from error


def array(path: Path, expected: str) -> np.ndarray:
    """A numpy array of floats, as float32. Raises UserError for another kind of file, of values, or for objects."""
    kind = kind_of(path, expected)
    if kind != "npy":
        raise UserError(f"{path}: {NAMES[kind]}, expected {expected}: name another file")
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{path}: no whole array ({pickles.reason(error)}), expected {expected}: get it again"
        ) from error
    if values.dtype.kind != "f":
        raise UserError(f"{path}: an array of {values.dtype}, expected {expected}, of floats: name another file")
    return values.astype(np.float32)


def read_script(path: Path, expected: str) -> Script:
    """A TorchScript archive as data; none of its code is run. Raises UserError for a damaged or hostile one."""
    entries = members(path)
    [root] = {PurePosixPath(name).parts[0] for name in entries} if entries else [""]
    with zipfile.ZipFile(path) as archive:
        try:
            order = archive.read(entry).strip() if (entry := f"{root}/byteorder") in entries else b"little"
            if order != b"little":
                raise ValueError(f"its numbers are stored {order.decode('latin1')}-endian")
            classes: set[str] = set()
            network, constants = (
                _unpickled(archive, entries, path, f"{root}/{name}.pkl", f"{root}/{folder}", expected, classes)
                for name, folder in (("data", "data"), ("constants", "constants"))
            )
            tensors = dict(_state(network))
            values = tuple(pickles.tensor(value) for value in constants or () if isinstance(value, pickles.Record))
        except (*pickles.DAMAGED, RuntimeError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
            size = path.stat().st_size
            raise UserError(
                f"{path}: no whole TorchScript archive in its {size:,} bytes ({pickles.reason(error)}), expected "
                f"{expected}: get the file again"
            ) from error
    return Script(tensors, frozenset(classes), values)


def _unpickled(
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    path: Path,
    entry: str,
    folder: str,
    expected: str,
    classes: set[str],
) -> Any:
    """One pickle of an archive; None if it is not there. classes: gets the names of its classes."""
    memory: dict[str, Tensor] = {}

    def known(name: str) -> bool:
        if name.startswith(CLASSES):
            classes.add(name)
        return name.startswith(CLASSES) or name in SCRIPTED

    if entry not in entries:
        return None
    with archive.open(entry) as file:
        return pickles.load(file, path, known, expected, partial(_storage, archive, entries, folder, memory))


def _storage(
    archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], folder: str, memory: dict[str, Tensor], pid: Any
) -> Tensor:
    """The memory that a persistent id names, flat; each is read once."""
    word, record, key, _, count = pid  # the device where it lay does not matter
    name = getattr(record, "name", "")
    if word != "storage" or name not in pickles.DTYPES:
        raise ValueError(f"{name or word!r} in the place of the memory of a tensor")
    if key not in memory:
        if (file := f"{folder}/{key}") not in entries:
            raise ValueError(f"{file} is missing")
        entry, dtype = entries[file], pickles.DTYPES[name]
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{file} is compressed, which torch never does")
        if entry.file_size != count * dtype.itemsize:
            raise ValueError(f"{file} has {entry.file_size:,} bytes, expected {count:,} values of {dtype}")
        data = bytearray(archive.read(entry))
        memory[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return memory[key]


def _state(network: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a scripted object and of those below it, by dotted name."""
    state = network.state if isinstance(network, pickles.Record) else None
    for name, value in (state or {}).items():
        if isinstance(value, pickles.Record) and value.name in pickles.TENSORS:
            yield f"{prefix}{name}", pickles.tensor(value)
        elif isinstance(value, pickles.Record) and value.name.startswith(CLASSES):
            yield from _state(value, f"{prefix}{name}.")


def _safetensors(path: Path, expected: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        size = path.stat().st_size
        raise UserError(
            f"{path}: no whole safetensors file in its {size:,} bytes ({pickles.reason(error)}), expected {expected}: "
            f"get the file again"
        ) from error
