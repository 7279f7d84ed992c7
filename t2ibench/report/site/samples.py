"""The samples of the cells of a board: which there are, what was said about each, and their thumbnails.

The journal of a cell names its samples, and the digest in its record proves that they are those of the record, in the
order in which its values keep them. A cell without such a journal has no images here.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from t2ibench.core import mirrors
from t2ibench.core.errors import UserError
from t2ibench.core.mirrors import fetched
from t2ibench.core.records import canonical, digest
from t2ibench.report.gallery import cell_folder
from t2ibench.report.site import addresses
from t2ibench.report.site.data import script
from t2ibench.runner import journal
from t2ibench.runner.journal import Outcome
from t2ibench.stats.paired import per_sample
from t2ibench.tracks.contract import PAIRS, installed

Record = Mapping[str, Any]
SIDE = 128  # the longer side of a thumbnail in pixels, at most
BLOCK = 500  # thumbnails in a folder
WRITERS = 4
STATUS = {"ok": "o", "black": "b", "nan": "n", "failed": "f"}
NO_IMAGES = "no images kept"
OTHERS = "the images in the work folder are not those of this record"


@dataclass(frozen=True)
class Cell:
    """One cell of a board.

    record: its record.
    folder: the folder of its images; None where there is none.
    outcomes: what became of every sample, in the order of the record; empty where that is not known.
    why: why nothing can be shown; empty where something can.
    """

    record: Record
    folder: Path | None
    outcomes: Sequence[Outcome]
    why: str

    @property
    def id(self) -> str:
        """The method and the run seed."""
        return f"{self.record['method']}.{self.record['seed']}"

    @property
    def label(self) -> str:
        return f"{self.record['method']}, seed {self.record['seed']}"

    def image(self, row: int) -> Path | None:
        """The file of a sample's image; None where it has none."""
        if self.folder is None or not self.outcomes[row].sha256:
            return None
        return self.folder / "images" / f"{self.outcomes[row].sample}.png"


@dataclass(frozen=True)
class Prompts:
    """The samples that several cells share, in their order: the ids, prompts and numbers of N samples."""

    outcomes: Sequence[Outcome]

    @cached_property
    def digest(self) -> str:
        return digest([outcome.sample for outcome in self.outcomes])[:10]


def cells_of(cell_records: Sequence[Record], work: Sequence[Path]) -> list[Cell]:
    """The cells of a board. work: the folders in which the images are looked for."""
    found: list[tuple[Record, Path | None, list[Outcome]]] = []
    for record in cell_records:
        folder = next(
            (path for top in work if (path := cell_folder(top, record)) and (path / "journal.jsonl").exists()), None
        )
        found.append((record, folder, [] if folder is None else list(journal.read(folder / "journal.jsonl").values())))
    proven = [outcomes for record, _, outcomes in found if outcomes and is_of(record, outcomes)]
    orders = {tuple(outcome.sample for outcome in outcomes): None for outcomes in proven}
    cells = []
    for record, folder, outcomes in found:
        if not outcomes:
            cells.append(Cell(record, None, (), NO_IMAGES))
            continue
        candidates = [outcomes, *(put_in_order(outcomes, order) for order in orders)]
        ordered = next((candidate for candidate in candidates if candidate and is_of(record, candidate)), None)
        cells.append(Cell(record, None, (), OTHERS) if ordered is None else Cell(record, folder, ordered, ""))
    return cells


def is_of(record: Record, outcomes: Sequence[Outcome]) -> bool:
    """Whether outcomes are those of a record, in its order."""
    return record["images"] == digest([[outcome.sample, outcome.status, outcome.sha256] for outcome in outcomes])


def put_in_order(outcomes: Sequence[Outcome], order: Sequence[str]) -> list[Outcome]:
    """Outcomes in the order of sample ids; empty where they are of other samples."""
    by_id = {outcome.sample: outcome for outcome in outcomes}
    return [by_id[sample] for sample in order] if by_id.keys() == set(order) else []


