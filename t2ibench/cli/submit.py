"""`submit` writes the bundle of a run, for the board of somebody else. `verify` scores images again and compares."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2ibench.cli.console import print_json
from t2ibench.cli.options import Device, Json
from t2ibench.core.errors import UserError

if TYPE_CHECKING:
    from t2ibench.checks.bundle import Claim
    from t2ibench.runner.suite import Suite

TOLERANCE = 1e-4


def submit(
    run: Annotated[Path, typer.Argument(help="A run's folder, with its images: runs/quick.")],
    images: Annotated[str, typer.Option(help="The address from which everybody can get this folder of images.")],
    out: Annotated[Path, typer.Option(help="The bundle: a new folder of small files.")] = Path("submission"),
    results: Annotated[
        Path | None, typer.Option(help="Where the run's records are; the folder above the run's unless given.")
    ] = None,
    suite: Annotated[Path | None, typer.Option(help="The file of the suite, unless it is one that ships.")] = None,
) -> None:
    """Write the bundle of a run: its records, hashes of all images, and where these are."""
    from t2ibench.checks import bundle

    cells = bundle.write(run, out, images, results, suite)
    print(f"{out}: {len(cells)} cells; `t2ibench verify {out} --work {run}` is what a board will do with it")


def verify(
    path: Annotated[Path, typer.Argument(help="A bundle, a record, or a folder of records.")],
    work: Annotated[
        Path | None, typer.Option(help="Where the images are; the bundle's address, or the folder of the records.")
    ] = None,
    suite: Annotated[Path | None, typer.Option(help="The file of the records' suite, unless it ships.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of a board: the records of verified cells are put there.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=0.1, help="The relative error up to which two numbers are equal.")
    ] = TOLERANCE,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Hash the images, score them again, and compare every value. Exit code 1 if a cell does not hold."""
    from t2ibench.checks import verify as verification
    from t2ibench.core import records

    verdicts: list[verification.Verdict] = []
    for wanted, claims in claims_of(path, work, suite):
        verdicts += verification.verify(claims, wanted, device, tolerance)
    if out is not None:
        for verdict in verdicts:
            if verdict.verified:
                path_there = records.path_of(out, *records.cell_of(verdict.record))
                records.write(verdict.record, path_there, replace=True)
                verification.note(verdict, out)
    failed = sum(not verdict.verified for verdict in verdicts)
    if json:
        print_json([{**asdict(verdict), "record": verdict.record.get("sha256", "")} for verdict in verdicts])
    else:
        for verdict in verdicts:
            if verdict.verified:
                print(f"verified  {verdict.where}: {verdict.images:,} images, {verdict.values:,} values")
            for problem in verdict.problems:
                print(f"FAILED    {verdict.where}: {problem}")
        print(f"{len(verdicts) - failed} of {len(verdicts)} cells are verified")
    if failed:
        print(f"t2ibench: verify: {failed} of {len(verdicts)} cells do not hold", file=sys.stderr)
        raise typer.Exit(1)


def claims_of(path: Path, work: Path | None, suite_file: Path | None) -> list[tuple[Suite, Sequence[Claim]]]:
    """What is to be verified, suite by suite. Raises UserError where there is nothing, or no suite for it."""
    from t2ibench.checks import bundle
    from t2ibench.core import records
    from t2ibench.runner import suite

    def parsed(name: str, file: Path) -> Suite:
        return suite.parse(suite.read(file), name, suite.title(file), file.name, makers=False)

    if bundle.is_bundle(path):
        held = bundle.read(path, work)
        if not any(claim.folder for claim in held.claims) and not any(claim.problems for claim in held.claims):
            where = held.images if work is None else work
            raise UserError(f"verify: {where} holds none of the images: get them from {held.images}, then give --work")
        return [(parsed(held.suite, held.suite_file), held.claims)]
    rows = records.load(path)
    top = work if work is not None else path if path.is_dir() else Path("runs")
    names = list(dict.fromkeys(record["suite"] for record in rows))
    if suite_file is not None and len(names) > 1:
        raise UserError(f"verify: {path} holds records of {' and '.join(names)}: give the folder of one suite")
    found: list[tuple[Suite, Sequence[Claim]]] = []
    for name in names:
        claims = [bundle.claim_of(record, top) for record in rows if record["suite"] == name]
        found.append((parsed(name, suite_file or suite.file_of(name)), claims))
    return found
