"""Pairs of an edited image and the image before the edit, which every metric of edits compares, and their intervals.

All edits of a run start from the same sources, so the pairs are not independent, but the sources are. An interval
therefore resamples sources, each with all its edits, and holds for these edits only. In the track `adapt` an edit is
the move of a whole generator to a target domain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate, digest
from t2ibench.data.attributes import Covers, visible
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.intervals import Interval, cluster_mean_interval, wilson
from t2ibench.tracks.contract import EDITS, SOURCES, Prompt


@dataclass(frozen=True, eq=False)
class EditPairs:
    """The N (source, edit) pairs for which both images exist.

    Row i of `prompts`, `k`, `edited` and `source` describes pair i.

    prompts: the edit that was asked for.
    k: number of the source, int [N].
    edited: row of the edited image in the features of `groups`, concatenated, int [N].
    source: row of the source in the features of the sources, int [N].
    asked: edit and number of the source of every pair that was asked for.
    failed: edit, number of the source and row of the source of every pair that lacks only the edited image.
    groups: the groups of samples that hold the edited images.
    """

    prompts: Sequence[Prompt]
    k: np.ndarray
    edited: np.ndarray
    source: np.ndarray
    asked: Sequence[tuple[Prompt, int]]
    failed: Sequence[tuple[Prompt, int, int]]
    groups: Sequence[str] = (EDITS,)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs were asked for, how many exist, and why the others do not."""
        sourceless = len(self.asked) - len(self) - len(self.failed)
        return {
            "asked": len(self.asked),
            "pairs": len(self),
            "failed_edits": len(self.failed),
            "failed_sources": sourceless,
        }

    @property
    def what(self) -> str:
        """The key under which the details of a value list the edits: "edits", or "targets" in the track `adapt`."""
        return "edits" if self.groups == (EDITS,) else "targets"

    def by_edit(self, values: ArrayLike) -> dict[str, dict[str, Any]]:
        """Count and mean of values [N] for each edit, by its literal (for a target, by its domain).

        Pairs whose value is NaN are left out.
        """
        return means_by([literal(prompt) for prompt in self.prompts], values)

    def features(self, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Features of the edited image and of the source of each pair, [N, D] each.

        look: gives the features [M, D] of the images of a group.
        """
        return torch.cat([look(group) for group in self.groups])[self.edited], look(SOURCES)[self.source]

    def judged(self, evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The judge's values on the edited image and on the source of each pair, N rows each."""
        edited = pd.concat([evidence.fake_attributes(group) for group in self.groups], ignore_index=True)
        return edited.iloc[self.edited].reset_index(drop=True), evidence.fake_attributes(SOURCES).iloc[
            self.source
        ].reset_index(drop=True)

    @property
    def protocol(self) -> dict[str, Any]:
        """The edits that were asked for, as the protocol of every metric of edits names them."""
        asked = [[prompt.id, prompt.tags["neutral"], prompt.tags["target"], k] for prompt, k in self.asked]
        return {"edits": digest(asked), "images": len(asked), "sources": len({k for _, k in self.asked})}


def literal(prompt: Prompt) -> str:
    """The literal "attribute=value" that an edit asks for, or its text; for a target, its domain."""
    if "attribute" not in prompt.tags:
        return str(prompt.tags.get("domain", prompt.text))
    return f"{prompt.tags['attribute']}={prompt.tags['value']}"


def check_literals(pairs: EditPairs, metric: str) -> None:
    """Raises UserError where an edit is a text of its own, so that nobody knows which attribute should change."""
    if texts := [prompt.text for prompt in pairs.prompts if "attribute" not in prompt.tags]:
        raise UserError(
            f"{metric}: the edit {texts[0]!r} names no attribute that could be judged: write it as a literal "
            f"(edits: literals), or leave {metric} out"
        )


def edit_pairs(evidence: Evidence) -> EditPairs:
    """The pairs of a cell.

    Raises UserError if an edit starts from a source that was not asked for, or the pairs have fewer than two sources.
    """
    groups, sources = tuple(evidence.targets.values()) or (EDITS,), evidence.samples(SOURCES)
    edits = [evidence.samples(group) for group in groups]
    asked = [pair for samples in edits for pair in zip(samples.prompts, samples.k, strict=True)]
    exists = np.concatenate([samples.ok for samples in edits])
    if strangers := sorted({k for _, k in asked} - set(sources.k)):
        raise UserError(
            f"edits of the source {strangers[0]}, but there are only {len(sources.k)} sources: ask for as many as the "
            f"edits have"
        )
    place = {sources.k[row]: place for place, row in enumerate(np.flatnonzero(sources.ok).tolist())}
    both = [row for row in np.flatnonzero(exists).tolist() if asked[row][1] in place]
    if len({asked[row][1] for row in both}) < 2:
        raise UserError(
            f"{len(both)} edited images with a source, of {len(asked)} asked for: at least 2 sources are needed for "
            f"an interval"
        )
    edited = np.cumsum(exists) - 1
    return EditPairs(
        prompts=[asked[row][0] for row in both],
        k=np.array([asked[row][1] for row in both]),
        edited=edited[both],
        source=np.array([place[asked[row][1]] for row in both]),
        asked=asked,
        failed=[(prompt, k, place[k]) for (prompt, k), ok in zip(asked, exists, strict=True) if not ok and k in place],
        groups=groups,
    )


def means_by(labels: Sequence[object] | np.ndarray, values: ArrayLike) -> dict[str, dict[str, Any]]:
    """{"n", "mean"} of the values [N] of each label, in order of first appearance.

    Values that are NaN are left out, and so is a label without any other value.
    """
    values, places = np.asarray(values, float), np.asarray([str(label) for label in labels], dtype=object)
    kept = ~np.isnan(values)
    groups = {label: values[kept & (places == label)] for label in dict.fromkeys(places)}
    return {label: {"n": len(group), "mean": float(group.mean())} for label, group in groups.items() if len(group)}


def interval(values: ArrayLike, k: np.ndarray, seed: int) -> Interval:
    """BCa interval of the mean of values [N] of pairs; the bootstrap resamples sources.

    k: number of the source of each pair, int [N]. Raises UserError for fewer than two sources.
    """
    if len(np.unique(k)) < 2:
        raise UserError(
            f"the pairs left are of {len(np.unique(k))} source, at least 2 are needed for an interval: ask for more "
            f"images"
        )
    return cluster_mean_interval(values, k, seed)


def per_source(values: ArrayLike, k: np.ndarray, asked: Sequence[tuple[Prompt, int]]) -> str:
    """One number for each source that was asked for, in their order, for tests that compare methods source by source.

    Source k has n_k of the N pairs, and their values sum to s_k. Its number is mean + (s_k - mean n_k) / (N / K), with
    K sources that have a pair. If all sources have equally many pairs, this is the mean over the pairs of the source.
    The numbers average to the mean of all values, and their standard error is that of a ratio over clusters. A source
    without a pair has a dash.
    """
    values, present = np.asarray(values, float), np.unique(k)
    mean, each = values.mean(), len(values) / len(present)
    shares = {source: mean + (values[k == source] - mean).sum() / each for source in present.tolist()}
    return " ".join(
        f"{shares[source]:.5f}" if source in shares else "-" for source in dict.fromkeys(source for _, source in asked)
    )


def shows(values: pd.DataFrame, prompts: Sequence[Prompt], covered_by: Covers) -> np.ndarray:
    """Whether each image shows what its edit asks for, bool [N]. values: the judged values, one row for each edit."""
    values = values.reset_index(drop=True)
    seen = visible(values, covered_by)
    shown = np.zeros(len(prompts), bool)
    for row, prompt in enumerate(prompts):
        attribute = prompt.tags["attribute"]
        shown[row] = (
            attribute in values and seen[attribute].iat[row] and values[attribute].iat[row] == prompt.tags["value"]
        )
    return shown


def kept(before: pd.DataFrame, after: pd.DataFrame, prompts: Sequence[Prompt], covered_by: Covers) -> pd.DataFrame:
    """Whether each edit kept each attribute, [N, A]: 1 or 0, and NaN for an attribute that does not count.

    before, after: judged values of the source and of the edited image, [N, A] each.

    An attribute counts if it can be seen before the edit and the edit does not decide it. An edit decides the edited
    attribute, those that its new value covers, and those whose value covers the edited attribute and so has to go. An
    attribute that cannot be seen after the edit was not kept. In the track `adapt` no attribute is edited.
    """
    before, after = before.reset_index(drop=True), after.reset_index(drop=True)
    counted = visible(before, covered_by)
    for row, prompt in enumerate(prompts):
        if "attribute" not in prompt.tags:
            continue
        edited, asked = prompt.tags["attribute"], literal(prompt)
        for place, name in enumerate(before):
            gives_way = f"{name}={before.iat[row, place]}" in covered_by.get(edited, ())
            if name == edited or gives_way or asked in covered_by.get(str(name), ()):
                counted.iat[row, place] = False
    return ((before == after) & visible(after, covered_by)).astype(float).where(counted)


def kept_estimate(
    pairs: EditPairs,
    same: pd.DataFrame,
    protocol: Mapping[str, Any],
    seed: int,
    details: Mapping[str, Any] | None = None,
) -> Estimate:
    """The value of the metric `attributes_kept`.

    same: for each pair and each attribute that the judge can tell, 1, 0, or NaN if it does not count, [N, A].

    Raises UserError if nothing counts.
    """
    row, column = np.nonzero(same.notna().to_numpy())
    if not len(row):
        raise UserError(
            "no attribute that the judge can tell is seen on a source beside the edited one: train a better judge"
        )
    values, k = same.to_numpy()[row, column], pairs.k[row]
    names = [literal(prompt) for prompt in pairs.prompts]
    return Estimate(
        value=float(values.mean()),
        ci=interval(values, k, seed)
        if 0 < values.mean() < 1
        else wilson(float(values.mean()) * len(set(k)), len(set(k))),
        n=len(values),
        better="higher",
        protocol={**protocol, "estimator": "share of visible other attributes with the same judged value"},
        interval="BCa bootstrap over sources, Wilson where all agree",
        details={
            **pairs.counts,
            "attributes": means_by(same.columns[column], values),
            pairs.what: means_by([names[i] for i in row], values),
            f"changed_by_{pairs.what.removesuffix('s')}": changed_by_edit(same, names),
            **(details or {}),
            "per_sample": per_source(values, k, pairs.asked),
        },
    )


def changed_by_edit(same: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """How often each edit changed each attribute that it should have kept, as a share; shares of 0 are left out."""
    shares = 1 - same.reset_index(drop=True).groupby(np.array(names, dtype=object), sort=False).mean()
    return {
        str(edit): {str(name): float(share) for name, share in row.items() if share > 0}
        for edit, row in shares.iterrows()
    }
