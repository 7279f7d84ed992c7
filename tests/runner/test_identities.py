"""Committed records keep their identity: what decides a cell follows from its suite, and is what the record holds.

No image is drawn. Computed here: the track, the seed, the method's settings, the hashes of its weights, and the
settings of every metric with the networks of the data set, and the digests of the data set. Taken from the record: the
digest of the prompts, and what a baseline of real images is made of.
"""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from t2ibench.checks.papers import claims
from t2ibench.core import records
from t2ibench.core.settings import recorded
from t2ibench.data.dataset import opened
from t2ibench.methods import stylet2i
from t2ibench.metrics import clip_score
from t2ibench.networks import zoo
from t2ibench.runner.methods import configured, entry_of, guided
from t2ibench.runner.suite import Suite, load
from t2ibench.scoring.default_networks import networks_of, settled
from t2ibench.scoring.score import metrics_of

RESULTS = Path(__file__).parents[2] / "results"
FOLDERS = ("records", "judges/records", "reproduce")
PATHS = sorted(path for folder in FOLDERS for path in RESULTS.glob(f"{folder}/**/*.json"))


@cache
def read(path: Path) -> Mapping[str, Any]:
    return records.read(path)


@cache
def suite_of(path: Path) -> Suite:
    """The suite of a record: one that ships, or that of a paper's ablations."""
    folder = path.relative_to(RESULTS).parts
    return claims.load(folder[1]).suite if folder[0] == "reproduce" else load(folder[folder.index("records") + 1])


def metrics_identity(suite: Suite, track: str) -> list[dict[str, Any]]:
    networks = networks_of(suite.dataset.name)
    metrics = settled(metrics_of(suite.metrics, suite.name), networks, suite.dataset.name, suite.name)
    return [metric.identity for metric in metrics if track in metric.tracks]


@cache
def in_zoo() -> frozenset[str]:
    return frozenset(zoo.card(path)["sha256"] for path in zoo.available().values())


@cache
def dataset_facts(suite: str, split: str, limit: int | None) -> dict[str, Any]:
    """The facts of the data set of a suite. The hashes of its images ship, so that none is drawn."""
    return opened(suite, reference=split, limit=limit).facts


def method_identity(suite: Suite, id: str, stored: Collection[str]) -> dict[str, Any]:
    """A method as the suite has it now, with those of the stored hashes whose weights lie in the zoo now."""
    entry = guided(entry_of(suite, id), networks_of(suite.dataset.name), suite.name)
    module, config = configured(entry, suite.name)
    return {
        "name": entry.name,
        "revision": module.REVISION,
        "config": recorded(config),
        "weights": [sha256 for sha256 in stored if sha256 in in_zoo()],
    }


def computed(path: Path) -> dict[str, Any]:
    """What decides the cell of a record, in place of what the record says of it."""
    record, suite = read(path), suite_of(path)
    stored = record["identity_of"]
    maker = stored["maker"]
    if record["kind"] == "method":
        maker = method_identity(suite, record["method"], maker["weights"])
    else:
        entry = next(entry for entry in suite.baselines if entry.id == record["method"])
        if (of := entry.settings.get("of", "real")) != "real":
            maker = {**maker, "name": entry.name, "of": method_identity(suite, of, maker["of"]["weights"])}
    return {
        **stored,
        "track": record["track"],
        "seed": record["seed"],
        "maker": maker,
        "metrics": metrics_identity(suite, record["track"]),
        "dataset": dataset_facts(suite.dataset.name, suite.reference.split, suite.reference.limit),
    }


@pytest.mark.parametrize("path", PATHS, ids=lambda path: "-".join(path.relative_to(RESULTS).with_suffix("").parts))
def test_the_identity_of_a_committed_record_follows_from_its_suite(path):
    assert records.digest(computed(path)) == read(path)["identity"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: "-".join(path.relative_to(RESULTS).with_suffix("").parts))
def test_the_protocol_ids_of_a_committed_record_are_those_of_its_protocols(path):
    for value in read(path)["values"].values():
        assert records.digest(value["protocol"])[:12] == value["protocol_id"]


def test_there_are_records_of_every_track_and_of_papers():
    found = {read(path)["track"] for path in PATHS}
    assert found == {"text_to_image", "edit", "adapt", "compose"}
    assert {path.relative_to(RESULTS).parts[0] for path in PATHS} == {"records", "judges", "reproduce"}


def test_another_default_of_a_method_or_a_metric_is_another_identity(monkeypatch):
    path = RESULTS / "records" / "avatars" / "text_to_image" / "stylet2i" / "0.json"
    before = records.digest(computed(path))
    assert before == read(path)["identity"]
    with monkeypatch.context() as changed:
        changed.setattr(stylet2i, "Config", replaced_default(stylet2i.Config, "caa_scale", 0.5))
        assert records.digest(computed(path)) != before
    with monkeypatch.context() as changed:
        changed.setattr(clip_score, "Config", replaced_default(clip_score.Config, "clip", "clip-guide-avatars"))
        assert records.digest(computed(path)) != before


def replaced_default(cls: Any, field: str, value: Any) -> Any:
    """A class of settings that differs by one default."""
    return type(cls.__name__, (cls,), {"__init__": lambda self, **given: cls.__init__(self, **{field: value, **given})})
