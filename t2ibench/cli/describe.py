"""`describe` says what there is to know about a name; `schema` writes the JSON schema of suite files, for editors."""

import dataclasses
import json as json_module
import re
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.options import Json
from t2ibench.core import tables


def describe(
    name: Annotated[str, typer.Argument(help="A method, metric, data set or suite; see `t2ibench list`.")],
    json: Json = False,
) -> None:
    """Say what is known about a method, metric, data set or suite: settings, tracks, paper, weights and their data."""
    from t2ibench.runner.describe import described
    from t2ibench.runner.schema import written

    found = described(name)
    if json:
        rows = [dataclasses.asdict(one) for one in found]
        for row in rows:
            for setting in row["settings"]:
                required = setting["default"] is dataclasses.MISSING
                setting["default"] = None if required else written(setting["default"])
                setting["required"] = required
        print_json(rows)
        return
    console = stdout()
    for one in found:
        console.print(Text(f"{one.name}: {one.kind}", "bold"))
        console.print(Text(laid_out(one.about.strip(), console.width)), "")
        for key, value in one.facts.items():
            console.print(Text(f"{key}: ", "dim") + Text(value))
        if one.settings:
            table = tables.table()
            for title in ("setting", "value", "default", "meaning"):
                table.add_column(title, overflow="fold")
            for setting in one.settings:
                default = "must be given" if setting.required else written(setting.default)
                table.add_row(setting.name, Text(setting.type), Text(default), Text(setting.meaning))
            console.print("", table)
        console.print()


def laid_out(text: str, width: int) -> str:
    """A docstring for a screen of this width: paragraphs flow, lists and columns keep their indents."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = (
            re.sub(r"\n +(?=\S)", " ", paragraph).split("\n") if "\n- " in f"\n{paragraph}" else paragraph.split("\n")
        )
        if not any(line.startswith((" ", "- ", "|")) for line in lines):
            lines = [" ".join(lines)]
        paragraphs.append("\n".join(textwrap.fill(line, width, subsequent_indent=_indent(line)) for line in lines))
    return "\n\n".join(paragraphs)


def _indent(line: str) -> str:
    """Where a line that is too long goes on: below its second column, or below the text of an item."""
    column = re.match(r" *\S.*?\s{2,}(?=\S)", line)
    item = re.match(r"( *)(- )?", line)
    assert item is not None
    return " " * (len(column[0]) if column else len(item[0]))


def schema(
    out: Annotated[Path | None, typer.Option(help="The file to write; the standard output unless given.")] = None,
) -> None:
    """Write the JSON schema of suite files, by which editors complete and check them.

    Its first line in a suite: `# yaml-language-server: $schema=suite.schema.json`.
    """
    from t2ibench.core.storage import publish
    from t2ibench.runner.schema import suite_schema

    content = suite_schema()
    if out is None:
        print_json(content)
        return
    publish(out, (json_module.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    print(out)
