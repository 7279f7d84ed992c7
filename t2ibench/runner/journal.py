"""The samples of one cell on disk: lossless PNGs, and a journal with one line a sample. A killed run can go on from it.

First the images of a batch are written, then its lines enter the journal in one write, which is flushed to the disk. So
a kill at any point loses at most the batch that was being made. A sample that the journal does not name is made again.
So is an image whose pixels no longer have the hash in the journal.
"""

import contextlib
import json
import logging
import os
import re
import secrets
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from t2ibench.core import mirrors
from t2ibench.core.errors import UserError
from t2ibench.core.images import encode_png, pixel_hash, read_image
from t2ibench.core.progress import track
from t2ibench.core.storage import WORK, cannot_be_written, publish, removed

log = logging.getLogger(__name__)
Status = Literal["ok", "black", "nan", "failed"]
READERS = 4
KEPT = 2**26  # bytes: how much of what it has just saved a store also keeps in memory
CHECK = "crc32"  # the key of the checksum in a line of the journal
WHOLE = "journal.jsonl"
# keys of costs (TOTAL: of all prompts together), and the end of those that are means over the prompts
PREPARED, TRAINED, PER_PROMPT, TOTAL = "preparation_seconds", "prompts_trained", "_per_prompt", "training_seconds"
COST = "cost"  # the key of a line that holds what the maker had spent by then
BY, OF = "by", "of"  # whose account such a line holds: of a process, or of all those that it names
PROCESS = secrets.token_hex(4)
Accounts = dict[tuple[str, str], dict[str, float]]  # what each process had spent, by its journal and its name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sample.

    sample: its id.
    prompt, group, text: the id, the group and the text of its prompt. The text helps those who read the journal.
    k: its number among the images of the prompt, from 0.
    source: what it was made from: the text that the method was given, or the id of a real image.
    status: whether there is an image that can be scored ("ok"), and if not, why.
    sha256: the hash of the pixels; empty where there are none.
    seconds: its share of the time of its batch.
    message: why it failed.
    """

    sample: str
    prompt: str
    group: str
    text: str
    k: int
    source: str
    status: Status
    sha256: str
    seconds: float
    message: str = ""


class Images:
    """The images of one cell, which are only read: `images/<sample>.png` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, folder / "images"
        self._kept: dict[str, np.ndarray] = {}

    def image_path(self, sample: str) -> Path:
        return self.images / f"{sample}.png"

    def read(self, samples: Sequence[str]) -> np.ndarray:
        """The images of samples, uint8 [B, 3, H, W]. Raises UserError for an unreadable file, and for unequal sizes."""
        missing = [sample for sample in samples if sample not in self._kept]
        with ThreadPoolExecutor(READERS) as pool:
            decoded = dict(zip(missing, pool.map(self.decoded, missing), strict=True))
        images = [self._kept[sample] if sample in self._kept else decoded[sample] for sample in samples]
        if len(sizes := {image.shape for image in images}) > 1:
            named = " and ".join(f"{width}x{height}" for _, height, width in sorted(sizes))
            raise UserError(f"{self.images}: images of {named} pixels, expected one size: let the method make one")
        return np.stack(images)

    def decoded(self, sample: str) -> np.ndarray:
        """The image of a sample as its file holds it, uint8 [3, H, W]. Raises UserError for an unreadable file."""
        return read_image(mirrors.fetched(self.image_path(sample))).transpose(2, 0, 1)


