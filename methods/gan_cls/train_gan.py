"""Training of the four GANs: a discriminator step, then a generator step on the same texts (Algorithm 1).

It follows main_cls_int.lua. The captions of a split are embedded once, by a text encoder that is not trained. All
random numbers of step i come from the seed and i, so a run that was stopped goes on with the batches it would have had.
"""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t2ibench.core.images import to_uint8
from t2ibench.core.progress import track
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, latents, uniform
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.embeddings import embed_captions, rectangular
from t2ibench.methods.gan_cls.losses import discriminator_loss, generator_loss, interpolate, interpolation_beta
from t2ibench.methods.gan_cls.networks import Discriminator, Generator, ImageEncoder, Shape, reset_conv_biases
from t2ibench.methods.gan_cls.sampling import Sampler, labels_of
from t2ibench.methods.gan_cls.settings import GanSettings, card_facts, shape_of
from t2ibench.methods.gan_cls.text_encoder import TextEncoder
from t2ibench.methods.gan_cls.train_text import embed_images, retrieval_report, seeded
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import half
from t2ibench.networks.state import resume

STATISTICS, FEWEST = 200, 8  # batches behind the statistics of what is shipped: after as many steps, and at least


class GanRecipe:
    """The training of one variant; `t2ibench.networks.training.loop.fit` drives it."""

    def __init__(
        self,
        settings: GanSettings,
        train: Split,
        val: Split,
        encoder: TextEncoder,
        images: ImageEncoder | None,
        device: torch.device,
        seed: int,
        cache: Path,
        encoder_sha256: str = "",
    ) -> None:
        """images: the image side that was trained with `encoder`, for `validate`; None if it has none.

        encoder_sha256: of the file of `encoder`, for the config of the weights: they mean nothing to another encoder.
        """
        self.encoder_sha256 = encoder_sha256
        self.config, self.encoder, self.images, self.device, self.seed = settings, encoder, images, device, seed
        self.prompts = [captions[0] for captions in rectangular(val.captions)]
        self.settings: Mapping[str, Any] = {**dataclasses.asdict(settings), "seed": seed, "data": train.digest}
        self.facts = card_facts(train, val, seed, [settings.text_encoder])
        self.shape = shape_of(Shape, {**dataclasses.asdict(settings), "text_dim": encoder.shape.out})
        self.sampler = Sampler(
            train.images,
            embed_captions(encoder, train, cache),
            labels_of(train, settings.class_column),
            batch=settings.batch,
            by_class=bool(settings.class_column),
            captions=settings.captions,
            replace=settings.replace,
            augment=settings.augment,
            wrong_images=settings.cls_weight > 0 and settings.mismatch == "wrong-image",
            nearest_of=settings.mismatch_of,
        )
        self.batches = Ahead(lambda index: self.sampler.draw(derive_seed(seed, "step", index)))
        with seeded(derive_seed(seed, "init")):
            self.generator, self.discriminator = Generator(self.shape), Discriminator(self.shape)
        for network in (self.generator, self.discriminator):
            network.to(device).to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.generator) if settings.ema else self.generator
        betas = (settings.beta1, 0.999)
        self.optimise_g, self.optimise_d = (
            torch.optim.Adam(network.parameters(), settings.learning_rate, betas)
            for network in (self.generator, self.discriminator)
        )
        self.epoch_steps = -(-len(train) // settings.batch)
        self.steps, self.progress = 0, 0.0  # done so far, and their share of the training
        self._shipped: tuple[int, Generator] | None = None  # after so many steps

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [
            (self.generator, self.generator, "forward"),
            (self.discriminator, self.discriminator, "match"),
            (self.discriminator, self.discriminator, "logits"),
            (self.discriminator.trunk, self.discriminator.trunk, "forward"),
        ]

    def step(self, index: int, progress: float) -> dict[str, float]:
        rate = learning_rate(
            self.config, index // self.epoch_steps if self.config.schedule == "epoch" else progress * self.config.epochs
        )
        for optimiser in (self.optimise_g, self.optimise_d):
            optimiser.param_groups[0]["lr"] = rate
        seed, self.progress = derive_seed(self.seed, "step", index), progress
        batch = self.batches(index)
        text, real, wrong_text = (x.to(self.device) for x in (batch.text, batch.real, batch.wrong_text))
        wrong = None if batch.wrong is None else batch.wrong.to(self.device)
        with half(self.device, self.config.precision == "bfloat16"):
            loss_d = self.discriminator_loss(real, wrong, text, wrong_text, derive_seed(seed, "noise of D"))
        if self.config.r1 and index % self.config.r1_every == 0:
            loss_d = loss_d + self.config.r1_every * self.config.r1 * gradient_penalty(self.discriminator, real, text)
        update(self.optimise_d, loss_d, self.discriminator)
        with half(self.device, self.config.precision == "bfloat16"):
            loss_g = self.generator_loss(text, derive_seed(seed, "noise of G"))
        update(self.optimise_g, loss_g, self.generator)
        if self.config.ema:
            average(self.averaged, self.generator, min(self.config.ema, (1 + index) / (10 + index)))
        self.steps = index + 1
        return {"d": loss_d.item(), "g": loss_g.item()}

    def discriminator_loss(
        self, real: Tensor, wrong: Tensor | None, text: Tensor, wrong_text: Tensor, seed: int
    ) -> Tensor:
        """L_D of one batch. Real, mismatched and generated images each have batch statistics of their own."""
        self._forget_biases()
        real, wrong = self.noisy(real, seed, "real"), None if wrong is None else self.noisy(wrong, seed, "wrong")
        features = self.discriminator.trunk(real)
        real_logits = self.discriminator.match(features, text)
        wrong_logits = None
        if self.config.cls_weight:
            wrong_logits = (
                self.discriminator.match(features, wrong_text)
                if wrong is None
                else self.discriminator.logits(wrong, text)
            )
        with torch.no_grad():
            fake = self.noisy(self.generator(self.noise(seed, len(text)), text), seed, "fake")
        fake_logits = self.discriminator.logits(fake, text)
        wrong_logits = None if wrong_logits is None else wrong_logits.float()
        return discriminator_loss(real_logits.float(), wrong_logits, fake_logits.float(), self.config.cls_weight)

    def generator_loss(self, text: Tensor, seed: int) -> Tensor:
        """L_G with fresh noise, on B captions and on B / 2 interpolated texts, if the variant has them.

        Generator and discriminator both read the interpolated text.
        """
        self._forget_biases()
        captions = len(text)
        if self.config.interp_weight or self.config.strict_official:
            u = torch.from_numpy(uniform(derive_seed(seed, "beta"), captions // 2)).float()[:, None].to(self.device)
            text = torch.cat([text, interpolate(text, interpolation_beta(self.config.interp_type, u))])
        drawn = self.noisy(self.generator(self.noise(seed, len(text)), text), seed, "drawn")
        logits = self.discriminator.logits(drawn, text).float()
        mixed = logits[captions:] if len(logits) > captions else None
        return generator_loss(logits[:captions], mixed, self.config.interp_weight)

    def _forget_biases(self) -> None:
        """Set the convolution biases of both networks to zero, as the released code does before each step of either."""
        if self.shape.conv_bias:
            reset_conv_biases(self.generator)
            reset_conv_biases(self.discriminator)

    def noise(self, seed: int, count: int) -> Tensor:
        """z: float32 [count, nz]."""
        if self.config.noise == "normal":
            return latents([seed], count, self.shape.nz)[0].to(self.device)
        return torch.from_numpy(2 * uniform(seed, count * self.shape.nz) - 1).float().view(count, -1).to(self.device)

    def noisy(self, images: Tensor, seed: int, what: str) -> Tensor:
        """Images as the discriminator sees them: with the instance noise of the settings, if they have any."""
        if not self.config.instance_noise or self.progress >= self.config.noise_until:
            return images
        stream = torch.Generator().manual_seed(derive_seed(seed, "instance noise", what))
        return images + self.config.instance_noise * torch.randn(images.shape, generator=stream).to(images)

    def state(self) -> dict[str, Any]:
        return {**{name: part.state_dict() for name, part in self._parts.items()}, "steps": self.steps}

    def load_state(self, state: dict[str, Any]) -> None:
        resume(self._parts, state)
        self.steps, self._shipped = int(state.get("steps", STATISTICS)), None  # older checkpoints do not say

    @property
    def _parts(self) -> dict[str, Any]:
        networks = {"generator": self.generator, "discriminator": self.discriminator, "averaged": self.averaged}
        return {**networks, "optimise_g": self.optimise_g, "optimise_d": self.optimise_d}

    def sampling_generator(self, batches: int) -> Generator:
        """The generator as it is shipped: averaged weights, batch statistics of these weights, evaluation mode."""
        generator = copy.deepcopy(self.averaged)
        texts = [
            self.sampler.draw_text(derive_seed(self.seed, "statistics", i)).to(self.device) for i in range(batches)
        ]
        noise_text_pairs = [
            (self.noise(derive_seed(self.seed, "statistics of z", i), len(text)), text) for i, text in enumerate(texts)
        ]
        return estimate_statistics(generator, track(noise_text_pairs, "batch statistics", len(noise_text_pairs)))

    def shipped(self) -> Generator:
        """`sampling_generator` of the steps that are done, made once for the weights and for their validation.

        Its statistics are of as many batches as there were steps, at most 200: a trial of one step takes no minutes.
        """
        if self._shipped is None or self._shipped[0] != self.steps:
            batches = min(STATISTICS, max(FEWEST, self.steps))
            self._shipped = self.steps, self.sampling_generator(batches)
        return self._shipped[1]

    @torch.no_grad()
    def preview(self) -> Tensor:
        """A row of images for each of eight held-out captions, all with the same eight noises."""
        generator = self.sampling_generator(batches=8)
        text = self.encoder.embed(self.prompts[:8]).to(self.device)
        z = self.noise(derive_seed(self.seed, "preview"), 8)
        return to_uint8(generator(z.repeat(len(text), 1), text.repeat_interleave(8, dim=0))).cpu()

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        config = {
            **dataclasses.asdict(self.shape),
            "text_encoder": self.config.text_encoder,
            "text_encoder_sha256": self.encoder_sha256,
            "noise": self.config.noise,
        }
        return dict(self.shipped().state_dict()), config

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """How much an image changes with its noise and with its text, in mean absolute grey levels.

        If the text encoder has an image side, also how well it finds an image by its caption. No judge is involved.
        """
        generator, count = self.shipped(), min(1000, len(self.prompts), max(64, self.steps))
        text = self.encoder.embed(self.prompts[:count])
        z = self.noise(derive_seed(self.seed, "validate"), count).cpu()

        def images(z: Tensor, text: Tensor) -> np.ndarray:
            passes = zip(z.split(64), text.split(64), strict=True)
            return torch.cat(
                [to_uint8(generator(a.to(self.device), b.to(self.device))).cpu() for a, b in passes]
            ).numpy()

        plain, other_z, other_text = images(z, text), images(z.roll(1, 0), text), images(z, text.roll(1, 0))
        numbers: dict[str, Any] = {"images": count, "change_with_noise": difference(plain, other_z)}
        numbers["change_with_text"] = difference(plain, other_text)
        if self.images is not None:
            numbers |= retrieval_report(text, embed_images(self.images, plain))
        return numbers


def learning_rate(config: GanSettings, passed: float) -> float:
    """The learning rate: it is halved at the start of every epoch that `decay_every` divides. The first epoch is 1.

    passed: how many epochs are over.
    """
    return config.learning_rate * 0.5 ** ((1 + int(passed)) // config.decay_every)


def gradient_penalty(discriminator: Discriminator, real: Tensor, text: Tensor) -> Tensor:
    """R1: half the squared norm of the gradient of D's log-odds at real images, averaged over the batch."""
    real = real.detach().requires_grad_(True)
    [gradient] = torch.autograd.grad(discriminator.logits(real, text).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def update(optimiser: torch.optim.Optimizer, loss: Tensor, learner: nn.Module) -> None:
    """One step of `learner`. Other networks in the loss get neither a change nor a gradient."""
    optimiser.zero_grad(set_to_none=True)
    parameters = list(learner.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimiser.step()


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """averaged = decay * averaged + (1 - decay) * network, parameters only."""
    for kept, new in zip(averaged.parameters(), network.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


@torch.no_grad()
def estimate_statistics(generator: Generator, pairs: Iterable[tuple[Tensor, Tensor]]) -> Generator:
    """A generator in evaluation mode whose batch-norm statistics are plain means over batches of (z, text).

    The running means of training lag behind the weights, and averaged weights never had any.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative
    generator.train()
    for z, text in pairs:
        generator(z, text)
    for norm in norms:
        norm.momentum = 0.1
    return generator.eval()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two sets of uint8 images, in grey levels."""
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())
