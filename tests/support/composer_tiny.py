"""A small Composer, small splits with exact parts, and conditions of random values, for the tests of the method."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_cls_data import COLOURS, Pixels
from torch import nn

from t2ibench.data.split import Split
from t2ibench.methods.composer.conditions import LETTERS, Conditions
from t2ibench.methods.composer.network import Denoiser, last_layers
from t2ibench.methods.composer.settings import Shape
from t2ibench.networks import weights

TINY = Shape(
    image_size=16,
    base_channels=8,
    channel_mult=(1, 2),
    attention=(8,),
    head_channels=8,
    gn_groups=8,
    dropout=0.0,
    ctx_dim=8,
    embed_dim=6,
    words_dim=5,
    max_words=4,
    local_hidden=4,
    cond_size=16,
    seg_channels=3,
)


def denoiser(shape: Shape = TINY) -> Denoiser:
    """Evaluation mode; the layers that start at zero are random, or everything would be equal."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Denoiser(shape)
        for layer in last_layers(model.trunk):
            nn.init.normal_(layer.weight, std=0.2)  # type: ignore[arg-type]
    return model.eval().requires_grad_(False)


def conditions(count: int = 2, shape: Shape = TINY, seed: int = 0, present: str = LETTERS) -> Conditions:
    """All eight at random."""
    g, side = torch.Generator().manual_seed(seed), shape.cond_size
    values = {
        "words": torch.randn(count, shape.max_words, shape.words_dim, generator=g),
        "word_mask": torch.arange(shape.max_words).expand(count, -1) < shape.max_words - 1,
        "sentence": torch.randn(count, shape.embed_dim, generator=g),
        "E": torch.randn(count, shape.embed_dim, generator=g),
        "P": torch.rand(count, shape.palette, generator=g).softmax(1),
        "G": (torch.rand(count, shape.seg_channels, side, side, generator=g) > 0.5).float(),
        **{letter: torch.rand(count, 1, side, side, generator=g) for letter in "SDI"},
        "M": torch.rand(count, 4, side, side, generator=g),
    }
    return Conditions(values, torch.ones(count, 8, dtype=torch.bool)).only(present)


@dataclasses.dataclass
class HalfMasks:
    """Two parts: the upper half, and the lower one."""

    side: int
    parts: Sequence[str] = ("sky", "ground")
    of: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        label = np.repeat(np.arange(2, dtype=np.uint8), self.side // 2)[:, None].repeat(self.side, 1)
        return np.stack([label] * len(indices))


def half_split(count: int = 12, name: str = "train", side: int = 16) -> Split:
    """White above, one of four colours below; two captions name it."""
    names = [list(COLOURS)[i % 4] for i in range(count)]
    images = np.full((count, 3, side, side), 255, np.uint8)
    for image, colour in zip(images, names, strict=True):
        image[:, side // 2 :] = np.array(COLOURS[colour], np.uint8)[:, None, None]
    captions = [(f"a {colour} floor", f"the floor is {colour}") for colour in names]
    return Split("halves", name, [str(i) for i in range(count)], Pixels(images), captions, masks=HalfMasks(side))


def write_tiny_weights(folder: Path, shape: Shape = TINY) -> None:
    """Untrained weights under the name "tiny-composer", for the CLIP that guides on avatars."""
    shape = dataclasses.replace(shape, embed_dim=128, words_dim=128)
    config = {**dataclasses.asdict(shape), "extractors": {"clip": "clip-guide-avatars"}, "parts": []}
    card = {"data": {"dataset": "halves", "train": "train"}, "optimised_for": None}
    weights.write(folder / "tiny-composer.safetensors", denoiser(shape).state_dict(), config, card)


def assert_resumes(training: Callable[[], Any]) -> None:
    """Two steps, and two more of another recipe from their state, come to what four steps come to."""
    whole, first, second = training(), training(), training()
    [whole.step(i, i / 4) for i in range(4)]
    [first.step(i, i / 4) for i in range(2)]
    second.load_state(first.state())
    [second.step(i, i / 4) for i in range(2, 4)]
    torch.testing.assert_close(second.result()[0], whole.result()[0], atol=1e-6, rtol=1e-5)
