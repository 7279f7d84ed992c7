"""docs/trust.md names tests that exist."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_that_the_table_names_is_there():
    table = (HERE.parents[1] / "docs" / "trust.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", table)
    assert len(named) > 40
    files = {path.name: path for path in HERE.parent.rglob("test_*.py")}
    for file, test in named:
        assert f"def {test}" in files[file].read_text("utf-8"), f"{file} has no {test}"
