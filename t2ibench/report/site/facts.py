"""What is known about a method beside its numbers: its paper, its settings, its weights and what these saw."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.core import plugins

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Paper:
    """The citation of a method. A field that is not stated is empty."""

    title: str = ""
    authors: tuple[str, ...] = ()
    venue: str = ""
    arxiv: str = ""
    code: str = ""

    @property
    def year(self) -> str:
        """The year in the venue, else that of the arXiv number, as text."""
        if years := re.findall(r"\b(?:19|20)\d\d\b", self.venue):
            return years[-1]
        return f"20{self.arxiv[:2]}" if re.fullmatch(r"\d{4}\.\d{4,5}", self.arxiv) else ""

    @property
    def short(self) -> str:
        """The name of the paper before its colon, or its whole title where that is short."""
        head = self.title.split(":")[0]
        return head if len(head) <= 40 else head[:39].rsplit(" ", 1)[0] + " …"


@dataclass(frozen=True)
class Facts:
    """A method or baseline of a suite.

    method, kind: its id, and "method" or "baseline".
    plugin: the plug-in that makes its images; empty where the record does not name one.
    about: one line on the plug-in.
    paper: its paper.
    trained_on: the data sets that its weights saw.
    parameters: how many numbers all its weights hold; None where the size of one is not known.
    minutes: minutes of training of all its weights, as far as they are stated; None where none is.
    records: its records, over all tracks and seeds of the suite.
    """

    method: str
    kind: str
    plugin: str
    about: str
    paper: Paper
    trained_on: tuple[str, ...]
    parameters: int | None
    minutes: float | None
    records: Sequence[Record]

    @property
    def tracks(self) -> list[str]:
        return list(dict.fromkeys(record["track"] for record in self.records))

    @property
    def weights(self) -> dict[str, Mapping[str, Any]]:
        """Its weights by name, over all tracks."""
        return {name: entry for record in self.records for name, entry in record["weights"].items()}


def facts_of(records: Sequence[Record], sizes: Mapping[str, int], paper: Callable[[str], Paper] | None = None) -> Facts:
    """The facts of one method.

    records: all records of the method in one suite, at least one.
    sizes: the number of parameters of weights, by their sha256.
    paper: the paper of a plug-in; `paper_of` unless given.
    """
    first, paper = records[0], paper or paper_of
    plugin = str(first["config"].get("name", "")) if first["kind"] == "method" else ""
    known = plugin in plugins.find("methods")
    weights = {name: entry for record in records for name, entry in record["weights"].items()}
    counts = [sizes.get(entry.get("sha256", "")) for entry in weights.values()]
    minutes = {name: value for record in records for name, value in record["cost"].get("training_minutes", {}).items()}
    return Facts(
        first["method"],
        first["kind"],
        plugin,
        plugins.describe("methods", plugin) if known else "",
        paper(plugin) if known else Paper(),
        tuple(dict.fromkeys(name for record in records for name in record["trained_on"])),
        sum(count for count in counts if count is not None) if counts and None not in counts else None,
        sum(minutes.values()) if minutes else None,
        records,
    )


def paper_of(plugin: str) -> Paper:
    """The citation in the `paper.yaml` of a method; empty where it has none."""
    citation = plugins.paper(plugin).get("citation") or {}
    authors = citation.get("authors") or ()
    return Paper(
        str(citation.get("title", "")),
        tuple(map(str, authors if isinstance(authors, list | tuple) else [authors])),
        str(citation.get("venue", "")),
        str(citation.get("arxiv", "")),
        str(citation.get("code", "")),
    )


def parameters_text(count: int | None) -> str:
    """ "1.6 M" for 1,632,970; a dash where it is not known."""
    if count is None:
        return "—"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def size_class(count: int | None) -> str:
    """The class of size that a filter offers."""
    if count is None:
        return "not known"
    return next((text for most, text in SIZES if count <= most), "over 1 B")


SIZES = ((10**6, "up to 1 M"), (10**7, "up to 10 M"), (10**8, "up to 100 M"), (10**9, "up to 1 B"))
