"""Training of the style encoder S: it recovers the noise of generated images (paper, section 4.4).

The loss is || z - S(G(z, phi(t))) ||^2. The paper gives no more than this. The network, Adam, the generator in
evaluation mode and images of 8 bits are our choices. So is `emphasis`: an image shows some directions of z and hides
others, while in the paper's loss every direction counts the same.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.seeds import derive_seed, latents, uniform
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.embeddings import embed_captions, rectangular
from t2ibench.methods.gan_cls.networks import Generator
from t2ibench.methods.gan_cls.settings import StyleSettings, card_facts
from t2ibench.methods.gan_cls.style_network import WhitenedEncoder, style_encoder
from t2ibench.methods.gan_cls.text_encoder import TextEncoder
from t2ibench.methods.gan_cls.train_text import seeded
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, half, warmup_cosine
from t2ibench.networks.state import resume

PASS = 256  # images drawn at once
PROBES, PROBED = 2, 512  # random changes of each image, and images, for finding the strongest directions
REDRAWN = 500  # held-out images that are drawn again


class StyleRecipe:
    """The training of a style encoder; `t2ibench.networks.training.loop.fit` drives it.

    A step takes the squared error of the noise that S reads off `batch` images, made from fresh noise and captions of
    the data.
    """

    def __init__(
        self,
        settings: StyleSettings,
        train: Split,
        val: Split,
        encoder: TextEncoder,
        generator: Generator,
        generator_sha256: str,
        device: torch.device,
        seed: int,
        cache: Path,
    ) -> None:
        self.config, self.device, self.seed = settings, device, seed
        self.generator = generator.to(device).to(memory_format=torch.channels_last).eval()
        self.nz, self.generator_sha256 = generator.shape.nz, generator_sha256
        self.settings: Mapping[str, Any] = {**dataclasses.asdict(settings), "seed": seed, "data": train.digest}
        self.facts = card_facts(train, val, seed, [settings.generator])
        self.embeddings = embed_captions(encoder, train, cache).flatten(0, 1)  # [N * K, T]
        self.held_out = encoder.embed([captions[0] for captions in rectangular(val.captions)])
        with seeded(derive_seed(seed, "init")):
            self.network = style_encoder(dataclasses.asdict(settings), self.nz)
        if isinstance(self.network, WhitenedEncoder):
            self.network.fit(to_float(self.draw(derive_seed(seed, "fit"), settings.fitted_on)[1]))
        self.network.to(device).to(memory_format=torch.channels_last)
        z, text = self.noise(derive_seed(seed, "directions"), PROBED)
        self.change, self.basis = directions(self.generator, z, text, derive_seed(seed, "probes"))
        self.weights = (self.change / self.change.mean()).pow(settings.emphasis)
        self.weights /= self.weights.mean()
        self.optimiser = torch.optim.Adam(self.network.parameters(), settings.learning_rate, (settings.beta1, 0.999))
        self.pool: tuple[int, Tensor, Tensor] | None = None  # its number, noise and images

    def noise(self, seed: int, count: int) -> tuple[Tensor, Tensor]:
        """Noise [B, nz], and embeddings [B, T] of captions drawn uniformly."""
        picks = torch.from_numpy((uniform(seed, count) * len(self.embeddings)).astype(int))
        z = latents([derive_seed(seed, "noise")], count, self.nz)[0]
        return z.to(self.device), self.embeddings[picks].to(self.device)

    def draw(self, seed: int, count: int) -> tuple[Tensor, Tensor]:
        """Noise [B, nz] and the images it makes with captions, uint8 [B, 3, 64, 64]."""
        z, text = self.noise(seed, count)
        with half(self.device, self.config.precision == "bfloat16"):
            return z, self.images(z, text)

    @torch.no_grad()
    def images(self, z: Tensor, text: Tensor) -> Tensor:
        """G(z, text) as it would be saved: uint8 [B, 3, 64, 64]."""
        return torch.cat([to_uint8(self.generator(a, b)) for a, b in zip(z.split(PASS), text.split(PASS), strict=True)])

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Noise and images of step `index`.

        With a pool, each of its images is read `reuse` times before the next pool is drawn.
        """
        config = self.config
        if not config.pool:
            return self.draw(derive_seed(self.seed, "step", index), config.batch)
        number, step = divmod(index, max(1, config.pool * config.reuse // config.batch))
        if self.pool is None or self.pool[0] != number:
            self.pool = (number, *self.draw(derive_seed(self.seed, "pool", number), config.pool))
        rows = torch.from_numpy(batch_rows(derive_seed(self.seed, "rows", number), step, config.pool, config.batch))
        return self.pool[1][rows], self.pool[2][rows]

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.network, self.network, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        if self.config.schedule == "progress":
            self.optimiser.param_groups[0]["lr"] = self.config.learning_rate * warmup_cosine(progress)
        z, images = self.batch(index)
        # bfloat16 would round the faint components of the whitened encoder away
        bfloat16 = self.config.precision == "bfloat16" and self.config.network == "trunk"
        with half(self.device, bfloat16):
            recovered = self.network(to_float(images))
        error = ((z - recovered.float()) @ self.basis).square().mean(0)  # [nz], strongest direction first
        self.optimiser.zero_grad()
        (error * self.weights).sum().backward()
        self.optimiser.step()
        return {
            "per_dimension": error.mean().item(),
            "strongest": error[0].item(),
            "strongest_8": error[:8].mean().item(),
        }

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"network": self.network, "optimiser": self.optimiser}, state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        names = ("generator", "network", "width", "components", "blocks")
        config = {name: getattr(self.config, name) for name in names}
        return dict(self.network.state_dict()), {**config, "nz": self.nz, "generator_sha256": self.generator_sha256}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Errors of z on held-out captions and fresh noise, and what they change in images.

        The errors are squared; an S that is always 0 has an error of 1. The changes are mean grey levels between images
        of the true noise and of other noises, drawn from the image's own caption and from another image's.
        """
        text = self.held_out.to(self.device)
        z, fresh = (
            latents([derive_seed(self.seed, name)], len(text), self.nz)[0].to(self.device)
            for name in ("validate", "fresh")
        )
        images, network = self.images(z, text), self.network.eval()
        recovered = torch.cat([network(to_float(some)) for some in images.split(PASS)])
        network.train()
        error = ((z - recovered) @ self.basis).square().mean(0)
        numbers: dict[str, Any] = {
            "images": len(z),
            "mse_per_dimension": error.mean().item(),
            "mse_strongest": error[0].item(),
            "mse_strongest_8": error[:8].mean().item(),
            "change_in_strongest_8": (self.change[:8].sum() / self.change.sum()).item(),
        }
        noises = {"recovered": recovered, "no_noise": torch.zeros_like(z), "fresh_noise": fresh}
        for name, other in (("same_caption", text[:REDRAWN]), ("another_caption", text.roll(1, 0)[:REDRAWN])):
            true = self.images(z[: len(other)], other).float()
            redrawn = {key: self.images(noise[: len(other)], other).float() for key, noise in noises.items()}
            numbers[name] = {
                "images": len(other),
                **{key: (images - true).abs().mean().item() for key, images in redrawn.items()},
            }
        return numbers


def directions(generator: Generator, z: Tensor, text: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The directions of z, ordered by how much they change images.

    They are the eigenvectors of E[J^T J], estimated by probes of random signs v.
    z, text: noise [B, nz] and embeddings [B, T] to average over.

    Returns the eigenvalues [nz], descending, and the eigenvectors as columns, [nz, nz].
    """
    gram = z.new_zeros(z.shape[1], z.shape[1], dtype=torch.float64)
    for number, (a, b) in enumerate(zip(z.split(64), text.split(64), strict=True)):
        with torch.enable_grad():
            noise = a.detach().requires_grad_()
            images = generator(noise, b)
        for probe in range(PROBES):
            signs = uniform(derive_seed(seed, number, probe), images.numel()) < 0.5
            v = (2.0 * torch.from_numpy(signs) - 1).view_as(images).to(z)
            [pulled] = torch.autograd.grad(images, noise, v, retain_graph=probe < PROBES - 1)  # J^T v
            gram += pulled.double().T @ pulled.double()
    values, vectors = torch.linalg.eigh(gram / (len(z) * PROBES))
    return values.flip(0).clamp_min(0).float(), vectors.flip(1).float()