def prompts_script(prompts: Prompts, track: str) -> bytes:
    """The samples of a board as a script: texts once, and for each sample its prompt and its number.

    `about` of a prompt is what a reader filters by: the attribute pair, or the prompt itself where there are few.
    `source` of a sample is the sample that it starts from: of the track's group of sources, with the same number; -1
    where there is none.
    """
    outcomes = prompts.outcomes
    ids = {outcome.prompt: place for place, outcome in reversed(list(enumerate(outcomes)))}
    order = sorted(ids, key=lambda prompt: ids[prompt])
    place = {prompt: i for i, prompt in enumerate(order)}
    first = [outcomes[ids[prompt]] for prompt in order]
    groups = list(dict.fromkeys(outcome.group for outcome in first))
    counts = {group: sum(outcome.group == group for outcome in first) for group in groups}
    subjects = [_subject(outcome, counts[outcome.group]) for outcome in first]
    names = list(dict.fromkeys(name for name in subjects if name))
    above = above_of(track)
    sources = {o.k: i for i, o in enumerate(outcomes) if o.group in above.values()}
    starts = [sources.get(o.k, -1) if o.group.partition("/")[0] in above else -1 for o in outcomes]
    return script(
        "prompts",
        digest=prompts.digest,
        groups=groups,
        about=names,
        texts=[outcome.text for outcome in first],
        group=[groups.index(outcome.group) for outcome in first],
        subject=[names.index(name) if name else -1 for name in subjects],
        prompt=[place[outcome.prompt] for outcome in outcomes],
        k=[outcome.k for outcome in outcomes],
        start=starts if sources else [],
        ids="".join(outcome.sample for outcome in outcomes),
        letters=len(outcomes[0].sample),
    )


def above_of(track: str) -> dict[str, str]:
    """For each group of prompts of a track whose images start from others, the group of these."""
    known = installed(track)
    return {} if known is None else {name: group.above for name, group in known.groups.items() if group.above}


def _subject(outcome: Outcome, prompts: int) -> str:
    """What a prompt is about: of "pairs/a=b+c=d/0" the pair; of another, its name where its group has few prompts."""
    _, _, rest = outcome.prompt.partition("/")
    if outcome.group == PAIRS:
        return rest.rpartition("/")[0]
    return (rest or outcome.group) if 1 < prompts <= 100 else ""


def cell_script(cell: Cell, prompts: Prompts, originals: str) -> bytes:
    """A cell as a script: the outcome of every sample with its reason, and what each value says about it.

    originals: the address of the folder of its images; empty where the site is elsewhere.
    """
    outcomes = cell.outcomes
    return script(
        "cell",
        cell=cell.id,
        prompts=prompts.digest,
        status="".join(STATUS[outcome.status] for outcome in outcomes),
        kept="".join("1" if outcome.sha256 else "0" for outcome in outcomes),
        messages={str(i): outcome.message for i, outcome in enumerate(outcomes) if outcome.message},
        sources={str(i): outcome.source for i, outcome in enumerate(outcomes) if outcome.source != outcome.text},
        scores=scores(cell),
        originals=originals,
    )


def scores(cell: Cell) -> list[dict[str, Any]]:
    """What each value of a record says about single samples.

    Each entry has `id`, `better`, and `of`, which says what its numbers are about: "sample", or "source" for a mean
    over the images of one source. `rows` are the samples as [first, count] ranges, and `hits` or `numbers` stand for
    them in this order; of a source, the numbers stand for k = 0, 1, … A value whose samples cannot be told is left out.
    """
    outcomes = cell.outcomes
    above = set(above_of(cell.record["track"]).values())
    of_group: dict[str, list[int]] = {}
    of_pair: dict[str, list[int]] = {}
    for row, outcome in enumerate(outcomes):
        of_group.setdefault(outcome.group, []).append(row)
        if outcome.group == PAIRS:
            of_pair.setdefault(_subject(outcome, 0), []).append(row)
    sources = {outcome.k for outcome in outcomes if outcome.group not in above} if above else set()
    table = pair_table(cell.record)
    entries = []
    for id, value in cell.record["values"].items():
        numbers = per_sample(value)
        if numbers is None:
            continue
        protocol = value["protocol"]
        listed = protocol.get("judged", protocol.get("pairs"))
        entry = {"id": id, "better": value["better"], "of": "sample"}
        if isinstance(listed, list):
            rows = [row for name in listed for row in of_pair.get(name, [])]
            if len(rows) == len(numbers) > 0:
                numbers = hits_of_pairs(numbers, listed, table)
                entries.append({**entry, "rows": ranges(rows), **_spelled(numbers)})
        elif isinstance(protocol.get("group"), str) and len(of_group.get(protocol["group"], [])) == len(numbers):
            entries.append({**entry, "rows": ranges(of_group[protocol["group"]]), **_spelled(numbers)})
        elif sources and len(sources) == len(numbers):
            entries.append({**entry, "of": "source", **_spelled(numbers, digits=False)})
        elif len(numbers) == len(outcomes):
            entries.append({**entry, "rows": ranges(list(range(len(outcomes)))), **_spelled(numbers)})
    return entries


