"""Global directions (sec. 6): one step in style space for a pair of texts, the same for every image.

The relevance of a channel comes from the paper's table of finite differences (`table`), from the whole Jacobian
(`jacobian`, computed once for all texts), or from gradients for one text (`vjp`).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from t2ibench.methods.styleclip.directions import channel_directions, directed
from t2ibench.methods.styleclip.prepared import pieces, shipped
from t2ibench.methods.styleclip.relevance import effect_lengths, jacobian_directions, probes, products, prompt_relevance
from t2ibench.methods.styleclip.selection import kept_channels, style_step
from t2ibench.methods.styleclip.settings import Config
from t2ibench.methods.styleclip.space import PASS, StyleSpace
from t2ibench.networks.clip.templates import TEMPLATES
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes

SHARD = 64  # channels of the table that are computed and stored together
SAMPLE = ("truncation_psi", "statistics_samples", "statistics_cutoff", "max_resolution", "images")
STEP = ("step", "base", "center", "unit_differences")


class GlobalDirections:
    """An `Editor`. What all texts share is computed for the first of them, and kept in the cache."""

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.space = config, StyleSpace(config, models)
        self.cost = {"preparation_seconds": 0.0, "training_seconds_per_prompt": 0.0, "prompts_trained": 0}
        self._steps: dict[tuple[str, str], Tensor] = {}

    @cached_property
    def relevance(self) -> Callable[[Tensor], Tensor]:
        """From a text direction [D] to the relevance [E] of each edited channel."""
        started, config, space = perf_counter(), self.config, self.space
        relevance: Callable[[Tensor], Tensor]
        if space.directions is not None:
            relevance, spent = space.directions.matmul, 0.0  # nobody here has measured them
        elif config.relevance == "vjp":
            relevance, spent = gradients(space, config.probes), perf_counter() - started
        else:
            directions, spent = (table if config.relevance == "table" else jacobian)(space, config)
            relevance = directions.to(space.models.device).matmul
        self.cost["preparation_seconds"] = spent
        self._spend(perf_counter() - started)
        return relevance

    @torch.no_grad()
    def edited(self, w_plus: Tensor, neutral: Sequence[str], target: Sequence[str]) -> Tensor:
        """Styles [B, C]: those of w_plus [B, L, w_dim] plus alpha times the step of the two texts.

        Raises UserError for equal texts.
        """
        steps = torch.stack([self.step(*texts) for texts in zip(neutral, target, strict=True)])
        return in_passes(self.space.generator.style, w_plus) + self.config.alpha * steps

    def step(self, neutral: str, target: str) -> Tensor:
        """delta_s [C] of two texts.

        Raises ValueError if beta keeps no channel: otherwise an unchanged image would pass for an edit.
        """
        if (neutral, target) not in self._steps:
            config, space = self.config, self.space
            _ = self.relevance  # its time is no text's own
            started = perf_counter()
            relevance = self.relevance_of(neutral, target)
            kept = kept_channels(relevance, config.select, config.beta, config.channels)
            step = torch.zeros_like(space.mean)
            step[space.channels] = style_step(relevance, kept, space.sigma[space.channels], config.scaling)
            if not step.any():
                best = float(relevance.abs().max())
                raise ValueError(
                    f"{target!r}: no style channel reaches beta={config.beta:g}, the best has {best:.3f}: lower beta"
                )
            self._steps[neutral, target] = step
            self._count(perf_counter() - started)
        return self._steps[neutral, target]

    def relevance_of(self, neutral: str, target: str) -> Tensor:
        """The signed relevance [E]: the cosine between the texts' direction and the effect of each edited channel."""
        [delta_t] = self.space.clip.text_direction([neutral], [target], TEMPLATES[self.config.templates])
        return self.relevance(delta_t.to(self.space.mean))

    def _count(self, seconds: float) -> None:
        done = self.cost["prompts_trained"]
        self._spend(seconds)
        self.cost["training_seconds_per_prompt"] = (self.cost["training_seconds_per_prompt"] * done + seconds) / (
            done + 1
        )
        self.cost["prompts_trained"] = done + 1

    def _spend(self, seconds: float) -> None:
        self.cost["spent_seconds"] = self.cost.get("spent_seconds", 0.0) + seconds


def table_recipe(space: StyleSpace, config: Config) -> dict[str, Any]:
    """Everything that decides a table."""
    return {**space.weights, **{name: asdict(config)[name] for name in SAMPLE + STEP}}


def table(space: StyleSpace, config: Config) -> tuple[Tensor, float]:
    """Directions [E, D] by finite differences, at 2 N renders a channel, and the seconds that they took."""
    channels = len(space.channels)
    shards = [range(first, min(first + SHARD, channels)) for first in range(0, channels, SHARD)]

    def make(number: int) -> Tensor:
        return channel_directions(
            space.embed_stored,
            space.codes,
            space.mean,
            space.sigma,
            space.channels,
            shards[number],
            step=config.step,
            base=config.base,
            center=config.center,
            unit=config.unit_differences,
        )

    recipe = table_recipe(space, config)
    if (found := shipped("table", recipe)) is not None:
        return found
    directions, seconds = pieces(
        space.models.cache, "table", recipe, [2 * config.images * len(shard) for shard in shards], make
    )
    return torch.cat(directions), seconds


def jacobian(space: StyleSpace, config: Config) -> tuple[Tensor, float]:
    """Directions [E, D] by D backward passes over N images, and the seconds that they took."""
    passes = space.codes.split(PASS)
    sigma = space.sigma

    def make(number: int) -> Tensor:
        return jacobian_directions(space.embed, passes[number], sigma, space.channels, space.dimension)

    recipe = {**space.weights, **{name: asdict(config)[name] for name in SAMPLE}}
    sums, seconds = pieces(
        space.models.cache, "jacobian", recipe, [len(codes) * space.dimension for codes in passes], make
    )
    return directed(torch.stack(sums).sum(0)), seconds


def gradients(space: StyleSpace, count: int) -> Callable[[Tensor], Tensor]:
    """A function from a text direction [D] to its relevance [E], by one backward pass over N images.

    The lengths of the channels' effects are estimated when this is called, by `count` probes.
    """

    def pulled(cotangents: Tensor) -> Tensor:
        effects = [products(space.embed, codes, cotangents) for codes in space.codes.split(PASS)]
        return (torch.cat(effects, dim=1) * space.sigma)[:, :, space.channels]

    lengths, mean_unit = effect_lengths(pulled(probes(count, space.dimension, space.codes)))
    return lambda delta_t: prompt_relevance(pulled(delta_t[None])[0], lengths, mean_unit)
