"""Training of the style encoder S: it recovers the noise of generated images, || z - S(G(z, phi(t))) ||^2 (paper, section 4.4).

The paper gives this loss and nothing more; the network, Adam and the evaluation-mode generator are our choices.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from t2ibench.data import Split
from t2ibench.methods.gan_cls.embeddings import embed_captions, rectangular
from t2ibench.methods.gan_cls.networks import Generator, ImageEncoder
from t2ibench.methods.gan_cls.recipe_text import seeded
from t2ibench.methods.gan_cls.settings import StyleSettings, card_facts
from t2ibench.methods.gan_cls.text_encoder import TextEncoder
from t2ibench.seeds import derive_seed, latents, uniform
from t2ibench.training import warmup_cosine


class StyleRecipe:
    """One step: `batch` fresh noises, a caption each, their images, and the squared error of the noise read off them."""

    def __init__(
        self,
        settings: StyleSettings,
        train: Split,
        val: Split,
        encoder: TextEncoder,
        generator: Generator,
        device: torch.device,
        seed: int,
    ) -> None:
        self.config, self.generator, self.device, self.seed = settings, generator.to(device).eval(), device, seed
        self.nz = generator.shape.nz
        self.settings: Mapping[str, Any] = {**dataclasses.asdict(settings), "seed": seed, "data": train.digest}
        self.facts = card_facts(train, val, seed, [settings.generator])
        self.embeddings = embed_captions(encoder, train)  # [N, K, T]
        self.held_out = encoder.embed([captions[0] for captions in rectangular(val.captions)])
        with seeded(derive_seed(seed, "init")):
            self.network = ImageEncoder(settings.width, self.nz)
        self.network.to(device).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.network.parameters(), settings.learning_rate, (settings.beta1, 0.999))

    def step(self, index: int, progress: float) -> dict[str, float]:
        if self.config.schedule == "progress":
            self.optimiser.param_groups[0]["lr"] = self.config.learning_rate * warmup_cosine(progress)
        seed = derive_seed(self.seed, "step", index)
        images, captions = self.embeddings.shape[:2]
        picks = torch.from_numpy((uniform(seed, self.config.batch) * images * captions).astype(int))
        text = self.embeddings.flatten(0, 1)[picks].to(self.device)
        z = latents([derive_seed(seed, "noise")], len(text), self.nz)[0].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            with torch.no_grad():
                images_made = self.generator(z, text)
            recovered = self.network(images_made)
        loss = style_loss(z, recovered.float())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"style": loss.item(), "per_dimension": loss.item() / self.nz}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return dict(self.network.state_dict()), {"width": self.config.width, "nz": self.nz, "generator": self.config.generator}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Squared error a dimension on held-out captions and fresh noise; to say nothing (S = 0) gives 1."""
        z = latents([derive_seed(self.seed, "validate")], len(self.held_out), self.nz)[0]
        network = self.network.eval()
        parts = zip(z.split(64), self.held_out.split(64), strict=True)
        recovered = torch.cat([network(self.generator(a.to(self.device), b.to(self.device))).cpu() for a, b in parts])
        network.train()
        return {"mse_per_dimension": style_loss(z, recovered).item() / self.nz, "images": len(z)}


def style_loss(z: Tensor, recovered: Tensor) -> Tensor:
    """Squared distance, summed over the dimensions and averaged over the batch; both [B, nz]."""
    return (z - recovered).square().sum(dim=1).mean()
