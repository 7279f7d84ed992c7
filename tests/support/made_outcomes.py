"""Outcomes of samples, with an image each."""

import numpy as np

from t2ibench.runner.journal import Outcome, Store


def image(value: int) -> np.ndarray:
    return np.full((3, 4, 5), value, np.uint8)


def outcome(store: Store, name: str, value: int, source: str = "a text") -> Outcome:
    return Outcome(name, f"p/{name}", "captions", "a text", 0, source, "ok", store.save(name, image(value)), 0.1)
