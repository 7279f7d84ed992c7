"""runner/needs.py and the suites of real data: what is on disk and what is not, in bytes; and that they run."""

from pathlib import Path

import pytest
import yaml
from cub_files import write_cub
from release_files import write_celeba_hq, write_coco, write_flowers

from t2ibench.data.releases import placed
from t2ibench.runner import suite
from t2ibench.runner.needs import models_of, needs_of
from t2ibench.runner.plan import prepare


def write_captions(root):
    """The images of val, and of train the captions alone."""
    write_coco(root, part="train")
    (root / "train2014").rename(root / "elsewhere")
    return write_coco(root)


REAL = {
    "cub": (write_cub, {"partial": True}),
    "flowers": (write_flowers, {"partial": True}),
    "celeba_hq": (write_celeba_hq, {"partial": True}),
    "coco30k": (write_captions, {"partial": True, "drawn": 4}),
    "coco30k_full": (write_captions, {"partial": True, "drawn": 4}),
    **{
        f"coco30k_{lineage}": (write_captions, {"partial": True, "drawn": 4})
        for lineage in ("dmgan", "dfgan", "t2ibenchmark", "gigagan", "dmd2", "bksdm")
    },
}


@pytest.fixture(autouse=True)
def nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("T2IBENCH_DATA", "T2IBENCH_WEIGHTS", "T2IBENCH_INCEPTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_suite_of_real_data_says_what_is_missing_in_bytes():
    needs = {need.what: need for need in needs_of(suite.load("coco30k"))}
    assert not any(need.there for need in needs.values())
    line = "missing: val2014.zip, 6,645,013,297 bytes, from cocodataset.org"
    assert needs["images of val"].state == line
    assert needs["images of train"].optional
    assert "inception-2015-12-05.pt" in needs["Inception of FID"].state


def test_what_is_there_is_named_with_its_place(tmp_path, monkeypatch):
    write_coco(tmp_path / "shared/coco")
    monkeypatch.setenv("T2IBENCH_DATA", str(tmp_path / "shared"))
    needs = {need.what: need for need in needs_of(suite.load("coco30k"))}
    assert needs["images of val"].there == tmp_path / "shared/coco/val2014"
    size = (tmp_path / "shared/coco/annotations/captions_val2014.json").stat().st_size
    assert needs["annotations"].state.endswith(f"captions_val2014.json, {size:,} bytes")


def test_a_model_of_the_hub_says_whether_it_is_there_and_pinned(tmp_path, monkeypatch):
    needs = {need.what: need for need in needs_of(suite.load("coco30k"))}
    own = needs["model stabilityai/stable-diffusion-xl-base-1.0"]
    assert not own.hinders  # it is fetched
    assert own.state == (
        "not on disk, fetched when it is first used: the hub, its newest commit; add @COMMIT behind the name to pin one"
    )
    commit = "0123456789" * 4
    place = tmp_path / f"hub/models--owner--name/snapshots/{commit}"
    place.mkdir(parents=True)
    (place / "model_index.json").write_text("{}")
    (tmp_path / "hub/models--owner--name/refs").mkdir()
    (tmp_path / "hub/models--owner--name/refs/main").write_text(commit)
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra pipelines brings huggingface_hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for address in ("hub:owner/name", f"hub:owner/name@{commit}"):
        [found] = models_of({"model": address, "controlnets": {}})
        assert found.state == f"on disk: {place}"
    [other] = models_of({"controlnets": {"sketch": "hub:owner/name@v2"}})
    assert other.state == "not on disk, fetched when it is first used: the hub, commit v2"


def test_the_models_of_metrics_that_ask_questions_are_named(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "# minutes\ndataset: {name: avatars}\nmethods: [gan]\nmetrics:\n"
        '  - {name: vqa_score, vqa: "hub:a/asked"}\n'
        '  - {name: compositional_accuracy, images: 4, judge: "vqa:hub:a/judge@v2"}\n'
        "  - {name: soft_tifa, vqa: vqa-judge-avatars}\n"
    )
    assert [need.what for need in needs_of(suite.load(str(tmp_path / "mine.yaml")))] == [
        "model a/asked",
        "model a/judge",
    ]


def test_a_folder_in_the_current_one_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_DATA", str(tmp_path / "shared"))
    (tmp_path / "shared/cub").mkdir(parents=True)
    assert placed(tmp_path / "cub") == tmp_path / "cub"
    assert placed(Path("cub")) == tmp_path / "shared/cub"
    (tmp_path / "cub").mkdir()
    assert placed(Path("cub")) == Path("cub")


@pytest.mark.parametrize("verb", [("doctor", "--suite"), ("run", "--dry-run")])
def test_both_verbs_print_it_and_look_no_further(t2ibench, verb):
    answer = t2ibench(*verb, "cub")
    assert answer.returncode == 2
    assert "1,150,585,339 bytes" in " ".join(answer.stdout.split())
    assert "real seed 0" not in answer.stdout


def test_a_suite_of_drawn_data_needs_nothing():
    assert needs_of(suite.load("quick")) == []


@pytest.mark.parametrize("name", list(REAL))
def test_the_shipped_suites_of_real_data_are_planned_on_a_small_copy(name, tmp_path):
    write, smaller = REAL[name]
    assert [need for need in needs_of(suite.load(name)) if not need.optional]
    content = yaml.safe_load(suite.available()[name].read_text("utf-8"))
    write(tmp_path / content["dataset"]["root"])
    content["dataset"] |= smaller
    content["prompts"]["captions"] = 1
    content["metrics"] = [{"name": "prdc", "extractor": "attribute-judge-avatars"}]
    [plan] = prepare(suite.parse(content, name, "", name))
    assert [prompt.group for prompt in plan.prompts] == ["captions"]
    assert plan.data.reference.name == content["reference"]["split"]


def test_each_lineage_of_coco_has_an_id_of_its_own(tmp_path):
    ids = {}
    for name in REAL:
        [fid] = [entry for entry in suite.load(name).metrics if entry.name == "fid"]
        ids[name] = (fid.id, fid.settings["extractor"])
    lineages = {name: own for name, own in ids.items() if name.count("_") and name not in ("coco30k_full", "celeba_hq")}
    assert len({id for id, _ in lineages.values()}) == len(lineages) == 6
    needs = [need.what for need in needs_of(suite.load("coco30k_dmgan"))]
    assert "torchvision's Inception" in needs
    assert "Inception of FID" not in needs
