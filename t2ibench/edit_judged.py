"""What an attribute judge sees on the images before and after an edit: was it made, what else changed, and what was kept?

A covered attribute has no value: what a judge says of hair under a hijab means nothing, and is not read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.data.attributes import Covers, visible
from t2ibench.edit_pairs import EditPairs, interval, literal, means_by, per_source
from t2ibench.stats.intervals import wilson
from t2ibench.tracks.contract import Prompt


def shows(values: pd.DataFrame, prompts: Sequence[Prompt], covered_by: Covers) -> np.ndarray:
    """Whether an image of these judged values, one row an edit, shows what its edit asks for: bool [N]."""
    values = values.reset_index(drop=True)
    seen = visible(values, covered_by)
    found = np.zeros(len(prompts), bool)
    for row, prompt in enumerate(prompts):
        attribute = prompt.tags["attribute"]
        found[row] = attribute in values and seen[attribute].iat[row] and values[attribute].iat[row] == prompt.tags["value"]
    return found


def kept(before: pd.DataFrame, after: pd.DataFrame, prompts: Sequence[Prompt], covered_by: Covers) -> pd.DataFrame:
    """Whether each edit left each attribute as it was, from judged values [N, A]: 1 or 0, NaN where it does not count.

    An attribute counts that can be seen before, unless the edit itself decides it: the edited one, those that its new value covers, and
    those that cover it before and so have to give way. One that cannot be seen afterwards was not kept. In the track `adapt` no
    attribute is edited.
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
    pairs: EditPairs, same: pd.DataFrame, protocol: Mapping[str, Any], seed: int, details: Mapping[str, Any] | None = None
) -> Estimate:
    """`attributes_kept`. same: of each pair and attribute that the judge can tell, 1, 0, or NaN where it does not count [N, A].

    Raises UserError where nothing counts.
    """
    row, column = np.nonzero(same.notna().to_numpy())
    if not len(row):
        raise UserError("no attribute that the judge can tell is seen on a source beside the edited one: train a better judge")
    values, k = same.to_numpy()[row, column], pairs.k[row]
    names = [literal(prompt) for prompt in pairs.prompts]
    return Estimate(
        value=float(values.mean()),
        ci=interval(values, k, seed) if 0 < values.mean() < 1 else wilson(float(values.mean()) * len(set(k)), len(set(k))),
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
    return {str(edit): {str(name): float(share) for name, share in row.items() if share > 0} for edit, row in shares.iterrows()}
