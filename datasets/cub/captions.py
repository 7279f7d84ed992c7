"""The captions of Reed et al. for CUB, ten an image, in the layouts in which they are passed on.

| layout | captions | class lists |
|---|---|---|
| Reed, CVPR 2016 (`cvpr2016_cub/`) | `text_c10/<class>/<image>.txt` | `trainvalclasses.txt`, `testclasses.txt` |
| Reed, ICML 2016 (`cub_icml/`) | `<class>/<image>.t7`, a table with `char` [201, 10] | the same |
| StackGAN (`birds/`) | `text_c10/<class>/<image>.txt` | `{train,test}/filenames.pickle`, `class_info.pickle` |
| AttnGAN, DM-GAN, DF-GAN (`birds/`) | `text/<class>/<image>.txt`, else `captions.pickle` | the same |

Texts stay as they are, also the pairs of U+FFFD that stand for a space in some; `t2ibench.data.releases.lines` reads
them. `captions.pickle` holds lower-case words without punctuation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from t2ibench.core import pickles, torch7
from t2ibench.core.errors import UserError
from t2ibench.data.releases import Release, lines, listing

PLACES = ("", "birds", "cvpr2016_cub", "cub_icml")
PICKLES = ("captions.pickle", "captions_DAMSM.pickle")
EACH = 10  # captions an image
# of Reed's ICML code; "-" stands in it twice, and its second place is the one that is used
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "


class Indexed(Protocol):
    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def classes(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Texts:
    """Where captions lie. kind: "text" for a folder of text files, "words" for captions.pickle, "codes" for .t7."""

    base: Path
    kind: str
    place: Path


def find_texts(release: Release, folder: Path | None) -> Texts | None:
    """The captions in a folder, or in the usual folders below the root; None if there are none there.

    Raises UserError for a folder that the user named and that holds none.
    """
    for base in [folder] if folder is not None else [release.root / place for place in PLACES]:
        for name in ("text_c10", "text"):
            if (base / name).is_dir():
                return Texts(base, "text", base / name)
        for name in PICKLES:
            if (base / name).is_file():
                return Texts(base, "words", base / name)
        first = next((name for name in sorted(listing(base)) if name[:4].endswith(".") and name[:3].isdigit()), "")
        if first and any(name.endswith(".t7") for name in listing(base / first)):
            return Texts(base, "codes", base)
    if folder is not None:
        raise UserError(
            f"cub: no captions in {folder}: expected text_c10/, text/, captions.pickle or <class>/<image>.t7 in it"
        )
    return None


def captions_of(
    texts: Texts, release: Release, index: Indexed, test_classes: frozenset[int], ids: Sequence[str]
) -> list[tuple[str, ...]]:
    """The captions of some images; empty for an image that has none.

    Raises UserError for class lists that contradict the split, and for a file that cannot be read.
    """
    check_lists(texts.base, index, test_classes)
    if texts.kind == "words":
        words = from_pickle(texts)
        return [words.get(id, ()) for id in ids]
    suffix = ".txt" if texts.kind == "text" else ".t7"
    there = {inside: listing(texts.place / inside) for inside in dict.fromkeys(id.split("/")[0] for id in ids)}
    if texts.kind == "text" and not any(name.endswith(suffix) for names in there.values() for name in names):
        raise UserError(
            f"cub: {texts.place} holds no <class>/<image>.txt; the rows of <class>.t7 name no image: unpack the text "
            f"files too"
        )
    read = from_text if texts.kind == "text" else from_codes
    return [
        read(texts.place / f"{id}{suffix}") if f"{id.split('/')[1]}{suffix}" in there[id.split("/")[0]] else ()
        for id in ids
    ]


def from_text(path: Path) -> tuple[str, ...]:
    return tuple(lines(path))


def from_codes(path: Path) -> tuple[str, ...]:
    """The captions of a .t7 of the ICML release: one a column of `char`, whose codes count from 1 and end with 0."""
    table = torch7.read(path, "captions of Reed's ICML release")
    codes = table.get("char") if isinstance(table, torch7.Table) else None
    if not isinstance(codes, np.ndarray) or codes.ndim != 2 or codes.min() < 0 or codes.max() > len(ALPHABET):
        raise UserError(f"{path}: no `char` [201, {EACH}] with codes 0 to {len(ALPHABET)}: get the file again")
    columns = codes.astype(np.int64).T
    said = ("".join(ALPHABET[code - 1] for code in column[column > 0]).strip() for column in columns)
    return tuple(text for text in said if text)


def from_pickle(texts: Texts) -> dict[str, tuple[str, ...]]:
    """The captions of AttnGAN's pickle by the id of the image: ten an image, in the order of filenames.pickle."""
    content = _pickle(texts.place)
    if not isinstance(content, list) or len(content) != 4 or not isinstance(content[2], dict):
        found = pickles.kind_of(content)
        raise UserError(f"{texts.place}: {found}, expected [train captions, test captions, words, their numbers]")
    words = dict(zip(_numbers(texts.place, content[2]), content[2].values(), strict=True))
    said: dict[str, tuple[str, ...]] = {}
    for split, flat in zip(("train", "test"), content[:2], strict=True):
        names = filenames(texts.base / split / "filenames.pickle")
        if len(flat) != EACH * len(names):
            raise UserError(
                f"{texts.place}: {len(flat):,} {split} captions for the {len(names):,} images of {split}/"
                f"filenames.pickle, expected {EACH} each: take both from one release"
            )
        for place, name in enumerate(names):
            own = flat[EACH * place : EACH * (place + 1)]
            numbered = [_numbers(texts.place, numbers) for numbers in own]
            if lost := {number for numbers in numbered for number in numbers} - {0, *words}:
                raise UserError(f"{texts.place}: a caption of {name} has the word {min(lost)}, which has no spelling")
            said[name] = tuple(" ".join(words[one] for one in numbers if one) for numbers in numbered)  # 0 is padding
    return said


