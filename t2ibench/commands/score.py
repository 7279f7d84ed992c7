"""`score`: images that somebody else made, through the same evidence, metrics and checks as a method's."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from t2ibench.commands.console import out as stdout
from t2ibench.report.board import decimals_of


def show(record: Mapping[str, Any], lines: Sequence[str]) -> None:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, header_style="bold", title=f"{record['method']}", title_justify="left")
    for name in ("metric", "value", "95 % interval", "n", "protocol"):
        table.add_column(name, justify="left" if name in ("metric", "protocol") else "right", no_wrap=True)
    arrows = {"higher": " ↑", "lower": " ↓"}
    for name, value in record["values"].items():
        low, high = value["ci"]
        decimals = decimals_of((high - low) / 2)
        figures = (f"{value['value']:.{decimals}f}", f"[{low:.{decimals}f}, {high:.{decimals}f}]", f"{value['n']:,}", value["protocol_id"])
        table.add_row(Text(name + arrows.get(value["better"], ""), "bold"), *figures)
    stdout().print(table)
    for line in lines:
        stdout().print(Text(line), style="dim")
    counts = record["counts"]
    stdout().print(f"{counts['ok']:,} of {counts['requested']:,} images; {counts['black']:,} black", style="dim")
    for name, reason in record["unscored"].items():
        stdout().print(f"{name} is not there: {reason}", style="yellow")
