"""Any text-to-image pipeline of diffusers, from a local folder or from the hub, with any scheduler that fits it.

    {name: diffusers_pipeline, as: mine, model: path/to/folder, steps: 30, guidance_scale: 7.5}
    {name: diffusers_pipeline, as: theirs, model: hub:owner/name, dtype: float16, scheduler: EulerDiscreteScheduler}

Noise comes from a CPU generator with the request's seed, so it is the same on every device. If the pipeline's safety
checker blackens an image, it is a failed sample with that reason. In the track `edit` the pipeline's image-to-image
form repaints the source. In the track `compose` it reads maps through the ControlNets that the suite names.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.diffusers_pipeline import conditions, loading, places
from t2ibench.methods.diffusers_pipeline.drawing import answer, draw, resized
from t2ibench.methods.diffusers_pipeline.settings import Config
from t2ibench.methods.diffusers_pipeline.tokens import Tokens, tokenizers
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import Compose, Edit, TextToImage

__all__ = ["Config", "Method"]
KEPT = 512  # sources of edits that are kept in memory, because each is edited by every text
Drawn = tuple[Tensor, dict[int, str]]  # images, uint8 [B, 3, H, W], and the reasons of rows that failed


class Method:
    """Finds and hashes the models when it is made; reads their weights when the first image is drawn."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for a model that is missing, needs packages that are not installed, or has code of its own
        without `trust_code`.
        """
        self.config, self.device, self.trained_on = config, models.device, config.trained_on
        self.place = places.find_pipeline(config.model, config.weights_variant, config.trust_code)
        models.used[self.place.name] = self.place.used(
            places.pipeline_digest(self.place, config.weights_variant), config.trained_on
        )
        self.lora = places.find(config.lora, "lora") if config.lora else None
        self.controlnets = {
            name: places.find(address, f"controlnets: {name}") for name, address in config.controlnets.items()
        }
        for use, place in {**({"lora": self.lora} if self.lora else {}), **self.controlnets}.items():
            models.used[f"{use} {place.name}"] = place.used(places.digest_of(place), config.trained_on)
        self._nets: dict[str, Any] = {}  # ControlNets
        self._forms: dict[tuple[str, ...], Any] = {}  # of the pipeline, by the ControlNets in it
        self._sources: dict[int, tuple[Tensor, str | None]] = {}

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline. Raises UserError if it cannot be read, draws from no text, or does not take a setting."""
        pipeline = loading.load(self.place, self.config, self.lora, self.device)
        loading.check_call(pipeline, {"prompt": "draw from a text"}, self.config.call)
        return pipeline

    @cached_property
    def size(self) -> tuple[int, int]:
        return loading.native_size(self.pipeline, self.config)

    @property
    def reads(self) -> dict[str, Tokens]:
        """The tokenizers of the pipeline, which cut a text at their own length or at `max_sequence_length`."""
        return tokenizers(self.pipeline, self.config.call)

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, H, W]: row i depends on requests[i] alone.

        Raises PartlyFailed if some were withheld.
        """
        return answer(*self._of_texts([r.prompt for r in requests], [r.seed for r in requests]), self.config.side)

    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        """The images that edits start from.

        It is the seed's image under the setting `source_prompt`, or the real image at the pipeline's size.
        """
        return answer(*self._starts(requests), self.config.side)

    def edit(self, requests: Sequence[Edit]) -> Tensor:
        """The source, noised and repainted under the target text (SDEdit). Without a source, the edit fails too."""
        images, lacking = self._starts(requests)
        rows = [{"prompt": r.target, "image": image.float() / 255} for r, image in zip(requests, images, strict=True)]
        sizeless = {name: value for name, value in self.config.call.items() if name not in ("height", "width")}
        call = {**sizeless, "strength": self.config.strength}
        edited, reasons = draw(self._repainter, rows, [r.seed for r in requests], self.config.pass_size, call)
        return answer(edited, {**reasons, **lacking}, self.config.side)

    def compose(self, requests: Sequence[Compose]) -> Tensor:
        """Images from a text and from the maps for which the suite has ControlNets.

        Raises UserError for tasks with other conditions.
        """
        if len({frozenset(request.task.given) for request in requests}) > 1:
            raise ValueError("requests of one task at a time are composed")
        for request in requests:
            conditions.check(request.task, list(self.controlnets))
        seeds, texts = [r.seed for r in requests], [conditions.prompt(r) for r in requests]
        maps = [conditions.maps(r, self.size) for r in requests]
        if not maps[0]:
            return answer(*self._of_texts(texts, seeds), self.config.side)
        form = self._conditioned(tuple(maps[0]))
        argument = "control_image" if loading.takes(form, "control_image") else "image"
        values = [next(iter(each.values())) if len(each) == 1 else list(each.values()) for each in maps]
        rows = [{"prompt": text, argument: images} for text, images in zip(texts, values, strict=True)]
        return answer(*draw(form, rows, seeds, self.config.pass_size, self.config.call), self.config.side)

    def _of_texts(self, texts: Sequence[str], seeds: Sequence[int]) -> Drawn:
        return draw(self.pipeline, [{"prompt": text} for text in texts], seeds, self.config.pass_size, self.config.call)

    def _starts(self, requests: Sequence[Edit]) -> Drawn:
        new = list(dict.fromkeys(r.seed for r in requests if r.image is None and r.seed not in self._sources))
        if new:
            if len(self._sources) + len(new) > KEPT:
                self._sources.clear()
                new = list(dict.fromkeys(r.seed for r in requests if r.image is None))
            images, reasons = self._of_texts([self.config.source_prompt] * len(new), new)
            self._sources |= {
                seed: (image, reasons.get(row)) for row, (seed, image) in enumerate(zip(new, images, strict=True))
            }
        sources = [self._sources[r.seed] if r.image is None else (self._sized(r.image), None) for r in requests]
        return torch.stack([image for image, _ in sources]), {
            row: reason for row, (_, reason) in enumerate(sources) if reason is not None
        }

    def _sized(self, image: np.ndarray) -> Tensor:
        return (resized(torch.from_numpy(image)[None].float() / 255, *self.size)[0] * 255).round().to(torch.uint8)

    @cached_property
    def _repainter(self) -> Any:
        if self.config.steps is not None and int(self.config.steps * self.config.strength) < 1:
            raise UserError(
                f"diffusers_pipeline: {self.config.strength:g} of {self.config.steps} steps are none: use a larger "
                f"strength"
            )
        form = loading.image_to_image(self.pipeline)
        loading.check_call(form, {"prompt": "edit by a text", "image": "edit", "strength": "edit"}, {})
        return form

    def _conditioned(self, names: tuple[str, ...]) -> Any:
        for name in names:
            if name not in self._nets:
                self._nets[name] = loading.controlnet(self.controlnets[name], self.config.dtype, self.device)
        if names not in self._forms:
            self._forms[names] = loading.with_controlnets(self.pipeline, [self._nets[name] for name in names])
        return self._forms[names]
