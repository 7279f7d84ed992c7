"""Networks of the embedded world judge the embedded world: foreign images get the published networks, those that are
named, or one line.
"""

import json
import logging
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import t2ibench
from t2ibench import cli
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data.split import Networks, Split
from t2ibench.datasets import avatars
from t2ibench.metrics import clip_score, cmmd
from t2ibench.networks.clip import Clip, published
from t2ibench.networks.models import Models
from t2ibench.scoring.contract import MetricPlugin
from t2ibench.scoring.default_networks import networks_of, settled, trained_for
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.score import metrics_of

CLIP = MetricPlugin.PUBLISHED
CAPTIONS = ["a cat on a sofa", "a rocket above the sea", "a plate of noodles", "two dogs in the snow"]


@pytest.fixture(autouse=True)
def nothing_on_disk(monkeypatch, tmp_path):
    """No cache of any package holds published weights."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.delenv("T2IBENCH_WEIGHTS", raising=False)
    monkeypatch.setattr(published, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)


@pytest.fixture
def photographs(tmp_path):
    """Four images that no data set of ours made, with their captions forwards and in reverse."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "forwards.txt").write_text("\n".join(CAPTIONS))
    (tmp_path / "reverse.txt").write_text("\n".join(reversed(CAPTIONS)))
    return folder


@pytest.fixture
def small_clip(monkeypatch, tmp_path):
    """A tiny open_clip model, and weights of it under the name of the published default in a folder of
    T2IBENCH_WEIGHTS.
    """
    config = {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
    }
    architecture = CLIP.partition(":")[0]
    known = open_clip.factory._MODEL_CONFIGS
    monkeypatch.setitem(known, architecture, config)
    torch.manual_seed(0)
    folder = tmp_path / "weights"
    (folder / "open_clip").mkdir(parents=True)
    save_file(
        open_clip.create_model(architecture).state_dict(),
        folder / "open_clip" / f"{CLIP.replace(':', '-')}.safetensors",
    )
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(folder))
    return folder


def run(*words):
    return CliRunner().invoke(cli.app, [str(word) for word in words], env={"COLUMNS": "400"})


def test_photographs_are_refused_where_no_network_is_there_that_saw_such_images(photographs, tmp_path):
    with pytest.raises(UserError) as error:
        t2ibench.score_images(photographs, photographs, ["clip_score"], prompts=tmp_path / "forwards.txt")
    said = str(error.value)
    assert "\n" not in said
    for part in ("clip_score", CLIP, "not on disk", "T2IBENCH_WEIGHTS", "model:FILE"):
        assert part in said


def test_the_command_line_refuses_them_too(photographs, tmp_path):
    result = run("score", photographs, "--prompts", tmp_path / "forwards.txt", "--metrics", "clip_score")
    assert isinstance(result.exception, UserError)
    assert CLIP in str(result.exception)


def test_the_published_network_is_taken_where_it_lies_on_the_disk(photographs, small_clip, tmp_path):
    """And captions in reverse have another score, which one unknown word for all of them would not give."""
    values = {}
    for order in ("forwards", "reverse"):
        words = ["score", photographs, "--prompts", tmp_path / f"{order}.txt", "--metrics", "clip_score", "--json"]
        values[order] = json.loads(run(*words).stdout)["values"]["clip_score"]
    assert {value["protocol"]["extractor"] for value in values.values()} == {CLIP}
    assert abs(values["forwards"]["value"] - values["reverse"]["value"]) > 1e-4
    assert "unknown_words" not in values["forwards"]["details"]


def test_under_the_table_stands_what_the_numbers_are_of(photographs, small_clip, tmp_path):
    shown = run("score", photographs, "--prompts", tmp_path / "forwards.txt", "--metrics", "clip_score").stdout
    assert f"networks: {CLIP} (32-bicubic-antialias-shortest" in shown
    assert "reference: none; scored: 4 images of 48x40, as they are" in shown


@pytest.mark.parametrize("metric", ["fid", "kid", "prdc"])
def test_no_distance_takes_the_judge_of_another_data_set(photographs, metric):
    images = np.random.default_rng(1).integers(0, 256, (120, 3, 64, 64), np.uint8)
    with pytest.raises(UserError, match=r"inception-2015-12-05\.pt is missing.*or name another extractor"):
        t2ibench.score_images(images, images, [metric])
    assert t2ibench.score_images(images, images, [metric], extractor="attribute-judge-avatars")  # named, so it is meant


