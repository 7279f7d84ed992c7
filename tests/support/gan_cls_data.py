"""Small splits and weights for the tests of the GAN-CLS family."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from t2ibench.core.images import pixel_hash
from t2ibench.data.split import Split
from t2ibench.data.stores import chosen
from t2ibench.methods.gan_cls.networks import Generator, Shape
from t2ibench.methods.gan_cls.text_encoder import EncoderShape, TextEncoder
from t2ibench.methods.gan_cls.train_gan import estimate_statistics
from t2ibench.networks import weights

TINY = Shape(text_dim=5, nz=4, nt=3, ngf=2, ndf=2)
ENCODER = EncoderShape(channels=(4, 5, 6), length=60, out=5)
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class Pixels:
    """Images in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.array[np.asarray(indices)]

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return chosen([pixel_hash(image) for image in self.array], rows)


def colour_split(count: int = 24, name: str = "train", dataset: str = "colours") -> Split:
    """Flat images of four colours, in turn; two captions name the colour."""
    names = [list(COLOURS)[i % 4] for i in range(count)]
    images = np.stack(
        [np.broadcast_to(np.array(COLOURS[colour], np.uint8)[:, None, None], (3, 64, 64)) for colour in names]
    )
    captions = [(f"a {colour} card", f"this card is {colour}") for colour in names]
    return Split(
        dataset, name, [str(i) for i in range(count)], Pixels(images), captions, pd.DataFrame({"colour": names})
    )


def tiny_encoder() -> TextEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TextEncoder(ENCODER).eval().requires_grad_(False)


def write_tiny_weights(folder: Path, shape: Shape = TINY, encoder: EncoderShape = ENCODER) -> None:
    """Untrained weights, scaled so that images differ, under the names "tiny-encoder" and "tiny-gan"."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text, generator = TextEncoder(encoder), Generator(shape)
        pairs = [(torch.randn(32, shape.nz), torch.randn(32, shape.text_dim))]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in text.parameters():  # embeddings of different texts hardly differ otherwise
            parameter.uniform_(-0.5, 0.5)
        text.out.weight.mul_(5)
        for parameter in generator.image[-2].parameters():
            parameter.mul_(10)
    estimate_statistics(generator, pairs)
    card = {"data": {"dataset": "colours", "train": "train"}, "optimised_for": None}
    tensors = {f"text.{key}": value for key, value in text.state_dict().items()}
    weights.write(folder / "tiny-encoder.safetensors", tensors, {**dataclasses.asdict(encoder), "image_width": 0}, card)
    config = {**dataclasses.asdict(shape), "text_encoder": "tiny-encoder", "noise": "normal"}
    weights.write(folder / "tiny-gan.safetensors", generator.state_dict(), config, card)
