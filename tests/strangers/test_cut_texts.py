"""Texts that are longer than what a network reads are cut, and that is counted, recorded and shown."""

import json
import logging

import numpy as np
import pytest
from folders import lines, named, noise
from typer.testing import CliRunner

from t2ibench import cli, score_images
from t2ibench.core import records
from t2ibench.networks.models import Models
from t2ibench.report import board, formats
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
