"""`compare`: two methods, metric by metric, as a table or JSON."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from t2ibench.commands.console import out, print_json
from t2ibench.report.compare import Comparison, Line, as_json, compare, figures, margins_of, p_text, pairs

STYLES = {"better": "green", "worse": "red", "differs": "yellow", "equivalent": "cyan"}
ARROWS = {"higher": " ↑", "lower": " ↓"}


def compare_methods(
    a: str,
    b: str,
    folder: Path,
    suite: str | None,
    track: str | None,
    metrics: Sequence[str],
    margins: Sequence[str],
    *,
    everything: bool,
    json: bool,
) -> None:
    """Compare what two words name, in every track that both have."""
    limits = margins_of(margins)
    found = [compare(*sides, limits, metrics, everything=everything) for sides in pairs(a, b, folder, suite, track)]
    if json:
        print_json([as_json(comparison) for comparison in found])
        return
    for comparison in found:
        _show(comparison)


def _show(found: Comparison) -> None:
    title = f"{found.suite} · {found.track}: {found.a} against {found.b}"
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE, show_edge=False, pad_edge=False
    )
    table.add_column("", no_wrap=True)
    for name in (found.a, found.b, "difference", "effect", "p", "margin", "p beyond"):
        table.add_column(name, justify="right", no_wrap=name not in (found.a, found.b, "difference"))
    table.add_column("verdict", no_wrap=True)
    for line in found.lines:
        table.add_row(Text(line.metric + ARROWS.get(line.better, ""), "bold"), *_cells(line), _verdict(line))
    out().print(table)
    seeds = f"seeds {', '.join(map(str, found.seeds))}" if found.seeds else "other seeds on either side: only prompts are paired"
    say = [
        f"{seeds}; difference: {found.a} minus {found.b}, with its 95 % interval; effect: Cohen's d of the pairs",
        "p: there is no difference; p beyond: there is one as large as the margin; both Holm-adjusted over the metrics",
    ]
    if any(line.difference.rule == "intervals" for line in found.lines):
        say.append("~: the records keep no samples of it, so the two are taken as independent, which errs on the side of caution")
    say += [f"{id}: {reason}" for id, reason in found.left_out.items()]
    say += [f"{line.metric}: {note}" for line in found.lines for note in line.notes]
    for text in say:
        out().print(Text(text, "dim"))


def _cells(line: Line) -> list[str]:
    effect = "" if line.difference.effect is None else f"{line.difference.effect:.2f}".replace("-", "−")
    return [*figures(line), effect, p_text(line.p), f"{line.margin:.2g}", p_text(line.p_beyond)]


def _verdict(line: Line) -> Text:
    text = Text(line.verdict, STYLES.get(line.verdict, ""))
    return text.append(", within the margin", "dim") if line.negligible and line.verdict in ("better", "worse", "differs") else text
