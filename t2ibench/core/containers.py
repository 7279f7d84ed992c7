"""What kind of file this is, told by its first bytes and, for a zip archive, by its directory.

Suffixes decide nothing: people rename files, and a web page saved as `ViT-B-32.pt` is no network. Nothing is unpickled
here, and no tensor is read.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from t2ibench.core.errors import UserError

Kind = Literal["torch", "torchscript", "legacy torch", "pickle", "safetensors", "npy", "npz", "torch7"]
NAMES: dict[Kind, str] = {
    "torch": "a file of torch.save",
    "torchscript": "a TorchScript archive",
    "legacy torch": "a file of torch.save",
    "pickle": "a pickle",
    "safetensors": "a safetensors file",
    "npy": "an array of numpy",
    "npz": "an archive of numpy arrays",
    "torch7": "a file of Lua Torch",
}
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the magic number with which torch.save began until 1.6
PAGE = b"<"
POINTER = b"version https://git-lfs"
OTHERS = {  # first bytes of files that people keep beside weights, and what these are
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 file, which no network here is stored in",
    b"GGUF": "a GGUF file, which no network here is stored in",
}


def kind_of(path: Path, expected: str) -> Kind:
    """The kind of a file.

    expected: what the file should hold, for the error text.
    Raises UserError for a file that is missing or empty, or that no reader reads: a saved web page, the pointer of Git
    LFS, a text, an archive to unpack.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, expected {expected}: name the file")
    try:
        with path.open("rb") as file:
            head = file.read(64)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing, expected {expected}: correct the path") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}), expected {expected}") from error
    if head.startswith(b"PK\x03\x04"):
        return _of_archive(path, expected)
    if head.startswith(LEGACY):
        return "legacy torch"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[8:9] == b"{" and any(byte < 9 or byte > 126 for byte in head[:8]):  # a length, then JSON
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    first, index = (int.from_bytes(head[start : start + 4], "little") for start in (0, 4))
    if len(head) >= 8 and first in (3, 4) and index == 1:
        return "torch7"
    raise UserError(f"{path}: {_what(head, size)}, expected {expected}")


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries of a zip archive by name.

    Raises UserError for an archive that is cut off, that has a name twice, or whose entries are larger than the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        size = path.stat().st_size
        raise UserError(f"{path}: no whole zip archive in its {size:,} bytes ({error}): get the file again") from error
    named = {entry.filename: entry for entry in entries}
    if len(named) != len(entries):
        raise UserError(f"{path}: its zip archive has a name twice, so readers may differ: get the file again")
    return named


def _of_archive(path: Path, expected: str) -> Kind:
    names = [PurePosixPath(name) for name in members(path)]
    tails = {"/".join(name.parts[1:]) for name in names}  # torch puts everything into a folder of any name
    if "constants.pkl" in tails or any(tail.startswith("code/") for tail in tails):
        return "torchscript"
    if "data.pkl" in tails:
        return "torch"
    if names and all(name.suffix == ".npy" for name in names):
        return "npz"
    raise UserError(f"{path}: a zip archive of {_some(names)}, expected {expected}: unpack it, or get the file again")


def _some(names: Sequence[PurePosixPath]) -> str:
    shown = ", ".join(str(name) for name in names[:3]) or "nothing"
    return f"{shown} and {len(names) - 3:,} more" if len(names) > 3 else shown


def _what(head: bytes, size: int) -> str:
    """What a file is that no reader reads, and what to do."""
    if not size:
        return "the file is empty (0 bytes): get it again"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(PAGE):
        return f"a web page, saved in the place of the file ({size:,} bytes): download the file itself"
    if text.startswith(POINTER):
        return "a pointer of Git LFS, not the file it stands for: run `git lfs pull`, or download the file itself"
    if text.startswith((b"{", b"[")):
        return f"a JSON text ({size:,} bytes): name the file with the weights"
    for start, what in OTHERS.items():
        if head.startswith(start):
            return what
    if not any(head):
        return f"{size:,} bytes that begin with zeros, such as a download that was cut off: get the file again"
    return f"{size:,} bytes of an unknown kind (they begin with {head[:8].hex(' ')}): get the file again"
