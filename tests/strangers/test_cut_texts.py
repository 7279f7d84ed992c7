"""Texts that are longer than what a network reads are cut, and that is counted, recorded and shown."""

import json
import logging

import diffusers_tiny
import numpy as np
import pytest
from folders import lines, named, noise
from typer.testing import CliRunner

from t2ibench import cli, score_images
from t2ibench.cli.generate import entry_of
from t2ibench.core import records
from t2ibench.data.dataset import opened
from t2ibench.methods.diffusers_pipeline import Config as PipelineConfig
from t2ibench.methods.diffusers_pipeline import Method as Pipeline
from t2ibench.networks.clip.model import InTemplates
from t2ibench.networks.clip.templates import TEMPLATES, fill
from t2ibench.networks.models import Models
from t2ibench.report import board, formats
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.methods import guided, method_maker
from t2ibench.scoring.score_images import evidence_of, made_images, no_images

CLIP = "clip-judge-avatars"
LONG = "a person with " + "long red hair and " * 30
CONTEXT = 40


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a person with glasses", False),
        ("red " * (CONTEXT - 2), False),  # with its start and its end it just fits
        ("red " * (CONTEXT - 1), True),
        (LONG, True),
        ("", False),
    ],
)
def test_a_text_is_cut_where_it_does_not_fit_with_its_start_and_end(models, text, cut):
    clip = models.clip(CLIP)
    assert clip.context_length == CONTEXT
    assert clip.cut([text, "red"]) == [cut, False]


def test_texts_that_differ_behind_the_cut_are_one_text_to_the_network(models):
    one, other = models.clip(CLIP).encode_texts([LONG + "a hat", LONG + "glasses"])
    assert (one - other).abs().max() < 1e-5


@pytest.mark.parametrize("metric", ["clip_score", "r_precision"])
def test_a_score_of_cut_texts_says_so_in_python(tmp_path, caplog, metric):
    pixels = np.random.default_rng(0).integers(1, 256, (104, 3, 64, 64), dtype=np.uint8)
    texts = [f"a person with {'red ' * (80 * (row < 3))}hair, seed {row}" for row in range(104)]
    with caplog.at_level(logging.WARNING):
        value = score_images(pixels, pixels, [metric], prompts=texts, clip=CLIP)[metric]
    assert (value.details["cut_texts"], value.details["of_texts"]) == (3, 104)
    assert value.details["labels"] == ["3 of 104 texts were cut: clip-judge-avatars reads 40 tokens"]
    assert (
        "clip-judge-avatars reads 40 tokens: 3 of 104 texts are longer and were cut, the first 'a person" in caplog.text
    )
    assert "cut_texts" not in json.dumps(value.protocol)


def test_no_text_is_said_to_be_cut_where_none_is(models, tmp_path):
    made = made_images(noise(tmp_path, 2), ["a person", "a person with glasses"], None)
    words = evidence_of(made, no_images(), models).words(CLIP, ["a person", "a person with glasses"])
    assert not {"cut_texts", "of_texts", "labels"} & set(words)


def test_the_command_the_record_and_the_table_show_it(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    made = noise(tmp_path / "made", 4, side=64)
    texts = {f"{row:03}.png": LONG if row else "a person" for row in range(4)}
    lines(made / "metadata.jsonl", named(texts))
    words = ["score", str(made), "--metrics", "clip_score", "--clip", CLIP, "--out", str(tmp_path / "r.json")]
    answer = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    said = " ".join(answer.output.split())
    assert "clip_score: 3 of 4 texts were cut: clip-judge-avatars reads 40 tokens" in said
    record = records.read(tmp_path / "r.json")
    assert record["values"]["clip_score"]["details"]["cut_texts"] == 3
    [whole] = board.boards([record])
    assert "3 of 4 texts were cut: clip-judge-avatars reads 40 tokens (clip_score)" in formats.markdown(whole)


@pytest.mark.parametrize(
    ("method", "network", "context"),
    [
        ("gan-int-cls", "char-cnn-rnn-avatars", "168 characters"),
        ("styleclip-global", "clip-guide-avatars", "40 tokens"),
        ("composer", "clip-guide-avatars", "40 tokens"),
    ],
)
def test_the_networks_of_a_method_say_which_texts_they_cut(method, network, context):
    entry = guided(entry_of(method, [], "avatars"), opened("avatars").networks, "test")
    maker = method_maker(entry, "text_to_image", "test", "cpu")
    assert maker.cut_texts([LONG, "a person", "a person with glasses"]) == {
        network: {"cut": 1, "of": 3, "context": context}
    }
    assert maker.cut_texts(["a person", "a person with glasses"]) == {}


@pytest.mark.parametrize("templates", ["plain", "imagenet"])
def test_a_template_takes_its_part_of_the_context(models, templates):
    clip, phrases = models.clip(CLIP), TEMPLATES[templates]
    reader = InTemplates(clip, phrases)
    for count in range(20, 42):
        text = "red " * count
        assert reader.cut([text]) == [any(clip.cut([fill(phrase, text) for phrase in phrases]))]


def test_a_pipeline_says_which_texts_its_tokenizer_cuts(tmp_path):
    folder = diffusers_tiny.stable_diffusion(tmp_path / "tiny")
    method = Pipeline(PipelineConfig(str(folder), steps=1), models=Models())
    [(name, reader)] = method.reads.items()
    assert (name, reader.context) == ("tokenizer", "24 tokens")
    assert reader.cut(["x" * 22, "x" * 23]) == [False, True]


class Short:
    """Reads eight characters."""

    context = "8 characters"

    def cut(self, texts):
        return [len(text) > 8 for text in texts]


def test_texts_that_a_method_cuts_are_in_its_record_and_under_the_board(squares, monkeypatch, caplog):
    path = squares(("", ""))
    import testing_painter

    monkeypatch.setattr(testing_painter.Method, "reads", {"eyes": Short()}, raising=False)
    with caplog.at_level(logging.WARNING):
        cells = list(runner.run(suite.load(str(path)), runner.RunOptions()))
    facts = {cell.record["method"]: cell.record["facts"] for cell in cells}
    count = facts["painter"]["cut_texts"]["eyes"]
    assert count["context"] == "8 characters"
    assert 0 < count["cut"] <= count["of"]
    line = f"painter: {count['cut']} of {count['of']} texts were cut: eyes reads 8 characters"
    assert line in caplog.text
    [whole] = board.boards([cell.record for cell in cells])
    assert line in formats.notes(whole)
    assert "cut_texts" not in json.dumps([cell.record["identity_of"] for cell in cells])


def test_generate_says_that_a_text_is_cut(tmp_path):
    words = ["generate", "gan-int-cls", LONG, "a person", "--seeds", "0", "--out", str(tmp_path / "sheet.png")]
    answer = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert "1 of 2 texts were cut: char-cnn-rnn-avatars reads 168 characters" in answer.stderr
