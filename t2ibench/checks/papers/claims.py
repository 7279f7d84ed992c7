"""What a paper claims and reports, from the `paper.yaml` beside its method, checked before anything is run.

The sheet names a suite. A claim names two entries of this suite and a value in which they are compared: the first is
`better` and the second `worse`, or the two are `equal` within `margin`. With `at`, each of the two names a curve of
entries that differ in their strength, and they are compared where both have reached the same. A claim that cannot be
tested yet has `needs`, which says what is missing. Its entries and its metric need not be in the suite.

`retrained` names, for an entry, others that differ from it in the seed of their training alone. A claim about two
entries that have such others is judged over trainings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.report.compare import Margin, margins_of
from t2ibench.report.matched import at_of
from t2ibench.runner import suite
from t2ibench.runner.suite import Suite


@dataclass(frozen=True)
class Claim:
    """A claim: an ordering of two entries, or their equality.

    id: its name in the ledger.
    text: what the paper says, in words.
    metric: the value in which the two are compared.
    better, worse: the entries of an ordering.
    equal: the two entries of an equality.
    at: where two curves are compared, as "edit_success=0.5"; empty: the two entries as they are.
    margin: for an equality, the largest difference that does not matter: "5%" of the second's value, or "0.1".
    needs: what is missing before the claim can be tested; empty where nothing is.
    """

    id: str
    text: str
    metric: str
    better: str = ""
    worse: str = ""
    equal: tuple[str, ...] = ()
    at: str = ""
    margin: str = "5%"
    needs: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        return (self.equal[0], self.equal[1]) if self.equal else (self.better, self.worse)

    @property
    def limit(self) -> Margin:
        return margins_of([self.margin]).others


@dataclass(frozen=True)
class Reported:
    """A number that a paper prints.

    source: where it is printed.
    method, dataset, metric: what it is about.
    status: whether the number was checked against the paper.
    protocol: how the paper measured it, in words.
    protocol_id: the id of the same protocol here, where there is one. Numbers compare only under equal ids.
    std: its standard deviation, where the paper prints one.
    suite: the suite that measures it at the paper's scale, by its name; its records are of `method`.
    column: the value of its records that the number is compared with; `metric` unless given.
    missing: why no record can measure it, where none can.
    prompt: the prompt it is about, where it is about one.
    """

    source: str
    method: str
    dataset: str
    metric: str
    value: Any  # a number, or [low, high]
    status: Literal["verified", "unverified"]
    protocol: str = ""
    protocol_id: str = ""
    std: float | None = None
    of: int | None = None  # of a rank: how many were ranked
    unit: str = ""
    prompt: str = ""
    note: str = ""
    suite: str = ""
    column: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Paper:
    """The paper of a method.

    name: the name of the method, which is also the name of the suite.
    title, venue: as in the citation.
    suite: the suite whose entries the claims compare.
    entries: the entries of the suite, and all published variants that the suite does not have, by id.
    claims, reported: what the paper claims, and the numbers that it prints.
    retrained: by the id of an entry, the entries that differ from it in the seed of their training alone.
    """

    name: str
    title: str
    venue: str
    suite: Suite
    entries: Mapping[str, Entry]
    claims: tuple[Claim, ...]
    reported: tuple[Reported, ...]
    retrained: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def trained(self, claim: Claim) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The trainings of both sides of a claim, by entry; None where it is not judged over trainings."""
        first, second = claim.pair
        if claim.at or first not in self.retrained or second not in self.retrained:
            return None
        return (first, *self.retrained[first]), (second, *self.retrained[second])


def papers() -> list[str]:
    """The methods whose sheet makes claims."""
    return [name for name in plugins.find("methods") if plugins.paper(name).get("claims")]


def load(name: str) -> Paper:
    """The paper of a method. Raises UserError if it has no claims, or its sheet has a wrong key or value."""
    known = papers()
    if name not in known:
        raise UserError(f"no paper with claims is called {name!r}{did_you_mean(name, known)}")
    sheet, content, where = plugins.sheet(name), plugins.paper(name), f"{name}/paper.yaml"
    assert sheet is not None
    if not isinstance(content.get("suite"), str):
        raise UserError(
            f"{where}: the key 'suite' is missing, expected the file beside it whose entries the claims compare"
        )
    return parse(name, content, _suite(name, sheet.with_name(content["suite"])), where)


