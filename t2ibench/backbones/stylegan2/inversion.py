"""From an image back to W+: an encoder in one pass, and a projector that improves its answer by gradient descent.

The encoder gives an offset from the mean w for each row, and learns from real images (to draw them again) and from generated ones, whose
rows are known. Rows that stray from one another leave the part of W+ where edits work, so they are held together (Tov et al., TOG 2021).
Alike means: in pixels, and in the features of the guide CLIP at every scale.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.backbones.clip import Clip
from t2ibench.backbones.clip.pyramid import pyramid
from t2ibench.backbones.stylegan2.discriminator import Block, Convolution
from t2ibench.backbones.stylegan2.layout import Config
from t2ibench.backbones.stylegan2.network import GAIN, SLOPE, Generator, Linear
from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.seeds import derive_seed
from t2ibench.data.split import Split
from t2ibench.models import GUIDE_CLIP, Models
from t2ibench.training import batch_rows, warmup_cosine


class Encoder(nn.Module):
    """Offsets from the mean w of each row, [B, L, w_dim], of floats in [-1, 1], [B, 3, H, H]."""

    def __init__(self, config: Config, channels: int = 128, hidden: int = 256) -> None:
        super().__init__()
        sizes = config.resolutions[::-1]
        widths = [min(channels, 2048 // size) for size in sizes]
        self.from_rgb = Convolution(3, widths[0], 1)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        self.hidden, self.out = Linear(widths[-1] * 16, hidden), Linear(hidden, config.rows * config.w_dim)
        self.rows = config.rows

    def forward(self, images: Tensor) -> Tensor:
        x = self.from_rgb(images)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(self.hidden(x.flatten(1)), SLOPE) * GAIN
        return cast(Tensor, self.out(x).view(len(images), self.rows, -1))


@dataclass(frozen=True)
class Settings:
    generator: str = ""  # weights of the zoo; "" takes stylegan2-<data set>
    clip: str = GUIDE_CLIP
    batch: int = 16  # real images, and as many generated ones
    learning_rate: float = 2e-3
    pixels: float = 1.0  # weight of the mean squared difference
    features: float = 0.5  # weight of the guide's features
    rows: float = 0.5  # weight of the squared error of known rows, in units of w's variance
    together: float = 0.02  # weight of the rows' variance around their mean
    bfloat16: bool = True


class EncoderRecipe:
    """Trains an encoder for a frozen generator; a `training.Recipe`."""

    def __init__(self, settings: Settings, train: Split, val: Split, models: Models, seed: int) -> None:
        self.config, self.train, self.val, self.device = settings, train, val, models.device
        self.seed = derive_seed(seed, "stylegan2 encoder")
        name = settings.generator or f"stylegan2-{train.dataset}"
        self.generator, self.clip = models.stylegan2(name), models.clip(settings.clip)
        size, expected = train.images.read([0]).shape[-1], self.generator.config.resolution
        if size != expected:
            raise UserError(f"{train.dataset} {train.name} has images of {size} pixels, {name} makes {expected}: use another generator")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            self.encoder = Encoder(self.generator.config).to(self.device)
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), settings.learning_rate, betas=(0.9, 0.99))
        self.variance = w_variance(self.generator)
        self.settings: Mapping[str, Any] = {
            **asdict(settings),
            "generator": models.used[name]["sha256"],
            "seed": seed,
            "train": train.digest,
        }
        data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest}
        self.facts = {"data": data, "seed": seed, "optimised_for": [settings.clip], "generator": name}

    def step(self, index: int, progress: float) -> dict[str, float]:
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "step", index))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * warmup_cosine(progress)
        rows = batch_rows(self.seed, index, len(self.train), self.config.batch)
        real = to_float(torch.from_numpy(self.train.images.read(rows))).to(self.device)
        with torch.no_grad():
            known = self._known(len(real), stream)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            with torch.no_grad():
                images = torch.cat([real, self.generator.synthesis(self.generator.style(known)).clamp(-1, 1)])
            w_plus = encode(self.encoder, self.generator, images)
            drawn = self.generator.synthesis(self.generator.style(w_plus))
            pixels, features = differences(self.clip, drawn, images)
        row_error = (w_plus[len(real) :].float() - known).square().mean() / self.variance
        apart = w_plus.float().var(dim=1, unbiased=False).mean() / self.variance
        parts = {"pixels": pixels.mean(), "features": features.mean(), "rows": row_error, "together": apart}
        loss = torch.stack([getattr(self.config, name) * value for name, value in parts.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {name: value.item() for name, value in parts.items()}

    def _known(self, count: int, stream: torch.Generator) -> Tensor:
        """Rows of random latents, drawn a little towards the mean."""
        z = torch.randn(count, self.generator.config.z_dim, generator=stream).to(self.device)
        return self.generator.truncate(self.generator.mapping(z), 0.8)

    def state(self) -> dict[str, Any]:
        return {"encoder": self.encoder.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.optimiser.load_state_dict(state["optimiser"])

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Held-out images, each beside itself drawn again."""
        images = torch.from_numpy(self.val.images.read(np.arange(min(32, len(self.val)))))
        return torch.stack([images, self._again(images)], dim=1).flatten(0, 1)

    def _again(self, images: Tensor) -> Tensor:
        w_plus = encode(self.encoder, self.generator, to_float(images).to(self.device))
        return to_uint8(self.generator.synthesis(self.generator.style(w_plus))).cpu()

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.encoder.state_dict(), asdict(self.generator.config)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Held-out images drawn again: mean absolute difference in grey levels, and that of an image and another one."""
        count = min(1000, len(self.val))
        images = torch.from_numpy(self.val.images.read(np.arange(count)))
        again = torch.cat([self._again(part) for part in images.split(64)])

        def apart(a: Tensor, b: Tensor) -> float:
            return float((a.float() - b.float()).abs().mean())

        return {"images": count, "difference": apart(again, images), "difference_to_another": apart(images.roll(1, 0), images)}


def encode(encoder: Encoder, generator: Generator, images: Tensor) -> Tensor:
    """w_plus [B, L, w_dim] of floats in [-1, 1]; row i depends on image i alone."""
    return generator.mapping.w_avg + encoder(images).float()


@torch.enable_grad()
def project(
    generator: Generator,
    clip: Clip,
    images: Tensor,
    start: Tensor,
    *,
    steps: int = 200,
    rate: float = 0.1,
    features: float = 0.2,
    hold: float = 1e-3,
) -> Tensor:
    """w_plus [B, L, w_dim] nearer to the images (floats in [-1, 1]) than `start`: Adam on pixels, features and the way from the start.

    Each image's rows depend on that image alone. Raises ValueError where the loss is not finite.
    """
    v = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([v], rate)
    variance = w_variance(generator)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * warmup_cosine(step / steps)
        pixels, feature = differences(clip, generator.synthesis(generator.style(v)), images)
        away = (v - start).square().mean(dim=(1, 2)) / variance
        loss = (pixels + features * feature + hold * away).sum()
        if not torch.isfinite(loss):
            raise ValueError(f"projection: the loss is {loss.item()} at step {step}: lower its rate, {rate:g}")
        [v.grad] = torch.autograd.grad(loss, [v])
        optimiser.step()
    return v.detach()


def differences(clip: Clip, made: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared difference of pixels [B], and of unit-length features over all places and scales of the guide's image tower [B]."""
    pixels = (made.float() - images).square().mean(dim=(1, 2, 3))
    with torch.no_grad():
        wanted = pyramid(clip, images)
    pairs = zip(pyramid(clip, made), wanted, strict=True)
    scales = [(F.normalize(a.float()) - F.normalize(b.float())).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs]
    return pixels, torch.stack(scales).mean(0)


@torch.no_grad()
def w_variance(generator: Generator, count: int = 1000) -> float:
    """The variance of an entry of w, a mean over entries: the unit that distances in W+ are given in."""
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(0)).to(generator.const.device)
    return float(generator.mapping(z).var(dim=0).mean())
