"""What the three trainings of Composer share: AdamW with a warm-up, clipped gradients, and averaged weights.

The averaged weights are those that are shipped.
"""

import copy
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from t2ibench.data.split import Split
from t2ibench.methods.composer.settings import Optimisation
from t2ibench.networks.schedule import half
from t2ibench.networks.state import resume

Network = TypeVar("Network", bound=nn.Module)


class Learner(Generic[Network]):
    """One network being trained."""

    def __init__(self, model: Network, config: Optimisation) -> None:
        from diffusers.training_utils import EMAModel

        self.model, self.config = model, config
        self.ema = EMAModel(model.parameters(), decay=config.ema)
        self.optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0.0)

    def step(self, index: int, seed: int, loss: Callable[[], Tensor], rate: float = 1.0) -> dict[str, float]:
        """One step down the gradient of a loss; returns the loss and the norm of the gradient.

        index: number of the step, for the warm-up.
        seed: decides the dropout in the loss.
        rate: a factor on the learning rate, beside that of the warm-up.
        """
        device = next(self.model.parameters()).device
        self.optimiser.param_groups[0]["lr"] = (
            rate * self.config.learning_rate * min(1.0, (index + 1) / max(self.config.warmup, 1))
        )
        self.model.train()
        with (
            torch.random.fork_rng(devices=[]),
            half(device, self.config.precision == "bfloat16"),
        ):
            torch.manual_seed(seed)
            value = loss()
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.ema.step(self.model.parameters())
        return {"loss": value.item(), "gradient": norm.item()}

    def averaged(self) -> Network:
        """The network that is sampled and shipped: averaged weights, evaluation mode."""
        model = copy.deepcopy(self.model)
        self.ema.copy_to(model.parameters())
        return model.eval().requires_grad_(False)

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in ("model", "ema", "optimiser")}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"model": self.model, "ema": self.ema, "optimiser": self.optimiser}, state)
        self.ema.to(next(self.model.parameters()).device)  # a checkpoint is read on the CPU


def card_facts(train: Split, val: Split, digest: str, seed: int) -> dict[str, Any]:
    """What a card says about the data. No part of Composer is optimised for a judge."""
    data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": digest}
    return {"data": data, "seed": seed, "optimised_for": None}
