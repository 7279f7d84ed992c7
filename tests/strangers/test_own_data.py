"""Own images from an empty folder to a board, in the order that docs/own_data.md gives: encoder, GAN, judge, suite."""

import re
from pathlib import Path

import pandas as pd
import pytest
from birds import write_birds
from folders import one_line
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records, settings
from t2ibench.core.errors import UserError
from t2ibench.data.dataset import opened
from t2ibench.data.vocabulary_file import plain_phrases, vocabulary_of
from t2ibench.datasets import image_folder

SUITE = """# Birds: a GAN of our own on its board.
dataset: {name: image_folder, root: birds}
methods: [{name: gan-cls, as: mine, weights: gan-cls-birds}]
baselines: [real]
prompts: {split: val, captions: 24}
metrics:
  - {name: fid, extractor: attribute-judge-birds, fewest: 2}
  - {name: compositional_accuracy, images: 4, single_images: 0, calibration_images: 8}
"""
WORDS = """subject: this bird
noun: bird
phrases:
  crown: {red: [has a red crown, has red feathers on its head], blue: has a blue crown}
"""


def birds(root: Path, count: int = 64) -> Path:
    """A folder of birds. Red crowns rarely go with blue wings."""

    def colours(row: int) -> tuple[str, str]:
        crown = "red" if row % 2 else "blue"
        return crown, crown if row % 16 else "blue"

    for split, images in (("train", count), ("val", 24), ("test", 24)):
        write_birds(root, split, images, colours)
    return root


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("T2IBENCH_WEIGHTS", raising=False)
    return tmp_path


def verb(*words: str) -> str:
    answer = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def train(name: str, part: str, *sets: str) -> None:
    given = [word for pair in sets for word in ("--set", pair)]
    verb("train", name, *(("--variant", part) if part else ()), "--dataset", "birds", "--steps", "1", *given)


def test_the_order_of_work_leads_from_an_empty_folder_to_a_board(here, monkeypatch):
    birds(here / "birds")
    small = ("nt=4", "ngf=4", "ndf=4", "batch=4")
    train("gan_cls", "text-encoder", "channels=[8,8,8]", "out=8", "batch=2", "image_width=4")
    train("gan_cls", "gan-cls", *small)
    train("attribute_judge", "", "widths=[4,4,4,4]", "features=8", "batch=8", "calibration=16")
    names = {path.stem for path in (here / "trained").glob("*.safetensors")}
    assert names == {"char-cnn-rnn-birds", "gan-cls-birds", "attribute-judge-birds"}
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(here / "trained"))
    (here / "birds.yaml").write_text(SUITE.replace("\n  - {name: compositional_accuracy", "\n#"))
    assert "mine" in verb("run", "birds.yaml", "--jobs", "1")
    record = records.read(here / "runs/records/birds/text_to_image/mine/0.json")
    assert record["counts"]["ok"] + record["counts"]["black"] == 24
    assert set(record["weights"]) == {"gan-cls-birds", "char-cnn-rnn-birds"}


def test_two_folders_of_own_images_have_two_names(here):
    birds(here / "birds", 4)
    birds(here / "my faces", 4)
    names = [opened(name).train.dataset for name in ("birds", "my faces", f"{here}/birds/../birds")]
    assert names == ["birds", "my-faces", "birds"]
    config = image_folder.Config(here / "birds", called="cub")
    assert image_folder.load(config, "train").dataset == "cub"
    assert settings.recorded(config) == settings.recorded(image_folder.Config(here / "my faces"))


def test_show_prints_how_attributes_are_said(here):
    root = birds(here / "birds", 4)
    said = verb("show", "birds", "--count", "2")
    assert "this person has blue crown" in said
    (root / "vocabulary.yaml").write_text(WORDS)
    said = verb("show", "birds", "--count", "2")
    assert "crown=red: this bird has a red crown | a photo of a bird with a red crown" in said


TABLE = pd.DataFrame({"crown": ["red", "blue", None], "fat": ["true", "false", "true"]}, dtype=object)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("subjects: this bird", r"unknown key 'subjects', did you mean 'subject'\?"),
        ("phrases: {crwn: {red: has a crown}}", r"crwn: no attribute has this name, did you mean 'crown'\?"),
        ("phrases: {crown: {rd: has a crown}}", r"crown: no image has the value 'rd', did you mean 'red'\?"),
        ("phrases: {crown: {red: a red crown}}", "begins with is, has or wears, such as 'has a red crown'"),
        ("phrases: {crown: red}", "crown: found 'red', expected a mapping"),
        ("excluded: [crown=red]", r"excluded: expected pairs such as \[\[crown=red, size=hidden\]\]"),
        ("excluded: [[crown=red, crown=gren]]", "no image shows 'crown=gren'"),
        ("complements: {crown=red: fat=yes}", "no image shows 'fat=yes'"),
        ("subject: [a, b]", "subject: found"),
        ("phrases: {", "cannot be read as YAML"),
    ],
)
def test_a_vocabulary_that_is_wrong_is_one_line(tmp_path, text, line):
    path = tmp_path / "vocabulary.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=line) as error:
        vocabulary_of(TABLE, path)
    assert one_line(error.value).startswith(f"{path}: ")


def test_a_vocabulary_says_what_it_names_and_the_rest_as_before(tmp_path):
    path = tmp_path / "vocabulary.yaml"
    path.write_text(f"{WORDS}excluded: [[crown=red, fat=false]]\n")
    vocabulary = vocabulary_of(TABLE, path)
    assert vocabulary.phrases["crown"] == {
        "red": [("has", "a red crown"), ("has", "red feathers on its head")],
        "blue": [("has", "a blue crown")] * 2,
    }
    assert vocabulary.phrases["fat"] == plain_phrases(TABLE)["fat"]
    assert vocabulary.excluded == {frozenset(["crown=red", "fat=false"])}
    assert (vocabulary.subject, vocabulary.noun) == ("this bird", "bird")
    path.write_text("phrases: {fat: null, crown: {red: null}}")
    assert vocabulary_of(TABLE, path).phrases == {"crown": {"blue": [("has", "blue crown")] * 2}}


def test_a_pair_that_no_image_can_show_is_excluded_by_the_file(here):
    """The line that refuses it names the pair and the file, and a run goes on once the file holds the pair."""
    rows = (
        [{"hat": "yes", "hair": None}] * 40
        + [{"hat": "small", "hair": "red"}] * 30
        + [{"hat": "small", "hair": "blue"}] * 30
    )
    table = pd.DataFrame(rows, dtype=object)
    path = here / "vocabulary.yaml"
    from t2ibench.data.rare_pairs import find_pairs

    table = table.where(table.notna(), None)
    with pytest.raises(UserError, match=r"exclude the pair, \[.*\].*vocabulary\.yaml") as error:
        find_pairs(table, vocabulary_of(table, path))
    for _ in range(4):
        pair = re.findall(r"exclude the pair, (\[.*?\])", str(error.value))[0]
        path.write_text((path.read_text() if path.exists() else "excluded:\n") + f"  - {pair}\n")
        try:
            find_pairs(table, vocabulary_of(table, path))
            break
        except UserError as again:
            error.value.args = again.args
    else:
        pytest.fail("pairs were refused again")
