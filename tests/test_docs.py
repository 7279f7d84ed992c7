"""What the documentation's site is made of: llms.txt names what exists, every page is in the contents, and docstrings
are read as the plain text that they are.
"""

import re
import shlex
import types
from pathlib import Path

import pytest
import typer
import yaml
from scripts import loaded
from test_commands import (  # looked at with the pages, too
    test_every_command_exists_with_its_options,  # noqa: F401
    test_every_command_is_executed_or_says_what_it_needs,  # noqa: F401
)

from t2ibench.cli import app, exits
from t2ibench.cli.listing import Kind
from t2ibench.core import plugins

DOCS = Path(__file__).parent.parent / "docs"
LLMS = (DOCS / "llms.txt").read_text("utf-8")
COMMANDS = re.findall(r"`(t2ibench [^`]+)`", LLMS)


def conf() -> types.ModuleType:
    """docs/conf.py; it imports nothing of Sphinx."""
    return loaded("docs/conf.py")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_llms_txt_exists_with_its_options(command):
    _, verb, *arguments = shlex.split(command)
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert verb in verbs
    verbs[verb].make_context(verb, arguments)


def test_llms_txt_names_pages_that_exist_and_enough_commands():
    assert LLMS.startswith("# t2ibench\n\n> ")
    pages = re.findall(r"\]\(([^)]+)\)", LLMS)
    assert [page for page in pages if not (DOCS / page).exists()] == []
    assert len(COMMANDS) >= 10
    words = set(re.findall(r"`([a-z]+)`", LLMS))
    assert words <= {str(kind) for kind in Kind}


@pytest.mark.parametrize("path", sorted(DOCS.glob("*-workflow.yml")), ids=lambda path: path.name)
def test_a_workflow_to_copy_is_yaml_whose_commands_exist_with_their_options(path):
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    ours = [step["uses"].split("@")[0].split("/", 2)[2] for step in steps if "/t2ibench/" in step.get("uses", "")]
    for action in ours:  # of the repository itself
        steps += yaml.safe_load((DOCS.parent / action / "action.yml").read_text("utf-8"))["runs"]["steps"]
    text = "\n".join(step.get("run", "") for step in steps)
    commands = re.findall(r"(?:^|[ /])t2ibench ([a-z].*)$", text, re.M)
    assert commands
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in commands:
        verb, *arguments = shlex.split(command)
        options = {option for parameter in verbs[verb].params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} <= options


def test_every_page_is_in_the_contents_once():
    named = re.findall(r"^[a-z_]+$", (DOCS / "contents.md").read_text("utf-8"), re.M)
    assert sorted(named) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "contents")


def test_a_docstring_of_ours_becomes_paragraphs_with_names_in_bold():
    lines = ["Score *one* of `a`.", "", "images, texts: [N], a|b", "    and more_.", "k: how many", ""]
    conf().plainly(None, "function", "f", None, None, lines)
    assert "\n".join(lines) == (
        "Score \\*one\\* of ``a``.\n\n\n**images, texts**: [N], a\\|b\nand more\\_.\n\n**k**: how many\n"
    )


def test_links_out_of_the_folder_become_names_of_files():
    source = ["[a ledger](../results/a.md), ![shown](../results/a.svg), [b](b.md), [w](w-workflow.yml)"]
    conf().outside(None, "page", source)
    assert source == ["a ledger (`results/a.md`), ![shown](../results/a.svg), [b](b.md), w (`docs/w-workflow.yml`)"]


def test_every_row_about_a_published_file_names_a_test_that_exists():
    tests = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    rows = [line.strip("|").split("|") for line in (DOCS / "weights.md").read_text("utf-8").splitlines() if "|" in line]
    rows = [row for row in rows if not row[0].startswith((" file ", "---"))]
    assert len(rows) > 20
    for file, *_, reader, _, test in rows:
        names = re.findall(r"`(test_\w+)`", test)
        assert names or test.strip() == "the same", file
        assert [name for name in names if f"def {name}(" not in tests] == [], file
        modules = re.findall(r"`([\w/]+\.py)`", reader)
        assert modules or "the same" in reader or "see CLIP" in reader, file
        root = DOCS.parent
        assert all((root / module).exists() or (root / "t2ibench" / module).exists() for module in modules), file


def test_the_page_of_metrics_names_every_metric_as_a_suite_does():
    cells = [line.split(" | ")[1] for line in (DOCS / "metrics.md").read_text("utf-8").splitlines() if " | " in line]
    named = {name for cell in cells for name in re.findall(r"`(?:\{name: )?(\w+)[`,]", cell)}
    assert set(plugins.find("metrics")) - named == set()


def test_the_page_of_exit_codes_is_the_table_of_the_module():
    table = (exits.__doc__ or "").split("\n\n")[1].strip()
    assert table in (DOCS / "index.md").read_text("utf-8")
