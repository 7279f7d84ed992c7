"""A tiny StyleGAN2 and a tiny CLIP, untrained, as the models of a method."""

import torch

from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.network import build, tokens_of
from t2ibench.networks.clip.preprocess import Preprocess
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Config, Generator
from t2ibench.networks.weights import Weights

TEXTS = ("a person with an afro", "a smiling person", "a person")
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 32},
    "text_cfg": {"context_length": 12, "width": 16, "heads": 2, "layers": 1},
    "preprocess": Preprocess(32).facts(),
}


def tiny_generator(resolution: int = 32, w_dim: int = 16) -> Generator:
    """At most 16 channels; its noise and mean latent are not zero."""
    torch.manual_seed(0)
    generator = Generator(Config(resolution, z_dim=8, w_dim=w_dim, mapping_layers=2, channel_base=512, channel_max=16))
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.1)
    generator.mapping.w_avg.copy_(0.3 * torch.randn(w_dim))
    return generator.eval().requires_grad_(False)


def tiny_clip() -> Clip:
    torch.manual_seed(1)
    ids = sorted(set(tokens_of(TEXTS, 12).unique().tolist()) - {0})
    return Clip.from_zoo(Weights("tiny-clip", build(CLIP, ids).state_dict(), CLIP, {}, "c0"))


def tiny_models(resolution: int = 32) -> Models:
    """Both under the names `tiny` and `tiny-clip`."""
    models = Models()
    models._generators["tiny"], models._clips["tiny-clip"] = tiny_generator(resolution), tiny_clip()
    models.used["tiny"] = {"sha256": "a0", "data": {"dataset": "squares", "train": "train"}, "optimised_for": None}
    return models
