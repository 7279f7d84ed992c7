"""`audit`: images of a cell for people to look at, and what they saw beside what the judge saw."""

import json as json_text
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from t2ibench import audit, pair_prompts, records, runner, suite
from t2ibench.audit import reading, sheet
from t2ibench.commands.console import out as console
from t2ibench.commands.console import print_json, say
from t2ibench.errors import UserError, did_you_mean
from t2ibench.generation import generate, locked, samples_by_group
from t2ibench.journal import Store
from t2ibench.runner import Where

TRACK, METRIC = "text_to_image", "compositional_accuracy"


def make_audit(name: str, method: str, images: int, seed: int, folder: Path, where: Where) -> None:
    """Draw an audit of a cell's images; those that are not there are made first."""
    records.check_folder(folder)
    wanted = suite.load(name)
    plans = [plan for plan in runner.prepare(wanted, where.device) if plan.track == TRACK]
    configs = [metric.config for plan in plans for metric in plan.metrics if metric.name == METRIC]
    if not configs:
        raise UserError(f"audit: {name} does not ask for {METRIC}: add it to its metrics")
    [plan] = plans
    entries = {entry.id: entry for entry in plan.entries}
    if method not in entries:
        raise UserError(f"audit: {name} has no method {method!r} in {TRACK}{did_you_mean(method, entries)}")
    entry, run_seed = entries[method], wanted.seeds[0]
    maker = runner.maker_of(plan, entry, run_seed)
    samples = [sample for sample in plan.of_track.samples(plan.prompts, run_seed) if sample.prompt.group == pair_prompts.GROUP]
    cell = runner.folder_of(where, plan, entry, run_seed, maker)
    with locked(cell):
        store = Store(cell)
        outcomes = generate(maker, samples, store, entry.id, where.batch)
        evidence = runner.evidence_of(plan, samples_by_group(samples, outcomes, store))
        drawn, shown = sheet.drawn(evidence, configs[0], wanted.name, method, images, seed)
    sheet.write(drawn, shown, folder)
    say(f"{len(drawn.items)} images of {sum(drawn.population):,}: open [bold]{folder / audit.FORM}[/] in a browser, for two raters")
    say(f"then: t2ibench audit --read {folder} --answers FIRST.csv --answers SECOND.csv")


def read_audit(folder: Path, answers: Sequence[Path], results: Path | None, *, json: bool) -> None:
    """Hold raters' answers to the judge's, and keep the verdict beside the audit, and among records where asked."""
    if not answers:
        raise UserError("audit: no answers: give --answers FILE.csv, once for every rater")
    of = reading.read_audit(folder)
    found = records.seal(reading.verdict(of, [reading.read_rater(of, path) for path in answers]))
    content = (json_text.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()
    records.write_whole(folder / audit.VERDICT, content)
    if results is not None:
        records.write_whole(reading.path_of(results, of.suite, of.method), content)
    if json:
        print_json(found)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    table = Table("who", "agreement", "kappa", "images", "cannot tell")
    for what, rows in (("judge and ", found["with_judge"]), ("", found["between_raters"])):
        for name, row in rows.items():
            low, high = row["agreement_ci"]
            kappa = "—" if row["kappa"] is None else f"{row['kappa']:.2f} [{row['kappa_ci'][0]:.2f}, {row['kappa_ci'][1]:.2f}]"
            table.add_row(f"{what}{name}", f"{row['agreement']:.3f} [{low:.3f}, {high:.3f}]", kappa, str(row["n"]), str(row["unsure"]))
    console().print(table)
    console().print(reading.sentence(found))
