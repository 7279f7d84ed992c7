"""Edited images beside the images before them, which is what every metric of edits compares, and the interval that such
pairs allow.

All edits of a run start from the same sources. A pair is therefore no independent draw, a source is: intervals draw
sources anew with all their edits, and speak of these edits only. In the track `adapt` an edit is the move of a whole
generator to a target domain.
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
    """The N pairs of which both images are there.

    prompts: of each pair, its edit. k: its source. edited, source: its places among the images (features, judged rows)
    of `groups`, one behind the other, and of the sources. asked: edit and source of every pair asked for. failed: edit,
    source and the source's place where the edited image alone is missing.
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
        """How many pairs were asked for, how many are there, and why the others are not."""
        sourceless = len(self.asked) - len(self) - len(self.failed)
        return {
            "asked": len(self.asked),
            "pairs": len(self),
            "failed_edits": len(self.failed),
            "failed_sources": sourceless,
        }

    @property
    def what(self) -> str:
        """What is asked for, in the details of a value: "edits", or in the track `adapt` "targets"."""
        return "edits" if self.groups == (EDITS,) else "targets"

    def by_edit(self, values: ArrayLike) -> dict[str, dict[str, Any]]:
        """Count and mean of values [N] of each edit, by its literal (target, by its domain); pairs whose value is NaN
        are left out.
        """
        return means_by([literal(prompt) for prompt in self.prompts], values)

    def features(self, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Of each pair, what `look` sees on the edited image and on the source: [N, D] both. look: a group's features,
        [M, D].
        """
        return torch.cat([look(group) for group in self.groups])[self.edited], look(SOURCES)[self.source]

    def judged(self, evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Of each pair, the judge's values on the edited image and on the source."""
        edited = pd.concat([evidence.fake_attributes(group) for group in self.groups], ignore_index=True)
        return edited.iloc[self.edited].reset_index(drop=True), evidence.fake_attributes(SOURCES).iloc[
            self.source
        ].reset_index(drop=True)

    @property
    def protocol(self) -> dict[str, Any]:
        """The edits asked for, which every metric's protocol names."""
        asked = [[prompt.id, prompt.tags["neutral"], prompt.tags["target"], k] for prompt, k in self.asked]
        return {"edits": digest(asked), "images": len(asked), "sources": len({k for _, k in self.asked})}


def literal(prompt: Prompt) -> str:
    """The literal that an edit asks for, "attribute=value"; of a target its domain."""
    if "domain" in prompt.tags:
        return str(prompt.tags["domain"])
    return f"{prompt.tags['attribute']}={prompt.tags['value']}"


def edit_pairs(evidence: Evidence) -> EditPairs:
    """The pairs of a cell.

    Raises UserError where an edit has no source among those asked for, and below pairs of two sources.
    """
    groups, sources = tuple(evidence.targets.values()) or (EDITS,), evidence.samples(SOURCES)
    parts = [evidence.samples(group) for group in groups]
    asked = [pair for part in parts for pair in zip(part.prompts, part.k, strict=True)]
    there = np.concatenate([part.ok for part in parts])
    if strangers := sorted({k for _, k in asked} - set(sources.k)):
        raise UserError(
            f"edits of the source {strangers[0]}, but there are only {len(sources.k)} sources: ask for as many as the "
            f"edits have"
        )
    place = {sources.k[row]: place for place, row in enumerate(np.flatnonzero(sources.ok).tolist())}
    both = [row for row in np.flatnonzero(there).tolist() if asked[row][1] in place]
    if len({asked[row][1] for row in both}) < 2:
        raise UserError(
            f"{len(both)} edited images with a source, of {len(asked)} asked for: at least 2 sources are needed for "
            f"an interval"
        )
    edited = np.cumsum(there) - 1
    return EditPairs(
        prompts=[asked[row][0] for row in both],
        k=np.array([asked[row][1] for row in both]),
        edited=edited[both],
        source=np.array([place[asked[row][1]] for row in both]),
        asked=asked,
        failed=[(prompt, k, place[k]) for (prompt, k), ok in zip(asked, there, strict=True) if not ok and k in place],
        groups=groups,
    )


def means_by(labels: Sequence[object] | np.ndarray, values: ArrayLike) -> dict[str, dict[str, Any]]:
    """{"n", "mean"} of values [N] under each label, in the order in which labels come; NaN is left out, and so is a
    label of NaN alone.
    """
    values, places = np.asarray(values, float), np.asarray([str(label) for label in labels], dtype=object)
    kept = ~np.isnan(values)
    found = {label: values[kept & (places == label)] for label in dict.fromkeys(places)}
    return {label: {"n": len(own), "mean": float(own.mean())} for label, own in found.items() if len(own)}


def interval(values: ArrayLike, k: np.ndarray, seed: int) -> Interval:
    """BCa interval of the mean of values [N] of pairs, sources [N] drawn anew. Raises UserError below two sources."""
    if len(np.unique(k)) < 2:
        raise UserError(
            f"the pairs left are of {len(np.unique(k))} source, at least 2 are needed for an interval: ask for more "
            f"images"
        )
    return cluster_mean_interval(values, k, seed)


def per_source(values: ArrayLike, k: np.ndarray, asked: Sequence[tuple[Prompt, int]]) -> str:
    """One number for each source asked for, in their order: its share in the mean of values [N], for tests that pair
    methods by source.

    With n_k pairs of source k, which sum to s_k, it is mean + (s_k - mean n_k) / (N / K): the mean of the source's
    pairs where all sources have equally many. They average to the mean itself, and their standard error is that of a
    ratio over clusters. A source without a pair has a dash.
    """
    values, present = np.asarray(values, float), np.unique(k)
    mean, each = values.mean(), len(values) / len(present)
    shares = {source: mean + (values[k == source] - mean).sum() / each for source in present.tolist()}
    return " ".join(
        f"{shares[source]:.5f}" if source in shares else "-" for source in dict.fromkeys(source for _, source in asked)
    )


def shows(values: pd.DataFrame, prompts: Sequence[Prompt], covered_by: Covers) -> np.ndarray:
    """Whether an image of these judged values, one row an edit, shows what its edit asks for: bool [N]."""
    values = values.reset_index(drop=True)
    seen = visible(values, covered_by)
    found = np.zeros(len(prompts), bool)
    for row, prompt in enumerate(prompts):
        attribute = prompt.tags["attribute"]
        found[row] = (
            attribute in values and seen[attribute].iat[row] and values[attribute].iat[row] == prompt.tags["value"]
        )
    return found


def kept(before: pd.DataFrame, after: pd.DataFrame, prompts: Sequence[Prompt], covered_by: Covers) -> pd.DataFrame:
    """Whether each edit left each attribute as it was, from judged values [N, A]: 1 or 0, NaN where it does not count.

    An attribute counts that can be seen before, unless the edit itself decides it: the edited one, those that its new
    value covers, and those that cover it before and so have to give way. One that cannot be seen afterwards was not
    kept. In the track `adapt` no attribute is edited.
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
    """`attributes_kept`. same: of each pair and attribute that the judge can tell, 1, 0, or NaN where it does not count
    [N, A].

    Raises UserError where nothing counts.
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
    """How often each edit changed each attribute that it should not have: shares, those of 0 left out."""
    shares = 1 - same.reset_index(drop=True).groupby(np.array(names, dtype=object), sort=False).mean()
    return {
        str(edit): {str(name): float(share) for name, share in row.items() if share > 0}
        for edit, row in shares.iterrows()
    }
