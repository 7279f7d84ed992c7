"""Tests the claims of a paper: runs what can run here, and judges each claim by the paired test that `compare` uses.

A claim has one two-sided p-value, Holm-adjusted over all claims that could be judged:

- For an ordering, it is the p-value of no difference.
- For an equality, there are two one-sided p-values: of a difference at least as large as the margin, and of a smaller
  one. The claim's p-value is twice the smaller of the two.

At 5 % a claim is confirmed or refuted, depending on the side on which the difference lies; else it is inconclusive, and
the ledger says what difference would have been seen. A claim that could not be judged is "not run", with the reason. A
verdict holds for the suite's data, weights and seeds; where both sides were trained from several seeds, it is judged
over these trainings and holds for the trainings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from t2ibench.checks.papers.claims import Claim, Paper, Reported
from t2ibench.core import files, records, settings
from t2ibench.core.errors import MissingWeights, UserError
from t2ibench.core.plugins import Entry
from t2ibench.report.compare import LEVEL, Margins, MetricComparison, compare
from t2ibench.report.matched import at_of, compare_at, strengths
from t2ibench.runner import methods, plan
from t2ibench.runner.cell import CellResult, RunOptions, run_cell
from t2ibench.runner.suite import Suite
from t2ibench.scoring.default_networks import networks_of
from t2ibench.stats.paired import between_trainings, holm

Verdict = Literal["confirmed", "refuted", "inconclusive", "not run"]
Record = Mapping[str, Any]
FINE, REFUTED, INCONCLUSIVE = 0, 1, 3  # exit codes


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict.

    line: the comparison of its two entries; None where the claim was not run.
    p: the adjusted p-value.
    missing: why it was not run.
    suite, track, seeds: the records that were compared.
    sides: of a claim about two curves, what each is called where it has the value.
    tests: how many claims were judged beside it, this one included.
    """

    claim: Claim
    verdict: Verdict
    line: MetricComparison | None = None
    p: float | None = None
    missing: str = ""
    suite: str = ""
    track: str = ""
    seeds: tuple[int, ...] = ()
    sides: tuple[str, ...] = ()
    tests: int = 1

    @property
    def visible(self) -> float | None:
        """Of a claim that stayed inconclusive, what would have been seen in four of five cases at the level of the last
        test of Holm's family: a difference of this size, or an equality within it.
        """
        if self.line is None or self.verdict != "inconclusive":
            return None
        gap, level = self.line.difference, LEVEL / self.tests
        return gap.provable(level / 2) if self.claim.equal else gap.visible(level)


@dataclass(frozen=True)
class Beside:
    """A number of the paper beside ours.

    here: the value of our records under the same protocol; None where there is none.
    incomparable: why there is none.
    """

    reported: Reported
    here: float | None
    incomparable: str


@dataclass(frozen=True)
class Ledger:
    """All claims of a paper with their verdicts, and all numbers that it reports."""

    paper: Paper
    claims: tuple[Judged, ...]
    reported: tuple[Beside, ...]

    def count(self, verdict: Verdict) -> int:
        return sum(judged.verdict == verdict for judged in self.claims)

    @property
    def exit_code(self) -> int:
        """1 where a claim is refuted; 3 where one is inconclusive, or none could be judged; else 0."""
        if self.count("refuted"):
            return REFUTED
        return INCONCLUSIVE if self.count("inconclusive") or not self.count("confirmed") else FINE


def wanted(paper: Paper) -> Suite:
    """The paper's suite without the entries that no claim is about."""
    named = {id for claim in paper.claims for id in claim.pair}
    named |= {id for claim in paper.claims for side in paper.trained(claim) or () for id in side}
    swept = {id for claim in paper.claims if claim.at for id in claim.pair}
    plugins = {entry.name for entry in paper.suite.methods if entry.id in swept}
    named |= {entry.id for entry in paper.suite.methods if entry.name in plugins}  # the other strengths are among them
    baselines = tuple(entry for entry in paper.suite.baselines if entry.id in named)
    named |= {str(entry.settings.get("of")) for entry in baselines}
    return replace(
        paper.suite, baselines=baselines, methods=tuple(entry for entry in paper.suite.methods if entry.id in named)
    )


def run(paper: Paper, options: RunOptions, missing: dict[str, str]) -> Iterator[CellResult]:
    """Run every cell that a claim is about, in the same way as `t2ibench run`.

    missing: is filled with the entries whose weights are not here, each with the error that names the weights.
    """
    files.check_folder(options.out)
    for of_track in plan.prepare(wanted(paper), options.device, options.cache):
        for seed in of_track.suite.seeds:
            for entry in of_track.entries:
                try:
                    done = run_cell(of_track, entry, seed, options)
                except MissingWeights as error:
                    missing[entry.id] = str(error)
                    continue
                yield done


