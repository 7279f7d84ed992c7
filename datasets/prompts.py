"""A list of prompts without real images, such as DrawBench or PartiPrompts: methods draw them, and no photo is needed.

    prompts.txt      a prompt a line
    prompts.tsv      a head with the column Prompt (or text, caption); .csv, .jsonl, .json and .parquet likewise

or `texts: [a face, a cat]` in the suite itself.

- Every name of a split means the whole list. A suite takes its first `captions` prompts: `prompts: {captions: 200}`.
- Metrics that read no real image score it: CLIP score, R-precision, Inception Score. Those that compare with real
  images (`fid`, `kid`, `prdc`, `cmmd`) are refused before an image is made, and so are baselines of real images.
- Equal prompts are kept: each has its own place in the list, and its own seed.
- The file is looked for in the current folder, else in that of T2IBENCH_DATA.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.settings import LATER, NO_IDENTITY
from t2ibench.data import texts
from t2ibench.data.needs import Need
from t2ibench.data.releases import placed
from t2ibench.data.split import Split

IMAGES = False
SOURCE = "whoever published the list: a text a line, or a table with a column `prompt`"


@dataclass(frozen=True)
class Config:
    file: Path = Path()
    texts: tuple[str, ...] = field(default=(), metadata=LATER)  # the prompts themselves, in place of a file
    called: str = field(default="", metadata=NO_IDENTITY)  # the name of the list; "": that of the file

    def __post_init__(self) -> None:
        if bool(self.texts) == (self.file != Path()):
            found = "both" if self.texts else "neither"
            raise UserError(f"prompts: found {found} of file and texts, expected one: name the list, or write it out")


@dataclass(frozen=True)
class NoImages:
    """The images of a list of prompts: there is none.

    file: the list.
    count: of its prompts.
    """

    file: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        raise UserError(
            f"{self.file} holds prompts and no real images: take a data set of images (`image_folder`) for what "
            f"compares with real ones"
        )

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return ["no image"] * (self.count if rows is None else len(rows))


def load(config: Config, split: str) -> Split:
    """All prompts, in the order of the list. Raises UserError for a file that is missing or holds no texts."""
    if config.texts:
        path = Path("prompts")
        captions: list[tuple[str, ...]] = [(text,) for text in config.texts]
    else:
        path = placed(config.file.expanduser())
        captions = [row.texts for row in texts.read(path)]
    ids = [f"{number:05}" for number in range(len(captions))]
    return Split(config.called or path.stem, split, ids, NoImages(path, len(captions)), captions)


def needs(config: Config) -> list[Need]:
    if config.texts:
        return []
    path = placed(config.file.expanduser())
    return [Need("the list of prompts", path if path.exists() else None, path.name, None, SOURCE)]
