"""Edits of a sketch or a map of instances that need no drawing: take that of another image, shift, mirror, erase."""

import numpy as np

from t2ibench.core.errors import UserError

SHIFT = 8  # an edit moves a map by this part of its width


def edited(maps: np.ndarray, other: np.ndarray | None, how: str) -> np.ndarray:
    """Maps [..., H, W] after the edit `how`. What enters from outside, and what is erased, is 0.

    other: the maps of another image, which replace them in the edit "other".
    how: "other", "mirror", "shift" or "erase".

    Raises UserError for an unknown edit, and for the edit "other" without maps of another image.
    """
    height, width = maps.shape[-2:]
    if how == "other":
        if other is None:
            raise UserError(
                "the edit 'other' takes the map of another image, and there is none: give one, or another edit"
            )
        return other
    if how == "mirror":
        return maps[..., ::-1].copy()
    if how == "shift":
        moved = np.zeros_like(maps)
        moved[..., width // SHIFT :] = maps[..., : width - width // SHIFT]
        return moved
    if how == "erase":
        left = maps.copy()
        left[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = 0
        return left
    raise UserError(f"no edit is called {how!r}, expected other, shift, mirror or erase")
