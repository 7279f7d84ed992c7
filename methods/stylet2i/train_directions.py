"""What the trainings of both kinds of direction share: latents, images, the network and its optimiser.

Generator and CLIP stay as they are, and no real image is read. All random numbers of step i come from the seed and i.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.data.split import Split
from t2ibench.methods.stylet2i.directions import DirectionNetwork, Shape
from t2ibench.methods.stylet2i.losses import norm_penalty
from t2ibench.methods.stylet2i.settings import Training
from t2ibench.methods.stylet2i.text import ClipText, TextEncoder, file_vectors, known_words, learned_vectors
from t2ibench.networks.guides import check_domain
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import warmup_cosine
from t2ibench.networks.state import resume
from t2ibench.networks.zoo import trained_name

HELD_OUT = 64  # texts behind the numbers of a card


class DirectionRecipe(ABC):
    """Trains one network of directions; a `loop.Recipe`. texts: all texts of the training; their words become known."""

    def __init__(
        self, config: Training, texts: Iterable[str], train: Split, val: Split, models: Models, seed: int, name: str
    ) -> None:
        self.config, self.train, self.val, self.seed, self.device = (
            config,
            train,
            val,
            derive_seed("stylet2i", name, seed),
            models.device,
        )
        self.generator_name = config.generator or trained_name("stylegan2", train.dataset)
        clip = config.clip or trained_name("clip-guide", train.dataset)
        if not config.clip:
            check_domain(self.generator_name, [clip], f"stylet2i {name}", "clip")
        self.generator, self.clip = models.stylegan2(self.generator_name), models.clip(clip)
        self.generator_hash = models.used[self.generator_name]["sha256"]
        self.name, self.steps = f"stylet2i-{name}", config.steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = self._new_network(known_words(texts)).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.settings: Mapping[str, Any] = {
            **asdict(config),
            "seed": seed,
            "train": train.digest,
            "generator_sha256": self.generator_hash,
            "clip_sha256": self.clip.sha256,
        }
        data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest}
        self.facts: dict[str, Any] = {"data": data, "seed": seed, "optimised_for": clip}

    @abstractmethod
    def losses(self, index: int) -> dict[str, Tensor]:
        """The weighted terms of step `index`."""

    @abstractmethod
    def warm_start(self) -> None:
        """Fit the network to `warm_images` generated images before the first step."""

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.generator, self.generator, "synthesis")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        if index == 0 and self.config.warm_images:
            self.warm_start()
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate * (
            warmup_cosine(progress) if self.config.schedule == "cosine" else 1.0
        )
        terms = self.losses(index)
        loss = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": float(loss.detach()), **{key: float(value.detach()) for key, value in terms.items()}}

    @torch.no_grad()
    def latents(self, purpose: str | int, count: int) -> Tensor:
        """Truncated w [B, w_dim]. purpose: the number of a step, or a name; each purpose has its own z."""
        z = latents([derive_seed(self.seed, "w", purpose, row) for row in range(count)], self.generator.config.z_dim)
        w = self.generator.mapping(z.to(self.device))
        return self.generator.mapping.w_avg.lerp(w, self.config.truncation_psi)

    def render(self, w: Tensor, s: Tensor) -> Tensor:
        """Images of w in every row plus a step s [B, L, w_dim]."""
        return self.generator.synthesis(self.generator.style(w[:, None] + s))

    def image_features(self, images: Tensor) -> Tensor:
        """Unit features [B, D]. As in the released code, colours are not clamped: their gradient leads them back."""
        return self.clip.image_features(images, clamp=False)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return self.clip.encode_texts(texts).to(self.device)

    def length_term(self, s: Tensor) -> dict[str, Tensor]:
        return {"norm": self.config.lambda_norm * norm_penalty(s, self.config.theta)} if self.config.lambda_norm else {}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"network": self.network, "optimizer": self.optimizer}, state)

    @abstractmethod
    def asked(self, count: int) -> list[str]:
        """Held-out texts, for preview and validation."""

    @torch.no_grad()
    def preview(self) -> Tensor:
        """A row of eight images, and a row of the same images after their steps."""
        texts = self.asked(8)
        w = self.latents("preview", len(texts))
        s = self.network(texts, w)
        return to_uint8(torch.cat([self.render(w, 0 * s), self.render(w, s)])).cpu()

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        trained_for = {
            "generator": self.generator_name,
            "generator_sha256": self.generator_hash,
            "truncation_psi": self.config.truncation_psi,
        }
        return self.network.state_dict(), {**self.network.facts(), **trained_for}

    def _new_network(self, known: list[str]) -> DirectionNetwork:
        config, layout = self.config, self.generator.config
        by_clip = config.text == "clip"
        size = self.clip.encode_texts([""]).shape[1] if by_clip else config.text_width
        shape = Shape(
            layout.rows,
            layout.w_dim,
            config.word_size,
            size,
            config.width,
            config.space,
            not config.vectors,
            config.inputs,
            config.text,
        )
        if by_clip:
            return DirectionNetwork(shape, ClipText(self.clip))
        if config.vectors:
            known, vectors = file_vectors(known, Path(config.vectors), config.word_size)
        else:
            vectors = learned_vectors(known, config.word_size)
        return DirectionNetwork(shape, TextEncoder(known, vectors, size, shape.learned_words))
