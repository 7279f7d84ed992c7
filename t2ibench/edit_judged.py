"""What an attribute judge sees on the images before and after an edit: was it made, and what else changed?

A covered attribute has no value: what a judge says of hair under a hijab means nothing, and is not read.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from t2ibench.edit_pairs import literal
from t2ibench.tracks import Prompt
from t2ibench.visibility import Covers, visible


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
    those that cover it before and so have to give way. One that cannot be seen afterwards was not kept.
    """
    before, after = before.reset_index(drop=True), after.reset_index(drop=True)
    counted = visible(before, covered_by)
    for row, prompt in enumerate(prompts):
        edited, asked = prompt.tags["attribute"], literal(prompt)
        for place, name in enumerate(before):
            gives_way = f"{name}={before.iat[row, place]}" in covered_by.get(edited, ())
            if name == edited or gives_way or asked in covered_by.get(str(name), ()):
                counted.iat[row, place] = False
    return ((before == after) & visible(after, covered_by)).astype(float).where(counted)