class Store(Images):
    """The folder of one cell: `journal.jsonl` and `images/<sample>.png`.

    writer: the name of this process, where several work on one cell. Each of them adds lines to a journal of its own,
        `journal.<writer>.jsonl`, and all read the union, until `merge` puts it into `journal.jsonl`.

    Where the folder mirrors one elsewhere, each batch is a journal of its own, `journal.<writer>.<number>.jsonl`, since
    nothing can be appended to an object. Its images are there before it is.

    Raises UserError where the folder cannot be written.
    """

    def __init__(self, folder: Path, writer: str = "") -> None:
        super().__init__(folder)
        self.path = folder / (f"journal.{writer}.jsonl" if writer else "journal.jsonl")
        self._cost: dict[str, float] = {}
        self._unpushed: list[Path] = []
        self._part: tuple[str, int] | None = None
        if mirrors.mirror_of(folder) is not None:
            name = f"{socket.gethostname()[:32]}-{os.getpid()}"
            self._part = writer or name, 0
        try:
            self.images.mkdir(parents=True, exist_ok=True)
            for part in () if writer else self.images.glob("*.part"):  # what a killed run was writing
                part.unlink()
        except OSError as error:
            raise cannot_be_written(folder, error, WORK) from error

    def clear(self) -> None:
        """Forget every outcome, so that each image is made anew. Raises UserError if a journal cannot be removed."""
        self._remove(journals(self.folder))

    def merge(self, outcomes: Iterable[Outcome]) -> None:
        """Put the outcomes of a cell into `journal.jsonl`, and remove the journals of single processes, if any.

        Whoever calls it holds the lock of the cell. Raises UserError if the folder cannot be written.
        """
        if parts := [path for path in journals(self.folder) if path.name != WHOLE]:
            known = read(self.folder / WHOLE)
            fresh = [outcome for outcome in outcomes if known.get(outcome.sample) != outcome]
            if self._part is None:
                covered = [list(key) for key in self._accounts()]
                Store(self.folder).append(fresh, self.cost(), covered)
            else:  # an object is written anew
                lines = [asdict(outcome) for outcome in ({**known, **{o.sample: o for o in fresh}}).values()]
                covered = [list(key) for key in self._accounts()]
                costs = [{COST: cost, BY: secrets.token_hex(8), OF: covered}] if (cost := self.cost()) else []
                publish(self.folder / WHOLE, spelled([*lines, *costs]), WORK)
            self._remove(parts)

    @staticmethod
    def _remove(paths: Iterable[Path]) -> None:
        for path in paths:
            try:
                removed(path)
            except OSError as error:
                raise UserError(f"{path} cannot be removed ({error.strerror}): choose another --work") from error

    def outcomes(self) -> dict[str, Outcome]:
        """The outcomes in the journals of the cell, by sample. One that has an image goes before one that has none."""
        outcomes: dict[str, Outcome] = {}
        for outcome in self._every():
            if outcome.sample not in outcomes or (outcome.sha256 and not outcomes[outcome.sample].sha256):
                outcomes[outcome.sample] = outcome
        return outcomes

    def cost(self) -> dict[str, float]:
        """What the makers had spent when the last batches were written, over all journals and all processes that worked
        on the cell, one after the other or at once; empty if no line says so.
        """
        return summed([cost for cost in self._accounts().values() if cost])

    def _accounts(self) -> Accounts:
        accounts: Accounts = {}
        covered: set[tuple[str, str]] = set()
        for path in journals(self.folder):
            writer = writer_of(path)
            for by, cost, of in accounts_in(path):
                covered |= of
                known = accounts.get((writer, by), {})
                if cost.get(TRAINED, 0) >= known.get(TRAINED, 0):  # journals of one process have no order
                    accounts[writer, by] = cost
        return {key: cost for key, cost in accounts.items() if key not in covered}

    def _every(self) -> list[Outcome]:
        return [outcome for path in journals(self.folder) for outcome in read(path).values()]

    def sound(self, wanted: Mapping[str, str]) -> dict[str, Outcome]:
        """The outcomes of the journal that still hold, by sample.

        wanted: the source of each sample, by its id. An outcome holds if its source is the wanted one, and its image
        file still has the pixels that were saved.
        """
        candidates = [o for o in self._every() if wanted.get(o.sample) == o.source]
        if not candidates:
            return {}
        with ThreadPoolExecutor(READERS) as pool:
            held = list(track(pool.map(self._holds, candidates), f"check {len(candidates):,} images", len(candidates)))
        sound = [outcome for outcome, holds in zip(candidates, held, strict=True) if holds]
        return {o.sample: o for o in sorted(sound, key=lambda o: bool(o.sha256))}

    def _holds(self, outcome: Outcome) -> bool:
        if not outcome.sha256:
            return True
        try:
            return pixel_hash(self.decoded(outcome.sample)) == outcome.sha256
        except UserError as error:
            log.warning("%s; it is made again", error)
            return False

    def save(self, sample: str, image: np.ndarray) -> str:
        """Write one image, uint8 [3, H, W], whole or not at all; returns the hash of its pixels."""
        path = self.image_path(sample)
        publish(path, encode_png(image), WORK, wait=False, push=False)  # the journal has its hash
        self._unpushed.append(path)
        self._kept.pop(sample, None)
        if (len(self._kept) + 1) * image.nbytes <= KEPT:
            self._kept[sample] = (
                image.copy()
            )  # the pixels of the lossless file; a view would keep the whole batch in memory
        return pixel_hash(image)

    def append(
        self,
        outcomes: Iterable[Outcome],
        cost: Mapping[str, float] | None = None,
        of: Sequence[list[str]] | None = None,
    ) -> None:
        """Add a batch to the journal, in one write, which is on the disk when this returns.

        cost: what the maker has spent so far besides the images. It is written where it has changed.
        of: the accounts that `cost` is the sum of; None: it is the account of this process.
        Where a kill left the last line without its end, that line is ended first.
        """
        lines: list[dict[str, Any]] = [asdict(outcome) for outcome in outcomes]
        if cost and cost != self._cost:
            self._cost = dict(cost)
            lines.append({COST: self._cost, **({BY: process()} if of is None else {BY: secrets.token_hex(8), OF: of})})
        content = spelled(lines)
        unpushed, self._unpushed = self._unpushed, []
        if self._part is not None:
            mirrors.push(unpushed)
            writer, number = self._part
            self._part = writer, number + 1
            publish(self.folder / f"journal.{writer}.{secrets.token_hex(3)}-{number}.jsonl", content, WORK)
            return
        try:
            with self.path.open("ab+") as file:
                if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    content = b"\n" + content
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_be_written(self.path, error, WORK) from error


