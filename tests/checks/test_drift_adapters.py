"""Tier 2 of the drift gate draws with what adapters work out or train now, never with what they did before and kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from styleclip_models import CLIP, tiny_generator

from t2ibench.checks.drift import baseline, methods
from t2ibench.methods.styleclip import global_directions
from t2ibench.methods.stylegan_nada import losses
from t2ibench.networks import weights
from t2ibench.networks.clip.network import build, tokens_of
from t2ibench.networks.stylegan2 import checkpoints
from t2ibench.networks.training.latent_mapper import MapperRecipe
from t2ibench.runner import run, suite

WORDS = ("a person", "a dark light red green blue square")
STYLECLIP = {"generator": "tiny", "clip": "tiny-clip"}
GLOBAL = {"name": "styleclip-global", **STYLECLIP, "images": 2, "statistics_samples": 8, "max_resolution": 4}
NADA = {
    **{"name": "stylegan-nada", "generator": "tiny", "clips": ["tiny-clip"], "source": "a person", "prompts": "every"},
    **{"steps": 2, "keep_every": 0, "batch": 2, "views": 0, "learning_rate": 0.05},
}
# method -> its settings, and the function of its own code that is changed by one line: it returns the opposite
CASES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "jacobian": ({**GLOBAL, "relevance": "jacobian"}, global_directions, "jacobian_directions"),
    "table": ({**GLOBAL, "relevance": "table"}, global_directions, "channel_directions"),
    "mapper": (
        {"name": "styleclip-mapper", **STYLECLIP, "mapper_steps": 3, "mapper_codes": 8},
        MapperRecipe,
        "distance",
    ),
    "adaptation": (NADA, losses, "direction_loss"),
    "mining": ({**NADA, "mining_steps": 3, "mining_codes": 8}, MapperRecipe, "distance"),
}


@pytest.fixture
def cached(squares: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of caches, still empty; the zoo has the networks `tiny` and `tiny-clip`, untrained."""
    squares()
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "zoo"))
    card = {"data": {"dataset": "squares", "train": "train"}, "optimised_for": None}
    checkpoints.save(tmp_path / "zoo" / "tiny.safetensors", tiny_generator(), card)
    ids = set(tokens_of(WORDS, 12).unique().tolist()) - {0}
    weights.write(tmp_path / "zoo" / "tiny-clip.safetensors", build(CLIP, ids).state_dict(), CLIP, card, half=False)
    return tmp_path / "cache"


def content(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": {"name": "squares"},
        "methods": [settings],
        "baselines": [],
        "prompts": {"captions": 2},
        "metrics": ["shade"],
    }


def found(records: list[methods.Record], now: list[methods.Record]) -> list[str]:
    known = replace(baseline.read(baseline.SHIPPED), records=records, margins={methods.OTHERS: 1e-9})
    return [finding.status for finding in methods.examine(known, now, True)]


@pytest.mark.parametrize("case", CASES)
def test_a_change_in_an_adapters_own_code_is_found_although_caches_are_warm(case, cached, tmp_path, monkeypatch):
    settings, owner, name = CASES[case]
    wanted = content(settings)
    list(run.run(suite.parse(wanted, "warm", "", "warm"), run.RunOptions(tmp_path / "warm", tmp_path / "warm")))
    warm = {path: path.read_bytes() for path in cached.rglob("*") if path.is_file()}
    assert warm
    then = methods.generate(wanted, tmp_path / "then")
    assert found(then, methods.generate(wanted, tmp_path / "again")) == ["pass"]
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: -original(*args, **kwargs))
    assert found(then, methods.generate(wanted, tmp_path / "changed")) == ["drift"]
    assert {
        path: path.read_bytes() for path in cached.rglob("*") if path.is_file()
    } == warm  # no later run finds what was made now
