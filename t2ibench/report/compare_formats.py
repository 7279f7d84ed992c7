"""Comparisons as tables for papers: Markdown and LaTeX, with the words and figures of the terminal's."""

from t2ibench.core.plain_text import for_latex, for_markdown
from t2ibench.report.compare import Comparison, MetricComparison, figures, p_text

ARROWS = {"higher": " ↑", "lower": " ↓"}
COLUMNS = ("effect", "p", "margin", "p beyond", "verdict")


def cells(line: MetricComparison) -> list[str]:
    """A, B, their difference, its effect, p, the margin and the p beyond it."""
    effect = "" if line.difference.effect is None else f"{line.difference.effect:.2f}".replace("-", "−")
    return [*figures(line), effect, p_text(line.p), f"{line.margin:.2g}", p_text(line.p_beyond)]


def verdict(line: MetricComparison) -> str:
    far = line.verdict in ("better", "worse", "differs")
    return f"{line.verdict}, within the margin" if line.negligible and far else line.verdict


def markdown(comparison: Comparison) -> str:
    """One table: a row a metric, under a heading that says what is compared."""
    heads = ["metric", comparison.a, comparison.b, "difference", *COLUMNS]
    rows = [[f"{line.metric}{ARROWS.get(line.better, '')}", *cells(line), verdict(line)] for line in comparison.lines]
    title = f"### {comparison.suite}: {comparison.track}: {comparison.a} against {comparison.b}"
    lines = ["| " + " | ".join(for_markdown(cell) for cell in row) + " |" for row in (heads, *rows)]
    lines.insert(1, "|" + "---|" * len(heads))
    return "\n".join([for_markdown(title), "", *lines, "", for_markdown(note(comparison))]) + "\n"


def latex(comparison: Comparison) -> str:
    """A tabular with booktabs' rules: a row a metric."""
    heads = ["metric", comparison.a, comparison.b, "difference", *COLUMNS]
    arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}
    rows = [
        [
            for_latex(line.metric) + arrows.get(line.better, ""),
            *(_number(cell) for cell in cells(line)),
            for_latex(verdict(line)),
        ]
        for line in comparison.lines
    ]
    lines = [r"\begin{tabular}{l" + "r" * (len(heads) - 2) + "l}", r"\toprule"]
    lines += [" & ".join(map(for_latex, heads)) + r" \\", r"\midrule"]
    lines += [" & ".join(row) + r" \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}", f"% {note(comparison)}"]
    return "\n".join(lines) + "\n"


def _number(cell: str) -> str:
    """A cell in LaTeX's mathematics; a dash for an empty one."""
    plain = cell.replace("−", "-").replace("~", r"^{\sim}").replace("e-4", r"\cdot 10^{-4}")
    return f"${plain}$" if cell else "--"


def note(comparison: Comparison) -> str:
    """What the numbers are, in one line."""
    return (
        f"{comparison.suite}, {comparison.track}. difference: {comparison.a} minus {comparison.b}, with its 95 % "
        f"interval; effect: Cohen's d of the pairs; p: there is no difference; p beyond: there is one as large as the "
        f"margin; both Holm-adjusted over the metrics"
    )
