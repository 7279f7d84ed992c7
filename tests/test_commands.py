"""Every command and every program of README, CONTRIBUTING and docs is executed by a test, or says here what it needs.

RUN are executed below; tests/strangers/test_nine_uses.py follows others word for word.
"""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from t2ibench import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NINE_USES = ROOT / "tests/strangers/test_nine_uses.py"

# Executed below, in this order, in a folder with results/ and a suite my.yaml: the exit code, and words that make it
# small.
RUN: dict[str, tuple[int, str]] = {
    "t2ibench run my.yaml --dry-run": (0, ""),
    "t2ibench run my.yaml": (0, ""),
    "t2ibench run my.yaml --jobs 4": (0, ""),
    "t2ibench run my.yaml --batch-timeout 600": (0, ""),
    "t2ibench run my.yaml --shard 3/8": (0, ""),
    "t2ibench status my.yaml": (0, ""),
    "t2ibench submit runs/my --suite my.yaml --images https://example.org/my.tar --out submissions/my": (0, ""),
    "t2ibench verify submissions/my --work runs/my": (0, ""),
    "t2ibench health avatars --results results": (0, ""),
    "t2ibench health avatars --results results --track text_to_image": (0, ""),
    't2ibench export every-eval-ever results --organization "My lab" --out eee': (0, ""),
    "t2ibench export hugging-face results --dataset owner/benchmark --out hub": (0, ""),
    "t2ibench describe gan-cls": (0, ""),
    "t2ibench list methods": (0, ""),
    "t2ibench list downloads": (0, ""),
    "t2ibench fetch celeba_hq": (2, ""),  # it says where to click
    "t2ibench fetch coco30k --lock coco30k.lock": (0, ""),
    "t2ibench doctor --suite coco30k": (2, ""),  # what is missing
    't2ibench generate gan-cls "a person" --seeds 0-15 --images made': (0, ""),
    't2ibench generate gan-int-cls "a smiling person with long red hair and glasses" --seeds 0-15 --out sheet.png': (
        0,
        "",
    ),
    't2ibench generate styleclip-global "a smiling person with glasses" --seeds 0-15': (
        0,
        "--set statistics_samples=50 --set images=2",
    ),
    "t2ibench reproduce gan_cls --folder results": (3, ""),  # a claim is inconclusive, one was not run
}

