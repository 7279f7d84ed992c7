"""Training of the encoder that finds the code of an image in StyleGAN2's W+."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.ranges import Count, NotNegative, Positive
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed
from t2ibench.data.split import Split
from t2ibench.networks.guides import check_domain
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, half, warmup_cosine
from t2ibench.networks.state import resume
from t2ibench.networks.stylegan2.inversion import Encoder, differences, encode, w_variance
from t2ibench.networks.zoo import trained_name


@dataclass(frozen=True)
class Settings:
    generator: str = ""  # weights of the zoo; "" takes stylegan2-<data set>
    clip: str = ""  # "" takes clip-guide-<data set>
    batch: Count = 16  # real images, and as many generated ones
    learning_rate: Positive = 2e-3
    pixels: NotNegative = 1.0  # weight of the mean squared difference
    features: NotNegative = 0.5  # weight of the guide's features
    rows: NotNegative = 0.5  # weight of the squared error of known rows, in units of w's variance
    together: NotNegative = 0.02  # weight of the rows' variance around their mean
    bfloat16: bool = True


class EncoderRecipe:
    """Trains an encoder for a frozen generator; a `loop.Recipe`."""

    def __init__(self, settings: Settings, train: Split, val: Split, models: Models, seed: int) -> None:
        name = settings.generator or trained_name("stylegan2", train.dataset)
        if not settings.clip:
            settings = replace(settings, clip=trained_name("clip-guide", train.dataset))
            check_domain(name, [settings.clip], "encoder", "clip")
        self.config, self.train, self.val, self.device = settings, train, val, models.device
        self.seed = derive_seed(seed, "stylegan2 encoder")
        self.generator, self.clip = models.stylegan2(name), models.clip(settings.clip)
        size, expected = train.images.read([0]).shape[-1], self.generator.config.resolution
        if size != expected:
            raise UserError(
                f"{train.dataset} {train.name} has images of {size} pixels, {name} makes {expected}: use another "
                f"generator"
            )
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
        self.pixels = Ahead(lambda index: train.images.read(batch_rows(seed, index, len(train), self.config.batch)))
        self.facts = {"data": data, "seed": seed, "optimised_for": [settings.clip], "generator": name}

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.encoder, self.encoder, "forward"), (self.generator, self.generator, "synthesis")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "step", index))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * warmup_cosine(progress)
        real = to_float(torch.from_numpy(self.pixels(index))).to(self.device)
        with torch.no_grad():
            known = self._known(len(real), stream)
        with half(self.device, self.config.bfloat16):
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
        """w_plus of random latents, truncated a little towards the mean."""
        z = torch.randn(count, self.generator.config.z_dim, generator=stream).to(self.device)
        return self.generator.truncate(self.generator.mapping(z), 0.8)

    def state(self) -> dict[str, Any]:
        return {"encoder": self.encoder.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"encoder": self.encoder, "optimiser": self.optimiser}, state)

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Held-out images, each beside its reconstruction."""
        images = torch.from_numpy(self.val.images.read(np.arange(min(32, len(self.val)))))
        return torch.stack([images, self._again(images)], dim=1).flatten(0, 1)

    def _again(self, images: Tensor) -> Tensor:
        w_plus = encode(self.encoder, self.generator, to_float(images).to(self.device))
        return to_uint8(self.generator.synthesis(self.generator.style(w_plus))).cpu()

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.encoder.state_dict(), asdict(self.generator.config)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Reconstruction of held-out images.

        images: how many.
        difference: mean absolute difference of image and reconstruction, in grey levels.
        difference_to_another: the same of two different images.
        """
        count = min(1000, len(self.val))
        images = torch.from_numpy(self.val.images.read(np.arange(count)))
        again = torch.cat([self._again(part) for part in images.split(64)])

        def apart(a: Tensor, b: Tensor) -> float:
            return float((a.float() - b.float()).abs().mean())

        return {
            "images": count,
            "difference": apart(again, images),
            "difference_to_another": apart(images.roll(1, 0), images),
        }
