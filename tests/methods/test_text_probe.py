"""benchmarks/studies/text_probe.py: a probe finds what stands in an embedding, and nothing where nothing stands."""

import json
from pathlib import Path

import numpy as np
import pytest
from scripts import loaded

ROOT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(0)
VALUES = ["red", "blond", "black", "gray"]


@pytest.fixture(scope="module")
def probe():
    return loaded("benchmarks/studies/text_probe.py")


def captions(count):
    """Embeddings of captions of which every third names no colour: features that hold it, and features that do not."""
    values = RANDOM.integers(0, len(VALUES), count)
    blind = RANDOM.normal(size=(count, 24))
    seeing = blind.copy()
    seeing[:, :3] = np.eye(len(VALUES))[values][:, :3] - 0.3
    rows = [row for row in range(count) if row % 3]
    return seeing, blind, (rows, [VALUES[values[row]] for row in rows])


def test_a_probe_finds_what_is_there(probe):
    seeing, blind, said = captions(900)
    seeing_test, blind_test, said_test = captions(600)
    assert probe.accuracy(seeing, said, seeing_test, said_test) == 1.0
    assert probe.accuracy(blind, said, blind_test, said_test) == pytest.approx(1 / len(VALUES), abs=0.1)


def test_the_committed_table_is_the_page_of_the_committed_numbers(probe):
    found = json.loads((ROOT / "results/studies/text_probe.json").read_text("utf-8"))
    assert probe.page(found) == (ROOT / "results/studies/text_probe.md").read_text("utf-8")
    guide, encoder = found["clip-guide-avatars-2"], found["char-cnn-rnn-avatars-2"]
    assert min(guide.values()) > 0.95
    assert min(encoder[name] - guide[name] for name in guide) > -0.05
