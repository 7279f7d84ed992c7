"""Sets of images that somebody gives, with their texts: how they are listed and joined, and what is said of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from t2ibench.core.decode import DROPPED, NOT_TURNED, PEERS, SIXTEEN, TURNED, Decoding
from t2ibench.core.errors import UserError
from t2ibench.data import texts
from t2ibench.data.folders import ANOTHER_SIZE, Files, Images, store_of
from t2ibench.data.listing import NO_IMAGES, Listing, counted, image_files, no_image
from t2ibench.data.split import Split
from t2ibench.data.texts import Row

Texts = str | Path | Sequence[str] | Mapping[str, str]
MET = {  # the rules of reading, as the lines of a score say them
    TURNED: "were turned by their EXIF orientation",
    NOT_TURNED: "have an EXIF orientation and were not turned, as clean-fid does it",
    DROPPED: "have transparent pixels, whose hidden colours were taken, as clean-fid does it",
    SIXTEEN: "have 16 bits, and were scaled to 8",
    ANOTHER_SIZE: "have another size than the first; each was resized alone, as clean-fid does it",
}


@dataclass(frozen=True)
class GivenImages(Split):
    """Images that somebody gave, and what was noticed when they were listed.

    texts_from: where the texts stand and by what they came to their images, for people; "" without texts.
    unread: why texts that lie in the folder could not be read; "".
    passed_over: files of the folder that are no images, by kind.
    """

    texts_from: str = ""
    unread: str = ""
    passed_over: Mapping[str, int] = field(default_factory=dict)


def made_images(images: Images, prompts: Texts | None, size: int | None, decoding: Decoding = PEERS) -> GivenImages:
    """Images with their texts, in the natural order of their names. The text is "" if none are given.

    prompts: the texts, by order or by file name; or a file or folder of them, joined by file name where it names files,
        and by order where it does not. None: the texts that the folder itself holds, if any.
    size, decoding: as for `t2ibench.data.folders.Files`.

    Raises UserError for an empty text, or if there is not one text for each image. Texts in the folder that cannot be
    read are an error only where they are asked for: `unread` keeps it.
    """
    given, listing = images_of(images, size, decoding)
    if prompts is not None:
        folder = Path(images) if isinstance(images, str | Path) and Path(images).is_dir() else None
        return _with_texts(given, *_given_rows(prompts, folder))
    try:
        description = None if listing is None else texts.described(listing)
        if listing is None or description is None:
            return given
        joined = _with_texts(given, description.rows, description.source)
        return replace(joined, passed_over=listing.passed_over(description.files))
    except UserError as error:
        return replace(given, unread=str(error))


def images_of(images: Images, size: int | None, decoding: Decoding = PEERS) -> tuple[GivenImages, Listing | None]:
    """Images without texts, and the listing of their folder, if they are one."""
    if not isinstance(images, str | Path) or not Path(images).is_dir():
        name, names, store = store_of(images, size, decoding)
        return GivenImages(name, "folder", names, store, [("",)] * len(names)), None
    listing = image_files(Path(images))
    if not listing.images:
        raise no_image(listing)
    name, store = listing.root.name, Files(listing.paths, size, decoding)
    none = [("",)] * len(listing.images)
    return GivenImages(name, "folder", listing.images, store, none, passed_over=listing.passed_over()), listing


def _with_texts(given: GivenImages, rows: Sequence[Row], source: str) -> GivenImages:
    joined = texts.join(given.ids, rows, given.dataset, source)
    captions = [tuple(text for row in own for text in row.texts) for own in joined.rows]
    return replace(given, captions=captions, texts_from=f"{source}, {joined.by}")


def _given_rows(prompts: Texts, folder: Path | None) -> tuple[Sequence[Row], str]:
    """The texts that somebody gave, and what they are called. folder: of the images, or None."""
    if isinstance(prompts, str | Path):
        path = Path(prompts)
        rows: Sequence[Row] = texts.read(path)
        if folder is not None and rows[0].file is not None:
            rows = texts.seen_from(rows, path if path.is_dir() else path.parent, folder)
        return rows, str(path)
    if isinstance(prompts, Mapping):
        rows = [_given_row(f"prompts[{file!r}]", file, text) for file, text in prompts.items()]
    else:
        rows = [_given_row(f"prompts:{number}", None, text) for number, text in enumerate(prompts, 1)]
    if not rows:
        raise UserError("prompts is empty, expected a text for each image")
    return rows, "prompts"


def _given_row(where: str, file: str | None, text: object) -> Row:
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where} is {text!r}, expected a text")
    return Row(where, file, (text.strip(),))


def lines_on_reading(given: Split, *, all_kinds: bool = False) -> list[str]:
    """What people should know of how a folder was read: files that were passed over, and rules that images met.

    all_kinds: count files that nobody takes for images, too, such as texts.
    """
    kinds = given.passed_over if isinstance(given, GivenImages) else {}
    lines = []
    if all_kinds or not set(kinds) <= NO_IMAGES:
        lines = [f"{given.dataset}: {len(given):,} images; passed over: {counted(kinds)}"] if kinds else []
    for rule, count in rules_of(given).items():
        lines.append(f"{given.dataset}: {count:,} of {len(given):,} images {MET.get(rule, f'were laid {rule}')}")
    return lines


def rules_of(given: Split) -> Mapping[str, int]:
    """How many images of a folder met which rules of reading; empty for images that are no files."""
    return given.images.rules() if isinstance(given.images, Files) else {}
