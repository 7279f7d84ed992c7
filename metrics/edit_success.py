"""Was the edit made, and nothing else? By an attribute judge that guided nobody. All lie in [0, 1]; higher is better.

`edit_success`: of the edits whose source does not show the requested value, the share whose edited image shows it. A
failed edit is a miss. The rate is corrected for the judge's errors on real images (Rogan & Gladen 1978), for each edit,
if at least 50 real images with and 50 without each value are known; otherwise it is labelled "uncorrected". An edit
whose judge fails its gate is listed as not judged, and counts nowhere.

`attributes_kept`: of the other attributes that can be seen on a source, the share whose judged value is the same in the
edited image. Attributes that depend on the edit are left out: those that the new value covers (a hijab covers the
colour of the hair), and those that covered the edited attribute before.

`edit_exact`: of the edits that count for `edit_success`, the share whose image shows the value and keeps every
attribute that counts. It is not corrected.

Doing nothing keeps everything and never succeeds. An image of another person who happens to show the value succeeds and
keeps little. Neither is exact.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count, Whole
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import Covers, covers
from t2ibench.scoring.edits import (
    EditPairs,
    check_literals,
    edit_pairs,
    kept,
    kept_estimate,
    literal,
    means_by,
    per_source,
    shows,
)
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.judge_gate import Gate, JudgeOnReal, Verdict
from t2ibench.stats.finite import finite, not_infinite
from t2ibench.stats.intervals import Interval, bca_interval, resamples, wilson
from t2ibench.stats.judge_errors import multinomial_draws
from t2ibench.tracks.contract import EDITS, SOURCES

TRACKS = ("edit",)
AT_ITS_WORD = np.eye(2, dtype=int)  # confusion counts of a judge without errors, for rates that are not corrected
ELSE = ", Wilson where all agree"
# for the literal of each edit: the gate's verdict, and the confusion counts on real images
Judges = Mapping[str, tuple[Verdict, np.ndarray]]
QUESTIONS = {
    "edit_success": "how often is what the edit asked for there?",
    "attributes_kept": "how much of the rest is as it was before the edit?",
    "edit_exact": "how often is what the edit asked for there, and all the rest as it was?",
}


@dataclass(frozen=True)
class Config:
    calibration_images: Whole = 200  # real images rendered with a value that the reference hardly holds; 0: none
    draws: Count = 2000  # of the bootstrap


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`edit_success`, `attributes_kept`, `edit_exact`.

    Raises UserError for a data set without attributes, if the judge passes its gate for no edit or for no attribute,
    and if fewer than two sources do not show the requested value already.
    """
    table = evidence.train.attributes
    if table is None or evidence.reference.attributes is None:
        raise UserError(
            f"{evidence.train.dataset} has no attributes that edits could be judged by: leave edit_success out"
        )
    pairs, gate, covered_by = edit_pairs(evidence), Gate(), covers(table)
    check_literals(pairs, "edit_success")
    render = evidence.pair_images if evidence.can_render else None
    real = JudgeOnReal(
        evidence.reference,
        evidence.real_attributes,
        evidence.real_probabilities,
        render,
        config.calibration_images,
        gate,
    )
    judges = {name: real.alone(name) for name in dict.fromkeys(literal(prompt) for prompt, _ in pairs.asked)}
    sources, edited = evidence.fake_attributes(SOURCES), evidence.fake_attributes(EDITS)
    trusted = {str(name): real.attribute(str(name)) for name in sources}
    same = kept(sources.iloc[pairs.source], edited.iloc[pairs.edited], pairs.prompts, covered_by)
    same = same[[name for name, verdict in trusted.items() if not verdict.failures]]
    tries = attempts(pairs, sources, edited, covered_by)
    tries["gain"] = pad(
        probability_gains(pairs, evidence.fake_probabilities(SOURCES), evidence.fake_probabilities(EDITS)), len(tries)
    )
    tries["changed"] = pad((same == 0).sum(axis=1), len(tries))
    tries["exact"] = tries["reached"] & (tries["changed"] == 0)
    counted = countable(tries, judges)
    protocol = {
        **pairs.protocol,
        "judge": evidence.extractor_protocol(evidence.judge),
        "reference": evidence.reference.contents,
        "train": evidence.train.described,
        "gate": asdict(gate),
        "calibration_images": config.calibration_images if render else 0,
    }
    seed = derive_seed(evidence.seed, "edit_success")
    return {
        "edit_success": success(pairs, tries, counted, judges, gate, protocol, seed, config.draws),
        "attributes_kept": kept_estimate(pairs, same, protocol, seed, kept_details(counted, trusted)),
        "edit_exact": exact(pairs, counted, protocol, seed, config.draws),
    }


