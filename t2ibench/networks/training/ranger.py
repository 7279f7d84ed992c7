"""Ranger, the optimiser of the latent mapper. It combines three methods.

RAdam (Liu et al., ICLR 2020) is PyTorch's, which has the same threshold of 5 on the variance as Ranger. Gradients are
centred to zero mean (Yong et al., ECCV 2020). Lookahead (Zhang et al., NeurIPS 2019) keeps slow weights.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

BETAS, EPS, EVERY, SHARE = (0.95, 0.999), 1e-5, 6, 0.5  # of the released code


class Ranger(torch.optim.RAdam):
    """Every `EVERY` steps the slow weights move by `SHARE` towards the fast ones, which then continue from there."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, lr=lr, betas=BETAS, eps=EPS)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; a closure is not supported."""
        moving = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        slow = [self.state[p]["slow"] if "slow" in self.state[p] else p.clone() for p in moving]
        for p in moving:
            if p.grad.dim() > 1:
                p.grad -= p.grad.mean(dim=tuple(range(1, p.grad.dim())), keepdim=True)
        super().step()
        for p, behind in zip(moving, slow, strict=True):
            if int(self.state[p]["step"]) % EVERY == 0:
                p.copy_(behind.lerp_(p, SHARE))
            self.state[p]["slow"] = behind
