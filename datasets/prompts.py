"""A list of prompts without real images, such as DrawBench or PartiPrompts: methods draw them, and no photo is needed.

    prompts.txt      a prompt a line
    prompts.tsv      a head with the column Prompt (or text, caption); .csv, .jsonl, .json and .parquet likewise
    prompts/         a folder with a .txt for each prompt

or several such lists, `files: [color_val.txt, shape_val.txt]`, or `texts: [a face, a cat]` in the suite itself.

- Every name of a split means the whole list. A suite takes its first `captions` prompts: `prompts: {captions: 200}`.
- Metrics that read no real image score it: CLIP score, R-precision, Inception Score. Those that compare with real
  images (`fid`, `kid`, `prdc`, `cmmd`) are refused before an image is made, and so are baselines of real images.
- `count` says how many prompts the release has. A copy with another number is refused: a mean over fewer prompts is
  another number, and lists of published benchmarks circulate with some missing.
- Equal prompts are kept: each has its own place in the list, and its own seed.
- The file is looked for in the current folder, else in that of T2IBENCH_DATA.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Whole
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
    files: tuple[str, ...] = field(default=(), metadata=LATER)  # several lists, one after the other
    count: Whole = field(default=0, metadata=LATER)  # prompts of the release; 0: as many as there are

    def __post_init__(self) -> None:
        places = {"file": self.file != Path(), "files": bool(self.files), "texts": bool(self.texts)}
        given = [name for name, there in places.items() if there]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise UserError(
                f"prompts: found {found} of file, files and texts, expected one: name the list, or write it out"
            )
        if len({Path(name).stem for name in self.files}) < len(self.files):
            raise UserError(
                f"prompts: files are {', '.join(self.files)}, expected names that differ: they name prompts"
            )
        if self.count < 0:
            raise UserError(f"prompts: count is {self.count}, expected the number of prompts, or 0")

    @property
    def lists(self) -> tuple[Path, ...]:
        """The files of the prompts."""
        return tuple(map(Path, self.files)) or ((self.file,) if not self.texts else ())


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
        rows: list[tuple[str, tuple[str, ...]]] = [("", (text,)) for text in config.texts]
    else:
        paths = [placed(one.expanduser()) for one in config.lists]
        path = paths[0] if len(paths) == 1 else Path(f"{len(paths)} lists")
        rows = [row for one in paths for row in _rows(one, len(paths) > 1)]
    if config.count not in (0, len(rows)):
        raise UserError(
            f"prompts: {path} holds {len(rows):,} prompts, expected the {config.count:,} of the release: get the list "
            f"again, or set count to 0"
        )
    ids = [name or f"{number:05}" for number, (name, _) in enumerate(rows)]
    images = NoImages(path, len(rows))
    return Split(config.called or path.stem, split, ids, images, [texts for _, texts in rows])


def _rows(path: Path, several: bool) -> list[tuple[str, tuple[str, ...]]]:
    """The id and the texts of each prompt of a list; "" is the id of its place. several: whether it is one of several.

    Prompts of a folder have the names of their files. Those of several lists begin with the name of their list.
    """
    rows = texts.read(path)
    if path.is_dir():
        names = [row.file or "" for row in rows]
    else:
        names = [f"{number:05}" if several else "" for number in range(len(rows))]
    return [(f"{path.stem}/{name}" if several else name, row.texts) for name, row in zip(names, rows, strict=True)]


def needs(config: Config) -> list[Need]:
    paths = [placed(one.expanduser()) for one in config.lists]
    return [Need("the list of prompts", path if path.exists() else None, path.name, None, SOURCE) for path in paths]
