"""A published data set on the disk: whether the copy is whole, and one line if it is not.

Files are looked for by listing their folders, never one by one, and none of them is opened here but lists of texts.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.data.needs import Need


@dataclass(frozen=True)
class Release:
    """A copy of a release.

    name: of the data set, the beginning of error lines.
    root: the folder that the user named.
    homepage: where the data set is to be had.
    layout: what should lie in `root`, for error lines.
    partial: whether a copy with fewer images than the release is taken.
    """

    name: str
    root: Path
    homepage: str
    layout: str
    partial: bool = False

    def find(self, what: str, *places: str) -> Path:
        """The first of these places below `root` that is there. Raises UserError if none is."""
        found = self.optional(*places)
        if found is not None:
            return found
        if not self.root.is_dir():
            state = "is a file" if self.root.exists() else "does not exist"
            raise UserError(f"{self.name}: {self.root} {state}, expected {self.layout}, from {self.homepage}")
        looked = " or ".join(str(self.root / place) for place in places)
        there = ", ".join(sorted(os.listdir(self.root))[:5]) or "nothing"
        raise UserError(
            f"{self.name}: no {what} at {looked}; {self.root} holds {there}: expected {self.layout}, from "
            f"{self.homepage}"
        )

    def optional(self, *places: str) -> Path | None:
        """The first of these places below `root` that is there; None if none is."""
        return next((self.root / place for place in places if (self.root / place).exists()), None)

    def need(self, what: str, *places: str, archive: str = "", size: int | None = None, optional: bool = False) -> Need:
        """One of these places below `root`, as something that a suite needs."""
        return Need(what, self.optional(*places), archive, size, self.homepage, optional)

    def counted(self, what: str, found: int, expected: int) -> None:
        """Raises UserError for another count than that of the release, unless the copy may be partial."""
        if found != expected and not self.partial:
            raise UserError(
                f"{self.name}: {found:,} {what} in {self.root}, the release has {expected:,}: get it again from "
                f"{self.homepage}, or set partial: true, which stands in every record"
            )

    def whole(self, what: str, folder: Path, names: Sequence[str]) -> None:
        """Raises UserError if files are missing. names: relative to `folder`, with forward slashes."""
        missing = absent(folder, names)
        if missing:
            raise UserError(
                f"{self.name}: {len(names) - len(missing):,} of {len(names):,} {what} in {folder}, first missing "
                f"{missing[0]}: unpack the archive again ({self.homepage})"
            )

    def rows(self, path: Path, columns: int, separator: str | None = None) -> list[list[str]]:
        """The lines of a file of columns; the last column is the rest of the line.

        Raises UserError for a line with fewer columns.
        """
        rows = []
        for number, line in enumerate(lines(path), 1):
            row = line.split(separator, columns - 1)
            if len(row) < columns:
                raise UserError(
                    f"{self.name}: {path}: row {number:,} is {line[:60]!r}, expected {columns} columns: get the file "
                    f"again from {self.homepage}"
                )
            rows.append(row)
        return rows

    def numbered(self, path: Path, columns: int = 2) -> list[list[str]]:
        """As `rows`, for a file whose first column counts from 1. That column is left out."""
        rows = self.rows(path, columns)
        for number, row in enumerate(rows, 1):
            if row[0] != str(number):
                raise UserError(
                    f"{self.name}: {path}: row {number:,} begins with {row[0]!r}, expected {number}: get the file "
                    f"again from {self.homepage}"
                )
        return [row[1:] for row in rows]


def placed(root: Path) -> Path:
    """A folder that a suite names: from the current folder, else from the folder T2IBENCH_DATA."""
    shared = os.environ.get("T2IBENCH_DATA")
    if root.is_absolute() or root.exists() or not shared:
        return root
    return Path(shared) / root if (Path(shared) / root).exists() else root


def read_mat(release: Release, path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """The variables of a MATLAB file. Raises UserError if it is damaged, or lacks one of `keys`."""
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
    except Exception as error:  # scipy raises whatever a damaged byte leads to
        raise UserError(
            f"{release.name}: {path} cannot be read as a MATLAB file ({' '.join(str(error).split())}): get it again "
            f"from {release.homepage}"
        ) from error
    if missing := [key for key in keys if key not in content]:
        raise UserError(f"{release.name}: {path} holds no {missing[0]}: get it again from {release.homepage}")
    return content


def absent(folder: Path, names: Iterable[str]) -> list[str]:
    """Which of these files are missing, in the order of `names`. Every folder among them is listed once."""
    listed: dict[str, set[str]] = {}
    missing = []
    for name in names:
        inside, _, file = name.rpartition("/")
        if inside not in listed:
            listed[inside] = listing(folder / inside)
        if file not in listed[inside]:
            missing.append(name)
    return missing


def listing(folder: Path) -> set[str]:
    """The names in a folder; empty if it is none."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): check its permissions") from error


def lines(path: Path) -> list[str]:
    """The lines of a text file that hold something, without white space at their ends and whatever ends them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def texts_of_files(folder: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The texts of files with one a line; empty for a file that is missing. names: relative to `folder`."""
    missing = set(absent(folder, names))
    return [() if name in missing else tuple(lines(folder / name)) for name in names]


def said_without_texts(name: str, without: Sequence[str], total: int) -> str:
    """The line for images without a caption."""
    return (
        f"{name}: {len(without):,} of {total:,} images have no caption, first {without[0]}: they stay in the set, and "
        f"what needs their texts refuses them"
    )
