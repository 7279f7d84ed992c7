"""What metrics share that ask a model questions about images: what was asked, and what became of the questions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from t2ibench.core.records import digest
from t2ibench.scoring.evidence import Samples


def asked_of(samples: Samples, group: str) -> dict[str, Any]:
    """The prompts of a group, as a protocol names them: digest of their texts, and number of images."""
    asked = [[prompt.text, k] for prompt, k in zip(samples.prompts, samples.k, strict=True)]
    return {"group": group, "prompts": digest(asked), "images": len(asked)}


def outcome_labels(outcomes: Mapping[str, int]) -> list[str]:
    """A line where some questions have no answer; empty where all have one."""
    total = sum(outcomes.values())
    if outcomes["answered"] == total:
        return []
    return [
        f"{outcomes['malformed']:,} malformed and {outcomes['failed']:,} failed of {total:,} answers are left out of "
        f"the mean"
    ]


def spelled(values: np.ndarray) -> str:
    """One number for each sample, a dash for NaN, which stands for a sample without an image or without an answer."""
    return " ".join("-" if np.isnan(value) else f"{value:.5f}" for value in values)
