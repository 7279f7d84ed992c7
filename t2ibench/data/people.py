"""Labels that people gave images: a file of texts (`t2ibench.data.texts`) with a key `label`, 1 for an image that shows
its text and 0 for one that does not.

A row that names a file is about that image, one without is about the images of its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from t2ibench.core.errors import UserError
from t2ibench.core.files import file_hash
from t2ibench.data import texts

LABELS: Mapping[str, int] = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


@dataclass(frozen=True)
class People:
    """The labels of a file.

    sha256: of the file.
    of_file: the label of a file, by its name without folder and ending; empty if the file names none.
    of_text: the label of a text; empty if the file names files.
    """

    sha256: str
    of_file: Mapping[str, int]
    of_text: Mapping[str, int]

    def labels(self, samples: Sequence[tuple[str, str]]) -> list[int | None]:
        """The label of each sample, given by the name of its image and its text; None for one that nobody labelled."""
        if self.of_file:
            return [self.of_file.get(_stem(name)) for name, _ in samples]
        return [self.of_text.get(text) for _, text in samples]


def read(path: Path) -> People:
    """The labels of a file. Raises UserError for a row without one, another label, or one image with two labels."""
    of_file: dict[str, int] = {}
    of_text: dict[str, int] = {}
    for row in texts.read(path):
        label = LABELS.get(str(row.more.get("label", "")).strip().lower())
        if label is None:
            found = repr(row.more["label"]) if "label" in row.more else "none"
            raise UserError(
                f"{row.where}: the label is {found}, expected 0 or 1: ratings need a limit from which they count as 1"
            )
        known, key = (of_file, _stem(row.file)) if row.file is not None else (of_text, row.texts[0])
        if known.setdefault(key, label) != label:
            raise UserError(
                f"{row.where}: {key[:60]!r} has both labels: give each image one, such as that of most people"
            )
    return People(file_hash(path), of_file, of_text)


def _stem(file: str) -> str:
    return PurePosixPath(file).stem