def judge(paper: Paper, cell_records: Sequence[Record], missing: Mapping[str, str] | None = None) -> Ledger:
    """The ledger of a paper from records.

    cell_records: the records of cells.
    missing: entries that could not be run, and why.

    Raises UserError for a claim that orders entries in a value where neither direction is better.
    """
    of = _by_entry(paper, cell_records)
    judged = [_judged(paper, claim, cell_records, of, missing or {}) for claim in paper.claims]
    tests = {i: test(entry.claim, entry.line) for i, entry in enumerate(judged) if entry.line is not None}
    for i, p in zip(tests, holm([p for p, _ in tests.values()]), strict=True):
        verdict: Verdict = "inconclusive" if p > LEVEL else "confirmed" if tests[i][1] else "refuted"
        judged[i] = replace(judged[i], verdict=verdict, p=p, tests=len(tests))
    return Ledger(paper, tuple(judged), tuple(beside(reported, of[reported.method]) for reported in paper.reported))


def test(claim: Claim, line: MetricComparison) -> tuple[float, bool]:
    """The p-value of a claim before adjustment, and whether the difference speaks for the claim."""
    gap = line.difference
    if claim.equal:
        beyond = gap.p_beyond(line.margin)
        return min(1.0, 2 * min(beyond, 1 - beyond)), beyond <= 0.5
    if line.better == "none":
        raise UserError(
            f"claims: {claim.id}: of {claim.metric} neither more nor less is better: use `equal`, or another metric"
        )
    return gap.p, (gap.value > 0) == (line.better == "higher")


def beside(reported: Reported, of_method: Sequence[Record]) -> Beside:
    """A reported number, and the number under the same protocol id in the records of its method."""
    of_dataset = [record for record in of_method if record["dataset"].get("name") == reported.dataset]
    values = [record["values"][reported.metric] for record in of_dataset if reported.metric in record["values"]]
    equal = [value["value"] for value in values if value["protocol_id"] == reported.protocol_id]
    if equal:
        return Beside(reported, sum(equal) / len(equal), "")
    if not of_method:
        return Beside(reported, None, f"no record of {reported.method}")
    if not of_dataset:
        names = sorted({str(record["dataset"].get("name")) for record in of_method})
        return Beside(reported, None, f"the records are of {' and '.join(names)}, not of {reported.dataset}")
    if not values:
        return Beside(reported, None, f"the records have no {reported.metric}")
    ours = " and ".join(sorted({value["protocol_id"] for value in values}))
    return Beside(reported, None, f"protocol {reported.protocol_id or 'of no id of ours'} there, {ours} here")


def load(folder: Path) -> list[dict[str, Any]]:
    """The records that runs wrote into a folder; none where there are no records yet."""
    return records.load(folder) if (folder / "records").is_dir() else []


def _judged(
    paper: Paper,
    claim: Claim,
    cell_records: Sequence[Record],
    of: Mapping[str, Sequence[Record]],
    missing: Mapping[str, str],
) -> Judged:
    """A claim with its comparison, without p-value and verdict yet; or "not run" with the reason."""
    if claim.at:
        return _at(paper, claim, cell_records)
    sides = paper.trained(claim)
    return _compared(paper, claim, of, missing) if sides is None else _over_trainings(paper, claim, sides, of, missing)


def _over_trainings(
    paper: Paper,
    claim: Claim,
    sides: tuple[tuple[str, ...], tuple[str, ...]],
    of: Mapping[str, Sequence[Record]],
    missing: Mapping[str, str],
) -> Judged:
    """A claim judged by the spread between trainings. Each training of the one side is compared with one of the other
    as if it were alone, so that what cannot be compared is found and said; their values are then tested together.
    """
    values: list[list[float]] = [[], []]
    for k in range(max(map(len, sides))):
        pair = tuple(side[min(k, len(side) - 1)] for side in sides)
        named = replace(claim, equal=pair) if claim.equal else replace(claim, better=pair[0], worse=pair[1])
        one = _compared(paper, named, of, missing)
        if one.line is None:
            return replace(one, claim=claim)
        for numbers, side, value in zip(values, sides, (one.line.a, one.line.b), strict=True):
            numbers += [value] if k < len(side) else []
    assert one.line is not None
    a, b = map(fmean, values)
    line = replace(one.line, a=a, b=b, difference=between_trainings(*values), margin=claim.limit.of(b))
    return replace(one, claim=claim, line=line)


