"""CLIP folders of Hugging Face's transformers: `config.json`, the weights, and `preprocessor_config.json`.

The names of tensors differ from OpenAI's, three matrices of each attention are stored apart, and projections are
transposed. `hidden_act` decides the activation.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core import tensor_files
from t2ibench.core.errors import UserError

CONFIG, SHARDS = "config.json", "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")  # the second since transformers 5
ACTIVATIONS = {"quick_gelu": True, "gelu": False}
PILLOW = {2: "bilinear", 3: "bicubic"}  # the numbers of Pillow's filters
TOWERS = {"text_model.": "", "vision_model.": "visual."}
NAMES = {  # of both towers, behind their prefix: theirs -> OpenAI's
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    **{f"final_layer_norm.{kind}": f"ln_final.{kind}" for kind in ("weight", "bias")},
    **{f"pre_layrnorm.{kind}": f"ln_pre.{kind}" for kind in ("weight", "bias")},  # their spelling
    **{f"post_layernorm.{kind}": f"ln_post.{kind}" for kind in ("weight", "bias")},
}
LAYER = {  # of a layer; the three projections of an attention are joined
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
TEXT = {"num_attention_heads": 8, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "intermediate_size": 2048}
VISION = {**TEXT, "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224}  # what a config leaves out
NEEDED = ("visual.conv1.weight", "visual.ln_pre.weight", "visual.proj", "token_embedding.weight", "text_projection")
END_TOKENS = (None, 2, 49_407)  # 2: read at the highest token, as OpenAI's code does; the other is that token


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], bool, dict[str, Any] | None]:
    """Tensors by OpenAI's names, open_clip's config, whether it computes the quick-GELU, and the preprocessing.

    The preprocessing is as in `Preprocess.of`, or None if the folder does not say.
    Raises UserError for another network, and for one whose settings are not supported.
    """
    config = _json(folder / CONFIG)
    if config.get("model_type") != "clip" or not {"text_config", "vision_config"} <= config.keys():
        kind = config.get("model_type", "unknown")
        raise UserError(
            f"{folder}: config.json is of the type {kind!r}, expected 'clip' with a text and an image tower"
        )
    text, vision = {**TEXT, **config["text_config"]}, {**VISION, **config["vision_config"]}
    for tower, name, wanted in (
        (text, "layer_norm_eps", (1e-5,)),
        (vision, "layer_norm_eps", (1e-5,)),
        (text, "eos_token_id", END_TOKENS),
        (text, "hidden_act", tuple(ACTIVATIONS)),
        (vision, "hidden_act", (text["hidden_act"],)),
    ):
        if tower.get(name) not in wanted:
            raise UserError(
                f"{folder}: config.json has {name} {tower.get(name)!r}, expected "
                f"{' or '.join(repr(value) for value in wanted if value is not None)}: use another CLIP"
            )
    state = renamed(folder, _tensors(folder))
    sizes = {
        "text_cfg": {"heads": text["num_attention_heads"], "mlp_ratio": _ratio(state, "")},
        "vision_cfg": {
            "head_width": len(state["visual.ln_pre.weight"]) // vision["num_attention_heads"],
            "mlp_ratio": _ratio(state, "visual."),
        },
    }
    return state, sizes, ACTIVATIONS[text["hidden_act"]], _preprocessing(folder, vision["image_size"])


def renamed(where: Path, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with OpenAI's names. Raises UserError for a tensor that OpenAI's network does not have."""
    state, parts = {}, {}
    for key, value in theirs.items():
        prefix = next((prefix for prefix in TOWERS if key.startswith(prefix)), "")
        name, ours = key.removeprefix(prefix), TOWERS.get(prefix, "")
        if name == "embeddings.position_ids":  # a constant, which old files hold
            continue
        if prefix and name in NAMES:
            state[ours + NAMES[name]] = value
        elif prefix and name.startswith("encoder.layers."):
            _, _, number, part = name.split(".", 3)
            module, _, kind = part.rpartition(".")
            block = f"{ours}transformer.resblocks.{number}."
            if module in LAYER:
                state[f"{block}{LAYER[module]}.{kind}"] = value
            elif module in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                parts[f"{block}attn.in_proj_{kind}", module[len("self_attn.")]] = value
            else:
                raise UserError(f"{where}: {key} is no tensor of a CLIP: use another network")
        elif key in ("text_projection.weight", "visual_projection.weight"):
            state["text_projection" if key[0] == "t" else "visual.proj"] = value.T.contiguous()
        elif key == "logit_scale":
            state[key] = value.reshape([])
        else:
            raise UserError(f"{where}: {key} is no tensor of a CLIP: use another network")
    for joined in sorted({key for key, _ in parts}):
        missing = [letter for letter in "qkv" if (joined, letter) not in parts]
        if missing:
            raise UserError(f"{where}: {missing[0]}_proj of {joined} is missing: get the file again")
        state[joined] = torch.cat([parts[joined, letter] for letter in "qkv"])
    for key in (
        "visual.conv1.weight",
        "token_embedding.weight",
        "text_projection",
        "visual.proj",
        "visual.ln_pre.weight",
    ):
        if key not in state:
            tower = "an image" if key.startswith("visual") else "a text"
            raise UserError(f"{where}: {key} is missing, expected a CLIP with {tower} tower and its projection")
    return state


