"""Does the correction of a judge's errors work? Rare pairs of avatars are rendered, so truth is known; the judge is
made worse on purpose.

    python benchmarks/studies/judge_correction.py [--out results/studies] [--runs 120]

A made-up method draws each of 8 rare pairs in a known share of its images. They are real ones: what is tested is the
correction, not the shift from real to generated images. In every run its images, and the real images by which the judge
is known, are drawn anew. A judge is as shipped, has a tenth of its answers flipped, is half blind to one literal beside
the other, sees blurred images, or has noise in its weights. Writes judge_correction.json and .md: how often the 95 %
intervals hold the truth, as judged (Wilson) and corrected. A few minutes.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from t2ibench.core import storage
from t2ibench.core.progress import track
from t2ibench.core.seeds import derive_seed, latents, uniform
from t2ibench.data.attributes import attribute_of, canonical, indicators
from t2ibench.data.rare_pairs import Names
from t2ibench.data.split import Split
from t2ibench.datasets import avatars
from t2ibench.metrics.compositional_accuracy import Config, pair_list
from t2ibench.networks.attribute_judge import AttributeJudge
from t2ibench.networks.weights import Weights, load
from t2ibench.scoring.attribute_pairs.rates import Rates, macro, rate_interval
from t2ibench.scoring.judge_gate import Gate, Verdict, judge_pair
from t2ibench.stats.intervals import wilson
from t2ibench.stats.judge_errors import cell_index, columns, unmix

JUDGE = "attribute-judge-avatars"
TRUTHS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)  # of each pair, the share of images that have both literals
OTHERS = np.array([0.2, 0.4, 0.4])  # how the rest is divided among 00, 01 and 10
POOL, IMAGES, REAL = (
    250,
    100,
    200,
)  # images of a cell that are drawn from; images a pair; real images a cell that the judge is known by
BLUR, NOISE = 26, 0.35  # pixels a side that a blurred image keeps; of a weight's standard deviation
Judgement = Callable[
    [np.ndarray, np.ndarray, int], np.ndarray
]  # truth and answers (bool [N, 2]), a seed: other answers


@dataclass(frozen=True)
class Judged:
    """One pair's real images as a judge sees them: for each true cell the judged cells, int [POOL] each; and what its
    gate says.
    """

    pools: Sequence[np.ndarray]
    verdict: Verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the record there")
    parser.add_argument("--runs", type=int, default=120)
    arguments = parser.parse_args()
    config = avatars.Config()
    pairs = [(pair.i, pair.j) for pair in pair_list(avatars.load(config, "train"), Config()).rare[: len(TRUTHS)]]
    reference = avatars.load(config, "val")
    cells = [cell_images(config, reference, names) for names in track(pairs, "render the cells", len(pairs))]
    shipped = load(JUDGE)
    good, noisy = AttributeJudge(shipped), AttributeJudge(with_noise(shipped, NOISE))
    judges: Mapping[str, tuple[AttributeJudge, bool, Judgement]] = {
        "as shipped": (good, False, as_it_is),
        "a tenth of its answers flipped": (good, False, flipped),
        "half blind to j beside i": (good, False, half_blind),
        f"blurred to {BLUR} pixels": (good, True, as_it_is),
        f"noise of {NOISE:g} sd in its weights": (noisy, False, as_it_is),
    }
    rows, seen = {}, {}
    for name, (judge, blur, change) in track(judges.items(), "judges", len(judges)):
        if (id(judge), blur) not in seen:
            seen[id(judge), blur] = [
                answers(judge, parts, names, blur) for names, parts in zip(pairs, cells, strict=True)
            ]
        judged = [changed(names, said, change) for names, said in zip(pairs, seen[id(judge), blur], strict=True)]
        rows[name] = simulate(judged, TRUTHS, arguments.runs)
    content = {
        "pairs": ["+".join(names) for names in pairs],
        "truths": list(TRUTHS),
        "images_per_pair": IMAGES,
        "real_images_per_cell": REAL,
        "pool": POOL,
        "runs": arguments.runs,
        "judge": {"name": JUDGE, "sha256": shipped.sha256},
        "gate": asdict(Gate()),
        "judges": rows,
    }
    text = "\n".join(markdown(content)) + "\n"
    if arguments.out is not None:
        storage.publish(arguments.out / "judge_correction.json", (json.dumps(content, indent=1) + "\n").encode())
        storage.publish(arguments.out / "judge_correction.md", text.encode())
    print(text)


def cell_images(config: avatars.Config, reference: Split, names: Names) -> list[Split]:
    """POOL real images of each true cell 00, 01, 10, 11 of a pair."""
    conditions = {cell: dict(names[k].split("=") for k in kept) for cell, kept in ((1, (1,)), (2, (0,)), (3, (0, 1)))}
    splits = [reference] + [
        avatars.pair_images(config, conditions[cell], 400, derive_seed("judge correction")) for cell in (1, 2, 3)
    ]
    chosen = []
    for cell, split in enumerate(splits):
        rows = np.flatnonzero(true_cells(split, names) == cell)[:POOL]
        assert len(rows) == POOL, f"{names}: {len(rows)} images of cell {cell}"
        chosen.append(split.take(rows))
    return chosen


def true_cells(split: Split, names: Names) -> np.ndarray:
    """The cell of each image, -1 where one of the attributes cannot be seen."""
    values = canonical(split.attributes, [attribute_of(name) for name in names])
    seen = values.notna().all(axis=1).to_numpy()
    return np.where(seen, cell_index(*indicators(values, names).T), -1)


def answers(judge: AttributeJudge, parts: Sequence[Split], names: Names, blur: bool) -> np.ndarray:
    """Whether a judge sees either literal of a pair in POOL images of each cell, bool [4 POOL, 2]."""
    said = []
    for split in parts:
        images = torch.from_numpy(np.array(split.images.read(range(len(split)))))
        predicted = judge.predict(blurred(images) if blur else images)
        places = [
            (attribute_of(name), judge.attributes[attribute_of(name)].index(name.split("=")[1])) for name in names
        ]
        said.append(
            np.stack([(predicted[attribute].argmax(1) == place).numpy() for attribute, place in places], axis=1)
        )
    return np.concatenate(said)


def changed(names: Names, said: np.ndarray, change: Judgement) -> Judged:
    """A judge's answers on POOL images of each cell, changed.

    Its gate is asked of accuracy alone: answers have no probabilities.
    """
    true = np.repeat([[False, False], [False, True], [True, False], [True, True]], POOL, axis=0)
    heard = change(true, said, derive_seed(*names))
    pools = [cell_index(*heard[k * POOL : (k + 1) * POOL].T) for k in range(4)]
    return Judged(pools, judge_pair(names, true, heard, dict.fromkeys(names, 0.0), Gate()))


def as_it_is(true: np.ndarray, said: np.ndarray, seed: int) -> np.ndarray:
    return said


def flipped(true: np.ndarray, said: np.ndarray, seed: int) -> np.ndarray:
    """Every answer is wrong with probability 0.1."""
    return said ^ (uniform(seed, said.size).reshape(said.shape) < 0.1)


def half_blind(true: np.ndarray, said: np.ndarray, seed: int) -> np.ndarray:
    """Where i is, j is overlooked half of the time: errors that two single judges do not show."""
    missed = true[:, 0] & (uniform(seed, len(said)) < 0.5)
    return np.stack([said[:, 0], said[:, 1] & ~missed], axis=1)


def blurred(images: torch.Tensor) -> torch.Tensor:
    """Images with the detail of BLUR pixels a side, uint8."""
    small = F.interpolate(images.float(), size=(BLUR, BLUR), mode="area")
    return F.interpolate(small, size=images.shape[-2:], mode="bilinear").round().clamp(0, 255).to(torch.uint8)


def with_noise(weights: Weights, share: float) -> Weights:
    """Weights with normal noise of `share` of each tensor's own standard deviation; running statistics and biases
    stay.
    """
    changed = {}
    for place, (name, tensor) in enumerate(weights.tensors.items()):
        noisy = name.endswith("weight") and tensor.ndim > 1
        noise = latents([derive_seed("noise", place)], *tensor.shape)[0] if noisy else 0.0
        changed[name] = tensor + share * tensor.std() * noise if noisy else tensor
    return Weights(weights.name, changed, weights.config, weights.card, weights.sha256)


def simulate(
    judged: Sequence[Judged], truths: Sequence[float], runs: int, draws: int = 150, seed: int = 0
) -> dict[str, Any]:
    """Coverage and error over runs: of single pairs and of their mean, as judged, corrected, and by the product of two
    single judges.

    truths: of each pair. Every run draws IMAGES images a pair in the true shares, and REAL images a cell to know the
    judge by.
    """
    rng, truth, count = np.random.Generator(np.random.Philox(seed)), np.array(truths), len(judged)
    rates = np.stack(
        [[np.bincount(pool, minlength=4) / len(pool) for pool in one.pools] for one in judged]
    )  # [P, true, judged]
    shares = np.concatenate([np.outer(1 - truth, OTHERS), truth[:, None]], axis=1)  # [P, 4]
    tallies: dict[str, list[Any]] = {"raw": [], "corrected": [], "product": [], "raw_mean": [], "corrected_mean": []}
    for run in range(runs):
        drawn = np.stack([rng.multinomial(IMAGES, share) for share in shares])
        cells = np.stack([[rng.multinomial(drawn[p, t], rates[p, t]) for t in range(4)] for p in range(count)]).sum(
            axis=1
        )  # [P, judged]
        confusions = np.stack([[rng.multinomial(REAL, rates[p, t]) for t in range(4)] for p in range(count)]).swapaxes(
            1, 2
        )
        found = Rates(
            [("i", "j")] * count, cells, cells, confusions, [Verdict(())] * count, Gate(), draws, derive_seed(seed, run)
        )
        point, again = found.unmixed
        tallies["raw"] += [_hit(k, wilson(int(cells[p, 3]), IMAGES), found.raw[p]) for p, k in enumerate(truth)]
        tallies["corrected"] += [
            _hit(k, rate_interval(point[[p]], again[:, [p]], IMAGES), point[p]) for p, k in enumerate(truth)
        ]
        tallies["product"] += [
            (False, 0.0, value - k) for value, k in zip(product(cells / IMAGES, confusions), truth, strict=True)
        ]
        raw = macro(found.raw, found.cell_draws[..., 3], IMAGES)
        both = macro(point, again, IMAGES)
        tallies["raw_mean"].append(_hit(truth.mean(), raw.ci, raw.value))
        tallies["corrected_mean"].append(_hit(truth.mean(), both.ci, both.value))
    names = ("coverage", "width", "error")
    found_of = {
        name: dict(zip(names, map(float, np.mean(rows, axis=0)), strict=True)) for name, rows in tallies.items()
    }
    found_of["product"] = {"error": found_of["product"]["error"]}
    accuracies = [
        value
        for one in judged
        for name, value in one.verdict.numbers.items()
        if " with" not in name and "calibration" not in name
    ]
    return {
        "lowest_balanced_accuracy": min(accuracies),
        "pass_the_gate": sum(not one.verdict.failures for one in judged),
        **found_of,
    }


def product(observed: np.ndarray, confusions: np.ndarray) -> np.ndarray:
    """Accuracies [P] corrected by M_i (x) M_j, as if the judge's two answers erred independently."""
    matrix = columns(confusions)  # [P, judged, true]
    i = np.stack(
        [(matrix[:, 2:, t].sum(1) + matrix[:, 2:, t + 1].sum(1)) / 2 for t in (0, 2)], axis=1
    )  # P(judged i | truly not i, i)
    j = np.stack([(matrix[:, 1::2, t].sum(1) + matrix[:, 1::2, t + 2].sum(1)) / 2 for t in (0, 1)], axis=1)
    single = [np.stack([1 - rate, rate], axis=1) for rate in (i, j)]  # [P, judged, true]
    both = np.stack([np.kron(a, b) for a, b in zip(*single, strict=True)])
    return unmix(observed, both)[:, 3]


