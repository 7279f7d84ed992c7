"""The order of names that people number: `2.png` before `10.png`."""

import re
import unicodedata

_NUMBER = re.compile(r"([0-9]+)")


def natural(name: str) -> tuple[object, ...]:
    """The key by which names of files are sorted, folder by folder: runs of digits count as numbers.

    Names that differ in leading zeros alone (`1.png`, `01.png`) are sorted as strings. The order is the same on every
    machine and in every language; upper case comes before lower case.
    """
    parts = tuple(
        tuple(int(piece) if index % 2 else piece for index, piece in enumerate(_NUMBER.split(part)))
        for part in unicodedata.normalize("NFC", name).split("/")
    )
    return (*parts, (name,))