def attempts(pairs: EditPairs, sources: pd.DataFrame, edited: pd.DataFrame, covered_by: Covers) -> pd.DataFrame:
    """A table with one row for each edit of an existing source; first the edit pairs, then the failed edits.

    sources, edited: the judged values of their images.

    Columns of the result:
    edit: the literal that was asked for.
    k: the source.
    already: whether the source shows the literal.
    reached: whether the edited image shows it.
    failed: whether the edit failed.
    """
    prompts = [*pairs.prompts, *(prompt for prompt, _, _ in pairs.failed)]
    after = shows(edited.iloc[pairs.edited], pairs.prompts, covered_by)
    columns = {
        "edit": [literal(prompt) for prompt in prompts],
        "k": [*pairs.k, *(k for _, k, _ in pairs.failed)],
        "already": shows(sources.iloc[[*pairs.source, *(place for _, _, place in pairs.failed)]], prompts, covered_by),
        "reached": [*after, *(False for _ in pairs.failed)],
        "failed": [*(False for _ in after), *(True for _ in pairs.failed)],
    }
    return pd.DataFrame(columns)


def countable(tries: pd.DataFrame, judges: Judges) -> pd.DataFrame:
    """The attempts that count: the judge passes its gate, and the source does not show the value already.

    Raises UserError below two sources.
    """
    told = [name for name, (verdict, _) in judges.items() if not verdict.failures]
    if not told:
        [why, *_] = next(verdict.failures for verdict, _ in judges.values())
        raise UserError(f"the judge passes its gate for none of {len(judges)} edits ({why}): train a better judge")
    counted = tries[~tries["already"] & tries["edit"].isin(told)]
    if (left := counted["k"].nunique()) < 2:
        raise UserError(
            f"{left} sources do not show what is asked for already, at least 2 are needed: ask for more images"
        )
    return counted


def probability_gains(pairs: EditPairs, sources: pd.DataFrame, edited: pd.DataFrame) -> np.ndarray:
    """By how much the edit raises the judge's probability of the requested value: [N] in [-1, 1].

    NaN if the judge does not know the value.
    """
    gains = np.full(len(pairs), np.nan)
    for row, prompt in enumerate(pairs.prompts):
        if (name := literal(prompt)) in sources:
            gains[row] = edited[name].iat[pairs.edited[row]] - sources[name].iat[pairs.source[row]]
    return gains


def pad(values: Any, length: int) -> np.ndarray:
    """Values of the pairs as a column of all attempts: NaN for the failed ones, which come last."""
    return np.concatenate([np.asarray(values, float), np.full(length - len(values), np.nan)])


def success(
    pairs: EditPairs,
    tries: pd.DataFrame,
    counted: pd.DataFrame,
    judges: Judges,
    gate: Gate,
    protocol: Mapping[str, Any],
    seed: int,
    draws: int,
) -> Estimate:
    """`edit_success`.

    tries: all attempts, see `attempts`.
    counted: the attempts that count, see `countable`.
    """
    names = list(dict.fromkeys(counted["edit"]))
    known = {name: counts.sum(axis=0).min() >= gate.support for name, (_, counts) in judges.items()}
    corrected = all(known[name] for name in names)
    confusions = {name: judges[name][1] if corrected else AT_ITS_WORD for name in names}
    value, ci = clustered_rate(counted["reached"], counted["k"], counted["edit"], confusions, seed, draws)
    edits: dict[str, dict[str, Any]] = {}
    for name, (verdict, counts) in judges.items():
        every, of_edit = tries[tries["edit"] == name], counted[counted["edit"] == name]
        edits[name] = {"asked": len(every), "already": int(every["already"].sum()), "n": len(of_edit)}
        if n := len(of_edit):
            hits = int(of_edit["reached"].sum())
            truth = float(freed(of_edit["reached"], of_edit["edit"], {name: counts}).mean()) if known[name] else None
            edits[name] |= {
                "hits": hits,
                "rate": hits / n,
                "ci": list(wilson(hits, n)),
                "gain": mean_or_none(of_edit["gain"]),
            }
            edits[name]["corrected"] = None if truth is None else min(1.0, max(0.0, truth))
        edits[name]["gate"] = {"failures": verdict.failures, **verdict.numbers}
    return Estimate(
        value=value,
        ci=ci,
        n=len(counted),
        better="higher",
        protocol={**protocol, "estimator": "share of sources without the value that show it edited"},
        interval=f"BCa bootstrap over sources{' and real images' if corrected else ''}{ELSE}",
        details={
            **pairs.counts,
            "label": "corrected" if corrected else "uncorrected",
            "raw": float(counted["reached"].mean()),
            "already": int(tries["already"].sum()),
            "failed": int(counted["failed"].sum()),
            "not_judged": [name for name, (verdict, _) in judges.items() if verdict.failures],
            "mean_of_edits": float(np.mean([row["rate"] for row in edits.values() if "rate" in row])),
            "probability_gain": mean_or_none(counted["gain"]),
            "edits": edits,
            "per_sample": per_source(
                freed(counted["reached"], counted["edit"], confusions), counted["k"].to_numpy(), pairs.asked
            ),
        },
    )