def read(path: Path) -> dict[str, Outcome]:
    """The outcomes in a journal, by sample. Where a sample has several lines, the last one counts. Writes nothing.

    A torn or damaged line is left out, with a warning. Every line holds its own checksum; a line without one comes from
    an older version and is taken as it is. Empty where there is no journal.
    """
    outcomes: dict[str, Outcome] = {}
    for line in lines_of(path):
        try:
            content = read_line(line)
            if COST not in content:
                outcome = Outcome(**content)
                outcomes[outcome.sample] = outcome
        except (ValueError, TypeError, AttributeError):
            log.warning("%s: a line of %d bytes is damaged; its sample is made again", path, len(line))
    return outcomes


def journals(folder: Path) -> list[Path]:
    """The journals in the folder of a cell: one, or one for each process that has worked on it."""
    mirrors.pull(folder)
    return sorted(folder.glob("journal*.jsonl"))


def writer_of(journal: Path) -> str:
    """Who writes a journal; empty for that of a cell as a whole."""
    return re.sub(r"\.[0-9a-f]{6}-\d+$", "", journal.stem).removeprefix("journal").lstrip(".")


def process() -> str:
    """The name of this process in its accounts. A fork has another one than its parent."""
    return f"{PROCESS}-{os.getpid()}"


def accounts_in(path: Path) -> list[tuple[str, dict[str, float], set[tuple[str, str]]]]:
    """The accounts in a journal: who spent, what in all so far, and the accounts that it is the sum of, if any.

    Those of an older version do not say who.
    """
    accounts = []
    for line in lines_of(path):
        with contextlib.suppress(ValueError, TypeError, AttributeError):  # `read` warns of a damaged line
            content = read_line(line)
            if COST in content:
                of = {(writer, by) for writer, by in content.get(OF, ())}
                accounts.append((content.get(BY, ""), {**content[COST]}, of))
    return accounts


def summed(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The account of several processes: what they spent together. A mean per prompt is weighed by their prompts.

    Preparation is done once for all, and each process that finds it done states it.
    """
    total = {key: sum(cost.get(key, 0.0) for cost in costs) for key in dict.fromkeys(key for c in costs for key in c)}
    if PREPARED in total:
        total[PREPARED] = max(cost.get(PREPARED, 0.0) for cost in costs)
    for key in [key for key in total if key.endswith(PER_PROMPT)]:
        weights = [cost.get(TRAINED, 0.0) if key in cost else 0.0 for cost in costs]
        means = [cost.get(key, 0.0) for cost in costs]
        total[key] = float(np.average(means, weights=weights)) if sum(weights) else max(means)
    return total


def spelled(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """Lines of a journal as its bytes, each with its checksum."""
    return b"".join(json.dumps({**line, CHECK: checksum(line)}, ensure_ascii=False).encode() + b"\n" for line in lines)


def lines_of(path: Path) -> list[bytes]:
    """The lines of a journal; none where there is no journal."""
    return [line for line in path.read_bytes().split(b"\n") if line] if path.exists() else []


def read_line(line: bytes) -> dict[str, Any]:
    """The content of a line of the journal. Raises ValueError or TypeError for a line that is torn or damaged."""
    content = json.loads(line)
    if content.pop(CHECK, None) not in (None, checksum(content)):
        raise ValueError("the line does not match its checksum")
    return content


def checksum(content: Mapping[str, Any]) -> str:
    """CRC-32 of the content of a line, as eight hexadecimal digits."""
    return f"{zlib.crc32(json.dumps(content, sort_keys=True, ensure_ascii=False).encode('utf-8', 'surrogatepass')):08x}"
