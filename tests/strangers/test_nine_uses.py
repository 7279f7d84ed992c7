"""Nine kinds of use, each from an empty folder to its end, by commands that the docs name: `make test-first-day`.

`follow` runs a command that a page holds word for word, with further options that make it small. Windows is tried by
its causes in tests/core/test_other_systems.py, and other repositories in tests/checks/test_drift_action.py.
"""

import os
import re
import shlex
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from birds import write_birds
from PIL import Image
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
JUDGE = "attribute-judge-avatars"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder, with the user's cache, so that the embedded faces need not be drawn again."""
    (tmp_path / "walk").mkdir()
    monkeypatch.chdir(tmp_path / "walk")
    monkeypatch.delenv("T2IBENCH_WEIGHTS", raising=False)
    return tmp_path / "walk"


def follow(page: str, command: str, *further: str) -> str:
    """Run a command of a page, with further words, and return what it printed. It has to end well."""
    code, said = tried(page, command, *further)
    assert code == 0, said
    return said


def tried(page: str, command: str, *further: str) -> tuple[int, str]:
    """The exit code of a command of a page, and what it printed; what is wrong is one line, as the user sees it."""
    text = (ROOT / page).read_text("utf-8")
    assert re.search(rf"^\$ {re.escape(command)}(  |$)", text, re.M), f"{page} does not say `{command}`"
    _, *words = shlex.split(command)
    answer = CliRunner().invoke(cli.app, [*words, *further])
    wrong = "" if answer.exception is None or isinstance(answer.exception, SystemExit) else str(answer.exception)
    return answer.exit_code, answer.output + wrong


def block(page: str, first: str) -> str:
    """A block of a page that begins with these words."""
    [text] = re.findall(rf"```\w+\n({re.escape(first)}.*?)```", (ROOT / page).read_text("utf-8"), re.S)
    return text


# 1. a folder of images


def test_a_folder_of_images_is_scored(here):
    for folder, seeds in (("made", "0-59"), ("real", "100-159")):
        words = ["generate", "gan-cls", "a person", "a person with glasses", "--seeds", seeds, "--images", folder]
        assert CliRunner().invoke(cli.app, words).exit_code == 0
    against = "t2ibench score made --reference real --metrics fid,kid,prdc"
    said = follow("docs/score.md", against, "--extractor", JUDGE, "--json")
    assert all(name in said for name in ('"fd_avatars"', '"precision"', '"ci"'))
    code, said = tried("docs/score.md", against)  # Inception, where it lies on this disk, else the line that names it
    assert code == 0 or ("inception-2015-12-05.pt" in said and "T2IBENCH_INCEPTION" in said and "\n" not in said)
    texts = [f"a person {n}" for n in range(120)]
    (here / "prompts.txt").write_text("\n".join(texts))
    by_texts = (
        "t2ibench score made --prompts prompts.txt --metrics clip_score,r_precision --clip ViT-L-14-quickgelu:openai"
    )
    code, said = tried("docs/score.md", by_texts)
    assert code == 0 or "ViT-L-14-quickgelu:openai" in said
    words = ["score", "made", "--metrics", "clip_score", "--clip", "clip-judge-avatars"]
    assert CliRunner().invoke(cli.app, words).exit_code == 0  # the texts that `generate` wrote
    names: dict = {}
    exec(block("docs/score.md", "from t2ibench import score_images"), names)
    assert 0 <= names["scores"]["precision"].value <= 1


# 2. an own method


def test_an_own_method_gets_its_row(here, monkeypatch):
    follow("docs/index.md", "t2ibench new method my_method")
    site = here / "site"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(site)]
    program("pip", "install", *options, "./t2ibench-my-method")
    assert "2 passed" in program("pytest", "-q", "-p", "no:cacheprovider", "t2ibench-my-method/test_my_method.py")
    suite = Path("t2ibench-my-method/my_method.yaml")
    suite.write_text(suite.read_text("utf-8").replace("fid,", f"{{name: fid, extractor: {JUDGE}}},"))
    said = program("t2ibench", "run", str(suite), "--limit", "100", "--jobs", "1")
    assert re.search(r"my_method +\d", said)


