"""`export` writes records in the forms in which other places collect results, `import` reads such numbers of others."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from t2ibench.core.errors import UserError


class Place(StrEnum):
    every_eval_ever = "every-eval-ever"
    hugging_face = "hugging-face"


def export(
    place: Annotated[Place, typer.Argument(help="Whose form.")],
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="What `t2ibench run` wrote (its --out), or any folders of records; runs unless given."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the files.")] = Path("export"),
    organization: Annotated[
        str | None, typer.Option(help="Who hands the numbers in; Every Eval Ever asks for it.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The benchmark's id on the Hub (owner/name); Hugging Face asks for it.")
    ] = None,
    url: Annotated[str, typer.Option(help="The address at which the numbers stand.")] = "",
) -> None:
    """Write the methods of records in the form of Every Eval Ever, or of Hugging Face's eval results."""
    from t2ibench.core.storage import publish
    from t2ibench.report import exports
    from t2ibench.report.site.contents import read
    from t2ibench.report.verdicts import standings

    folders = results or [Path("runs")]
    if place is Place.every_eval_ever and not organization:
        raise UserError("export: Every Eval Ever names who hands the numbers in: add --organization NAME")
    if place is Place.hugging_face and not (dataset and dataset.count("/") == 1):
        raise UserError("export: Hugging Face's eval results are of a benchmark on the Hub: add --dataset owner/name")
    rows, _ = read(folders)
    checked = standings(rows, folders)
    if place is Place.every_eval_ever:
        files = exports.every_eval_ever(rows, str(organization), url, int(time.time()), checked)
    else:
        files = exports.hugging_face(rows, str(dataset), url, checked)
    names = []
    for name, content in files:
        publish(out / name, content)
        names.append(name)
    if not names:
        raise UserError(f"export: {folders[0]} holds no method with a value that could be exported")
    print(f"{out}: {len(names)} files, the first {names[0]}")


def import_numbers(
    files: Annotated[
        list[Path], typer.Argument(help="Files of Every Eval Ever, or folders of them (data/…/<uuid>.json).")
    ],
    out: Annotated[Path, typer.Option(help="The folder of records beside whose boards the numbers are shown.")] = Path(
        "runs"
    ),
) -> None:
    """Show numbers that others report on a page of their own, beside the boards. They are not ranked."""
    from t2ibench.report import elsewhere

    paths = [path for given in files for path in (sorted(given.rglob("*.json")) if given.is_dir() else [given])]
    if not paths:
        raise UserError(f"import: {files[0]} holds no .json file: name the files, or the folder data/")
    numbers = [number for path in paths for number in elsewhere.read_eee(path)]
    kept = elsewhere.add(numbers, out)
    print(f"{out}: {len(numbers)} numbers of {len(paths)} files; {kept} are shown by `t2ibench report {out}`")
