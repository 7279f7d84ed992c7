"""How a mapper is trained for one text (sec. 5): on codes of the generator's own, none of which is a source of any sample.

L = lambda_CLIP mean Loss_CLIP(G(v'), t) + lambda_L2 mean (v' - v)^2 + lambda_ID mean L_ID(G(v'), G(v)) with v' = v + residual M_t(v).
Left out of the released training: keeping the best of several validations.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from t2ibench.backbones.clip.distance import ClipDistance
from t2ibench.backbones.stylegan2 import Generator
from t2ibench.methods.styleclip.identity import Features, identity_loss
from t2ibench.methods.styleclip.mapper_network import LEVELS, MapperNetwork
from t2ibench.methods.styleclip.ranger import Ranger
from t2ibench.methods.styleclip.settings import Config
from t2ibench.seeds import derive_seed, latents
from t2ibench.training import batch_rows, warmup_cosine

HELD_OUT = 16  # codes behind the numbers of a card
SHAPES = ("afro", "angry", "bob", "bowl", "curly", "mohawk", "surprised")  # of the paper's texts, those without the fine level


class MapperRecipe:
    """Trains one mapper; a `training.Recipe`. `weights` are the hashes of the generator and of CLIP."""

    def __init__(
        self,
        config: Config,
        prompt: str,
        generator: Generator,
        distance: ClipDistance,
        identity: Features | None,
        weights: Mapping[str, str],
    ) -> None:
        self.config, self.prompt, self.generator, self.distance, self.identity = config, prompt, generator, distance, identity
        self.text = distance.text_features([prompt])  # [1, D]
        self.device, self.seconds = self.text.device, 0.0
        self.network = new_network(config, generator, levels_of(prompt, config.levels)).to(self.device)
        parameters, rate = self.network.parameters(), config.mapper_learning_rate
        ranger = config.mapper_optimiser == "ranger"
        self.optimizer: torch.optim.Optimizer = Ranger(parameters, rate) if ranger else torch.optim.Adam(parameters, rate)
        self.settings = settings_of(config, prompt, weights)

    @property
    def facts(self) -> dict[str, Any]:
        """Of the card."""
        config = self.config
        data = {"generator": config.generator, "codes": config.mapper_codes, "truncation_psi": config.truncation_psi}
        return {"data": data, "optimised_for": config.clip, "training_seconds": round(self.seconds, 3)}

    def step(self, index: int, progress: float) -> dict[str, float]:
        started, config = time.perf_counter(), self.config
        rate = warmup_cosine(progress) if config.mapper_schedule == "cosine" else 1.0
        self.optimizer.param_groups[0]["lr"] = config.mapper_learning_rate * rate
        v = self.codes("train", batch_rows(derive_seed("styleclip", "order"), index, config.mapper_codes, config.mapper_batch))
        moved = self.network(v)
        images = self.render(v + config.residual * moved)
        losses = {"clip": self.distance(images, self.text).mean(), "l2": self.l2_term(moved)}
        loss = config.mapper_clip * losses["clip"] + config.mapper_l2 * losses["l2"]
        if self.identity is not None:
            with torch.no_grad():
                source = self.identity(self.render(v))
            losses["id"] = identity_loss(self.identity(images), source).mean()
            loss = loss + config.mapper_id * losses["id"]
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {index} of the mapper for {self.prompt!r}: lower mapper_learning_rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.seconds += time.perf_counter() - started
        return {"loss": float(loss.detach()), **{key: float(value.detach()) for key, value in losses.items()}}

    @torch.no_grad()
    def codes(self, purpose: str, rows: Iterable[int]) -> Tensor:
        """Codes v of z's of their own stream, [B, L, w_dim] or [B, C]; `purpose` is "train" or "held out"."""
        seeds = [derive_seed("styleclip", "mapper codes", purpose, int(row)) for row in rows]
        w = self.generator.mapping(latents(seeds, self.generator.config.z_dim).to(self.device))
        w_plus = self.generator.truncate(w, self.config.truncation_psi)
        return self.generator.style(w_plus) if self.config.mapper == "style" else w_plus

    def render(self, v: Tensor) -> Tensor:
        return self.generator.synthesis(v if self.config.mapper == "style" else self.generator.style(v))

    def l2_term(self, moved: Tensor) -> Tensor:
        """mean (v' - v)^2, in S the sum of the layers' means ("reference"); or |M_t(v)| ("paper", eq. 4)."""
        if self.config.l2 == "paper":
            return torch.linalg.vector_norm(moved.flatten(1), dim=1).mean()
        step = (self.config.residual * moved).square()
        if self.config.mapper != "style":
            return step.mean()
        return torch.stack([step[:, layer.start : layer.stop].mean() for layer in self.generator.layers]).sum()

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "seconds": self.seconds}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seconds = state["seconds"]

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.network.state_dict(), {"prompt": self.prompt}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Cosine of held-out images with the text before and after the edit, under the CLIP that was optimised."""
        v = self.codes("held out", range(HELD_OUT))
        moved = v + self.config.residual * self.network(v)
        before, after = (1 - float(self.distance(self.render(codes), self.text).mean()) for codes in (v, moved))
        return {"n": HELD_OUT, "cosine_before": round(before, 4), "cosine_after": round(after, 4)}


def settings_of(config: Config, prompt: str, weights: Mapping[str, str]) -> dict[str, Any]:
    """All that decides a mapper: its settings, the text, and the hashes of the networks that it is trained with."""
    names = ("clip_input", "l2", "residual", "pixelnorm_axis", "truncation_psi", "levels")
    own = {key: value for key, value in vars(config).items() if key in names or key.startswith("mapper")}
    return {**own, "identity": config.identity if config.mapper_id else "", "prompt": prompt, **weights}


def levels_of(prompt: str, levels: str) -> tuple[str, ...]:
    """The levels that may move: all; coarse and medium; or (`reference`) these two for the shapes of the paper's texts, else all."""
    shape = any(word.startswith(SHAPES) for word in prompt.lower().replace("-", " ").split())
    return tuple(LEVELS)[:2] if levels == "coarse+medium" or (levels == "reference" and shape) else tuple(LEVELS)


def new_network(config: Config, generator: Generator, levels: tuple[str, ...]) -> MapperNetwork:
    """An untrained mapper, the same for every text."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("styleclip", "mapper"))
        return MapperNetwork(generator.config, config.mapper, levels, config.pixelnorm_axis)
