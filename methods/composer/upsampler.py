"""The upsampler: a small diffusion model that draws an image anew at twice or four times the size.

It reads the small image and no condition, as in the paper. How much it changes a condition is measured by extracting
that condition at both sizes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, latents, uniform
from t2ibench.data.split import Split
from t2ibench.methods.composer import diffusion
from t2ibench.methods.composer.decompose import resized
from t2ibench.methods.composer.learner import Learner, card_facts
from t2ibench.methods.composer.settings import UPSAMPLERS, UpsamplerShape, UpsamplerTraining
from t2ibench.networks import extractors
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows, warmup_cosine

BLUR = 0.6  # deviation, in small pixels, of the 3x3 Gaussian of training
CHECKED, SHOWN, STEPS = 128, 8, 4  # held-out images on the card and in a preview; steps of their sampling


class Upsampler(nn.Module):
    """Predicts the noise in x_t, or the image, given the small image.

    If it predicts the image, the trunk only gives the difference to the enlarged small one.
    """

    def __init__(self, shape: UpsamplerShape) -> None:
        super().__init__()
        self.shape, self.trunk = shape, build_trunk(shape)

    def forward(self, x: Tensor, t: Tensor, low: Tensor) -> Tensor:
        """The prediction, [B, 3, R, R].

        x: x_t, [B, 3, R, R].
        t: integer times, [B].
        low: small images in [-1, 1], [B, 3, R / factor, R / factor].
        """
        blurry = F.interpolate(low, x.shape[2:], mode="bilinear")
        inputs = F.pixel_unshuffle(torch.cat([x, blurry], 1), self.shape.patch)
        output = F.pixel_shuffle(self.trunk(inputs, t).sample, self.shape.patch)
        return output + blurry if self.shape.prediction == "sample" else output

    def sampled(self, noise: Tensor, low: Tensor, steps: int) -> Tensor:
        """Large images [B, 3, R, R], drawn from noise and small images.

        x_0 is clipped, not thresholded: a dynamic threshold would make white grey.
        """
        scheduler = diffusion.sampler("dpmpp2m", steps, 1.0, self.shape.prediction, highest=1.0)
        return diffusion.sample(lambda x, t: self(x, t, low), noise, scheduler)


def build_trunk(shape: UpsamplerShape) -> nn.Module:
    """An untrained UNet with resampling inside the residual blocks; its very last layer starts at zero."""
    from diffusers import UNet2DModel

    side, levels = shape.image_size // shape.patch, len(shape.channel_mult)
    attends = [side // 2**level in shape.attention for level in range(levels)]
    trunk: Any = UNet2DModel(
        sample_size=side,
        in_channels=6 * shape.patch**2,
        out_channels=3 * shape.patch**2,
        down_block_types=tuple("AttnDownBlock2D" if here else "ResnetDownsampleBlock2D" for here in attends),
        up_block_types=tuple("AttnUpBlock2D" if here else "ResnetUpsampleBlock2D" for here in reversed(attends)),
        block_out_channels=tuple(multiple * shape.base_channels for multiple in shape.channel_mult),
        layers_per_block=shape.num_res_blocks,
        downsample_type="resnet",
        upsample_type="resnet",
        dropout=shape.dropout,
        norm_num_groups=shape.gn_groups,
        attention_head_dim=shape.head_channels,
        add_attention=bool(shape.attention),
        resnet_time_scale_shift="scale_shift",
    )
    for parameter in trunk.conv_out.parameters():
        nn.init.zeros_(parameter)
    return trunk


class UpsamplerRecipe:
    """The training of one upsampler; `t2ibench.networks.training.loop.fit` drives it."""

    name = "composer-upsampler"

    def __init__(self, config: UpsamplerTraining, train: Split, val: Split, models: Models) -> None:
        self.config, self.models, self.device, self.steps = config, models, models.device, config.steps
        self.train, self.val, self.digest = train.take(range(config.images or len(train))), val, train.digest
        self.shape = UpsamplerShape(**UPSAMPLERS[config.size])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.seed, "weights"))
            self.model = Upsampler(self.shape).to(self.device)
        self.learner, self.abar = Learner(self.model, config), diffusion.alphas_bar()
        seed, count = derive_seed(config.seed, "rows"), len(self.train)
        self.pixels = Ahead(lambda index: self.train.images.read(batch_rows(seed, index, count, config.batch)))

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**dataclasses.asdict(self.config), "shape": dataclasses.asdict(self.shape), "data": self.digest}

    @property
    def facts(self) -> dict[str, Any]:
        return card_facts(self.train, self.val, self.digest, self.config.seed)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.model, self.model, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        seed = derive_seed(self.config.seed, "step", index)
        x0, low = self.pair(self.pixels(index))
        low = torch.where(
            torch.from_numpy(uniform(seed, len(x0)) < self.config.p_blur).view(-1, 1, 1, 1).to(low.device),
            blurred(low),
            low,
        )
        noise, t = diffusion.draws(derive_seed(seed, "noise"), x0)

        def loss() -> Tensor:
            x = diffusion.noised(x0, noise, t, self.abar)
            return diffusion.loss(self.model(x, t, low), noise if self.shape.prediction == "epsilon" else x0).mean()

        return self.learner.step(index, seed, loss, warmup_cosine(progress))

    def pair(self, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images [B, 3, R, R], and the same images at the size of the base, [B, 3, R / factor, R / factor].

        pixels: uint8 [B, 3, H, W].
        """
        images = resized(torch.from_numpy(np.ascontiguousarray(pixels)), self.shape.image_size)
        small = resized(images, self.shape.image_size // self.shape.factor)
        return to_float(images).to(self.device), to_float(small).to(self.device)

    def state(self) -> dict[str, Any]:
        return self.learner.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.learner.load_state(state)

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {
            name: value.clone() for name, value in self.learner.averaged().state_dict().items()
        }, dataclasses.asdict(self.shape)

    @torch.no_grad()
    def enlarged(self, count: int) -> dict[str, Tensor]:
        """The first held-out images, uint8 [N, 3, R, R], by name.

        originals: the images themselves.
        model: the small images, enlarged by the upsampler.
        bicubic: the small images, enlarged by bicubic interpolation.
        """
        x0, low = self.pair(self.val.images.read(np.arange(min(count, len(self.val)))))
        noise = latents([derive_seed(self.config.seed, "held out", row) for row in range(len(x0))], *x0.shape[1:]).to(
            self.device
        )
        model = self.learner.averaged()
        enlarged = [model.sampled(*parts, STEPS) for parts in zip(noise.split(16), low.split(16), strict=True)]
        bicubic = F.interpolate(low, x0.shape[2:], mode="bicubic")
        return {"originals": to_uint8(x0), "model": to_uint8(torch.cat(enlarged)), "bicubic": to_uint8(bicubic)}

    def preview(self) -> Tensor:
        """A row of held-out images, a row of the upsampler's, and a row of bicubic interpolation."""
        return torch.cat(list(self.enlarged(SHOWN).values())).cpu()

    def validate(self) -> dict[str, Any]:
        """Peak signal-to-noise ratio in dB, and the distance of a judge's features in units of that of other images."""
        images = self.enlarged(CHECKED)
        judge = extractors.find(self.models, self.config.judge)
        features = {name: judge.network(pixels.cpu()) for name, pixels in images.items()}
        originals = features["originals"]
        scale = (originals - originals.roll(1, 0)).norm(dim=1).mean()
        numbers: dict[str, Any] = {"images": len(originals), "steps": STEPS}
        for name in ("model", "bicubic"):
            error = (images[name].float() - images["originals"].float()).square().mean((1, 2, 3))
            numbers[f"psnr_{name}"] = round((10 * (255**2 / error.clamp(min=1e-3)).log10()).mean().item(), 3)
            numbers[f"features_{name}"] = round(((features[name] - originals).norm(dim=1).mean() / scale).item(), 4)
        return numbers


def blurred(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] under a 3x3 Gaussian; the border is repeated."""
    line = torch.tensor([-1.0, 0.0, 1.0], device=images.device).square().div(-2 * BLUR**2).softmax(0)
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    return F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
