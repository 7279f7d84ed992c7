"""The layout of OpenAI's CLIP (Radford et al., ICML 2021), in which every paper downloads its CLIP.

Names of tensors are those of openai/CLIP, which open_clip shares. Shapes give the whole network but two things: the
width of a head, which is always 64 there, and the activation. OpenAI's networks compute x sigmoid(1.702 x), the
quick-GELU; those of LAION compute the exact GELU. With the other one of the two every feature is slightly wrong, so
the activation must be told by what else the file holds.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.tensor_files import Script

EXTRA = ("input_resolution", "context_length", "vocab_size")  # numbers that only OpenAI's archives store as tensors
HEAD = 64  # channels of a head
QUICK = 1.702  # the constant of the quick-GELU
VOCABULARY = 49_408  # tokens of CLIP's tokeniser
KINDS = {(768, 12): "B", (1024, 24): "L", (1280, 32): "H", (1408, 40): "g"}  # width and layers of the image tower


def is_clip(state: Mapping[str, Any]) -> bool:
    """Whether a state dict is that of a CLIP with both towers, by OpenAI's names."""
    return {"visual.conv1.weight", "token_embedding.weight", "text_projection"} <= state.keys()


def config_of(where: Path | str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """`embed_dim`, `vision_cfg` and `text_cfg` of open_clip for the shapes of a state dict.

    Raises UserError for shapes that no such network has.
    """
    try:
        width, embed_dim = state["ln_final.weight"].shape[0], state["text_projection"].shape[1]
        vocabulary = state["token_embedding.weight"].shape[0]
        text = {
            "context_length": state["positional_embedding"].shape[0],
            "vocab_size": vocabulary,
            "width": width,
            "heads": max(1, width // HEAD),
            "layers": _count(state, r"transformer\.resblocks\.(\d+)\."),
        }
        vision = _vision_transformer(state) if "visual.proj" in state else _residual_network(state)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise UserError(
            f"{where}: a CLIP of an unknown shape ({error} is missing or too short): get the file again"
        ) from error
    if vocabulary != VOCABULARY:
        raise UserError(
            f"{where}: a CLIP with {vocabulary:,} tokens, expected the {VOCABULARY:,} of CLIP's tokeniser: use another"
        )
    return {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}


def cleaned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters and buffers of the network, in float32: without `EXTRA` and without masks that are constants."""
    kept = {key: value for key, value in state.items() if key not in (*EXTRA, "attn_mask")}
    for key in [key.removesuffix("running_mean") for key in kept if key.endswith(".running_mean")]:
        kept.setdefault(f"{key}num_batches_tracked", torch.tensor(0))  # counted in training, never used
    return {key: value.float() if value.is_floating_point() else value for key, value in kept.items()}


def activation_of(script: Script) -> bool | None:
    """Whether a scripted CLIP computes the quick-GELU: True, or None if nothing in the archive says."""
    quick = script.tensors.keys() >= {*EXTRA} or any("QuickGELU" in name for name in script.classes)
    return True if quick or any(_is_quick(value) for value in script.constants) else None


def model_of(config: Mapping[str, Any]) -> str:
    """What open_clip calls a network of these shapes, without the activation: "ViT-B-32", "RN50"; or "MODEL"."""
    vision = config["vision_cfg"]
    if not isinstance(vision["layers"], int):
        return {(3, 4, 6, 3): "RN50", (3, 4, 23, 3): "RN101"}.get(tuple(vision["layers"]), "MODEL")
    letter = KINDS.get((vision["width"], vision["layers"]))
    return f"ViT-{letter}-{vision['patch_size']}" if letter else "MODEL"


def _vision_transformer(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, patch, _ = state["visual.conv1.weight"].shape
    side = math.isqrt(state["visual.positional_embedding"].shape[0] - 1)
    return {
        "layers": _count(state, r"visual\.transformer\.resblocks\.(\d+)\."),
        "width": width,
        "head_width": min(HEAD, width),
        "patch_size": patch,
        "image_size": patch * side,
    }


def _residual_network(state: Mapping[str, Tensor]) -> dict[str, Any]:
    side = math.isqrt(state["visual.attnpool.positional_embedding"].shape[0] - 1)
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    return {
        "layers": [_count(state, rf"visual\.layer{number}\.(\d+)\.") for number in (1, 2, 3, 4)],
        "width": width,
        "head_width": HEAD,
        "image_size": 32 * side,
    }


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(match[1]) for key in state if (match := re.match(pattern, key)))


def _is_quick(value: Tensor) -> bool:
    return value.ndim == 0 and value.is_floating_point() and abs(float(value) - QUICK) < 1e-3
