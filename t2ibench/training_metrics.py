"""The metrics as `torchmetrics.Metric` objects for training loops, updated by batches and on any number of processes.

    fd = FrechetDistance(network, dimension=2048)
    fd.update(real_images, real=True); fd.update(made_images, real=False); fd.compute()

`features` is any module or function from a batch to features [B, d]; it is None if `update` gets the features
themselves. Networks of this package read uint8 [B, 3, H, W] (`t2ibench.core.images.to_uint8`). `compute` returns the
value that the metric's function gives for all features together, up to the order of sums. Numbers are float64. A
distance of few images is biased upwards: between epochs compare equal counts only.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from t2ibench.core.seeds import derive_seed
from t2ibench.metrics.cmmd import cmmd
from t2ibench.metrics.inception_score import SHUFFLE, inception_score
from t2ibench.metrics.kid import kid
from t2ibench.metrics.prdc import prdc
from t2ibench.stats.finite import finite
from t2ibench.stats.frechet import Moments, frechet_distance
from t2ibench.stats.retrieval import distractors, first_places

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


class InceptionScore(Metric):
    """The Inception Score of class probabilities (`t2ibench.metrics.inception_score`). Higher is better.

    It keeps the probabilities, 4 bytes x C an image. Images are shuffled in the order in which they came, so other
    batches or processes may change the parts, and with them the last digits; with one split they change nothing.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False
    rows: list[Tensor]

    def __init__(self, probabilities: Features | None = None, *, splits: int = 10, **settings: Any) -> None:
        super().__init__(**settings)
        self.probabilities, self.splits = _module(probabilities), splits
        self.add_state("rows", [], dist_reduce_fx=None)

    def update(self, batch: Tensor) -> None:
        """Add images for the network `probabilities`, or probabilities [B, C]."""
        self.rows.append(_features(self.probabilities, batch).float())

    def sync(self, *arguments: Any, **settings: Any) -> None:
        """Gather the rows of all processes; one that has seen no image adds none."""
        if not self._is_synced:
            self.rows = [joined(self.rows).to(self.device)]
        super().sync(*arguments, **settings)

    def compute(self) -> Tensor:
        """A float64 scalar. Raises ValueError for fewer images than splits, and for rows that are no probabilities."""
        rows = joined(self.rows).cpu()
        order = np.random.RandomState(SHUFFLE).permutation(len(rows))
        return torch.tensor(inception_score(rows[torch.from_numpy(order)], self.splits).value, dtype=torch.float64)