def exact(pairs: EditPairs, counted: pd.DataFrame, protocol: Mapping[str, Any], seed: int, draws: int) -> Estimate:
    """`edit_exact`."""
    value, ci = clustered_rate(
        counted["exact"], counted["k"], counted["edit"], dict.fromkeys(counted["edit"], AT_ITS_WORD), seed, draws
    )
    return Estimate(
        value=value,
        ci=ci,
        n=len(counted),
        better="higher",
        protocol={**protocol, "estimator": "share of sources without the value that show it edited, all else kept"},
        interval=f"BCa bootstrap over sources{ELSE}",
        details={
            **pairs.counts,
            "edits": means_by(counted["edit"], counted["exact"]),
            "per_sample": per_source(counted["exact"], counted["k"].to_numpy(), pairs.asked),
        },
    )


def kept_details(counted: pd.DataFrame, trusted: Mapping[str, Verdict]) -> dict[str, Any]:
    """Details of `attributes_kept`: changes per successful edit, and which attributes pass the judge's gate."""
    reached = int(counted["reached"].sum())
    return {
        "changed_per_success": float(counted["changed"].sum()) / reached if reached else None,
        "not_judged": [name for name, verdict in trusted.items() if verdict.failures],
        "gate": {name: {"failures": verdict.failures, **verdict.numbers} for name, verdict in trusted.items()},
    }


def freed(hits: pd.Series, edits: pd.Series, confusions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Hits scaled so that their mean over an edit is its corrected rate, (q + sp - 1) / (se + sp - 1): float64 [N].

    q is the observed rate; se and sp are the judge's sensitivity and specificity.
    """
    finite("edit_success", hits=hits.to_numpy(float))
    fall_out, sensitivity = (np.array([errors(confusions[name])[side] for name in edits]) for side in (0, 1))
    return (hits.to_numpy(float) - fall_out) / (sensitivity - fall_out)


def errors(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A judge's fall-out (rate of false positives) and sensitivity, both [...].

    counts: confusion counts [..., 2, 2], rows judged, columns true.
    """
    finite("edit_success", counts=counts)
    truly = counts.sum(axis=-2)
    return counts[..., 1, 0] / truly[..., 0], counts[..., 1, 1] / truly[..., 1]


def clustered_rate(
    hits: pd.Series, sources: pd.Series, edits: pd.Series, confusions: Mapping[str, np.ndarray], seed: int, draws: int
) -> tuple[float, Interval]:
    """The share of hits [N], corrected for the judge's errors, and its BCa interval; both are cut at 0 and 1.

    The bootstrap resamples sources, with all their edits, and the real images behind the judge's error rates, within
    each true value. If the resamples do not vary, for example because all edits are hits, the interval is Wilson's,
    with one draw for each source.
    """
    finite("edit_success", hits=hits.to_numpy(float))
    names = list(dict.fromkeys(edits))
    sizes = pd.crosstab(sources, edits)[names].to_numpy(float)  # [K, E]
    hit_counts = pd.crosstab(sources, edits, values=hits.astype(float), aggfunc="sum").fillna(0)[names].to_numpy(float)
    counts = np.stack([confusions[name] for name in names])  # [E, 2, 2]

    def rate(hit_counts: np.ndarray, sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
        fall_out, sensitivity = errors(counts)
        return ((hit_counts - fall_out * sizes) / (sensitivity - fall_out)).sum(-1) / sizes.sum(-1)

    picks = np.concatenate(list(resamples(len(sizes), derive_seed(seed, "sources"), draws)))
    times = np.stack([np.bincount(row, minlength=len(sizes)) for row in picks])  # [B, K]
    again = multinomial_draws(counts.swapaxes(1, 2), derive_seed(seed, "real images"), draws).swapaxes(2, 3)
    value = float(rate(hit_counts.sum(0), sizes.sum(0), counts))
    interval = bca_interval(
        value,
        rate(times @ hit_counts, times @ sizes, again),
        rate(hit_counts.sum(0) - hit_counts, sizes.sum(0) - sizes, counts),
    )
    value, low, high = (min(1.0, max(0.0, number)) for number in (value, *interval))
    return value, (low, high) if low < high else wilson(value * len(sizes), len(sizes))


def mean_or_none(values: pd.Series) -> float | None:
    """The mean of what is not NaN; None where that is nothing. Raises ValueError for infinity."""
    not_infinite("edit_success", values=values.to_numpy(float))
    return None if values.isna().all() else float(values.mean())