def parse(name: str, content: Mapping[str, Any], of: Suite, where: str) -> Paper:
    """A paper from the content of its sheet. of: its suite. where: the beginning of error lines."""
    claims = tuple(_claim(entry, of, where) for entry in content["claims"])
    ids = [claim.id for claim in claims]
    if twice := [id for id in ids if ids.count(id) > 1]:
        raise UserError(f"{where}: claims: {twice[0]!r} stands there twice: give one of them another id")
    citation = content.get("citation") or {}
    reported = tuple(
        _reported(entry, content.get("variants") or {name: {}}, where) for entry in content.get("reported") or []
    )
    entries = {id: Entry(id, *published, "method") for id, published in plugins.method_ids().items()}
    entries |= {entry.id: entry for entry in (*of.methods, *of.baselines)}
    title, venue = str(citation.get("title", name)), str(citation.get("venue", ""))
    return Paper(name, title, venue, of, entries, claims, reported, _retrained(content.get("retrained"), of, where))


def _retrained(given: Any, of: Suite, where: str) -> dict[str, tuple[str, ...]]:
    known = [entry.id for entry in of.methods]
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(others, list) and others for others in given.values()):
        raise UserError(f"{where}: retrained: expected {{ENTRY: [ENTRY, …]}}, entries of other seeds of its training")
    named = [id for entry, others in given.items() for id in (entry, *others)]
    for id in named:
        if id not in known:
            raise UserError(f"{where}: retrained: the suite has no method {id!r}{did_you_mean(str(id), known)}")
        if named.count(id) > 1:
            raise UserError(f"{where}: retrained: {id!r} stands there twice: a training counts once")
    return {str(entry): tuple(others) for entry, others in given.items()}


def _suite(name: str, path: Path) -> Suite:
    loaded = suite.load(str(path))
    return Suite(**{**vars(loaded), "name": name})


def _claim(entry: Any, of: Suite, where: str) -> Claim:
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where}: claims: found {entry!r}, expected {{id: …, text: …, better: …, worse: …, metric: …}}"
        )
    claim = settings.configure(Claim, entry, f"{where}: claims: {entry.get('id', '?')}")
    at = f"{where}: claims: {claim.id}"
    if len(claim.equal) not in (0, 2) or bool(claim.equal) == bool(claim.better or claim.worse) or not all(claim.pair):
        raise UserError(f"{at}: expected either `better` and `worse`, or two entries that are `equal`")
    if claim.pair[0] == claim.pair[1]:
        raise UserError(f"{at}: compares {claim.pair[0]!r} with itself")
    try:
        margins_of([claim.margin])
    except UserError as error:
        raise UserError(f"{at}: margin is {claim.margin!r}, expected 5% or 0.1, with a number above 0") from error
    if claim.at:
        try:
            at_of(claim.at)
        except UserError as error:
            raise UserError(f"{at}: {str(error).removeprefix('--')}") from error
    entries = [entry.id for entry in (*of.methods, *of.baselines)]
    for id in claim.pair:
        if id not in entries and not claim.needs:
            raise UserError(f"{at}: the suite has no entry {id!r}{did_you_mean(id, entries)}")
    if claim.metric not in of.columns and of.columns and not claim.needs:
        raise UserError(
            f"{at}: no column of the suite is called {claim.metric!r}{did_you_mean(claim.metric, of.columns)}"
        )
    return claim


def _reported(entry: Any, variants: Mapping[str, Any], where: str) -> Reported:
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where}: reported: found {entry!r}, expected {{source: …, method: …, dataset: …, metric: …, value: …, "
            f"status: …}}"
        )
    reported = settings.configure(
        Reported, entry, f"{where}: reported: {entry.get('metric', '?')} of {entry.get('method', '?')}"
    )
    if reported.suite and reported.suite not in suite.available():
        raise UserError(
            f"{where}: reported: no suite is called {reported.suite!r}{did_you_mean(reported.suite, suite.available())}"
        )
    if reported.method not in variants:
        raise UserError(
            f"{where}: reported: no variant is called {reported.method!r}{did_you_mean(reported.method, variants)}"
        )
    return reported