def _compared(paper: Paper, claim: Claim, of: Mapping[str, Sequence[Record]], missing: Mapping[str, str]) -> Judged:
    """A claim with the comparison of its two entries, without p-value and verdict yet; or "not run" with the reason."""
    sides = [of[id] for id in claim.pair]
    if absent := [id for id, side in zip(claim.pair, sides, strict=True) if not side]:
        makes = "" if claim.needs else f", which `t2ibench reproduce {paper.name}` makes"
        unseen = " and ".join(id for id in absent if id not in missing)
        reasons = [missing[id] for id in absent if id in missing] + (
            [f"no record of {unseen}{makes}"] if unseen else []
        )
        return _not_run(claim, "; ".join(reasons))
    places = [{(record["suite"], record["track"]) for record in side} for side in sides]
    groups = {
        place: [[r for r in side if (r["suite"], r["track"]) == place] for side in sides]
        for place in sorted(places[0] & places[1])
    }
    if not groups:
        return _not_run(claim, "the records of the two are of different suites")
    with_value = {
        place: sides
        for place, sides in groups.items()
        if all(claim.metric in record["values"] for side in sides for record in side)
    }
    if not with_value:
        return _not_run(claim, f"the records have no {claim.metric}")

    def size(place: tuple[str, str]) -> tuple[int, bool]:
        return sum(r["values"][claim.metric]["n"] for r in with_value[place][0]), place[0] == paper.name

    place = max(with_value, key=size)
    a, b = with_value[place]
    for record in (*a, *b):
        if record["partial"]:
            counts = record["counts"]
            return _not_run(claim, f"{record['method']} is partial: {counts['ok']:,} of {counts['requested']:,} images")
        if claim.metric in record["judge_overlap"]:
            return _not_run(claim, f"{record['method']} was made for the judge of {claim.metric}")
    comparison = compare(a, b, Margins(claim.limit), [claim.metric])
    if claim.metric in comparison.left_out:
        return _not_run(claim, comparison.left_out[claim.metric])
    return Judged(claim, "inconclusive", comparison.lines[0], suite=place[0], track=place[1], seeds=comparison.seeds)


def _at(paper: Paper, claim: Claim, cell_records: Sequence[Record]) -> Judged:
    """A claim about two curves, compared where both have reached the same; or "not run" with the reason."""
    groups = {place: group for place, group in records.suites(cell_records).items() if place[0] == paper.name}
    reasons = []
    for (suite, track), group in groups.items():
        try:
            sides = [strengths(id, group, f"{suite} {track}") for id in claim.pair]
            comparison = compare_at(sides[0], sides[1], at_of(claim.at), Margins(claim.limit), [claim.metric])
        except UserError as error:
            reasons.append(str(error).removeprefix("--at: "))
            continue
        used = [record for side in sides for _, found in side.points for record in found]
        for record in used:
            if claim.metric in record["judge_overlap"] or at_of(claim.at).metric in record["judge_overlap"]:
                return _not_run(claim, f"{record['method']} was made for the judge of {claim.metric} or {claim.at}")
        if claim.metric in comparison.left_out:
            return _not_run(claim, comparison.left_out[claim.metric])
        named = (comparison.a, comparison.b)
        return Judged(claim, "inconclusive", comparison.lines[0], None, "", suite, track, comparison.seeds, named)
    return _not_run(claim, reasons[0] if reasons else f"no record of the suite {paper.name}")


def _not_run(claim: Claim, reason: str) -> Judged:
    return Judged(claim, "not run", missing="; ".join(part for part in (reason, claim.needs) if part))


def _by_entry(paper: Paper, cell_records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of every entry that a claim or a reported number is about, by the id of the entry.

    A record belongs to an entry if the method and settings that made its images are the entry's, whatever its name. An
    id that is no entry of the paper is looked up by name.
    """
    trained = [id for claim in paper.claims for side in paper.trained(claim) or () for id in side]
    ids = dict.fromkeys(
        [id for claim in paper.claims for id in claim.pair] + trained + [reported.method for reported in paper.reported]
    )
    of = {}
    for id in ids:
        facts = _facts(paper.suite, paper.entries[id]) if id in paper.entries else None
        of[id] = [
            record
            for record in cell_records
            if (record["method"] == id if facts is None else _holds(record["config"], facts))
        ]
    return of


def _facts(suite: Suite, entry: Entry) -> dict[str, Any]:
    """What a record of this entry says about the maker of its images, except for the weights."""
    if entry.kind == "method":
        entry = methods.guided(entry, networks_of(suite.dataset.name), suite.name)
        return {"name": entry.name, "config": settings.recorded(methods.configured(entry, suite.name)[1])}
    of = entry.settings.get("of")
    if of is None:
        return {"name": entry.name}
    return {
        "name": entry.name,
        "of": {"name": "real"} if of == "real" else _facts(suite, methods.entry_of(suite, str(of))),
    }


def _holds(content: Any, facts: Any) -> bool:
    """Whether JSON content has all of `facts`."""
    if isinstance(facts, Mapping):
        return isinstance(content, Mapping) and all(
            key in content and _holds(content[key], value) for key, value in facts.items()
        )
    return records.canonical(content) == records.canonical(facts)
