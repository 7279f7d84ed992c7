"""README.md says what the code and the records say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_board_is_the_one_of_the_committed_records():
    shown = README.split("<!-- board: t2ibench table results --format markdown -->")[1].split("<!-- end of board -->")[0]
    command = [sys.executable, "-m", "t2ibench.cli", "table", str(ROOT / "results"), "--format", "markdown"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert shown.strip() == made.strip()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()


def test_every_command_exists():
    import typer

    from t2ibench.cli import app

    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {verb for verb in re.findall(r"^\$ t2ibench (\w+)", README, re.M)} <= set(verbs)
