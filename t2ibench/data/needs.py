"""What has to lie on the disk before something can be done: whether it is there, how large, and where it comes from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """A file or folder that is needed, or only useful.

    what: what it is.
    there: where it lies; None if it is missing.
    archive: the file by which it is published; empty if it is published in another way.
    size: the bytes of the archive; None if nobody published them.
    source: where it is to be had.
    optional: whether the work can go on without it.
    by_itself: whether it is fetched from `source` when it is first used; then the work can go on without it, too.
    """

    what: str
    there: Path | None
    archive: str = ""
    size: int | None = None
    source: str = ""
    optional: bool = False
    by_itself: bool = False

    @property
    def hinders(self) -> bool:
        """Whether it is missing, and the work cannot go on."""
        return self.there is None and not self.optional and not self.by_itself

    @property
    def state(self) -> str:
        """One line: where it lies, or what is to be got."""
        if self.there is not None:
            size = f", {self.there.stat().st_size:,} bytes" if self.there.is_file() else ""
            return f"on disk: {self.there}{size}"
        if self.by_itself:
            return f"not on disk, fetched when it is first used: {self.source}"
        named = f"{self.archive}, {self.size:,} bytes, " if self.size else f"{self.archive}, " if self.archive else ""
        return f"missing{' (only if it is wanted)' if self.optional else ''}: {named}from {self.source}"