def check_lists(base: Path, index: Indexed, test_classes: frozenset[int]) -> None:
    """Raises UserError if the class lists of a caption release are not those of Reed's split."""
    class_of = dict(zip(index.ids, index.classes.tolist(), strict=True))
    shown: dict[Path, tuple[str, set[int]]] = {}
    for split in ("train", "test"):
        path = base / split / "filenames.pickle"
        if not path.is_file():
            continue
        names = filenames(path)
        unknown = [name for name in names if name not in class_of]
        if unknown:
            raise UserError(f"{path}: names {unknown[0]}, which is not in images.txt: take both from one release")
        shown[path] = split, {class_of[name] for name in names}
        info = path.with_name("class_info.pickle")
        if info.is_file() and _numbers(info, _pickle(info)) != [class_of[name] for name in names]:
            raise UserError(f"{info}: other classes than the {len(names):,} images beside it: get both again")
    for split, name in (("train", "trainvalclasses.txt"), ("test", "testclasses.txt")):
        if (base / name).is_file():
            shown[base / name] = split, {int(line.partition(".")[0]) for line in lines(base / name)}
    for path, (split, classes) in shown.items():
        wrong = classes & test_classes if split == "train" else classes - test_classes
        if wrong == classes and classes:
            raise UserError(f"{path}: holds the classes of the other split: the two were interchanged")
        if wrong:
            raise UserError(
                f"{path}: class {min(wrong)} is of the other side of Reed's split: two class lists are mixed"
            )


def filenames(path: Path) -> list[str]:
    """The names of a filenames.pickle, without suffix."""
    names = _pickle(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: {pickles.kind_of(names)}, expected a list of names")
    return names


def _pickle(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path} is missing: take the whole folder of one release")
    return pickles.read(path, pickles.NUMPY.__contains__, "a list of a caption release")


def _numbers(path: Path, values: Iterable[Any]) -> list[int]:
    """Whole numbers, plain or of numpy."""
    try:
        return [int(number) for number in map(pickles.number, values) if number is not None]
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}, expected whole numbers: get the file again") from error
