"""Tinter: paints the square of a seed in the domain that a text names, after training for it, and fails where it is
told to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from t2ibench.checks.contracts.squares import COLOURS, DOMAINS, TONES, in_domain, paint
from t2ibench.core.seeds import uniform
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import Adapt


@dataclass(frozen=True)
class Config:
    source: str = "a square"
    nan_below: float = 0.0  # share of the seeds for which an image of a target, and only of a target, holds NaN
    collapsed: bool = False  # draws the same image for every latent of a target


class Method:
    trained_on = "nothing"

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.trained = config, set[tuple[str, str]]()

    @property
    def cost(self) -> dict[str, float]:
        return {"training_seconds_per_prompt": 2.0, "prompts_trained": float(len(self.trained))}

    def adapt(self, requests: Sequence[Adapt]) -> Tensor:
        if any(request.seed / 2**63 < self.config.nan_below for request in requests):
            raise ValueError("an image holds NaN")
        self.trained |= {(request.source, request.target) for request in requests}
        by_text = {text: domain for domain, text in DOMAINS.items()}
        return torch.stack([self._image(0 if self.config.collapsed else r.seed, by_text[r.target]) for r in requests])

    def unadapted(self, requests: Sequence[Adapt]) -> Tensor:
        return torch.stack([self._image(request.seed, "squares") for request in requests])

    def _image(self, seed: int, domain: str) -> Tensor:
        a, b = uniform(seed, 2)
        image = paint(COLOURS[int(3 * a)], TONES[int(2 * b)], 8, seed)
        return torch.from_numpy(np.ascontiguousarray(in_domain(image[None], domain)[0]))