def program(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# 3. a CI


def test_a_ci_is_gated(here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    (here / "prompts.txt").write_text("\n".join(f"a smiling person with {n} hats" for n in range(100)))
    suite = block("docs/gate.md", "# What must not change")
    (here / "mine.yaml").write_text(suite.replace("my_method", "gan-cls"))
    follow("docs/gate.md", "t2ibench drift drift.json --write --suite mine.yaml")
    said = follow("docs/gate.md", "t2ibench drift drift.json")
    assert "no drift" in said
    code, said = tried("docs/gate.md", "t2ibench drift drift.json", "--write")
    assert code != 0
    assert "--accept" in said


# 4. a paper's table


def test_a_paper_gets_its_table_and_figures(here):
    (here / "results").symlink_to(ROOT / "results")
    latex = follow(
        "docs/index.md",
        "t2ibench table results --track text_to_image --methods gan,gan-cls --format latex --transpose "
        '--caption "Faces" --label tab:faces',
        "--suite",
        "avatars",
    )
    for words in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Faces}", r"\label{tab:faces}", r"value & gan"):
        assert words in latex
    follow("docs/index.md", "t2ibench table results --columns fd_avatars,r_precision --format latex")
    follow(
        "docs/index.md",
        "t2ibench table results --track text_to_image --columns fd_avatars,ca_rare --figures figures",
        "--suite",
        "avatars",
    )
    assert {path.suffix for path in Path("figures").iterdir()} == {".pdf", ".svg"}
    assert "gan-int-cls against gan-cls" in follow(
        "docs/index.md", "t2ibench compare gan-int-cls gan-cls --folder results", "--suite", "avatars"
    )


# 5. own training data


def birds(root: Path) -> None:
    """640 birds to learn from. Red crowns go with blue wings in 10 of them."""

    def colours(row: int, crossed: int) -> tuple[str, str]:
        crown, other = ("red", "blue") if row % 2 else ("blue", "red")
        return crown, crown if row // 2 % crossed else other

    for split, count, crossed in (("train", 640, 32), ("val", 40, 2), ("test", 240, 2)):
        write_birds(root, split, count, partial(colours, crossed=crossed))
    (root / "vocabulary.yaml").write_text(
        "subject: this bird\nnoun: bird\nphrases:\n  crown: {red: has a red crown, blue: has a blue crown}\n"
    )


def test_own_data_are_trained_on_and_scored_down_to_compositional_accuracy(here, monkeypatch):
    page, settings = "docs/own_data.md", lambda *pairs: [word for pair in pairs for word in ("--set", pair)]
    birds(here / "birds")
    assert "this bird has a red crown" in follow(page, "t2ibench show birds --split train", "--count", "2")
    small = settings("channels=[8,8,8]", "out=8", "batch=2", "image_width=4")
    encoder = "t2ibench train gan_cls --variant text-encoder --dataset birds --minutes 30"
    follow(page, encoder, "--steps", "1", *small)
    gan = "t2ibench train gan_cls --variant gan-cls --dataset birds --minutes 600"
    follow(page, gan, "--steps", "1", *settings("nt=4", "ngf=4", "ndf=4", "batch=4"))
    judge = "t2ibench train attribute_judge --dataset birds --minutes 30"
    small = settings("widths=[8,8,8,8]", "features=16", "batch=32", "calibration=64")
    follow(page, judge, "--steps", "150", *small)
    monkeypatch.setenv("T2IBENCH_WEIGHTS", "trained")
    suite = block(page, "# Birds: our GAN")
    counts = "{name: compositional_accuracy, images: 4, single_images: 0, calibration_images: 8}"
    for old, new in (("captions: 500", "captions: 40"), ("judge-birds}", "judge-birds, fewest: 2}")):
        assert old in suite
        suite = suite.replace(old, new)
    (here / "birds.yaml").write_text(suite.replace("- compositional_accuracy", f"- {counts}"))
    follow(page, "t2ibench run birds.yaml --dry-run")
    follow(page, "t2ibench run birds.yaml", "--jobs", "1")
    values = {
        name: records.read(Path(f"runs/records/birds/text_to_image/{name}/0.json"))["values"]
        for name in ("mine", "real")
    }
    assert values["real"]["ca_rare"]["value"] == pytest.approx(1, abs=0.05)  # what the judge says of real images
    assert values["mine"]["ca_rare"]["value"] < 0.5  # of a GAN after one step
    assert set(values["mine"]) >= {"fd_birds", "ca_rare", "ca_control", "ca_gap"}


# 6. a diffusers folder


def test_a_diffusers_folder_stands_on_a_board(here):
    pytest.importorskip("diffusers", reason="not installed: pip install 't2ibench[pipelines]'")
    from diffusers_tiny import stable_diffusion

    (here / "path" / "to").mkdir(parents=True)
    stable_diffusion(here / "path" / "to" / "folder")
    suite = block("docs/pipelines.md", "# My pipeline beside")
    for old, new in (("dtype: float16, ", ""), ("steps: 30", "steps: 2"), ("captions: 500", "captions: 100")):
        assert old in suite
        suite = suite.replace(old, new)
    (here / "mine.yaml").write_text(suite.replace("  - gan-int-cls\n", ""))
    assert "$ " not in suite
    answer = CliRunner().invoke(cli.app, ["run", "mine.yaml", "--jobs", "1"], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert re.search(r"mine-euler +[\d.]+", answer.output)


# 7. a picture to edit


def test_a_picture_of_any_size_is_edited(here):
    rows = np.linspace(0, 255, 300)[:, None] * np.ones((1, 200))
    Image.fromarray(np.stack([rows, 255 - rows, rows], 2).astype(np.uint8)).save("face.png")
    text = "a smiling person with glasses"
    small = ["statistics_samples=50", "images=2", "projection_steps=2"]
    words = ["generate", "styleclip-global", text, "--neutral", "a person", "--image", "face.png", "--out", "sheet.png"]
    words += [word for pair in small for word in ("--set", pair)]
    answer = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert "200x300 pixels, cut and scaled to 64x64" in answer.output
    assert Image.open("sheet.png").size[0] > 64


# 8. a notebook


def test_the_notebook_runs_from_its_first_cell_to_its_last(monkeypatch):
    monkeypatch.chdir(ROOT / "docs")
    cells = re.findall(r"```\{code-cell\}\n(.*?)```", (ROOT / "docs/first_numbers.md").read_text("utf-8"), re.S)
    names: dict = {"__name__": "notebook"}
    for cell in cells:
        exec(cell, names)
    assert len(cells) == 5
    assert names["scores"]["precision"]._repr_html_().startswith("<b>")
    assert len(names["rates"]) > 10


# 9. a page to read


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("href", "src") and value}


def test_the_pages_open_from_disk_and_their_links_lead_to_pages(here):
    (here / "results").symlink_to(ROOT / "results")
    said = follow("docs/site.md", "t2ibench report results --out site")
    assert "index.html" in said
    pages = sorted(Path("site").rglob("*.html"))
    assert len(pages) > 3
    for page in pages:
        addresses = Addresses()
        addresses.feed(page.read_text("utf-8"))
        for address in addresses.found:
            path = re.split("[#?]", address)[0]
            if path and not re.match(r"[a-z]+:", path):
                assert (page.parent / path).exists(), f"{page}: {address}"