ELSEWHERE = "an hour of a GPU or many of a CPU"
REHEARSED = "photos, and hours: tests/test_rehearsal.py trains every part on stand-ins"
DATA = "a copy of the data set: `make test-data`, tests/datasets"
# What no test executes word for word: what it needs, or which test does the same on a smaller thing.
NEEDS: dict[str, str] = {
    "t2ibench nearest made --reference real": "folders of these names: tests/cli/test_nearest.py has some",
    "t2ibench compare original served --gate": "two folders of images: tests/checks/test_gate.py has them",
    "make run": "the whole of `quick`, minutes; tests/test_wheel.py runs a part of it",
    "make test": "these tests are part of it",
    "t2ibench score FOLDER --reference REAL": "folders of these names: docs/score.md's is followed",
    "t2ibench score FOLDER --prompts prompts.txt": "a published CLIP: docs/score.md's is tried without one",
    "t2ibench run my.yaml --devices cuda:0,cuda:1": "two GPUs",
    "t2ibench run my.yaml --executor ray": "a Ray cluster: tests/runner/test_cluster.py starts one",
    "t2ibench run my.yaml --out s3://": "a bucket",
    "t2ibench status my.yaml --out s3://": "a bucket",
    "t2ibench table s3://": "a bucket",
    "pip install": "it downloads",
    "export ": "a variable of the shell: tests set it",
    "t2ibench audit draw avatars": "the images of a run of `avatars`: `.ci/run` draws one of tests/suites/smoke.yaml",
    "t2ibench audit read audit": "the answers of two people: tests/checks/test_audit.py",
    "t2ibench show ": "copies of data sets: tests/cli/test_data_examples.py has small ones",
    "t2ibench prompts drawbench.yaml": "a list: tests/cli/test_data_examples.py has one",
    "t2ibench run cub": DATA,
    "t2ibench prompts coco30k": DATA,
    "t2ibench fetch coco-annotations-2014": "a connection: tests/data/test_downloads.py has a server of its own",
    "t2ibench train attribute_judge --dataset celeba_hq": DATA,
    "t2ibench train composer --variant composer --dataset image_folder": "published files, and days of a GPU",
    "t2ibench train gan_cls --variant text-encoder --dataset cub": "tests/datasets/test_cub_trained.py, on a stand-in",
    "t2ibench train gan_cls --variant gan-int-cls --dataset cub": "tests/datasets/test_cub_trained.py, on a stand-in",
    "T2IBENCH_WEIGHTS=trained t2ibench run cub": "tests/datasets/test_cub_trained.py, on a stand-in",
    "t2ibench train clip --variant guide --dataset celeba_hq": REHEARSED,
    "t2ibench train stylegan2 --variant stylegan2 --dataset celeba_hq": REHEARSED,
    "t2ibench train stylet2i --variant parts --dataset celeba_hq": REHEARSED,
    "t2ibench train stylet2i --variant attribute --dataset celeba_hq": REHEARSED,
    "t2ibench train stylet2i --variant sentence --dataset celeba_hq": REHEARSED,
    "t2ibench run celeba_hq": DATA,
    "t2ibench train gan_cls --variant gan-int-cls --dataset avatars --minutes 60": ELSEWHERE,
    't2ibench generate gan-int-cls "a small bird': "Reed's files: tests/methods with stand-ins",
    "t2ibench drift results/baselines/avatars.json": "a minute: `.ci/run` runs it",
    "t2ibench drift mine.json --write": "docs/gate.md's, under another name, is followed",
    "t2ibench drift": "tests/checks/test_drift.py, by the same functions",
    "t2ibench drift drift.json --write --accept": "tests/checks/test_drift.py",
    "pytest --t2ibench-drift": "tests/checks/test_drift.py",
    "t2ibench run avatars": ELSEWHERE,
    "t2ibench run judges": "30 minutes of two cores",
    "python benchmarks/studies/judges.py": "tests/scoring/test_judges_study.py calls what it calls",
    "t2ibench run quick": "minutes: tests/test_wheel.py runs a part of it",
    "t2ibench doctor --suite ffhq_edit": "coco30k's is executed",
    "t2ibench run ffhq_edit": ELSEWHERE,
    "t2ibench import eee/data --out results": "it would write into the committed records: executed into another folder",
    "t2ibench report results": "docs/site.md's is followed",
    "t2ibench train stylegan_nada --target": "published files: tests/methods/test_stylegan_nada_images.py",
    "t2ibench train gan-cls --dataset cub": "GPUs: tests/networks/test_ranks.py",
    "torchrun": "GPUs",
    "srun": "a cluster of Slurm",
    "pytest t2ibench-my-method": "the nine uses run it, installed into a folder",
    "t2ibench run t2ibench-my-method": "the nine uses run it, installed into a folder",
    "t2ibench view runs/quick": "it serves until it is stopped: tests/report/test_serve.py",
    "t2ibench submit runs/quick": "a run of `quick`: docs/submit.md's is executed",
    "t2ibench verify submission --work runs/quick": "a run of `quick`: docs/submit.md's is executed",
    "t2ibench audit draw": "the images of a run of `avatars`",
    "t2ibench reproduce styleclip": ELSEWHERE,
    "t2ibench score made --prompts prompts.txt --metrics image_reward": "files: tests/metrics/test_preferences.py",
    "t2ibench compare original changed --gate": "two servers: tests/checks/test_gate_workflow.py",
    "t2ibench compare styleclip-global styleclip-mapper --folder runs/strengths": "tests/report/test_compare_at.py",
}
PROGRAMS = {  # by page: the test that executes the programs in it, or what they need
    "README.md": "tests/test_readme.py; the first needs Inception's file, docs/score.md's is the same without",
    "CONTRIBUTING.md": "tests/cli/test_new.py, which runs the test that `new` writes",
    "score.md": "tests/strangers/test_nine_uses.py",
    "training_loop.md": "tests/test_training_loop.py",
    "first_numbers.md": "tests/strangers/test_nine_uses.py, and whenever the documentation is built",
}


