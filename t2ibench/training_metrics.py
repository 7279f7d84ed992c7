"""The metrics as `torchmetrics.Metric` objects for training loops, updated by batches and on any number of processes.

    fd = FrechetDistance(network, dimension=2048)
    fd.update(real_images, real=True); fd.update(made_images, real=False); fd.compute()

`features` is any module or function from a batch to features [B, d]; it is None if `update` gets the features
themselves. `compute` returns the value that the metric's function gives for all features together, up to the order of
sums. Numbers are float64. A distance of few images is biased upwards: between epochs compare equal counts only.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from t2ibench.metrics.cmmd import cmmd
from t2ibench.metrics.kid import kid
from t2ibench.metrics.prdc import prdc
from t2ibench.stats.finite import finite
from t2ibench.stats.frechet import Moments, frechet_distance

Features = Callable[[Tensor], Tensor]


class FrechetDistance(Metric):
    """The Fréchet distance of `t2ibench.stats.frechet`. Lower is better.

    It keeps only moments, so memory does not grow with the number of images. `compute` raises ValueError where features
    of a side were not finite.

    dimension: of the features.
    reset_real: whether `reset` also forgets the real images.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False
    real: Tensor
    made: Tensor

    def __init__(
        self, features: Features | None = None, *, dimension: int, reset_real: bool = True, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.features, self.dimension, self.reset_real = _module(features), dimension, reset_real
        for side in ("real", "made"):
            self.add_state(side, torch.zeros(1 + dimension + dimension**2, dtype=torch.float64), dist_reduce_fx=merged)

    def update(self, batch: Tensor, real: bool) -> None:
        features = _features(self.features, batch)
        if features.shape[1] != self.dimension:
            raise ValueError(
                f"features have {features.shape[1]} dimensions, FrechetDistance was made for {self.dimension}"
            )
        side = "real" if real else "made"
        features = features.to(self.real.device)  # a network of ours answers on the CPU, wherever it computes
        setattr(self, side, merged(torch.stack([getattr(self, side), packed(Moments.of(features))])))

    def compute(self) -> Tensor:
        """A float64 scalar. Raises ValueError below 2 images a side."""
        return torch.tensor(frechet_distance(unpacked(self.made.cpu()), unpacked(self.real.cpu())), dtype=torch.float64)

    def reset(self) -> None:
        kept = self.real
        super().reset()
        if not self.reset_real:
            self.real = kept


def packed(moments: Moments) -> Tensor:
    """Moments as one vector [1 + d + d^2], because a reduction over processes takes one state at a time."""
    return torch.cat([moments.mean.new_tensor([moments.n]), moments.mean, moments.scatter.flatten()])


def unpacked(state: Tensor) -> Moments:
    d = round((state.numel() - 0.75) ** 0.5 - 0.5)
    return Moments(int(state[0]), state[1 : 1 + d], state[1 + d :].view(d, d))


def merged(states: Tensor) -> Tensor:
    """The joint moments of k states [k, 1 + d + d^2], merged in their order; states without images add nothing."""
    whole, *others = [state for state in states if state[0] > 0] or [states[0]]
    if not others:
        return whole
    moments = unpacked(whole)
    for other in others:
        moments = moments.merge(unpacked(other))
    return packed(moments)


class FeatureMetric(Metric):
    """A metric that needs all features of both sides. It keeps them in float32: 4 bytes x d for each image."""

    is_differentiable, full_state_update = False, False
    real: list[Tensor]
    made: list[Tensor]

    def __init__(self, features: Features | None = None, *, reset_real: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.features, self.reset_real = _module(features), reset_real
        for side in ("real", "made"):
            self.add_state(side, [], dist_reduce_fx=None)  # `sides` joins them

    def update(self, batch: Tensor, real: bool) -> None:
        (self.real if real else self.made).append(_features(self.features, batch).float())

    def sync(self, *arguments: Any, **settings: Any) -> None:
        """Gather the features of all processes; one that has seen no image adds none."""
        if not self._is_synced:
            for side in ("real", "made"):  # each process gathers one tensor, so that they all take part equally often
                setattr(self, side, [joined(getattr(self, side)).to(self.device)])
        super().sync(*arguments, **settings)

    def sides(self) -> tuple[Tensor, Tensor]:
        """All features of made and of real images, on the CPU.

        Raises ValueError if a side has none, or some that are not finite.
        """
        name, sides = type(self).__name__, {}
        for side in ("made", "real"):
            features = joined(getattr(self, side)).cpu()
            if len(features) == 0:
                raise ValueError(f"{name} has seen no {side} images: update it first")
            finite(name, **{f"features_of_{side}_images": features})
            sides[side] = features
        return sides["made"], sides["real"]

    def reset(self) -> None:
        kept = list(self.real)  # the list itself is emptied
        super().reset()
        if not self.reset_real:
            self.real = kept


def joined(states: Tensor | Sequence[Tensor]) -> Tensor:
    """Features of batches or of processes, one below the other, [N, d]; those without images are left out.

    Without any image it is [0, 0].
    """
    kept = [state for state in ([states] if isinstance(states, Tensor) else states) if len(state)]
    return torch.cat(kept) if kept else torch.empty(0, 0)


class KernelDistance(FeatureMetric):
    """Unbiased KID over all samples (`t2ibench.metrics.kid`), not over random subsets.

    Lower is better; it may be below 0.
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        return torch.tensor(kid(*self.sides())[0], dtype=torch.float64)


class CMMD(FeatureMetric):
    """CMMD of CLIP image embeddings (`t2ibench.metrics.cmmd`). Lower is better."""

    higher_is_better = False

    def compute(self) -> Tensor:
        return torch.tensor(cmmd(*self.sides()).value, dtype=torch.float64)


class PrecisionRecall(FeatureMetric):
    """Precision, recall, density and coverage (`t2ibench.metrics.prdc`), by name. Higher is better."""

    higher_is_better = True

    def __init__(
        self, features: Features | None = None, *, k: int = 5, reset_real: bool = True, **settings: Any
    ) -> None:
        super().__init__(features, reset_real=reset_real, **settings)
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        made, real = self.sides()
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in prdc(real, made, self.k).items()}


class ClipScore(Metric):
    """The mean cosine of image and text embeddings, unscaled, in [-1, 1] (`t2ibench.metrics.clip_score`).

    Higher is better.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False
    total: Tensor
    count: Tensor

    def __init__(
        self, images: Features | None = None, texts: Callable[[Any], Tensor] | None = None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.images, self.texts = _module(images), _module(texts)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, images: Tensor, texts: Any) -> None:
        """Add images and their texts.

        images: a batch for the network `images`, or embeddings [B, D].
        texts: a batch for the network `texts`, or embeddings [B, D].
        """
        of_images, of_texts = _features(self.images, images).double(), _features(self.texts, texts).double()
        if of_images.shape != of_texts.shape:
            raise ValueError(
                f"image embeddings are {list(of_images.shape)}, text embeddings {list(of_texts.shape)}: expected "
                f"equal shapes"
            )
        self.total += nn.functional.cosine_similarity(of_images, of_texts.to(of_images.device)).sum()
        self.count += len(of_images)

    def compute(self) -> Tensor:
        if self.count == 0:
            raise ValueError("ClipScore has seen no images: update it first")
        finite("ClipScore", sum_of_the_cosines=self.total)
        return self.total / self.count


class _Function(nn.Module):
    """Wraps a function as a module."""

    def __init__(self, function: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: Any) -> Tensor:
        return self.function(batch)


def _module(function: Callable[[Any], Tensor] | None) -> nn.Module | None:
    return function if function is None or isinstance(function, nn.Module) else _Function(function)


@torch.no_grad()
def _features(network: nn.Module | None, batch: Any) -> Tensor:
    features = batch if network is None else network(batch)
    if features.ndim != 2 or not features.is_floating_point():
        raise ValueError(
            f"features are {features.dtype} {list(features.shape)}, expected floats [B, d]: give the network that "
            f"makes them"
        )
    return features.detach()
