"""datasets/prompts.py: texts alone, drawn by methods and scored by what needs no real image."""

from pathlib import Path
from typing import Any

import pytest
from folders import one_line

from t2ibench.checks.contracts import check_dataset
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.datasets import prompts
from t2ibench.runner.plan import prepare
from t2ibench.runner.python import run_suite
from t2ibench.runner.suite import load

SUITE = """# Our prompts. Seconds.
dataset: {name: prompts, file: list.tsv}
methods: [gan-cls]
prompts: {captions: 4}
metrics: [{name: clip_score, clip: clip-judge-avatars}, {name: r_precision, clip: clip-judge-avatars, pool: 3}]
"""
TEXTS = ("a smiling person with glasses", "a sad person", "a person with long red hair", "a person with a hat")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a table of four prompts, as PartiPrompts writes them, and a suite of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "list.tsv").write_text("\n".join(["Prompt\tCategory", *(f"{text}\tPeople" for text in TEXTS)]))
    (tmp_path / "ours.yaml").write_text(SUITE)
    return tmp_path


def suite(here: Path, old: str, new: str):
    (here / "ours.yaml").write_text(SUITE.replace(old, new))
    return load("ours.yaml")


def test_a_list_is_drawn_and_scored_without_any_real_image(here):
    numbers = run_suite("ours.yaml")
    assert set(numbers["method"]) == {"gan-cls"}  # no baseline of real images
    assert set(numbers["metric"]) >= {"clip_score", "r_precision"}
    record = records.read(Path("runs/records/ours/text_to_image/gan-cls/0.json"))
    assert record["counts"]["requested"] == len(TEXTS)


def test_the_contract_of_a_data_set_is_kept(here):
    check_dataset("prompts", {"file": "list.tsv"}, wrong=[{"file": "nowhere.txt"}])


def test_equal_prompts_have_their_own_places_and_the_names_of_splits_do_not_matter(here):
    (here / "twice.txt").write_text("a cat\na cat\n")
    split = prompts.load(prompts.Config(Path("twice.txt")), "val")
    assert (list(split.ids), list(split.captions)) == (["00000", "00001"], [("a cat",), ("a cat",)])
    assert split.described == prompts.load(prompts.Config(Path("twice.txt")), "test").described
    assert split.dataset == "twice"


def test_a_list_may_lie_in_the_folder_of_data_sets(here, monkeypatch, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    (shared / "drawbench.txt").write_text("a dog\n")
    monkeypatch.setenv("T2IBENCH_DATA", str(shared))
    assert len(prompts.load(prompts.Config(Path("drawbench.txt")), "test")) == 1


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("metrics: [", "metrics: [kid, ", "metrics: kid compares with real images, and the data set prompts has none"),
        ("metrics: [", "metrics: [cmmd, ", "metrics: cmmd compares with real images"),
        ("metrics: [", "metrics: [image_similarity, ", "image_similarity compares with real images"),
        ("prompts: {", "baselines: [real]\nprompts: {", "baselines: real needs real images"),
        ("prompts: {", "baselines: [shuffled]\nprompts: {", r"shuffled of real images needs .*\{name: shuffled, of: "),
        ("metrics: [", "metrics: [compositional_accuracy, ", "has no attributes with a vocabulary"),
        ("captions: 4", "captions: 5", "captions is 5, but list test has 4 images"),
        ("list.tsv", "missing.tsv", "missing.tsv does not exist"),
    ],
)
def test_what_needs_real_images_is_refused_before_an_image_is_made(here, old, new, line):
    with pytest.raises(UserError, match=line) as error:
        prepare(suite(here, old, new))
    assert one_line(error.value)


def test_a_baseline_of_a_method_runs(here):
    numbers = run_suite(str(here / "ours.yaml"))
    suite(here, "prompts: {", "baselines: [{name: shuffled, of: gan-cls}]\nprompts: {")
    both = run_suite(str(here / "ours.yaml"))
    assert set(both["method"]) == {"gan-cls", "shuffled-gan-cls"}
    assert len(both) > len(numbers)


def test_prompts_may_stand_in_the_suite_itself(here):
    split = prompts.load(prompts.Config(texts=("a cat", "a dog"), called="animals"), "test")
    assert (split.dataset, list(split.captions)) == ("animals", [("a cat",), ("a dog",)])
    both: dict[str, Any] = {"file": Path("list.tsv"), "texts": ("a cat",)}
    for wrong in ({}, both):
        with pytest.raises(UserError, match="of file, files and texts, expected one"):
            prompts.Config(**wrong)