def _tensors(folder: Path) -> dict[str, Tensor]:
    expected = "the weights of a CLIP of transformers"
    names = [name for name in WEIGHTS if (folder / name).is_file()][:1]
    if not names and (folder / SHARDS).is_file():
        names = sorted({Path(str(name)).name for name in _json(folder / SHARDS).get("weight_map", {}).values()})
    if not names:
        raise UserError(f"{folder}: has a config.json and none of {', '.join(WEIGHTS)}: get the folder again, whole")
    tensors: dict[str, Tensor] = {}
    for name in names:
        content = tensor_files.read(folder / name, expected)
        if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
            raise UserError(f"{folder / name}: holds more than tensors by name, expected {expected}")
        tensors |= content
    return tensors


def _ratio(state: Mapping[str, Tensor], tower: str) -> float:
    """How much wider the hidden layer of a block is than its input."""
    weight = state.get(f"{tower}transformer.resblocks.0.mlp.c_fc.weight")
    return 4.0 if weight is None else weight.shape[0] / weight.shape[1]


def _preprocessing(folder: Path, side: int) -> dict[str, Any] | None:
    """Preprocessing in open_clip's words. Raises UserError for steps that are not supported."""
    path = next((folder / name for name in PREPROCESSORS if (folder / name).is_file()), None)
    if path is None:
        return None
    config = _json(path)
    config = config.get("image_processor", config)
    size, crop = (_sides(config.get(name, side)) for name in ("size", "crop_size"))
    crops = config.get("do_center_crop", True)
    squashed = size[1] == "both"
    if (
        size[0] != side
        or (crops and crop[0] != side)
        or not (crops or squashed)
        or config.get("resample", 3) not in PILLOW
        or not all(config.get(name, True) for name in ("do_resize", "do_normalize", "do_rescale"))
        or not abs(config.get("rescale_factor", 1 / 255) - 1 / 255) < 1e-9
    ):
        raise UserError(
            f"{path}: preprocesses in another way than scaling to {side} pixels, cropping the centre and normalising, "
            f"which is all that is supported: use another CLIP"
        )
    chosen = {"mean": config.get("image_mean"), "std": config.get("image_std")}
    return {
        "size": side,
        "interpolation": PILLOW[config.get("resample", 3)],
        "resize_mode": "squash" if squashed else "shortest",
        **{name: tuple(values) for name, values in chosen.items() if values is not None},
    }


def _sides(size: Any) -> tuple[Any, str]:
    """The side in pixels, and whether it is that of the shorter side or of both."""
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return size["shortest_edge"], "shortest"
        return (size.get("height") if size.get("height") == size.get("width") else None), "both"
    return size, "shortest"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no JSON file ({str(error).splitlines()[0]}): get it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, expected names and values: get it again")
    return content
