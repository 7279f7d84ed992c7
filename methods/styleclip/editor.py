"""The interface of StyleCLIP's three variants: from latents and two texts to styles."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Editor(Protocol):
    """One variant, made as `Variant(config, models)`.

    cost: what training and tables have cost so far, for the record.
    """

    cost: dict[str, float]

    def edited(self, w_plus: Tensor, neutral: Sequence[str], target: Sequence[str]) -> Tensor:
        """Styles [B, C] of w_plus [B, L, w_dim] after the edit from the neutral to the target text.

        Row i depends on row i of the arguments alone.
        """
        ...
