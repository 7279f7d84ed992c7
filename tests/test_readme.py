"""README.md and docs/ say what the code and the records say."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from scripts import loaded

from t2ibench.tracks.contract import TextToImage

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", ["README.md", "docs/board.md"])
def test_the_boards_are_those_of_the_committed_records_and_have_six_columns_at_most(page):
    text = (ROOT / page).read_text("utf-8")
    [(command, shown)] = re.findall(
        r"<!-- board: t2ibench (table results .*?) -->(.*?)<!-- end of board -->", text, re.S
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


def test_the_readme_is_read_in_one_go():
    assert len(README.encode()) <= 8000


def test_the_method_of_the_readme_makes_images():
    [_, code, *_] = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(code.splitlines()) <= 30
    module = types.ModuleType("noise")
    sys.modules["noise"] = module  # where dataclasses look for the types of fields
    try:
        exec(code, module.__dict__)
        method = module.Method(module.Config(side=8), None)
        first, second = (TextToImage("anything", seed) for seed in (1, 2))
        images = method.text_to_image([first, second])
        assert (images.dtype, tuple(images.shape)) == (torch.uint8, (2, 3, 8, 8))
        assert torch.equal(images[1:], method.text_to_image([second]))
        assert not torch.equal(images[0], images[1])
    finally:
        del sys.modules["noise"]


def test_the_table_of_adaptations_is_that_of_its_record():
    """docs/adapt.md, of the adaptations that the package has."""
    rows = {row["target"]: row for row in json.loads((ROOT / "results/studies/stylegan_nada.json").read_text("utf-8"))}
    text = (ROOT / "docs/adapt.md").read_text("utf-8")
    said = re.findall(r"^\| ([\w -]+) \| [\d.]+, [\d.]+ \| ([\d.]+), ([\d.]+) \|", text, re.M)
    assert len(said) == len(rows) == 6
    for target, distance, diversity in said:
        row = rows[target.replace(" ", "-")]
        assert (distance, diversity) == (f"{row['of_unadapted']:.2f}", f"{row['diversity']:.2f}")


def test_the_page_of_far_targets_is_that_of_its_record():
    rows = json.loads((ROOT / "results/studies/stylegan_nada_far.json").read_text("utf-8"))
    page = loaded("benchmarks/studies/stylegan_nada.py").page(rows)
    assert page == (ROOT / "results/studies/stylegan_nada_far.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    targets = set(re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")))
    assert not [target for target in targets if not target.startswith("http") and not (page.parent / target).exists()]


def test_every_command_exists():
    import typer

    from t2ibench.cli import app

    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = {verb for page in PAGES for verb in re.findall(r"^\$ t2ibench (\w+)", page.read_text("utf-8"), re.M)}
    assert named
    assert named <= set(verbs)
