"""Latent optimisation (sec. 4): gradient descent on the code of one image, in W+ or in S.

L(v) = Loss_CLIP(G(v), t) + lambda_L2 |v - v0|^2 + lambda_ID L_ID(G(v), G(v0)). The square is summed over all entries of
the code. The result is the code after the last step, whose learning rate is nearly 0; the released script returns the
image before that step.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.identity import Features, identity_features, identity_loss
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.stylegan2 import Generator

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps in which the learning rate rises and falls


class Optimization:
    """Edits codes by descent, always `batch` at a time, so that the same kernels run for any number of codes."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for rows that the generator does not have."""
        self.config, self.models, self.cost = config, models, dict[str, float]()
        self.generator: Generator = models.stylegan2(config.generator)
        self.clip = models.clip(config.clip)
        self.distance = ClipDistance(self.clip, config.clip_input)
        self.free = self._free().to(models.device)

    @cached_property
    def identity(self) -> Features:
        """Features of L_ID, made when first used: without lambda_ID, ArcFace's weights are not needed."""
        return identity_features(self.config.identity, self.clip, self.models)[0]

    def edited(self, w_plus: Tensor, neutral: Sequence[str], target: Sequence[str]) -> Tensor:
        """Styles [B, C] of w_plus [B, L, w_dim] after descent towards the target texts. Neutral texts have no effect.

        Raises FloatingPointError, which names step and text, if a loss is not finite.
        """
        texts, size = self.distance.text_features(target), self.config.batch
        if self.config.start == "mean":
            w_plus = self.generator.mapping.w_avg.expand_as(w_plus)
        v0 = self.generator.style(w_plus).detach() if self.config.latent == "s" else w_plus
        edited = []
        for first in range(0, len(v0), size):
            rows = [min(row, len(v0) - 1) for row in range(first, first + size)]  # the last one fills up the pass
            edited.append(self.descend(v0[rows], texts[rows], [target[row] for row in rows])[: len(v0) - first])
        with torch.no_grad():
            return in_passes(self.styles, torch.cat(edited))

    def styles(self, v: Tensor) -> Tensor:
        """Styles [B, C] of codes, whichever space they are in."""
        return v if self.config.latent == "s" else self.generator.style(v)

    @torch.enable_grad()
    def descend(self, v0: Tensor, text_features: Tensor, names: Sequence[str]) -> Tensor:
        """The codes after all steps, of the shape of v0.

        v0: the codes to start from, [B, L, w_dim] or [B, C].
        text_features: [B, D].
        names: the texts, for the error line.
        """
        config, v = self.config, v0.clone().requires_grad_()
        adam = torch.optim.Adam([v], lr=config.learning_rate)
        free_start = config.start == "mean"  # without a source there is nothing to stay near to
        lambda_l2, lambda_id = (0.0, 0.0) if free_start else (config.lambda_l2, config.lambda_id)
        with torch.no_grad():
            source = self.identity(self.generator.synthesis(self.styles(v0))) if lambda_id else None
        reached = torch.zeros(len(v0), dtype=torch.bool, device=v0.device)
        for step in range(config.steps):
            images = self.generator.synthesis(self.styles(v))
            distance = self.distance(images, text_features)
            loss = distance + lambda_l2 * l2_term(v, v0, config.l2)
            if source is not None:
                loss = loss + lambda_id * identity_loss(self.identity(images), source)
            if not torch.isfinite(loss).all():
                row = int((~torch.isfinite(loss)).nonzero()[0])
                raise FloatingPointError(
                    f"the loss is {loss[row].item()} at step {step} of {names[row]!r}: lower learning_rate"
                )
            if config.stop_at is not None:
                reached |= 1 - distance.detach() >= config.stop_at
                if reached.all():
                    break
            [gradient] = torch.autograd.grad(loss.sum(), v)
            v.grad, before = gradient * self.free, v.detach().clone()
            adam.param_groups[0]["lr"] = config.learning_rate * schedule(step / config.steps)
            adam.step()
            with torch.no_grad():
                stay = reached.view(-1, *[1] * (v.dim() - 1))
                v.copy_(torch.where(stay, before, v))
        return v.detach()

    def _free(self) -> Tensor:
        """1 for each row or channel that may change, else 0: [L, 1] in W+, [C] in S. Styles of toRGB never change."""
        last = self.generator.config.rows - 1
        rows = self.config.rows or range(last + 1)
        if not all(0 <= row <= last for row in rows):
            raise UserError(f"styleclip: rows are {list(rows)}, expected rows of W+ from 0 to {last}")
        if self.config.latent == "s":
            return torch.cat(
                [torch.full([x.channels], float(x.row in rows and not x.is_rgb)) for x in self.generator.layers]
            )
        return torch.tensor([[float(row in rows)] for row in range(last + 1)])


def l2_term(v: Tensor, v0: Tensor, kind: str) -> Tensor:
    """The L2 term [B]. kind: |v - v0|^2, summed over each code ("reference"), or |v - v0| ("paper", eq. 1)."""
    squared = (v - v0).square().flatten(1).sum(1)
    if kind == "reference":
        return squared
    return torch.linalg.vector_norm((v - v0).flatten(1), dim=1)


def schedule(progress: float) -> float:
    """The share of the learning rate at `progress` in [0, 1).

    It rises from 0 over the first 5 % of the steps, and falls as a cosine over the last 25 %.
    """
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / RAMP_DOWN))
    return down * min(1.0, progress / RAMP_UP)
