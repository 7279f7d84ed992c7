"""The contract of each track: what a request holds, and what a method must have to take part.

A method supports a track by having the function of the track's name. Images cross this boundary as uint8 [B, 3, H, W]:
what is scored is what is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # suites are listed without torch
    from torch import Tensor

TRACKS = ("text_to_image", "edit", "adapt", "compose")


@dataclass(frozen=True)
class TextToImage:
    """One image asked for by one text. `seed`, in [0, 2**63), is the sample's only source of randomness."""

    prompt: str
    seed: int


@runtime_checkable
class TextToImageMethod(Protocol):
    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request: uint8, [B, 3, H, W]. An image depends on its own request alone, never on its batch."""
        ...


@dataclass(frozen=True)
class Prompt:
    """One text that a track asks for, with the facts about it that metrics need.

    group: which metrics it is for ("captions": one text of each reference image; "pairs": attribute pairs). `images` samples are
    made of it, k = 0 … images - 1. `reference`: the id of the real image the text came with. `tags`: whatever the metric that
    asked for the prompt has to know again (JSON values).
    """

    id: str
    text: str
    group: str = "captions"
    images: int = 1
    reference: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