def _hit(truth: float, interval: tuple[float, float], value: float) -> tuple[bool, float, float]:
    return interval[0] <= truth <= interval[1], interval[1] - interval[0], value - truth


def markdown(content: Mapping[str, Any]) -> list[str]:
    """The table, and what it is of."""
    lines = [
        f"{len(content['pairs'])} rare pairs of avatars, in {', '.join(map(str, content['truths']))} of "
        f"{content['images_per_pair']} "
        f"images each; the judge is known by {content['real_images_per_cell']} real images a cell; "
        f"{content['runs']:,} runs. Coverage of "
        "95 % intervals, of single pairs | of the mean over pairs; error: mean of value minus truth.",
        "",
        "| judge | lowest balanced accuracy | pass the gate | raw: coverage | error | corrected: coverage | error | "
        "independent: error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in content["judges"].items():
        cover = [f"{row[k]['coverage']:.3f} \\| {row[f'{k}_mean']['coverage']:.3f}" for k in ("raw", "corrected")]
        error = [f"{row[k]['error']:+.3f}".replace("-", "−") for k in ("raw", "corrected", "product")]
        gate = f"{row['pass_the_gate']} of {len(content['pairs'])}"
        lines.append(
            f"| {name} | {row['lowest_balanced_accuracy']:.3f} | {gate} | {cover[0]} | {error[0]} | {cover[1]} | "
            f"{error[1]} | {error[2]} |"
        )
    return lines


if __name__ == "__main__":
    main()
