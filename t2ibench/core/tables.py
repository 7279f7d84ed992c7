"""Tables for a terminal, all of one look."""

from typing import Any

from rich import box
from rich.table import Table


def table(title: str | None = None, **settings: Any) -> Table:
    """An empty table with a line under its heads and no frame. settings: further ones of rich's Table."""
    look: dict[str, Any] = {"box": box.SIMPLE, "show_edge": False, "pad_edge": False, "header_style": "bold"}
    return Table(title=title, title_justify="left", title_style="bold", **(look | settings))
