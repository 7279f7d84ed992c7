"""Any text-to-image pipeline of diffusers, from a local folder or from the hub, with any scheduler that fits it.

    {name: diffusers_pipeline, as: mine, model: path/to/folder, steps: 30, guidance_scale: 7.5}
    {name: diffusers_pipeline, as: theirs, model: hub:owner/name, dtype: float16, scheduler: EulerDiscreteScheduler}

Noise comes from a CPU generator of the request's seed, so it is the same on every device. An image that the pipeline's safety checker
blackens is a failed sample with that reason. The track `edit` repaints the source by the pipeline's image-to-image form.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from t2ibench.methods.diffusers_pipeline import loading, places
from t2ibench.methods.diffusers_pipeline.drawing import draw
from t2ibench.methods.diffusers_pipeline.settings import Config
from t2ibench.models import Models
from t2ibench.tracks import TextToImage

__all__ = ["Config", "Method"]


class Method:
    """Finds and hashes the pipeline at once; reads its weights when the first image is asked for."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for a model that is missing, needs packages that are not installed, or brings code that nobody allowed."""
        self.config, self.device, self.trained_on = config, models.device, config.trained_on
        self.place = places.find_pipeline(config.model, config.weights_variant, config.trust_code)
        models.used[self.place.name] = self.place.used(places.pipeline_digest(self.place, config.weights_variant), config.trained_on)
        self.lora = places.find(config.lora, "lora") if config.lora else None
        if self.lora is not None:
            models.used[self.lora.name] = self.lora.used(places.digest_of(self.lora), config.trained_on)

    @cached_property
    def pipeline(self) -> Any:
        """Raises UserError where it cannot be read, or its call does not take what the settings give."""
        return loading.load(self.place, self.config, self.lora, self.device)

    @cached_property
    def painter(self) -> Any:
        """The pipeline, where it draws from texts."""
        loading.check_call(self.pipeline, {"prompt": "draw from a text"}, self.config.call)
        return self.pipeline

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, H, W]: row i depends on requests[i] alone. Raises PartlyFailed where some were withheld."""
        rows = [{"prompt": request.prompt} for request in requests]
        return draw(self.painter, rows, [request.seed for request in requests], self.config.pass_size, self.config.call)
