"""Where finished audits lie beside the records, and the line that a leaderboard shows for one."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.plain_text import is_name, plain

KIND = "audit"


def path_of(out: Path, suite: str, method: str) -> Path:
    """Where the audit of a method lies under an output folder. Raises UserError for names that lead out of it."""
    for name in (suite, method):
        if not is_name(name):
            raise UserError(f"an audit names {plain(str(name))[:60]!r}, expected the name of one folder: draw it again")
    return out / "audits" / suite / f"{method}.json"


def load(out: Path) -> list[dict[str, Any]]:
    """Every audit under an output folder. Raises UserError for a damaged one."""
    return [records.read_sealed(path, KIND) for path in sorted((out / "audits").glob("*/*.json"))]


def line(audit: Mapping[str, Any], images: Collection[str]) -> str:
    """The line under the board for one audit.

    images: the digests of the images in the board's records of the method. An audit of other images says only that.
    """
    start = f"human audit of {audit['method']}: "
    if audit["images"] not in images:
        return f"{start}of other images than these, audit it again"
    agreement, between = audit["agreement"]["cell"], audit["kappa"]["raters"]
    low, high = agreement["ci"]
    kappa = ", ".join(figure(entry["kappa"]) for entry in between) or "not there, one rater"
    judged = sum("value" in verdict for verdict in audit["pairs"].values())
    withheld = ", ".join(audit["withheld"]) or f"none of {judged} pairs with at least {audit['rule']['images']} images"
    doubt = (
        ""
        if agreement["value"] >= audit["rule"]["agreement"]
        else f" below {audit['rule']['agreement']}, so do not believe its pairs"
    )
    return (
        f"{start}agreement {agreement['value']:.2f} [{low:.2f}, {high:.2f}]{doubt}, kappa {kappa}, "
        f"n = {agreement['n']}, withheld: {withheld}"
    )


def figure(value: float | None) -> str:
    """A kappa as text; a dash where it is undefined, because everybody always gave the same answer."""
    return "—" if value is None else f"{value:.2f}".replace("-", "−")
