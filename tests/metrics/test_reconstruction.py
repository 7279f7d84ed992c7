"""metrics/reconstruction.py: distances to A, and what one more condition takes off."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.metrics.reconstruction import Config, score
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.compose_tasks import find
from t2ibench.tracks.contract import COMPOSED, SOURCES, Prompt

PLACES = torch.tensor(
    [[0.0], [1.0], [2.0], [3.0]]
)  # of the sources: neighbours lie 1 apart, the last and the first 3; 1.5 on average

JUDGE = "attribute-judge-avatars"


class FakeCompositions(Evidence):
    """Tasks whose images lie at given distances from their source; an image of each of four inputs."""

    def __init__(self, away: dict[str, float], ok: dict[str, list[bool]] | None = None) -> None:
        count = len(PLACES)
        inputs = {"captions": ["x"] * count}
        prompts = [Prompt("source", "", SOURCES, count, None, {"inputs": inputs})]
        for name in away:
            tags = {"inputs": inputs, "name": name, "task": dataclasses.asdict(find(name, "x")), "known": None}
            prompts.append(Prompt(f"{COMPOSED}/{name}", name, f"{COMPOSED}/{name}", count, None, tags))
        store = ArrayImages(np.zeros((count, 3, 2, 2), np.uint8), ["x"] * count)
        samples = {}
        for prompt in prompts:
            there = np.array((ok or {}).get(prompt.text, [True] * count))
            samples[prompt.group] = Samples([prompt] * count, range(count), there, ["x"] * count, store)
        real = Split("faces", "test", ["x"] * count, store, [("x",)] * count)
        super().__init__(train=real, reference=real, prompts=prompts, samples=samples, models=Models(), judge=JUDGE)
        self.away = away

    def fake_features(self, extractor: str, group: str = "captions") -> Tensor:
        return PLACES[self.samples(group).rows] + self.away.get(group.partition("/")[2], 0.0)

    def extractor_protocol(self, name: str) -> dict[str, Any]:
        return {"extractor": name}


def test_errors_are_in_units_of_the_distance_between_sources():
    found = score(FakeCompositions({"E": 1.5, "EP": 0.75, "EPS": 0.0, "style": 9.0}), Config())
    error = found["reconstruction_error"]
    assert error.value == pytest.approx(0.5)
    assert {name: row["mean"] for name, row in error.details["tasks"].items()} == pytest.approx(
        {"E": 1.0, "EP": 0.5, "EPS": 0.0}
    )
    assert error.n == 12  # style is not of A alone


def test_nested_tasks_say_what_one_more_condition_takes_off():
    found = score(FakeCompositions({"E": 1.5, "EPS": 0.0, "S": 0.75, "D": 1.5}), Config())["error_per_condition"]
    assert {name: row["mean"] for name, row in found.details["pairs"].items()} == pytest.approx(
        {"E to EPS": -0.5, "S to EPS": -0.25}
    )
    assert found.value == pytest.approx(-0.375)
    assert "error_per_condition" not in score(FakeCompositions({"E": 1.5, "S": 0.75}), Config())


def test_missing_images_are_counted_and_pairs_are_of_inputs_that_both_tasks_have():
    found = score(FakeCompositions({"E": 1.5, "EP": 0.0}, {"E": [True, True, False, True]}), Config())
    assert found["reconstruction_error"].details["failed"] == {"E": 1}
    assert found["error_per_condition"].n == 3


def test_without_a_task_of_a_alone_there_is_nothing_to_reconstruct():
    with pytest.raises(UserError, match="none of the tasks draws anew of A alone"):
        score(FakeCompositions({"style": 1.0, "t2i": 1.0}), Config())
    with pytest.raises(UserError, match="no task has images of two inputs"):
        score(FakeCompositions({"E": 1.0}, {"E": [True, False, False, False]}), Config())
