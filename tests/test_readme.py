"""README.md says what the code and the records say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_board_is_the_one_of_the_committed_records_and_has_six_columns_at_most():
    [(command, shown)] = re.findall(
        r"<!-- board: t2ibench (table results .*?) -->(.*?)<!-- end of board -->", README, re.S
    )
    made = subprocess.run(
        [sys.executable, "-m", "t2ibench", *command.split()],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        cwd=ROOT,
    ).stdout
    assert shown.strip() == made.strip()
    heads = re.findall(r"^\| method \|(.*)\|$", shown, re.M)
    columns = [head.count("|") + 1 for head in heads]
    assert 1 <= max(columns) <= 6
    assert len(re.findall(r"^- .*\?$", shown, re.M)) == sum(columns)  # what each answers


def test_the_table_of_adaptations_is_that_of_its_record():
    """docs/adapt.md, of the adaptations that the package has."""
    rows = {row["target"]: row for row in json.loads((ROOT / "results/studies/stylegan_nada.json").read_text("utf-8"))}
    text = (ROOT / "docs/adapt.md").read_text("utf-8")
    said = re.findall(r"^\| ([\w -]+) \| [\d.]+, [\d.]+ \| ([\d.]+), ([\d.]+) \|", text, re.M)
    assert len(said) == len(rows) == 6
    for target, distance, diversity in said:
        row = rows[target.replace(" ", "-")]
        assert (distance, diversity) == (f"{row['of_unadapted']:.2f}", f"{row['diversity']:.2f}")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()


def test_every_command_exists():
    import typer

    from t2ibench.cli import app

    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {verb for verb in re.findall(r"^\$ t2ibench (\w+)", README, re.M)} <= set(verbs)