def pair_table(record: Record) -> dict[str, Mapping[str, Any]]:
    """The rows of the record's table of attribute pairs, by name; empty where it has none."""
    for value in record["values"].values():
        listed = value["details"].get("pairs")
        if isinstance(listed, list) and all(isinstance(entry, dict) and "hits" in entry for entry in listed):
            return {entry["pair"]: entry for entry in listed}
    return {}


def hits_of_pairs(numbers: np.ndarray, pairs: Sequence[str], table: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """Whether each sample is a hit, from what it adds to a rate that is freed of the judge's errors.

    What a hit adds is near 1, all else is near 0. The numbers are returned as they are where the hits that are told so
    do not have the counts of the table.

    numbers: [P * n], pair by pair.
    """
    n = len(numbers) // len(pairs)
    hits = (numbers > 0.5).astype(float)
    counted = hits.reshape(len(pairs), n).sum(1)
    known = all(name in table and table[name]["hits"] == count for name, count in zip(pairs, counted, strict=True))
    return hits if known else numbers


def ranges(rows: Sequence[int]) -> list[list[int]]:
    """Row numbers as [first, count] ranges of neighbours."""
    spans: list[list[int]] = []
    for row in rows:
        if spans and spans[-1][0] + spans[-1][1] == row:
            spans[-1][1] += 1
        else:
            spans.append([row, 1])
    return spans


def _spelled(numbers: np.ndarray, digits: bool = True) -> dict[str, Any]:
    """Numbers as one digit each where all are 0 or 1, and as a list else; "-" or None for NaN."""
    known = numbers[~np.isnan(numbers)]
    if digits and np.isin(known, (0.0, 1.0)).all():
        return {"hits": "".join("-" if np.isnan(number) else str(int(number)) for number in numbers)}
    return {"numbers": [None if np.isnan(number) else float(f"{number:.5g}") for number in numbers]}


def thumbnail_folder(stem: str, cell: Cell) -> str:
    """Where the thumbnails of a cell lie in the site."""
    return f"images/{stem}/{addresses.stem(cell.record['method'], str(cell.record['seed']))}"


def write_thumbnails(folder: Path, cell: Cell) -> None:
    """Write a thumbnail of every image of a cell: <folder>/<row // BLOCK>/<row>.webp.

    Nothing is written where the folder has them already. Raises UserError for an image that is missing or damaged.
    """
    made = folder / "made.json"
    mark = canonical({"images": cell.record["images"], "side": SIDE})
    if made.exists() and made.read_text("utf-8") == mark:
        return
    rows = [row for row in range(len(cell.outcomes)) if cell.image(row) is not None]
    for block in {row // BLOCK for row in rows}:
        (folder / str(block)).mkdir(parents=True, exist_ok=True)

    def write(row: int) -> None:
        path = cell.image(row)
        assert path is not None
        try:
            content = thumbnail(fetched(path).read_bytes())
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error}): run the suite again, it makes the image anew") from error
        (folder / str(row // BLOCK) / f"{row}.webp").write_bytes(content)

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(write, rows):
            pass
    made.write_text(mark, "utf-8")
    mirrors.push([*(folder / str(row // BLOCK) / f"{row}.webp" for row in rows), made])


def thumbnail(png: bytes, side: int = SIDE) -> bytes:
    """A WebP of an image file, at most `side` pixels wide and high. A small image stays as it is."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()


def original_address(cell: Cell, site: Path) -> str:
    """The address of a cell's folder of images from a page of the site; empty where the two lie apart."""
    if cell.folder is None:
        return ""
    images, top = (cell.folder / "images").resolve(), site.resolve()
    for ups, parent in enumerate(top.parents, 1):
        if parent in images.parents and ups <= 2:
            return "../" * ups + images.relative_to(parent).as_posix() + "/"
    return ""


def sets_of(cells: Sequence[Cell]) -> Iterator[tuple[Prompts, list[Cell]]]:
    """The cells that can be shown, by the samples that they share."""
    groups: dict[str, tuple[Prompts, list[Cell]]] = {}
    for cell in cells:
        if not cell.why:
            prompts = Prompts(cell.outcomes)
            groups.setdefault(prompts.digest, (prompts, []))[1].append(cell)
    yield from groups.values()
