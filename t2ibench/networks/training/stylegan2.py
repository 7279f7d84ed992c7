"""Training of the zoo's StyleGAN2 with one of three discriminators.

    stylegan2   the paper's own
    small       the one of DCGAN, which takes far less time
    projected   small heads over the frozen guide CLIP, with hinge loss and differentiable augmentation

The first two have a choice of losses. "logistic" is the non-saturating logistic loss with lazy R1, and lazy path-length
regularisation if that has a weight (Karras et al., CVPR 2020). "relativistic" is the same loss of the difference to a
real image, with R1 and R2 (Huang et al., NeurIPS 2024); it keeps kinds of images that the other loses. Discriminator
and generator learn from the same generated images, which saves one of two passes.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.ranges import BelowOne, Count, NotNegative, Positive, Share, Whole, check_ranges
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.core.settings import configure
from t2ibench.data.split import Split
from t2ibench.networks import zoo
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, half
from t2ibench.networks.state import resume
from t2ibench.networks.stylegan2.discriminator import Discriminator, SmallDiscriminator
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import MEAN_DECAY, Generator
from t2ibench.networks.stylegan2.projected import ProjectedDiscriminator, deceive, hinge
from t2ibench.networks.training import encoder
from t2ibench.networks.training.loop import Recipe
from t2ibench.networks.zoo import trained_name
from t2ibench.stats import frechet

PARTS = ("stylegan2", "encoder")
log = logging.getLogger(__name__)
NAMES = {"encoder": "stylegan2-encoder"}  # of the weights, before "-<data set>"


@dataclass(frozen=True)
class Settings:
    """Settings of a training. The default generator fits a laptop: 64 pixels, 0.76 million parameters."""

    discriminator: Literal["small", "stylegan2", "projected"] = "small"
    z_dim: Count = 64
    w_dim: Count = 128
    mapping_layers: Count = 2
    channel_base: Count = 1024
    channel_max: Count = 128
    # whose image tower the projected discriminator looks through; "" takes clip-guide-<data set>, if there is one
    clip: str = ""
    head_width: Count = 64
    shift: NotNegative = 1 / 16  # of the side: how far images are moved before the heads see them
    # colours disturbed too: for small data sets; on flat drawings it hides nearly all that gives a generator away
    colour: bool = False
    batch: Count = 32
    learning_rate: Positive = 2e-3
    small_rate: Positive = 4e-4  # of the small discriminator
    loss: Literal["relativistic", "logistic"] = "relativistic"  # with R1 and R2; "logistic" is the paper's, with R1
    mixing: Share = 0.3  # share of images made of two latents, crossing over at a random row
    ema: BelowOne = 0.998
    r1: NotNegative = 5.0  # gamma of the paper, of R2 too; a penalty every `r1_every` steps, weighed by as many
    r1_every: Count = 4  # the paper has 16
    # at first so many steps of the logistic loss, with the two numbers below for the two above
    logistic_steps: Whole = 0
    logistic_r1: NotNegative = 2.0
    logistic_r1_every: Count = 8
    # ours: deviation of the noise on all images that the discriminator sees, which are in [-1, 1]; without it, flat
    # colours give every generated image of a flat drawing away, and nothing else is learned from it
    instance_noise: NotNegative = 0.0
    path_length: NotNegative = 0.0  # the paper has 2
    path_every: Count = 4
    # ours: the share of the budget after which both learning rates fall in a straight line to 0; 1: they are constant
    decay_from: Share = 1.0
    bfloat16: bool = True  # of convolutions while training, where the processor has it

    def __post_init__(self) -> None:
        check_ranges(self, "stylegan2")
        if self.instance_noise and self.discriminator == "projected":
            raise UserError("stylegan2: the projected discriminator sees no instance_noise: leave it out")


class StyleGAN2Recipe:
    """Trains one generator; a `loop.Recipe`."""

    def __init__(self, settings: Settings, train: Split, val: Split, models: Models, seed: int) -> None:
        if len(train) < settings.batch:
            raise UserError(
                f"{train.dataset} {train.name} has {len(train)} images, a batch is {settings.batch}: lower `batch`"
            )
        height, width = train.images.read([0]).shape[2:]
        if height != width:
            raise UserError(
                f"{train.dataset} {train.name} has images of {width}x{height} pixels, StyleGAN2 makes squares: crop "
                f"them"
            )
        guide = trained_name("clip-guide", train.dataset)
        if not settings.clip and (guide in zoo.available() or settings.discriminator == "projected"):
            settings = replace(settings, clip=guide)
        if not settings.clip:
            log.warning("there is no %s, so the card will hold no distance to real images: name a CLIP as clip", guide)
        self.config, self.train, self.val, self.models, self.device = settings, train, val, models, models.device
        self.pixels = Ahead(lambda index: train.images.read(batch_rows(seed, index, len(train), settings.batch)))
        self.seed = derive_seed(seed, "stylegan2")
        sizes = {
            key: getattr(settings, key) for key in ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
        }
        self.shape = Config(resolution=height, **sizes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            self.generator = Generator(self.shape).to(self.device)
            self.discriminator: Discriminator | SmallDiscriminator | ProjectedDiscriminator
            if settings.discriminator == "projected":
                clip = models.clip(settings.clip)
                self.discriminator = ProjectedDiscriminator(clip, height, settings.head_width).to(self.device)
            else:
                network = SmallDiscriminator(height) if settings.discriminator == "small" else Discriminator(self.shape)
                self.discriminator = network.to(self.device)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimise_g = self._adam(self.generator, settings.path_every if settings.path_length else None)
        self.optimise_d = self._optimiser_d()
        self._rate_g, self._rate_d = (of.param_groups[0]["lr"] for of in (self.optimise_g, self.optimise_d))
        self.mean_path = torch.zeros([], device=self.device)
        used = [settings.clip] if settings.discriminator == "projected" else []
        self.settings: Mapping[str, Any] = {**asdict(settings), "seed": seed, "train": train.digest}
        data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest}
        self.facts = {"data": data, "seed": seed, "optimised_for": used}

    def _adam(self, network: nn.Module, every: int | None) -> torch.optim.Adam:
        """Adam for a network with a lazy regulariser in every `every`-th step; None: without a regulariser.

        As in the paper, the learning rate and beta_2 are adjusted for the extra steps. The fused Adam is not used: on a
        CPU it reads a gradient in memory order, whatever its strides, and so mixes up the entries.
        """
        share = every / (every + 1) if every else 1.0
        return torch.optim.Adam(network.parameters(), self.config.learning_rate * share, betas=(0.0, 0.99**share))

    def _optimiser_d(self) -> torch.optim.Adam:
        """As for the generator, except for the small discriminator, which has no equalised learning rate."""
        if isinstance(self.discriminator, SmallDiscriminator):
            return torch.optim.Adam(self.discriminator.parameters(), self.config.small_rate, betas=(0.5, 0.999))
        return self._adam(
            self.discriminator, self.config.r1_every if self.config.discriminator == "stylegan2" else None
        )

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        of_d = ("features", "logits") if isinstance(self.discriminator, ProjectedDiscriminator) else ("forward",)
        generator, discriminator = self.generator, self.discriminator
        return [(generator, generator, "synthesis"), *((discriminator, discriminator, name) for name in of_d)]

    def step(self, index: int, progress: float) -> dict[str, float]:
        if progress > self.config.decay_from:
            self._slow_down((1 - progress) / (1 - self.config.decay_from))
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "step", index))
        real = to_float(torch.from_numpy(self.pixels(index))).to(self.device)
        losses = (
            self._projected(real, stream)
            if isinstance(self.discriminator, ProjectedDiscriminator)
            else self._logistic(real, stream, index)
        )
        decay = min(self.config.ema, (1 + index) / (10 + index))
        for kept, new in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)
        self.averaged.mapping.w_avg.copy_(self.generator.mapping.w_avg)
        return losses

    def _slow_down(self, share: float) -> None:
        """Set both learning rates to a share of those that they began with."""
        for optimiser, full in ((self.optimise_g, self._rate_g), (self.optimise_d, self._rate_d)):
            optimiser.param_groups[0]["lr"] = share * full

    def _projected(self, real: Tensor, stream: torch.Generator) -> dict[str, float]:
        heads = self.discriminator
        assert isinstance(heads, ProjectedDiscriminator)
        fake = self._images(len(real), stream)
        with half(self.device, self.config.bfloat16):
            with torch.no_grad():
                seen_real = heads.features(self._disturb(real, stream))
            seen_fake = heads.features(self._disturb(fake, stream))
            loss_d = hinge(heads.logits(seen_real), heads.logits([x.detach() for x in seen_fake]))
            update(self.optimise_d, loss_d)
            heads.requires_grad_(False)
            loss_g = deceive(heads.logits(seen_fake))
            heads.requires_grad_(True)
        update(self.optimise_g, loss_g)
        return {"d": loss_d.item(), "g": loss_g.item()}

    def _disturb(self, images: Tensor, stream: torch.Generator) -> Tensor:
        return disturb(images, stream, self.config.colour, round(self.config.shift * self.shape.resolution))

    def _logistic(self, real: Tensor, stream: torch.Generator, index: int) -> dict[str, float]:
        discriminator = self.discriminator
        assert not isinstance(discriminator, ProjectedDiscriminator)
        relativistic, gamma, every = self._phase(index)
        fake = self._images(len(real), stream)
        if self.config.instance_noise:
            fake, real = (
                images + self.config.instance_noise * self._normal(tuple(images.shape), stream)
                for images in (fake, real)
            )
        with half(self.device, self.config.bfloat16):
            fake_logits, real_logits = discriminator(fake.detach()), discriminator(real)
        loss_d = adversarial(real_logits, fake_logits, relativistic)
        update(self.optimise_d, loss_d)
        losses = {"d": loss_d.item()}
        if gamma and index % every == 0:
            penalty = gradient_penalty(discriminator, real)
            if relativistic:
                penalty = penalty + gradient_penalty(discriminator, fake.float())
            update(self.optimise_d, gamma / 2 * every * penalty)
            losses["penalty"] = penalty.item()
        discriminator.requires_grad_(False)
        with half(self.device, self.config.bfloat16):
            fake_logits = discriminator(fake)
            real_logits = discriminator(real) if relativistic else None
        discriminator.requires_grad_(True)
        loss_g = adversarial(fake_logits, real_logits, relativistic)
        update(self.optimise_g, loss_g)
        if self.config.path_length and index % self.config.path_every == 0:
            losses["path"] = self._path_step(stream)
        return {**losses, "g": loss_g.item()}

    def _phase(self, index: int) -> tuple[bool, float, int]:
        """Of step `index`: whether the loss is relativistic, gamma, and the steps from one penalty to the next."""
        if index < self.config.logistic_steps:
            return False, self.config.logistic_r1, self.config.logistic_r1_every
        return self.config.loss == "relativistic", self.config.r1, self.config.r1_every

    def _path_step(self, stream: torch.Generator) -> float:
        """Lazy path-length regularisation on half a batch; returns the mean length."""
        rows = self.generator.truncate(
            self.generator.mapping(self._normal((self.config.batch // 2, self.config.z_dim), stream))
        )
        images = self.generator.synthesis(self.generator.style(rows), self._noise(len(rows), stream))
        lengths = path_lengths(images, rows, self._normal(tuple(images.shape), stream))
        self.mean_path = self.mean_path.lerp(lengths.detach().mean(), 0.01)
        update(
            self.optimise_g,
            self.config.path_length * self.config.path_every * (lengths - self.mean_path).square().mean(),
        )
        return float(self.mean_path)

    def _images(self, count: int, stream: torch.Generator) -> Tensor:
        """Images of the generator in training, with random noise and mixed styles. Updates the running mean of w."""
        generator = self.generator
        w = generator.mapping(self._normal((2 * count, self.config.z_dim), stream))
        with torch.no_grad():
            generator.mapping.w_avg.lerp_(w.mean(0), 1 - MEAN_DECAY)
        first, second = generator.truncate(w).chunk(2)
        crossing = torch.randint(1, self.shape.rows, (count,), generator=stream)
        unmixed = torch.rand(count, generator=stream) >= self.config.mixing
        crossing[unmixed] = self.shape.rows
        keep = (torch.arange(self.shape.rows) < crossing[:, None])[:, :, None].to(self.device)
        s = generator.style(torch.where(keep, first, second))
        with half(self.device, self.config.bfloat16):
            return generator.synthesis(s, self._noise(count, stream))

    def _noise(self, count: int, stream: torch.Generator) -> list[Tensor]:
        return [self._normal((count, *shape), stream) for shape in self.generator.noise_shapes()]

    def _normal(self, shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=stream).to(self.device)

    def state(self) -> dict[str, Any]:
        networks = {
            name: getattr(self, name).state_dict()
            for name in ("generator", "discriminator", "averaged", "optimise_g", "optimise_d")
        }
        return {**networks, "mean_path": self.mean_path}

    def load_state(self, state: dict[str, Any]) -> None:
        self.mean_path = state["mean_path"].to(self.device)
        names = ("generator", "discriminator", "averaged", "optimise_g", "optimise_d")
        resume({name: getattr(self, name) for name in names}, state)

    def preview(self) -> Tensor:
        """Images of 64 latents, always the same ones."""
        return self.sample(64, "preview")

    @torch.no_grad()
    def sample(self, count: int, purpose: str) -> Tensor:
        """Images of the averaged generator, without truncation and with fixed noise, as it will be used later.

        Returns uint8 [count, 3, H, W].
        """
        z = latents([derive_seed(self.seed, purpose, k) for k in range(count)], self.config.z_dim).to(self.device)
        return torch.cat([to_uint8(self.averaged(part)).cpu() for part in z.split(64)])

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.averaged.state_dict(), asdict(self.shape)

    def validate(self) -> dict[str, Any]:
        """Fréchet distance to validation images, in the features of the guide CLIP. Compare it only with other cards.

        No judge is used here, so that none takes part in choosing a generator. Without a guide there is no distance.
        """
        count = min(2000, len(self.val))
        if not self.config.clip:
            return {"images": count}
        clip = self.models.clip(self.config.clip)
        real, fake = (
            clip.encode_images(images)
            for images in (torch.from_numpy(self.val.images.read(np.arange(count))), self.sample(count, "validate"))
        )
        distance = frechet.frechet_distance(fake, real)
        return {"images": count, "frechet_distance_guide": distance}


def update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of the optimiser; only its own parameters get gradients."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
        parameter.grad = gradient
    optimiser.step()


def adversarial(up: Tensor, down: Tensor | None, relativistic: bool) -> Tensor:
    """Loss of logits [B] that are to rise and those that are to fall, if any; relativistic: of their differences."""
    if relativistic and down is not None:
        return F.softplus(down.float() - up.float()).mean()
    return F.softplus(-up.float()).mean() + (0.0 if down is None else F.softplus(down.float()).mean())


def gradient_penalty(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Mean squared norm of the gradient of the logits at images [B, 3, H, W] (Mescheder, ICML 2018).

    It is R1 for real images and R2 for generated ones.
    """
    images = images.detach().requires_grad_(True)
    [gradient] = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, w_plus: Tensor, directions: Tensor) -> Tensor:
    """|J_w^T y| of each image, [B] (Karras et al., CVPR 2020); as in the released code, a mean over the rows of w_plus.

    directions: the random images y, of unit variance.
    """
    scaled = directions / (images.shape[2] * images.shape[3]) ** 0.5
    [gradient] = torch.autograd.grad((images * scaled).sum(), w_plus, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def disturb(images: Tensor, stream: torch.Generator, colour: bool, reach: int) -> Tensor:
    """Differentiable augmentation of images, floats in [-1, 1] (Zhao et al., NeurIPS 2020).

    colour: change brightness, saturation and contrast.
    reach: the largest shift in pixels, in each direction; zeros fill the gap.
    """
    count, _, height, width = images.shape
    if colour:
        bright, saturation, contrast = torch.rand(3, count, 1, 1, 1, generator=stream).to(images.device)
        images = images + (bright - 0.5)
        mean = images.mean(dim=1, keepdim=True)
        images = mean + (images - mean) * (2 * saturation)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (contrast + 0.5)
    shifts = torch.randint(0, 2 * reach + 1, (count, 2), generator=stream).tolist()
    padded = F.pad(images, (reach,) * 4).unbind()
    return torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, shifts, strict=True)])


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> Recipe:
    """The training of one part. Raises UserError for an unknown part or setting."""
    where = f"stylegan2 {part}"
    if part == "stylegan2":
        return StyleGAN2Recipe(configure(Settings, settings, where), train, val, models, seed)
    if part == "encoder":
        return encoder.EncoderRecipe(configure(encoder.Settings, settings, where), train, val, models, seed)
    raise UserError(f"stylegan2 has no part {part!r}{did_you_mean(part, PARTS)}")
