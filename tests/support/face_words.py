"""Made-up faces with five attributes: how these are said, and who has which. Hats hardly ever go with beards or
smiles.
"""

import numpy as np

from t2ibench.data.split import Vocabulary

WORDS = {
    "hat": ("wears", "a hat"),
    "beard": ("has", "a beard"),
    "scarf": ("wears", "a scarf"),
    "smile": ("is", "smiling"),
    "tie": ("wears", "a tie"),
}
VOCABULARY = Vocabulary(
    {name: {"yes": [(verb, text), (verb, f"{text} indeed")]} for name, (verb, text) in WORDS.items()}
)


def has(u: np.ndarray) -> np.ndarray:
    """Which attributes faces have, from uniform numbers, both [N, 5]: scarf goes with beard, tie with nothing."""
    hat = u[:, 0] < 0.25
    beard = u[:, 1] < np.where(hat, 0.02, 0.4)
    return np.stack(
        [hat, beard, u[:, 2] < np.where(beard, 0.7, 0.2), u[:, 3] < np.where(hat, 0.01, 0.4), u[:, 4] < 0.4], 1
    )
