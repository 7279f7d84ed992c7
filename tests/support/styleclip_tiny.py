"""A generator of 32 pixels and a CLIP of 16 dimensions, for tests of StyleCLIP; random weights, always the same."""

import torch
from clip_tiny import tiny_weights

from t2ibench.networks.clip import Clip
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Config, Generator

TINY = Config(resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16)


def tiny_generator() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(TINY).eval().requires_grad_(False)
        generator.mapping.w_avg.normal_()
        for layer in generator.layers:  # trained biases are not 0 either
            generator.blocks[f"b{layer.resolution}"][layer.kind].bias.normal_(std=0.1)  # type: ignore[index, union-attr]
    return generator


class TinyModels(Models):
    """Hands out the two under any name."""

    def __init__(self, generator: Generator | None = None) -> None:
        super().__init__()
        self.tiny, self.reader = generator or tiny_generator(), Clip.from_zoo(tiny_weights())

    def stylegan2(self, name: str) -> Generator:
        self.used[name] = {
            "sha256": "generator",
            "data": {"dataset": "squares", "train": "train"},
            "optimised_for": None,
        }
        return self.tiny

    def clip(self, name: str = "") -> Clip:
        return self.reader