def test_a_text_of_unknown_words_is_refused_and_many_of_them_are_warned_of(photographs, tmp_path, caplog):
    named: dict[str, Any] = {"clip": "clip-judge-avatars", "metrics": ["clip_score"]}
    with pytest.raises(UserError, match="clip-judge-avatars knows no word of 'zebras'"):
        t2ibench.score_images(photographs, photographs, prompts=["zebras", *CAPTIONS[1:]], **named)
    with caplog.at_level(logging.WARNING):
        found = t2ibench.score_images(photographs, photographs, prompts=CAPTIONS, **named)["clip_score"]
    assert "never learned" in caplog.text
    assert found.details["unknown_words"] > 0.2
    assert "unknown_words" not in json.dumps(found.protocol)


def test_words_are_counted_whole_and_punctuation_is_none():
    clip = Models().clip("clip-judge-avatars")
    counts = clip.unknown_words(["a person with glasses.", "a person, with zebras!", "zebras", "?!"])
    assert counts == [(0, 4), (1, 4), (1, 1), (0, 0)]


@pytest.mark.parametrize(("option", "metrics"), [("clip", "fid,kid"), ("extractor", "clip_score")])
def test_an_option_that_no_metric_takes_is_an_error(photographs, tmp_path, option, metrics):
    result = run("score", photographs, "--prompts", tmp_path / "forwards.txt", f"--{option}", "x", "--metrics", metrics)
    assert f"--{option}: none of the metrics" in str(result.exception)


def test_two_sources_of_real_images_are_an_error(photographs):
    result = run("score", photographs, "--reference", photographs, "--dataset", "avatars", "--metrics", "fid")
    assert "--dataset has no effect here: --reference names the real images" in str(result.exception)


def test_a_distance_without_real_images_is_one_line(photographs):
    result = run("score", photographs, "--metrics", "fid")
    assert "there are no real images to compare with" in str(result.exception)


def test_a_data_set_without_networks_gets_the_published_one_in_a_suite(photographs, small_clip):
    metrics = metrics_of([Entry("clip_score", "clip_score", {}, "metric")], "mine.yaml")
    [metric] = settled(metrics, Networks(), "birds", "mine.yaml: metrics")
    assert metric.identity == {"name": "clip_score", "revision": 1, "clip": CLIP, "group": "captions"}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("clip_score", "mine: metrics: clip_score: photographs brings no CLIP"),
        ("fid", "mine: metrics: fid: "),
    ],
)
def test_a_suite_over_a_folder_without_networks_is_refused_before_an_image_is_made(
    photographs, tmp_path, metric, message
):
    rows = [{"file_name": f"{i}.png", "text": text} for i, text in enumerate(CAPTIONS)]
    (photographs / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        f"dataset: {{name: image_folder, root: {photographs}}}\nmethods: [gan-int-cls]\nmetrics: "
        f"[{metric}]\nprompts: {{captions: 4}}\n"
    )
    result = run("run", suite, "--out", tmp_path / "out", "--work", tmp_path / "work")
    assert message in str(result.exception)
    assert not list((tmp_path / "work").rglob("*.png"))


def test_avatars_bring_their_own_and_identities_stay():
    own = networks_of("avatars")
    assert own == avatars.NETWORKS
    assert (own.judge, own.clip) == ("attribute-judge-avatars", "clip-judge-avatars")
    metrics = metrics_of([Entry(name, name, {}, "metric") for name in ("clip_score", "cmmd", "fid")], "avatars.yaml")
    configs = [metric.config for metric in settled(metrics, own, "avatars", "avatars.yaml")]
    assert (configs[0], configs[1]) == (
        clip_score.Config(clip="clip-judge-avatars"),
        cmmd.Config(clip="clip-judge-avatars"),
    )
    assert configs[2].extractor == "auto"


def test_networks_that_were_trained_for_a_data_set_are_its_own(monkeypatch, tmp_path):
    (tmp_path / "clip-judge-birds.safetensors").write_bytes(b"")
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    assert trained_for(Networks(), "birds") == Networks(None, "clip-judge-birds")


def test_no_judge_is_one_line():
    empty = Split("birds", "test", [], None, [])  # type: ignore[arg-type]
    evidence = Evidence(train=empty, reference=empty, prompts=[], samples={}, models=Models())
    with pytest.raises(UserError, match="birds has no attribute judge"):
        _ = evidence.judge


def test_open_clips_own_cache_is_looked_up_without_a_connection(monkeypatch, tmp_path):
    asked = []

    def cached(repository, file):
        asked.append((repository, file))
        return str(tmp_path / file) if file.endswith(".bin") else None

    monkeypatch.setattr(published, "try_to_load_from_cache", cached)
    assert published.on_disk(CLIP) == tmp_path / "open_clip_pytorch_model.bin"
    assert asked == [("timm/vit_large_patch14_clip_224.openai", name) for name in published.HUB_FILES]


def test_weights_on_the_disk_are_those_that_a_tag_loads(small_clip):
    assert Clip.from_open_clip(CLIP).name == CLIP
