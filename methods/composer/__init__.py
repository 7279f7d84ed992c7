"""Composer (Huang et al., ICML 2023): one diffusion model with eight conditions that can be dropped, edited or taken
from other images.

An image is decomposed into caption, semantics, palette, sketch, instances, depth, intensity and a masked image; a UNet
learns to put it together from any subset of them. No code or weights of the paper are public: what the paper leaves
open is our choice, and marked so. The method draws from captions and from any set of conditions of several sources. It
edits by inversion under one caption and sampling under another.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import pixel_hash, to_float, to_uint8
from t2ibench.core.seeds import latents
from t2ibench.core.settings import configure_with_preset
from t2ibench.data.split import Split
from t2ibench.methods.composer.conditions import Conditions, chosen
from t2ibench.methods.composer.decompose import Decomposition, Extractors, resized
from t2ibench.methods.composer.loading import load_drawing
from t2ibench.methods.composer.prior import PriorRecipe
from t2ibench.methods.composer.sampling import Known, put_back, renoised
from t2ibench.methods.composer.settings import PAPER, PRESETS, Config, PriorTraining, Training, UpsamplerTraining
from t2ibench.methods.composer.sources import Reader, against, holes, united
from t2ibench.methods.composer.training import ComposerRecipe
from t2ibench.methods.composer.upsampler import UpsamplerRecipe
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import Recipe
from t2ibench.networks.weights import seen_by
from t2ibench.networks.zoo import trained_name
from t2ibench.tracks.compose_tasks import Task
from t2ibench.tracks.contract import Compose, Edit, Source, TextToImage

__all__ = ["PARTS", "PRESETS", "Config", "Method", "recipe"]
TRAININGS: dict[str, tuple[Any, Any]] = {
    "composer": (Training, ComposerRecipe),
    "upsampler": (UpsamplerTraining, UpsamplerRecipe),
    "prior": (PriorTraining, PriorRecipe),
}
PARTS = tuple(TRAININGS)


class Method:
    """Draws with a trained base; the request's seed makes the noise."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for weights that are missing, damaged, or do not fit their config."""
        self.config, self.models = config, models
        weights = models.weights(config.weights)
        self.drawing = load_drawing(config, models)
        shape = self.drawing.model.shape
        decomposition = Decomposition(Extractors(**weights.config["extractors"]), models, shape.cond_size)
        self.reads = {decomposition.clip.name: decomposition.clip}
        self.reader = Reader(decomposition, config.source_side, shape.seg_channels, config.ignores)
        self.trained_on = seen_by(weights.card)
        self._held: dict[tuple[str, ...], Tensor] = {}

    @property
    def needs_parts(self) -> bool:
        """Whether instances and depth are read from exact parts, which an image file does not have."""
        return self.reader.decomposition.exact

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, R, R]: row i depends on requests[i] alone.

        Raises ValueError for no request.
        """
        if not requests:
            raise ValueError("text_to_image needs at least one request")
        c2 = self.foreseen(self.reader.captions([request.prompt for request in requests]), requests)
        return self.finished(
            self.drawing.sample(self.noise(requests), c2.only(""), c2, self.config.guidance_scale), requests
        )

    def compose(self, requests: Sequence[Compose]) -> Tensor:
        """One image per request, uint8 [B, 3, R, R]: row i depends on requests[i] alone.

        If the network reads exact parts, a source without parts gives neither instances nor depth. Raises UserError for
        a source that lacks anything else that its task takes from it, and ValueError for no request.
        """
        if not requests:
            raise ValueError("compose needs at least one request")
        runs = itertools.groupby(requests, key=lambda request: request.task)
        return torch.cat([self.composed(task, [*same]) for task, same in runs])

    def composed(self, task: Task, requests: Sequence[Compose]) -> Tensor:
        """Images of requests that all have one task."""
        config, side = self.config, self.drawing.model.shape.image_size
        c2 = self.reader.conditions(task.c2, requests).to(self.models.device)
        known = self.known(requests, side) if task.keep else None
        if task.c1:
            x0 = self.images_of([request.sources["A"] for request in requests], side)
            c1 = self.reader.conditions(task.c1, requests).to(self.models.device)
            noise = renoised(self.drawing.invert(x0, c1, config.inversion_steps), self.noise(requests), config.renoise)
            images = put_back(
                self.drawing.way_back(noise, c1, c2, config.edit_scale, config.inversion_steps, known), known
            )
        else:
            c2 = self.foreseen(c2, requests) if set(task.given) == {"T"} else c2
            images = self.drawing.sample(self.noise(requests), against(task, c2), c2, config.guidance_scale, known)
        return self.finished(images, requests, keep=task.keep)

    def foreseen(self, captions: Conditions, requests: Sequence[Any]) -> Conditions:
        """Captions with the image embeddings that the prior makes from them; without a prior, captions alone."""
        captions = captions.to(self.models.device)
        if self.drawing.prior is None:
            return captions
        e = self.drawing.embedding(captions.values["sentence"], [request.seed for request in requests])  # [B, D]
        return united([captions, Conditions({"E": e}, chosen("E").to(e.device).expand(len(e), -1))], len(e))

    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        """The image that each edit starts from, uint8 [B, 3, R, R].

        It is drawn without any condition, or is the real image at the size of the network.
        """
        return self.finished(self.starts(requests), requests)

    def edit(self, requests: Sequence[Edit]) -> Tensor:
        """Each source after its caption went from the neutral text to the target text: uint8 [B, 3, R, R].

        The source is inverted under the neutral text and drawn again under the target. The setting `edit_keeps` names
        its own conditions that hold both times. Row i depends on requests[i] alone.
        """
        x0, config, device = self.starts(requests), self.config, self.models.device
        kept = self.reader.taken(
            "the source", config.edit_keeps, [Source(image.numpy()) for image in to_uint8(x0).cpu()]
        )
        texts = (
            self.reader.captions([getattr(request, side) for request in requests]) for side in ("neutral", "target")
        )
        c1, c2 = (united([kept, text], len(requests)).to(device) for text in texts)

        def inverted(rows: Tensor) -> Tensor:
            return self.drawing.invert(x0[rows], c1.rows(rows), config.inversion_steps)

        noise = self.once([("inverted", request.neutral, *start_of(request)) for request in requests], inverted)
        return self.finished(self.drawing.way_back(noise, c1, c2, config.edit_scale, config.inversion_steps), requests)

    def starts(self, requests: Sequence[Edit]) -> Tensor:
        """x_0 of the images that edits start from, float [B, 3, R, R] in [-1, 1]."""
        side = self.drawing.model.shape.image_size

        def make(rows: Tensor) -> Tensor:
            missing = [requests[int(row)] for row in rows]
            nothing, noise = united([], len(missing)).to(self.models.device), self.noise(missing)
            drawn = self.drawing.sample(noise, nothing, nothing, 1.0).clamp(-1, 1)
            images = zip(drawn.split(1), missing, strict=True)
            return torch.cat(
                [
                    one if request.image is None else self.images_of([Source(request.image)], side)
                    for one, request in images
                ]
            )

        return self.once([("start", *start_of(request)) for request in requests], make)

    def images_of(self, sources: Sequence[Source], side: int) -> Tensor:
        """Images of sources at another size, float [B, 3, side, side]."""
        return to_float(resized(self.reader.images("A", sources), side)).to(self.models.device)

    def known(self, requests: Sequence[Compose], side: int) -> Known:
        """The source A of each request, and the mask of its pixels that stay."""
        return self.images_of([request.sources["A"] for request in requests], side), holes(requests, side).to(
            self.models.device
        )

    def noise(self, requests: Sequence[Any]) -> Tensor:
        """x_T of the seeds of requests, [B, 3, R, R]."""
        side = self.drawing.model.shape.image_size
        return latents([request.seed for request in requests], 3, side, side).to(self.models.device)

    def finished(self, images: Tensor, requests: Sequence[Any], *, keep: bool = False) -> Tensor:
        """Images as they are handed out, uint8 on the CPU: enlarged, if there is an upsampler.

        keep: whether the known pixels of the source are put back.
        """
        images = self.drawing.upsample(images, [request.seed for request in requests])
        return to_uint8(put_back(images, self.known(requests, images.shape[-1]) if keep else None)).cpu()

    def once(self, keys: Sequence[tuple[str, ...]], make: Callable[[Tensor], Tensor]) -> Tensor:
        """Tensors by key, [B, 3, R, R]; each is made once and then kept.

        make: makes the missing ones, given the positions of their keys.
        """
        missing = {key: row for row, key in enumerate(keys) if key not in self._held}
        if missing:
            rows = torch.tensor(list(missing.values()))
            self._held |= dict(zip(missing, make(rows), strict=True))
        return torch.stack([self._held[key] for key in keys])


def start_of(request: Edit) -> tuple[str, ...]:
    """A key for the image that an edit starts from: equal keys, equal images."""
    return (str(request.seed),) if request.image is None else ("real", pixel_hash(request.image))


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> Recipe:
    """The training of the base, the upsampler or the prior. Raises UserError for an unknown part or key."""
    if part not in TRAININGS:
        raise UserError(f"composer has no part {part!r}{did_you_mean(part, PARTS)}")
    config, build = TRAININGS[part]
    presets = {"embedded": {}, "paper": PAPER[config]}
    chosen = configure_with_preset(config, presets, {"seed": seed}, settings, f"composer {part}")
    of_data = {
        "clip": trained_name("clip-guide", train.dataset),
        "judge": trained_name("attribute-judge", train.dataset),
    }
    unnamed = {key: network for key, network in of_data.items() if dataclasses.asdict(chosen).get(key) == ""}
    return build(dataclasses.replace(chosen, **unnamed), train, val, models)
