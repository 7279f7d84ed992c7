"""Training of a mapper for one text, on random codes of the generator, none of which is the source of a sample, or on
the latents of a file.

    L = lambda_clip sum_m mean Loss_CLIP,m(G(v'), t) + lambda_l2 mean (v' - v)^2 + lambda_id mean L_ID(G(v'), G(v))
        + lambda_norm mean (|E(G(v'))| - |E(G(v))|)^2,    v' = v + residual M_t(v)

The last term is StyleGAN-NADA's; E are embeddings of the first CLIP before they are brought to unit norm. Not done
here: the released training validates several times and keeps the best network.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, latents
from t2ibench.networks.clip.distance import ClipDistance
from t2ibench.networks.identity import Features, identity_loss
from t2ibench.networks.latent_mapper import LEVELS, Axis, Kind, MapperNetwork
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, warmup_cosine
from t2ibench.networks.state import resume
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.training.ranger import Ranger

HELD_OUT = 16  # codes behind the numbers of a card


@dataclass(frozen=True)
class Settings:
    """What a method decides about its mappers.

    stream: name of the sequence of random numbers; each method has its own.
    """

    stream: str
    truncation_psi: float
    kind: Kind = "levels"
    levels: tuple[str, ...] = tuple(LEVELS)
    axis: Axis = "rows"
    residual: float = 0.1
    codes: int = 5000
    batch: int = 4
    optimiser: Literal["ranger", "adam"] = "adam"
    learning_rate: float = 0.5
    schedule: Literal["constant", "cosine"] = "cosine"
    l2: Literal["reference", "paper"] = "reference"
    lambda_clip: float = 1.0
    lambda_l2: float = 0.8
    lambda_id: float = 0.1
    lambda_norm: float = 0.0


class MapperRecipe:
    """Trains one mapper; a `loop.Recipe`.

    config: the settings of the method.
    prompt: the text.
    distances: one for each CLIP that guides the training.
    identity: the features behind L_ID; None leaves the term out.
    recorded: everything that decides the training; it goes into the card and the name of the cached file.
    data: what the card says about the codes.
    latents: w_plus [N, L, w_dim] to train on; None: random codes. Held-out codes are random in either case.
    """

    def __init__(
        self,
        config: Settings,
        prompt: str,
        generator: Generator,
        distances: Sequence[ClipDistance],
        identity: Features | None,
        recorded: Mapping[str, Any],
        data: Mapping[str, Any],
        latents: Tensor | None = None,
    ) -> None:
        self.config, self.prompt, self.generator, self.distances = config, prompt, generator, list(distances)
        self.identity, self.settings, self.data = identity, recorded, data
        self.latents, self.count = latents, config.codes if latents is None else len(latents)
        self.texts = [distance.text_features([prompt]) for distance in distances]  # [1, D] each
        self.device, self.seconds = self.texts[0].device, 0.0
        self.network = new_network(config, generator).to(self.device)
        parameters, rate = self.network.parameters(), config.learning_rate
        self.optimizer: torch.optim.Optimizer = (
            Ranger(parameters, rate) if config.optimiser == "ranger" else torch.optim.Adam(parameters, rate)
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the card."""
        clips = [distance.clip.name for distance in self.distances]
        optimised_for = clips[0] if len(clips) == 1 else clips
        return {"data": dict(self.data), "optimised_for": optimised_for, "training_seconds": round(self.seconds, 3)}

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.generator, self.generator, "synthesis")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        started, config = time.perf_counter(), self.config
        self.optimizer.param_groups[0]["lr"] = config.learning_rate * (
            warmup_cosine(progress) if config.schedule == "cosine" else 1.0
        )
        v = self.codes("train", batch_rows(derive_seed(config.stream, "order"), index, self.count, config.batch))
        moved = self.network(v)
        images = self.render(v + config.residual * moved)
        losses = {"clip": self.distance(images), "l2": self.l2_term(moved)}
        if self.identity is not None or config.lambda_norm:
            with torch.no_grad():
                before = self.render(v)
        if self.identity is not None:
            with torch.no_grad():
                source = self.identity(before)
            losses["id"] = identity_loss(self.identity(images), source).mean()
        if config.lambda_norm:
            losses["norm"] = norm_loss(self.distances[0], images, before)
        weights = {
            "clip": config.lambda_clip,
            "l2": config.lambda_l2,
            "id": config.lambda_id,
            "norm": config.lambda_norm,
        }
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {index} of the mapper for {self.prompt!r}: lower its learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.seconds += time.perf_counter() - started
        return {"loss": float(loss.detach()), **{key: float(value.detach()) for key, value in losses.items()}}

    def distance(self, images: Tensor) -> Tensor:
        """Mean of 1 - cos(image, text), summed over the CLIPs."""
        return torch.stack([of(images, text).mean() for of, text in zip(self.distances, self.texts, strict=True)]).sum()

    @torch.no_grad()
    def codes(self, purpose: str, rows: Iterable[int]) -> Tensor:
        """Codes v, [B, L, w_dim] or [B, C]. purpose: "train" or "held out"; their codes differ."""
        if purpose == "train" and self.latents is not None:
            w_plus = self.latents[torch.tensor([int(row) for row in rows], device=self.latents.device)]
            return self.generator.style(w_plus) if self.config.kind == "style" else w_plus
        seeds = [derive_seed(self.config.stream, "mapper codes", purpose, int(row)) for row in rows]
        w = self.generator.mapping(latents(seeds, self.generator.config.z_dim).to(self.device))
        w_plus = self.generator.truncate(w, self.config.truncation_psi)
        return self.generator.style(w_plus) if self.config.kind == "style" else w_plus

    def render(self, v: Tensor) -> Tensor:
        return self.generator.synthesis(v if self.config.kind == "style" else self.generator.style(v))

    def l2_term(self, moved: Tensor) -> Tensor:
        """mean (v' - v)^2, in S the sum of the layers' means ("reference"); or |M_t(v)| ("paper", eq. 4)."""
        if self.config.l2 == "paper":
            return torch.linalg.vector_norm(moved.flatten(1), dim=1).mean()
        step = (self.config.residual * moved).square()
        if self.config.kind != "style":
            return step.mean()
        return torch.stack([step[:, layer.start : layer.stop].mean() for layer in self.generator.layers]).sum()

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "seconds": self.seconds}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"network": self.network, "optimizer": self.optimizer}, state)
        self.seconds = state["seconds"]

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.network.state_dict(), {"prompt": self.prompt}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Cosine of held-out images with the text before and after the edit: the mean over the CLIPs that guided."""
        v = self.codes("held out", range(HELD_OUT))
        moved = v + self.config.residual * self.network(v)
        before, after = (1 - float(self.distance(self.render(codes))) / len(self.distances) for codes in (v, moved))
        return {"n": HELD_OUT, "cosine_before": round(before, 4), "cosine_after": round(after, 4)}


def norm_loss(distance: ClipDistance, images: Tensor, before: Tensor) -> Tensor:
    """Mean squared difference of the lengths of two images' embeddings; 0 for equal images.

    No gradient flows to `before`.
    """
    with torch.no_grad():
        wanted = torch.linalg.vector_norm(distance.embeddings(before), dim=1)
    return (torch.linalg.vector_norm(distance.embeddings(images), dim=1) - wanted).square().mean()


def new_network(config: Settings, generator: Generator) -> MapperNetwork:
    """An untrained mapper, the same for every text."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.stream, "mapper"))
        return MapperNetwork(generator.config, config.kind, config.levels, config.axis)
