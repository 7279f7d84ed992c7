"""The study composer_inversion.py: the committed table is that of its figures, which say what the page says."""

import json
from pathlib import Path

from scripts import loaded

ROOT = Path(__file__).parents[2]


def test_the_committed_table_says_what_its_figures_say():
    study = loaded("benchmarks/studies/composer_inversion.py")
    content = json.loads((ROOT / "results/studies/composer_inversion.json").read_text("utf-8"))
    text = study.page(content["weights"], content["found"])
    assert text == (ROOT / "results/studies/composer_inversion.md").read_text("utf-8")
    error = {(row["steps"], row["iterations"]): row["error"] for row in content["found"]}
    assert error[20, 2] < error[50, 1] / 2  # docs/compose.md says so
