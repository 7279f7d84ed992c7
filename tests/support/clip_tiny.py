"""A CLIP of a few hundred weights."""

import json

import torch

from t2ibench.networks import weights
from t2ibench.networks.clip.network import build, tokens_of
from t2ibench.networks.clip.preprocess import Preprocess

VISION = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 32}
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": VISION,
    "text_cfg": {"context_length": 12, "width": 16, "heads": 2, "layers": 1},
    "preprocess": Preprocess(32).facts(),
}


def tiny_weights(seed: int = 0) -> weights.Weights:
    torch.manual_seed(seed)
    ids = sorted(set(tokens_of(["a red square on white", "this square is blue"], 12).unique().tolist()) - {0})
    model = build(CONFIG, ids)
    return weights.Weights("tiny", model.state_dict(), json.loads(json.dumps(CONFIG)), {}, "00")
