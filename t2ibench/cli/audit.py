"""`audit draw` writes images and a form for raters. `audit read` says how far their answers agree with the judge."""

import json as json_
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.effects import Verb
from t2ibench.cli.options import Json, Out, Work
from t2ibench.core import tables
from t2ibench.core.errors import UserError

STYLES = {"withheld": "red", "kept": "green"}


audit = typer.Typer(help="Have people check what the attribute judge says of a method's images.", no_args_is_help=True)


@audit.command("draw", cls=Verb)
def audit_draw(
    suite: Annotated[str, typer.Argument(help="A suite that was run and asks for attribute pairs.")],
    method: Annotated[str, typer.Argument(help="The method, or baseline, whose images are looked at.")],
    images: Annotated[int, typer.Option(min=4, help="How many, of all judged cells and pairs.")] = 100,
    folder: Annotated[
        Path | None, typer.Option(help="What to write: raters/ for the raters, key.json; audit-… unless given.")
    ] = None,
    out: Out = Path("runs"),
    work: Work = Path("runs"),
) -> None:
    """Draw images of a finished cell and write a form for raters, who learn neither the method nor what the judge
    said.
    """
    from t2ibench.checks.audit.draw import draw
    from t2ibench.runner.suite import load

    written = draw(load(suite), method, images, out, work, folder)
    print(
        f"{written / 'raters'}: give this folder, and nothing else, to two raters; {written / 'key.json'} is for "
        f"`t2ibench audit read`"
    )


@audit.command("read", cls=Verb)
def audit_read(
    folder: Annotated[Path, typer.Argument(help="What `t2ibench audit draw` wrote.")],
    answers: Annotated[list[Path], typer.Argument(help="A CSV file of each rater.")],
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Agreement of raters and judge, kappas, and the pairs withheld; written to OUT/audits, where `table` finds it."""
    from t2ibench.checks.audit.agreement import audit_of
    from t2ibench.checks.audit.answers import read_all
    from t2ibench.checks.audit.draw import read_key
    from t2ibench.core import records, storage
    from t2ibench.report import audits

    key = read_key(folder)
    content = records.seal(audit_of(key, read_all(answers, key)))
    path = audits.path_of(out, content["suite"], content["method"])
    if path.exists() and records.read_sealed(path, audits.KIND)["audit"] != content["audit"]:
        raise UserError(f"{path} holds an audit of other images: remove it, or name another --out")
    storage.publish(path, (json_.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    if json:
        print_json(content)
        return
    show(content)
    stdout().print(Text(str(path), "dim"))


def show(content: Mapping[str, Any]) -> None:
    """Print an audit on the terminal."""
    table = tables.table(
        title=escape(
            f"{content['suite']} · {content['method']}: human audit of {content['drawn']} images by "
            f"{', '.join(content['raters'])}"
        )
    )
    for column in ("", "agreement", "95 % interval", "n", "verdict"):
        table.add_column(column, justify="left" if column in ("", "verdict") else "right", no_wrap=True)
    table.add_row(Text("cell of the pair", "bold"), *_figures("value", content["agreement"]["cell"]))
    for name, entry in content["agreement"]["attributes"].items():
        table.add_row(name, *_figures("value", entry))
    table.add_section()
    judged = {name: entry for name, entry in content["pairs"].items() if "value" in entry}
    for name, entry in judged.items():
        table.add_row(name, *_figures("value", entry), Text(entry["verdict"], STYLES[entry["verdict"]]))
    table.add_section()
    for entry in (*content["kappa"]["raters"], *content["kappa"]["judge"]):
        table.add_row(Text(f"kappa of {' and '.join(entry['of'])}"), *_figures("kappa", entry))
    stdout().print(table)
    few = len(content["pairs"]) - len(judged)
    rule = content["rule"]
    unsure = ", ".join(f"{name} {rater['cannot_tell']}" for name, rater in content["raters"].items())
    for line in (
        f"images weighted by the shares of the judged cells; those left out that a rater could not tell: {unsure}",
        f"a pair is withheld where its agreement is below {rule['agreement']}",
        *(
            [
                f"{few} of {len(content['pairs'])} pairs have fewer than {rule['images']} images, so nothing is said "
                f"of them"
            ]
            if few
            else []
        ),
        *content["notes"],
    ):
        stdout().print(Text(line, "dim"))


def _figures(value: str, entry: Mapping[str, Any]) -> tuple[str, str, str]:
    from t2ibench.report import audits

    if entry.get(value) is None:
        return "—", "", str(entry["n"])
    low, high = map(audits.figure, entry["ci"])
    return audits.figure(entry[value]), f"[{low}, {high}]", str(entry["n"])
