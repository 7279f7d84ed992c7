"""The ledger of a paper's claims as Markdown and as JSON."""

from dataclasses import asdict
from typing import Any

from t2ibench.checks.papers.claims import Reported
from t2ibench.checks.papers.reproduce import Beside, Judged, Ledger
from t2ibench.report.compare import figures, line_as_json, p_text

LEGEND = (
    "A verdict is about this data set, these weights and run seeds: its intervals cover the sampling of images, not "
    "that of trainings, but where it stands on several trainings of each side: there the spread between these counts. "
    "p: two-sided, Holm-adjusted over the claims that were judged; of an equality, that the two differ by less (or "
    "more) than the margin."
)


def markdown(ledger: Ledger) -> str:
    """The whole ledger."""
    paper = ledger.paper
    parts = [f"# {paper.title}", f"{paper.venue}. {summary(ledger)}. {LEGEND}"]
    if judged := [entry for entry in ledger.claims if entry.line is not None]:
        titles = ["verdict", "claim", "pair", "value", "first", "second", "difference [95 %]", "p", "records"]
        parts.append(_table(titles, [_judged(entry) for entry in judged]))
    parts += [f"{entry.claim.id}: {note}." for entry in judged for note in (entry.line.notes if entry.line else ())]
    parts += [f"{entry.claim.id}: inconclusive; {power}." for entry in judged if (power := seen(entry))]
    if left := [entry for entry in ledger.claims if entry.line is None]:
        rows = [
            [entry.claim.id, entry.claim.text, pair(entry), f"`{entry.claim.metric}`", entry.missing] for entry in left
        ]
        parts += ["## Not run", _table(["claim", "", "pair", "value", "missing"], rows)]
    if ledger.reported:
        rows = [_reported(entry) for entry in ledger.reported]
        titles = ["source", "method", "data", "value", "reported", "status", "protocol", "here"]
        parts += ["## What is reported", _table(titles, rows)]
    return "\n\n".join(parts) + "\n"


def as_json(ledger: Ledger) -> dict[str, Any]:
    """The ledger for another program."""
    claims = [
        {**asdict(entry), "line": None if entry.line is None else line_as_json(entry.line)} for entry in ledger.claims
    ]
    return {
        "paper": ledger.paper.name,
        "title": ledger.paper.title,
        "exit_code": ledger.exit_code,
        "claims": claims,
        "reported": [asdict(entry) for entry in ledger.reported],
    }


def summary(ledger: Ledger) -> str:
    """One line: how many claims there are, and how many have each verdict."""
    verdicts = [(ledger.count(verdict), verdict) for verdict in ("confirmed", "refuted", "inconclusive", "not run")]
    return f"{len(ledger.claims)} claims: " + ", ".join(f"{count} {verdict}" for count, verdict in verdicts if count)


def pair(entry: Judged) -> str:
    """The two entries, and which is claimed to be better."""
    claim = entry.claim
    first, second = entry.sides or claim.pair
    words = f"{first} = {second}, ± {claim.margin}" if claim.equal else f"{first} before {second}"
    return f"{words}; both at {claim.at}" if claim.at else words


def where(entry: Judged) -> str:
    """The suite and track whose records a claim was judged on, and the number of sample pairs."""
    assert entry.line is not None
    count = entry.line.difference.n
    if entry.line.difference.rule == "trainings":
        return f"{entry.suite}/{entry.track}, {count} trainings each"
    return f"{entry.suite}/{entry.track}, n = {count:,}"


def seen(entry: Judged) -> str:
    """Of an inconclusive claim, what would have been seen; else nothing."""
    if entry.visible is None:
        return ""
    size = f"{entry.visible:.2g}"
    if entry.claim.equal:
        return f"two equal ones would have been shown to be within {size} in four of five cases"
    return f"a difference of {size} would have been seen in four of five cases"


def value(entry: Beside) -> str:
    """A reported number as the paper prints it."""
    return printed(entry.reported)


def printed(reported: Reported) -> str:
    """A number as its paper prints it."""
    number = " – ".join(map(str, reported.value)) if isinstance(reported.value, list) else str(reported.value)
    spread = "" if reported.std is None else f" ± {reported.std}"
    return (
        number
        + spread
        + ("" if reported.of is None else f" of {reported.of}")
        + (" %" if reported.unit == "percent" else "")
    )


def here(entry: Beside) -> str:
    """The number of our records beside a reported one, or why none compares with it."""
    return f"not comparable, because {entry.incomparable}" if entry.here is None else f"{entry.here:.4g}"


def _judged(entry: Judged) -> list[str]:
    assert entry.line is not None
    assert entry.p is not None
    first, second, gap = figures(entry.line)
    arrow = {"higher": " ↑", "lower": " ↓"}.get(entry.line.better, "")
    verdict = f"**{entry.verdict}**" if entry.verdict != "inconclusive" else entry.verdict
    return [
        verdict,
        entry.claim.text,
        pair(entry),
        f"`{entry.claim.metric}`{arrow}",
        first,
        second,
        gap,
        p_text(entry.p),
        where(entry),
    ]


def _reported(entry: Beside) -> list[str]:
    reported = entry.reported
    of = f"`{reported.metric}`" + (f" ({reported.prompt})" if reported.prompt else "")
    note = "; ".join(part for part in (reported.protocol, reported.note) if part) or "—"
    return [reported.source, reported.method, reported.dataset, of, value(entry), reported.status, note, here(entry)]


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