class RPrecision(Metric):
    """How often an image's own text is the nearest of `pool` (`t2ibench.metrics.r_precision`). Higher is better.

    The other texts are drawn among all that were seen, by the text and the number of its image alone, so batches and
    processes do not matter. A run of the suite draws them by its prompts: its value is another draw of the same number.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False
    of_images: list[Tensor]
    of_texts: list[Tensor]
    names: list[Tensor]

    def __init__(
        self,
        images: Features | None = None,
        texts: Callable[[Sequence[str]], Tensor] | None = None,
        *,
        pool: int = 100,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.images, self.texts, self.pool, self.seed = _module(images), _module(texts), pool, seed
        for state in ("of_images", "of_texts", "names"):
            self.add_state(state, [], dist_reduce_fx=None)

    def update(self, images: Tensor, texts: Sequence[str], embeddings: Tensor | None = None) -> None:
        """Add images and their texts.

        images: a batch for the network `images`, or embeddings [B, D].
        texts: B strings.
        embeddings: those of the texts, [B, D], where there is no network `texts`.
        """
        if embeddings is None and self.texts is None:
            raise ValueError("RPrecision has no network for texts: give `texts`, or their embeddings to `update`")
        of_images = _features(self.images, images)
        of_texts = _features(self.texts if embeddings is None else None, texts if embeddings is None else embeddings)
        if of_images.shape != of_texts.shape or len(texts) != len(of_texts):
            raise ValueError(
                f"image embeddings are {list(of_images.shape)}, text embeddings {list(of_texts.shape)} of {len(texts)} "
                f"texts: expected equal shapes"
            )
        self.of_images.append(of_images.float())
        self.of_texts.append(of_texts.float().to(of_images.device))
        self.names.append(torch.tensor([[derive_seed("text", text)] for text in texts], device=of_images.device))

    def sync(self, *arguments: Any, **settings: Any) -> None:
        """Gather the embeddings of all processes; one that has seen no image adds none."""
        if not self._is_synced:
            for state in ("of_images", "of_texts", "names"):
                setattr(self, state, [joined(getattr(self, state)).to(self.device)])
            self.names = [self.names[0].long()]  # also of a process without images
        super().sync(*arguments, **settings)

    def compute(self) -> Tensor:
        """A float64 scalar in [0, 1]. Raises ValueError where fewer texts than `pool` differ, and for no image."""
        images, texts = (joined(state).cpu().double() for state in (self.of_images, self.of_texts))
        if len(images) == 0:
            raise ValueError("RPrecision has seen no images: update it first")
        names, first, own = np.unique(joined(self.names)[:, 0].cpu().numpy(), return_index=True, return_inverse=True)
        counts: Counter[int] = Counter()
        seeds = []
        for row in own.tolist():
            seeds.append(derive_seed(self.seed, "r_precision", str(names[row]), counts[row]))
            counts[row] += 1
        if len(names) < self.pool:
            raise ValueError(f"{len(names)} texts differ, a pool of {self.pool} needs as many: lower `pool`")
        others = distractors([str(name) for name in names], own, seeds, self.pool)
        unit = nn.functional.normalize
        cosines = (unit(images, dim=1) @ unit(texts[torch.from_numpy(first)], dim=1).T).numpy()
        hits, _, _ = first_places(cosines[np.arange(len(own)), own], np.take_along_axis(cosines, others, 1))
        return torch.tensor(hits.mean(), dtype=torch.float64)


class CompositionalAccuracy(Metric):
    """How often an image shows both attributes of the pair that it was asked for: the mean over pairs of the rate.

    Higher is better. The rates are those of the judge, which `t2ibench.metrics.compositional_accuracy` also corrects by
    the judge's errors on real images: between epochs the two move together, but they are not equal.

    judge: from images to the probability of each literal, [B, L].
    literals: their names, "attribute=value", in the order of these columns. An image shows the likeliest value of each
        attribute.
    pairs: the pairs of literals that are asked for.
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False
    hits: Tensor
    asked: Tensor

    def __init__(
        self,
        judge: Features | None = None,
        *,
        literals: Sequence[str],
        pairs: Sequence[tuple[str, str]],
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.judge, self.literals, self.pairs = _module(judge), list(literals), [tuple(pair) for pair in pairs]
        for literal in {literal for pair in self.pairs for literal in pair}:
            if literal not in self.literals:
                raise ValueError(f"the judge knows no {literal!r}, expected one of {', '.join(self.literals)}")
        for state in ("hits", "asked"):
            self.add_state(state, torch.zeros(len(self.pairs), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, images: Tensor, asked: Sequence[tuple[str, str]]) -> None:
        """Add images. images: for the judge, or probabilities [B, L]. asked: the pair of each, one of `pairs`."""
        probabilities = _features(self.judge, images)
        if probabilities.shape[1] != len(self.literals) or len(asked) != len(probabilities):
            raise ValueError(
                f"probabilities are {list(probabilities.shape)}, expected [{len(asked)}, {len(self.literals)}]: a row "
                f"an image that was asked for, a column a literal"
            )
        shown = self._shown(probabilities)
        for row, pair in enumerate(asked):
            if tuple(pair) not in self.pairs:
                raise ValueError(f"{pair} is none of the pairs: name it in `pairs`")
            place = self.pairs.index(tuple(pair))
            self.asked[place] += 1
            self.hits[place] += bool(shown[row, [self.literals.index(literal) for literal in pair]].all())

    def _shown(self, probabilities: Tensor) -> Tensor:
        """Whether each literal is the likeliest of its attribute, bool [B, L]."""
        shown = torch.zeros(probabilities.shape, dtype=torch.bool)
        for name in dict.fromkeys(literal.partition("=")[0] for literal in self.literals):
            columns = [k for k, literal in enumerate(self.literals) if literal.partition("=")[0] == name]
            best = probabilities[:, columns].argmax(1).cpu()
            shown[torch.arange(len(shown)), torch.tensor(columns)[best]] = True
        return shown

    def compute(self) -> Tensor:
        """A float64 scalar in [0, 1]. Raises ValueError where a pair has no image."""
        if (self.asked == 0).any():
            pair = self.pairs[int((self.asked == 0).nonzero()[0])]
            raise ValueError(f"no image was asked for {' and '.join(pair)}: every pair needs some")
        return (self.hits.double() / self.asked).mean().cpu()


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