def commands(path: Path) -> list[str]:
    """The commands of a page, without what stands behind them as a remark."""
    text = re.sub(r"\\\n\s*", "", path.read_text("utf-8"))  # a command that goes on in the next line
    return [re.split(r" +# ", line)[0].strip() for line in re.findall(r"^\$ (.*)$", text, re.M)]


EVERY = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
OURS = [command for command in EVERY if re.match(r"(\w+=\w+ )?t2ibench ", command)]


def followed() -> set[str]:
    """The commands that the nine uses follow: their texts stand in that file."""
    nodes = ast.walk(ast.parse(NINE_USES.read_text("utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_command_is_executed_or_says_what_it_needs():
    done = followed() | set(RUN)
    assert len(EVERY) > 60
    unknown = [
        command
        for command in EVERY
        if command not in done and not any(command.startswith(beginning) for beginning in NEEDS)
    ]
    assert unknown == [], "execute them in RUN or in the nine uses, or say in NEEDS what they need"


def test_what_is_said_of_commands_is_of_commands_that_pages_have():
    assert [command for command in RUN if command not in EVERY] == []
    assert [beginning for beginning in NEEDS if not any(command.startswith(beginning) for command in EVERY)] == []
    for why in [*NEEDS.values(), *PROGRAMS.values()]:
        for path in re.findall(r"tests/[\w/]+(?:\.py|\.yaml)?", why):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", OURS)
def test_every_command_exists_with_its_options(command):
    words = shlex.split(command.replace("…", "x"))
    _, verb, *arguments = words[words.index("t2ibench") :]
    known = typer.main.get_command(cli.app).commands[verb]  # type: ignore[attr-defined]
    if arguments and arguments[0] in getattr(known, "commands", {}):
        known = known.commands[arguments[0]]
    options = {option for parameter in known.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in arguments if re.match("--?[a-z]", word)} <= options


def test_every_page_with_a_program_says_who_executes_it():
    found = {page.name for page in PAGES if re.search(r"^```(python|\{code-cell\})", page.read_text("utf-8"), re.M)}
    assert found == set(PROGRAMS)


@pytest.mark.slow
def test_the_commands_run_one_after_the_other(squares, tmp_path, monkeypatch):
    squares().rename(tmp_path / "my.yaml")
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.delenv("T2IBENCH_CACHE")  # the user's, in which the faces are drawn
    for command, (code, small) in RUN.items():
        answer = CliRunner().invoke(cli.app, [*shlex.split(command)[1:], *shlex.split(small)])
        wrong = answer.exception if not isinstance(answer.exception, SystemExit) else None
        ended = 2 if type(wrong).__name__ == "UserError" else answer.exit_code  # as `cli.main` ends it
        assert ended == code, f"{command}\n{answer.output[-2000:]}\n{wrong!r}"
        if wrong is not None:
            assert "\n" not in str(wrong)
    done = CliRunner().invoke(cli.app, ["import", "eee/data", "--out", "imported"])  # docs/submit.md, beside results
    assert done.exit_code == 0, done.output
    for made in ("made/metadata.jsonl", "sheet.png", "eee", "hub", "submissions/my/bundle.json", "coco30k.lock"):
        assert (tmp_path / made).exists(), made
