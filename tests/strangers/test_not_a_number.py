"""NaN and infinity are refused by name, by every public function of stats/ and metrics/ and every training metric."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from t2ibench.core import cache
from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.metrics import (
    clip_score,
    cmmd,
    condition_fidelity,
    directional_similarity,
    diversity,
    edit_success,
    fid,
    identity,
    inception_score,
    kid,
    mind,
    pick_score,
    prdc,
    structure,
    vendi_score,
)
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.stats import frechet, intervals, judge_errors, matched, mmd, paired, pairwise, ranks, retrieval
from t2ibench.stats.pairwise import PairwiseDifferences
from t2ibench.tracks.contract import Prompt
from t2ibench.training_metrics import CMMD, ClipScore, FrechetDistance, KernelDistance, PrecisionRecall

ROOT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(0)
A, B = (torch.from_numpy(RANDOM.normal(size=(30, 4))) for _ in range(2))
NUMBERS = RANDOM.normal(size=12)
RATES, LABELS = RANDOM.uniform(0.2, 0.8, 12), [str(i // 2) for i in range(12)]
SURE = np.full((4, 4), 0.02) + np.eye(4) * 0.92
GAP = paired.PairedDifference(0.1, 0.05, 11, 0.05, 12, 0.2, "paired")
ALL = SimpleNamespace(rows=np.arange(30), __len__=lambda: 30)
EVERY = Samples([Prompt("p", "t")] * 30, [0] * 30, np.ones(30, bool), ["h"] * 30, None)  # type: ignore[arg-type]
HITS = pd.Series([1.0, 0.0, 1.0, 1.0])
EDITS = pd.Series(["a", "a", "b", "b"])
SOURCES = pd.Series([0, 1, 0, 1])
CONFUSIONS = {name: np.array([[9.0, 1.0], [1.0, 9.0]]) for name in "ab"}
TABLE = pd.DataFrame({"hue": ["red", "blue"] * 15})


def value(samples: str) -> dict[str, Any]:
    return {"value": 0.5, "ci": [0.4, 0.6], "n": 4, "details": {"per_sample": samples}}


def effects_of(numbers: str) -> dict[str, Any]:
    return {"value": 0.5, "ci": [0.4, 0.6], "n": 4, "details": {"effects": {"made": numbers, "real": numbers}}}


# A function, arguments that it takes, and those of them that may not hold NaN or infinity.
CASES: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (frechet.frechet_distance, {"fake": A, "real": B}, "fake real"),
    (frechet.influence, {"features": A, "other": frechet.Moments.of(B)}, "features"),
    (frechet.jackknife, {"fake": A, "real": B}, "fake real"),
    (mmd.unbiased, {"fake": A, "real": B, "kernel": kid.polynomial}, "fake real"),
    (mmd.parts, {"fake": A, "real": B, "kernel": kid.polynomial}, "fake real"),
    (mmd.mean_to_others, {"x": A, "kernel": kid.polynomial, "block": 7}, "x"),
    (mmd.mean_across, {"x": A, "y": B, "kernel": kid.polynomial, "block": 7}, "x y"),
    (intervals.wilson, {"hits": 3.0, "n": 9}, "hits"),
    (intervals.score_interval, {"p": 0.3, "n": 9.0, "extra": 0.01}, "p n extra"),
    (intervals.difference_interval, {"first": (0.5, (0.4, 0.6)), "second": (0.2, (0.1, 0.3))}, "first second"),
    (intervals.mean_interval, {"values": NUMBERS}, "values"),
    (intervals.rate_mean_interval, {"rates": RATES}, "rates"),
    (intervals.wilson_by_cluster, {"hits": RATES, "clusters": LABELS}, "hits"),
    (intervals.normal_interval, {"value": 0.5, "se": 0.1}, "value se"),
    (intervals.percentile_interval, {"draws": NUMBERS}, "draws"),
    (intervals.bca_interval, {"value": 0.5, "draws": NUMBERS, "jackknife": NUMBERS}, "value draws jackknife"),
    (intervals.cluster_mean_interval, {"values": NUMBERS, "clusters": LABELS, "seed": 0, "draws": 50}, "values"),
    (intervals.standard_error, {"influence": NUMBERS}, "influence"),
    (
        judge_errors.rogan_gladen,
        {"observed": 0.3, "sensitivity": 0.9, "specificity": 0.8},
        "observed sensitivity specificity",
    ),
    (judge_errors.cell_index, {"i": NUMBERS, "j": NUMBERS}, "i j"),
    (judge_errors.columns, {"counts": SURE}, "counts"),
    (judge_errors.unmix, {"observed": SURE[:1], "matrices": SURE[None]}, "observed matrices"),
    (judge_errors.nearest_mixture, {"observed": SURE[:1], "matrices": SURE[None]}, "observed matrices"),
    (judge_errors.multinomial_draws, {"counts": SURE * 100, "seed": 0, "draws": 3}, "counts"),
    (retrieval.first_places, {"own": NUMBERS, "others": RANDOM.normal(size=(12, 3))}, "own others"),
    (ranks.above_by_intervals, {"intervals": [(0.1, 0.2), (0.3, 0.4)], "better": "lower"}, "intervals"),
    (paired.mcnemar, {"a": RATES.round(), "b": RATES.round()}, "a b"),
    (paired.holm, {"p_values": [0.1, 0.2]}, "p_values"),
    (paired.spell_samples, {"numbers": NUMBERS, "ok": np.ones(12, bool)}, "numbers"),
    (paired.by_prompt, {"effects": NUMBERS, "prompts": LABELS, "ok": np.ones(12, bool)}, "effects"),
    (paired.between_effects, {"value": 0.1, "fake": [NUMBERS, RATES], "real": [NUMBERS, RATES]}, "value real"),
    (paired.between_trainings, {"a": RATES, "b": RATES[:5]}, "a b"),
    (matched.place, {"xs": [0.1, 0.5], "target": 0.3}, "xs target"),
    (mind.mind, {"fake": A, "real": B, "directions": 8}, "fake real"),
    (pick_score.cosines, {"images": A, "texts": B}, "images texts"),
    (pick_score.views, {"cosine": 0.2, "scale": 100.0}, "cosine scale"),
    (vendi_score.cosines, {"features": A}, "features"),
    (vendi_score.vendi, {"kernel": torch.eye(4, dtype=torch.float64)}, "kernel"),
    (fid.distance, {"fake": A, "real": B, "clusters": [str(i) for i in range(30)]}, "fake real"),
    (fid.influences, {"fake": A, "real": B}, "fake real"),
    (kid.kid, {"fake": A, "real": B}, "fake real"),
    (kid.kid_subsets, {"fake": A, "real": B, "random": np.random.RandomState(0), "subsets": 2, "size": 9}, "fake real"),
    (cmmd.cmmd, {"fake": A, "real": B}, "fake real"),
    (prdc.prdc, {"fake": A, "real": B}, "fake real"),
    (prdc.neighbour_balls, {"fake": A, "real": B, "k": 3}, "fake real"),
    (prdc.squared_radii, {"x": A, "k": 3, "block": 9}, "x"),
    (inception_score.inception_score, {"probabilities": A.softmax(1), "splits": 2}, "probabilities"),
    (clip_score.cosines, {"images": A, "texts": B}, "images texts"),
    (clip_score.views, {"values": NUMBERS}, "values"),
    (
        directional_similarity.directional,
        {"edited": A, "source": B, "target": B, "neutral": A},
        "edited source target neutral",
    ),
    (
        directional_similarity.check_texts,
        {"neutral": ["a"] * 30, "target": ["b"] * 30, "difference": A, "clip": "c"},
        "difference",
    ),
    (diversity.spread, {"features": A, "samples": EVERY}, "features"),
    (diversity.mean_distances, {"features": A}, "features"),
    (
        diversity.ratio_effects,
        {"after": 0.5, "after_to_others": NUMBERS, "before": 0.7, "before_to_others": NUMBERS},
        "after after_to_others before before_to_others",
    ),
    (diversity.at_least_0, {"interval": (0.1, 0.2)}, "interval"),
    (structure.ranks, {"features": A, "samples": EVERY}, "features"),
    (structure.correlation, {"a": SURE, "b": SURE}, "a b"),
    (structure.interval, {"value": 0.5, "without": NUMBERS}, "value without"),
    (identity.attribute_effects, {"features": A.numpy(), "table": TABLE}, "features"),
    (identity.without, {"effects": [SURE], "dimension": 4}, "effects"),
    (identity.neighbours, {"sources": A.numpy()}, "sources"),
    (identity.cosines, {"a": A.numpy(), "b": B.numpy()}, "a b"),
    (condition_fidelity.psnr, {"made": SURE, "wanted": SURE}, "made wanted"),
    (condition_fidelity.cosines, {"a": SURE, "b": SURE}, "a b"),
    (condition_fidelity.rank_correlation, {"made": np.ones((2, 3, 3)), "wanted": np.ones((2, 3, 3))}, "made wanted"),
    (edit_success.freed, {"hits": HITS, "edits": EDITS, "confusions": CONFUSIONS}, "hits"),
    (edit_success.errors, {"counts": CONFUSIONS["a"]}, "counts"),
    (
        edit_success.clustered_rate,
        {"hits": HITS, "sources": SOURCES, "edits": EDITS, "confusions": CONFUSIONS, "seed": 0, "draws": 20},
        "hits",
    ),
]
# The other public functions, and why they need no such test.
NO_NUMBERS = "its numbers are counts, labels, pixels or texts"
OTHERS = {
    "stats.intervals.resamples": NO_NUMBERS,
    "stats.judge_errors.confusion": NO_NUMBERS,
    "stats.retrieval.distractors": NO_NUMBERS,
    "stats.ranks.rank_intervals": NO_NUMBERS,
    "stats.finite.finite": "it is the refusal",
    "stats.finite.not_infinite": "it is the refusal",
    **dict.fromkeys(
        ("stats.paired.spell", "stats.paired.read", "stats.paired.per_sample", "stats.paired.effects"),
        "NaN is a dash in records; infinity: see below",
    ),
    **dict.fromkeys(
        (
            "stats.paired.between_samples",
            "stats.paired.difference",
            "stats.paired.between_intervals",
            "stats.paired.paired",
            "stats.paired.means",
            "stats.pairwise.differences",
            "stats.ranks.ranks",
            "stats.ranks.above_by_differences",
        ),
        "its numbers come from records: see below",
    ),
    **dict.fromkeys(
        ("metrics.kid.polynomial", "metrics.cmmd.gaussian_less_1", "metrics.prdc.squared_distances"),
        "a kernel, whose caller refuses",
    ),
    **dict.fromkeys(("metrics.prdc.some", "metrics.prdc.summary", "metrics.fid.has_influence"), NO_NUMBERS),
    **dict.fromkeys(
        ("metrics.condition_fidelity.edge_f1", "metrics.condition_fidelity.overlap", "metrics.locality.difference"),
        NO_NUMBERS,
    ),
    "metrics.r_precision.oracle": NO_NUMBERS,
    "metrics.dsg_score.standing": NO_NUMBERS,
    "metrics.pixel_distance.resized": NO_NUMBERS,
    "metrics.lpips.distance": NO_NUMBERS,
    "stats.matched.samples_at": "NaN is a sample without an image; infinity is refused",
    **dict.fromkeys(("metrics.mind.along", "metrics.mind.halves"), "parts of mind, which refuses"),
    **dict.fromkeys(
        ("metrics.soft_tifa.by_count", "metrics.soft_tifa.by_skill", "metrics.soft_tifa.per_image"),
        "its numbers are answers, which the evidence refuses where they are no numbers",
    ),
    "metrics.clip_score.spelled": "its caller made the cosines, which refuse",
    "metrics.edit_success.mean_or_none": "NaN is a try without a number; infinity is refused",
    **dict.fromkeys(
        ("metrics.condition_fidelity.estimate", "metrics.condition_fidelity.fidelity"), "it calls those above"
    ),
    **dict.fromkeys(
        (
            "metrics.condition_fidelity.resized",
            "metrics.condition_fidelity.seen",
            "metrics.compositional_accuracy.count_cells",
            "metrics.compositional_accuracy.single",
            "metrics.locality.changes",
        ),
        NO_NUMBERS,
    ),
}
TAKES_EVIDENCE = {"evidence", "pairs", "samples", "sets", "split", "train", "tasks", "groups", "tries", "counted"}


def named(function: Callable[..., Any]) -> str:
    return f"{function.__module__.removeprefix('t2ibench.')}.{function.__name__}"


def public_functions() -> Iterator[Callable[..., Any]]:
    """Those of stats/ and metrics/ with an array or a number among their arguments."""
    for folder, package in ((ROOT / "t2ibench/stats", "t2ibench.stats"), (ROOT / "metrics", "t2ibench.metrics")):
        for path in sorted(folder.glob("[!_]*.py")):
            module = importlib.import_module(f"{package}.{path.stem}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                if function.__module__ == module.__name__ and not name.startswith("_"):
                    yield function


def takes_numbers(function: Callable[..., Any]) -> bool:
    hints = {name: str(hint.annotation) for name, hint in inspect.signature(function).parameters.items()}
    words = ("Tensor", "ndarray", "ArrayLike", "float", "Moments", "Value", "Series", "Interval", "PairedDifference")
    return any(word in hint for hint in hints.values() for word in words) and not TAKES_EVIDENCE & set(hints)


def test_every_public_function_of_numbers_is_held_to_this():
    listed = {named(function) for function, _, _ in CASES} | set(OTHERS)
    found = {named(function) for function in public_functions() if takes_numbers(function)}
    assert found - listed == set(), "a function of stats/ or metrics/ that this file does not know"
    assert set(OTHERS) - {named(function) for function in public_functions()} == set()


def poisoned(content: Any, bad: float) -> Any:
    """The same with one number that is not finite."""
    if isinstance(content, float):
        return bad
    if isinstance(content, torch.Tensor):
        content = content.clone()
        content[tuple(0 for _ in content.shape)] = bad
        return content
    if isinstance(content, pd.Series):
        return pd.Series([bad, *content[1:]])
    if isinstance(content, list | tuple):
        return type(content)([poisoned(content[0], bad), *content[1:]])
    array = np.array(content, float)
    array[tuple(0 for _ in array.shape)] = bad
    return array


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("function", "arguments", "names"), CASES, ids=[named(case[0]) for case in CASES])
def test_a_number_that_is_not_finite_is_refused(function: Any, arguments: dict[str, Any], names: str, bad: float):
    function(**arguments)
    for name in names.split():
        with pytest.raises(ValueError, match=r"must be finite|needs 0 <= hits <= n") as caught:
            function(**{**arguments, name: poisoned(arguments[name], bad)})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_name_of_the_argument_and_the_row_are_said(bad: float):
    for function, arguments, names in CASES:
        if {"fake", "real"} <= set(arguments):
            for name in {"fake", "real"} & set(names.split()):
                with pytest.raises(ValueError, match=rf"{name}(_| )?.*the first in row 0"):
                    function(**{**arguments, name: poisoned(arguments[name], bad)})


def test_moments_that_are_not_finite_are_refused_with_their_side():
    spoiled = frechet.Moments.of(poisoned(A, np.nan))
    with pytest.raises(ValueError, match="mean of real must be finite"):
        frechet.frechet_distance(A, spoiled)
    with pytest.raises(ValueError, match="covariance of fake must be finite"):
        frechet.frechet_distance(replace(frechet.Moments.of(A), scatter=spoiled.scatter), B)


def test_in_records_nan_is_a_missing_sample_and_infinity_is_refused():
    assert paired.spell([0.5, np.nan]) == "0.5 -"
    with pytest.raises(ValueError, match="must be finite"):
        paired.spell([0.5, np.inf])
    for text in ("0.5 inf", "0.5 nan", "-inf 0.1"):
        with pytest.raises(ValueError, match="must be finite"):
            paired.read(text)
    with pytest.raises(ValueError, match="must be finite"):
        paired.between_samples(np.array([0.1, np.inf, 0.2]), np.array([0.1, 0.2, 0.3]))
    for a, b in ((value("0.1 0.2 inf"), value("0.1 0.2 0.3")), (effects_of("0.1 0.2 inf"), effects_of("0.1 0.2 0.3"))):
        with pytest.raises(ValueError, match="must be finite"):
            paired.difference([a], [b])
    bare = {"value": 0.5, "ci": [0.4, np.inf], "n": 4, "details": {}}
    with pytest.raises(ValueError, match="must be finite"):
        paired.between_intervals([bare], [bare])
    with pytest.raises(ValueError, match="must be finite"):
        ranks.above_by_differences(
            PairwiseDifferences(*np.triu_indices(2, 1), np.array([np.nan]), np.ones(1)), 2, "lower"
        )
    for a, b in ((value("0.1 0.2 inf"), value("0.1 0.2 0.3")), (effects_of("0.1 0.2 inf"), effects_of("0.1 0.2 0.3"))):
        with pytest.raises(ValueError, match="must be finite"):
            pairwise.differences([[a], [b]])
    for ask in (GAP.p_beyond, GAP.power):
        with pytest.raises(ValueError, match="margin must be finite"):
            ask(np.nan)


# The metrics of training loops


TRAINING: dict[str, Callable[[], Any]] = {
    "FrechetDistance": lambda: FrechetDistance(dimension=4),
    "KernelDistance": KernelDistance,
    "CMMD": CMMD,
    "PrecisionRecall": lambda: PrecisionRecall(k=3),
}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["made", "real"])
@pytest.mark.parametrize("name", TRAINING)
def test_a_training_metric_refuses_at_compute_and_names_the_side(name: str, side: str, bad: float):
    metric = TRAINING[name]()
    metric.update(poisoned(A, bad) if side == "made" else A, real=False)
    metric.update(poisoned(B, bad) if side == "real" else B, real=True)
    with pytest.raises(ValueError, match=f"{'fake' if name == 'FrechetDistance' and side == 'made' else side}"):
        metric.compute()
    metric.reset()
    metric.update(A, real=False)
    metric.update(B, real=True)
    metric.compute()


def test_a_clip_score_of_nan_is_refused():
    metric = ClipScore()
    metric.update(poisoned(A, np.nan), B)
    with pytest.raises(ValueError, match="ClipScore: sum of the cosines must be finite"):
        metric.compute()


SHARES = (  # how many of the 30 made and of the 30 real images each process sees
    ((30, 30), (0, 0)),  # one has none
    ((0, 30), (30, 0)),  # each lacks a side
    ((7, 0), (23, 30)),
)


def one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = []
    for shares in SHARES:
        before = shares[0] if rank else (0, 0)
        made, real = (
            side[start : start + count] for side, start, count in zip((A, B), before, shares[rank], strict=True)
        )
        values = {}
        for name, make in TRAINING.items():
            metric = make()
            for batch in made.split(4) if len(made) else ():  # processes have different numbers of batches
                metric.update(batch, real=False)
            if len(real):
                metric.update(real, real=True)
            value = metric.compute()
            values[name] = {k: float(v) for k, v in value.items()} if isinstance(value, dict) else float(value)
        found.append(values)
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_a_process_without_images_merges(tmp_path: Path):
    torch.multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=2)
    whole = {}
    for name, make in TRAINING.items():
        metric = make()
        metric.update(A, real=False)
        metric.update(B, real=True)
        value = metric.compute()
        whole[name] = {k: float(v) for k, v in value.items()} if isinstance(value, dict) else float(value)
    for rank in (0, 1):
        for values in torch.load(tmp_path / f"{rank}.pt"):
            for name, value in values.items():
                assert value == pytest.approx(whole[name], abs=1e-9), name


# What metrics get to see


class Spoiled:
    """A network whose answer to one image or text is not finite."""

    name, sha256, preprocess, device = "spoiled", "s" * 64, SimpleNamespace(id="none4"), torch.device("cpu")

    def __init__(self, row: int, bad: float) -> None:
        self.row, self.bad = row, bad

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        features = images.float().flatten(1)
        features[self.row, 2] = self.bad
        return features

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        return self.encode_images(torch.ones(len(texts), 3))

    def unknown_words(self, texts: list[str]) -> None:
        return None

    def cut(self, texts: list[str]) -> list[bool]:
        return [False] * len(texts)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_reach_no_metric_and_are_not_kept(
    bad: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    pixels = RANDOM.integers(0, 256, (6, 3, 4, 4)).astype(np.uint8)
    store = ArrayImages(pixels, [str(i) for i in range(6)])
    split = Split("d", "test", list("abcdef"), store, [("x",)] * 6)
    prompts = [Prompt(str(i), f"text {i}") for i in range(6)]
    models: Any = SimpleNamespace(
        clip=lambda name: Spoiled(3, bad), is_judge=lambda name: False, used={}, cache=cache.home()
    )
    samples = Samples(prompts, [0] * 6, np.ones(6, bool), store.hashes, store)
    evidence = Evidence(train=split, reference=split, prompts=prompts, samples={"captions": samples}, models=models)
    for look in (evidence.fake_features, evidence.real_features):
        with pytest.raises(UserError, match=r"spoiled: its output is NaN or infinite for 1 of 6 images.* number 3"):
            look("spoiled")
    with pytest.raises(UserError, match=r"spoiled: .* 1 of 6 texts.* number 3"):
        evidence.text_features("spoiled", [prompt.text for prompt in prompts])
    assert not list(cache.home().rglob("*.npy"))
