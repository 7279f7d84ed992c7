"""The refusal of NaN and infinity, by name. Comparisons with NaN are false, so it would otherwise pass for a value."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from torch import Tensor


def finite(where: str, **numbers: ArrayLike | Tensor) -> None:
    """Raise ValueError for numbers that are NaN or infinite.

    where: what needs them, with which the error text begins.
    numbers: by their names in the text; the first axis is counted as rows.
    """
    torch = sys.modules.get("torch")  # takes a second to load; where it is not loaded, nothing is a tensor
    for name, values in numbers.items():
        if torch is not None and isinstance(values, torch.Tensor):
            if not values.is_floating_point() or bool(torch.isfinite(values).all()):
                continue
            array = values.detach().cpu().double().numpy()
        else:
            array = np.asarray(values)
            if array.dtype.kind not in "fc" or np.isfinite(array).all():
                continue
        bad = ~np.isfinite(array)
        row = f", the first in row {np.argwhere(bad)[0][0]:,}" if bad.ndim else ""
        what = f"{int(bad.sum()):,} of {bad.size:,} numbers" if bad.ndim else f"{array}"
        raise ValueError(
            f"{where}: {name.replace('_', ' ')} must be finite, found {what}"
            f"{' that are NaN or infinite' if bad.ndim else ''}{row}"
        )


def not_infinite(where: str, **numbers: ArrayLike) -> None:
    """Raise ValueError for infinite numbers, where NaN stands for one that is missing."""
    for name, values in numbers.items():
        array = np.asarray(values, float)
        finite(where, **{name: array[~np.isnan(array)]})
