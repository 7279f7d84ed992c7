"""GAN-CLS and GAN-INT (Reed et al., ICML 2016): a convolutional GAN that draws 64x64 images from one sentence.

Four variants: GAN; GAN-CLS, whose discriminator also sees real images with other texts; GAN-INT, whose generator also
draws texts half way between two captions; GAN-INT-CLS, both. Networks, losses and batches follow the released Torch7
code; `settings.py` has a switch wherever that code and the paper differ. Not here: `replicate=1` batches, rotation,
training the text encoder end to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import latents, uniform
from t2ibench.core.settings import LATER
from t2ibench.methods.gan_cls import published
from t2ibench.methods.gan_cls.loading import is_published, load_generator, load_style_encoder, text_encoder
from t2ibench.methods.gan_cls.networks import Generator
from t2ibench.methods.gan_cls.sampling import prepare
from t2ibench.methods.gan_cls.train import PARTS, recipe
from t2ibench.networks.models import Models
from t2ibench.networks.weights import Weights, seen_by
from t2ibench.tracks.contract import TextToImage

__all__ = ["NAMES", "PARTS", "PRESETS", "Config", "Method", "recipe"]
# what a training has decided stands in its weights: drawing has no settings in which the three differ
PRESETS: dict[str, dict[str, Any]] = {"embedded": {}, "reference": {}, "paper": {}}
NAMES = {"text-encoder": "char-cnn-rnn"}  # weights whose name differs from that of their part
BATCH = 16  # rows of every pass, so that the same kernels run for any number of images


@dataclass(frozen=True)
class Config:
    variant: Literal["gan", "gan-cls", "gan-int", "gan-int-cls"] = "gan-int-cls"
    weights: str = ""  # a name of the zoo, or a released …_net_G.t7; "" takes <variant>-avatars
    # of a released generator, whose file names none: a released lm_sje_….t7, or a name of the zoo
    text_encoder: str = field(default="", metadata=LATER)
    style_encoder: str = "style-encoder-avatars"


class Method:
    """Draws an image from one sentence, in evaluation mode; the request's seed makes the noise."""

    weights: Weights | None = None  # of the generator; None: it is a released file

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or do not fit their config."""
        self.config, self.models = config, models
        name = config.weights or f"{config.variant}-avatars"
        generator, encoder = self._released(name) if is_published(name) else self._trained(name)
        self.generator, self.encoder = generator.to(models.device), text_encoder(encoder, models)
        self.nz, width = generator.shape.nz, self.encoder.shape.out
        if width != generator.shape.text_dim:
            expected = f"{name} was trained on embeddings of {generator.shape.text_dim}"
            raise UserError(f"{encoder}: embeddings of {width} numbers, {expected}: name its own as text_encoder")
        found = models.used[encoder]["sha256"]
        if self.weights is not None and self.weights.config.get("text_encoder_sha256") not in (None, "", found):
            raise UserError(
                f"{name} was trained with another {encoder} than the one here, {found[:12]}…: train it again"
            )
        self.reads = {Path(encoder).name: self.encoder}

    def _trained(self, name: str) -> tuple[Generator, str]:
        """A generator of the zoo, and the name of its text encoder."""
        if self.config.text_encoder:
            raise UserError(f"text_encoder={self.config.text_encoder}: {name} names its own, leave it out")
        self.weights = weights = self.models.weights(name)
        generator = load_generator(weights)
        self.noise_kind = weights.config["noise"]
        self.trained_on = seen_by(weights.card)
        return generator, weights.config["text_encoder"]

    def _released(self, name: str) -> tuple[Generator, str]:
        """The generator of a file, and the name of the text encoder that was given with it."""
        if not self.config.text_encoder:
            raise UserError(
                f"{name}: a released generator does not say which text encoder it reads; birds and flowers have "
                f"different ones: name it as text_encoder"
            )
        self.models.file(name)
        self.noise_kind, self.trained_on = "normal", [Path(name).name]
        return published.read_generator(Path(name)), self.config.text_encoder

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, 64, 64]: row i depends on requests[i] alone.

        Raises ValueError for no request.
        """
        if not requests:
            raise ValueError("text_to_image needs at least one request")
        text = self.encoder.embed([request.prompt for request in requests], BATCH)
        return self.draw(self.noise([request.seed for request in requests]), text)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """z, [B, nz]: normal, or uniform in (-1, 1) if the generator was trained on that."""
        if self.noise_kind == "normal":
            return latents(seeds, self.nz)
        return torch.stack([torch.from_numpy(2 * uniform(seed, self.nz) - 1).float() for seed in seeds])

    @torch.no_grad()
    def draw(self, z: Tensor, text: Tensor) -> Tensor:
        """Images of noise [B, nz] and embeddings [B, T]: uint8 [B, 3, 64, 64] on the CPU, in passes of one size."""
        count, fill = len(z), -len(z) % BATCH
        z, text = torch.cat([z, z.new_zeros(fill, self.nz)]), torch.cat([text, text.new_zeros(fill, text.shape[1])])
        passes = zip(z.split(BATCH), text.split(BATCH), strict=True)
        device = self.models.device
        return torch.cat([to_uint8(self.generator(a.to(device), b.to(device))).cpu() for a, b in passes])[:count]

    @torch.no_grad()
    def style_of(self, images: Tensor) -> Tensor:
        """S(x) (section 4.4): the noise [B, nz] that the style encoder reads off images, uint8 [B, 3, H, W].

        The noise of an image depends on it alone. Raises UserError if this generator has no style encoder.
        """
        if self.weights is None:
            raise UserError(f"{self.config.weights}: no style encoder was released: name weights of `t2ibench train`")
        style_encoder = load_style_encoder(self.models.weights(self.config.style_encoder), self.weights)
        return torch.cat([style_encoder(prepare(image[None].numpy(), "none")) for image in images])

    def transfer_style(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """G(S(x), phi(t)) (section 4.4): images with the style of the given ones and the content of the prompts.

        images: uint8 [B, 3, H, W]. Returns uint8 [B, 3, 64, 64].
        """
        return self.draw(self.style_of(images), self.encoder.embed(prompts, BATCH))

    def interpolate_sentences(self, first: str, second: str, steps: int, seed: int) -> Tensor:
        """Images of one noise and of texts on the line from `first` to `second`: uint8 [steps, 3, 64, 64]."""
        a, b = self.encoder.embed([first, second], BATCH)
        return self.draw(
            self.noise([seed]).expand(steps, -1), torch.stack([a.lerp(b, t) for t in torch.linspace(0, 1, steps)])
        )

    def interpolate_noise(self, prompt: str, steps: int, seeds: tuple[int, int]) -> Tensor:
        """Images of one text and of noises on the line between those of two seeds: uint8 [steps, 3, 64, 64]."""
        (a, b), text = self.noise(seeds), self.encoder.embed([prompt], BATCH)
        return self.draw(torch.stack([a.lerp(b, t) for t in torch.linspace(0, 1, steps)]), text.expand(steps, -1))
