"""Where an attribute shows in a generated image: the masks of the spatial constraint.

The paper's segmenter is weakly supervised. Here a small network learns the parts from the masks of a data set (exact
ones on `avatars`). This is stronger supervision, and the card records it. The settings can name any other `Segmenter`
as `package.module:function`; the function is called with the data set's name.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.networks.models import Models
from t2ibench.networks.state import rebuilt
from t2ibench.networks.weights import Weights


class Segmenter(Protocol):
    """Masks bool [B, H, W] of the pixels of image i that can show attribute i.

    The images are floats [B, 3, H, W] in about [-1, 1].
    """

    def __call__(self, images: Tensor, attributes: Sequence[str]) -> Tensor: ...


class PartNetwork(nn.Module):
    """Maps images [B, 3, H, W] to logits of parts [B, P, H, W]; H and W are multiples of 4.

    A pixel's logits depend on about a third of an image of 64 pixels. The network also reads the position of each
    pixel, because a background and a white shirt differ by position alone.
    """

    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.inside = nn.Conv2d(5, width, 3, 2, 1)
        self.deeper = nn.ModuleList(nn.Conv2d(width, width, 3, padding=step, dilation=step) for step in (1, 2, 4))
        self.outside = nn.Conv2d(2 * width, 4 * parts, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        y, x = (torch.linspace(-1, 1, size, device=images.device) for size in (height, width))
        places = torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(len(images), -1, -1, -1)
        first = features = F.relu(self.inside(torch.cat([images, places], dim=1)))
        for layer in self.deeper:
            features = features + F.relu(layer(features))
        return F.pixel_shuffle(self.outside(torch.cat([first, features], dim=1)), 2)


class PartSegmenter:
    """A `Segmenter`: the pixels whose likeliest part is one in which the attribute shows.

    Calling it raises UserError for an attribute that belongs to no part.
    """

    def __init__(self, weights: Weights, device: torch.device) -> None:
        self.network = rebuilt(weights, lambda config: PartNetwork(len(config["parts"]), config["width"])).to(device)
        self.parts: list[str] = list(weights.config["parts"])
        self.of: Mapping[str, Sequence[str]] = weights.config["of"]
        self.name = weights.name

    @torch.no_grad()
    def __call__(self, images: Tensor, attributes: Sequence[str]) -> Tensor:
        unknown = [name for name in attributes if name not in self.of]
        if unknown:
            raise UserError(
                f"{self.name} knows no part of {unknown[0]!r}, only of {', '.join(self.of)}: give another segmenter"
            )
        labels = self.network(images.clamp(-1, 1)).argmax(1)
        shown = [[part in self.of[name] for part in self.parts] for name in attributes]
        return torch.tensor(shown, device=labels.device)[torch.arange(len(labels))[:, None, None], labels]


def segmenter(name: str, dataset: str, models: Models) -> tuple[Segmenter, dict[str, Any]]:
    """A segmenter and what a card says about it. name: its weights, or `package.module:function`."""
    module, colon, function = name.partition(":")
    if not colon:
        weights = models.weights(name)
        return PartSegmenter(weights, models.device), {
            "segmenter": name,
            "sha256": weights.sha256,
            "supervision": "part masks",
        }
    try:
        loaded = getattr(importlib.import_module(module), function)(dataset)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"segmenter: {name} cannot be imported ({error}): give package.module:function, or weights of the zoo"
        ) from error
    return loaded, {"segmenter": name, "supervision": getattr(loaded, "supervision", "unknown")}
