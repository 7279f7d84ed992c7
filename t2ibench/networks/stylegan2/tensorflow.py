"""Reads TensorFlow's StyleGAN2 pickles, such as `stylegan2-ffhq-config-f.pkl`: three networks, each a list of names and
arrays.

The source code of the networks travels with them, and NVIDIA's loader executes it; here the arrays are read as data.
Names and axes are brought to those of NVlabs' PyTorch release, as its `legacy.py` does: axes are turned, kernels of
upsampling convolutions are flipped, and 1 is added to the biases of styles. Weights of NVlabs are licensed for research
only.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core import pickles
from t2ibench.core.errors import UserError

NETWORK = "dnnlib.tflib.network.Network"
VERSION = 4  # of the pickled networks; earlier ones are of StyleGAN and Progressive GAN
FIXED: Mapping[str, Any] = {  # settings that this generator is made for, and that shapes do not show
    "label_size": 0,
    "mapping_nonlinearity": "lrelu",
    "mapping_lrmul": 0.01,
    "normalize_latents": True,
    "architecture": "skip",
    "resample_kernel": [1, 3, 3, 1],
    "use_noise": True,
    "nonlinearity": "lrelu",
    "fused_modconv": None,  # None: any value, since it changes no number, or since shapes show it
    "conv_clamp": None,
    **dict.fromkeys(("latent_size", "dlatent_size", "resolution", "num_channels", "mapping_layers", "mapping_fmaps")),
    **dict.fromkeys(("fmap_base", "fmap_min", "fmap_max", "fmap_decay", "label_fmaps", "num_fp16_res", "structure")),
    **dict.fromkeys(("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val")),
    **dict.fromkeys(("dlatent_avg_beta", "w_avg_beta", "style_mixing_prob", "randomize_noise", "dlatent_broadcast")),
}
KINDS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}  # theirs -> NVlabs' in PyTorch
MODULATED = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}


def is_network(content: Any) -> bool:
    """Whether a pickle holds networks of TensorFlow: one, or the three of a snapshot."""
    networks = content if isinstance(content, tuple) else (content,)
    return bool(networks) and all(isinstance(value, pickles.Record) and value.name == NETWORK for value in networks)


def read(path: Path, content: Any) -> tuple[dict[str, Tensor], float | None]:
    """State dict of the averaged generator, Gs, with the names of NVlabs' PyTorch release, and its clamp.

    Raises UserError for another network, and for settings that this generator does not have.
    """
    network = content[-1] if isinstance(content, tuple) else content
    try:
        state = network.state
        version, options = state["version"], dict(state["static_kwargs"])
        if version < VERSION:
            raise UserError(
                f"{path}: a TensorFlow network of version {version}, as of StyleGAN or Progressive GAN, expected "
                f"{VERSION} or newer, as of StyleGAN2: use another network"
            )
        _check(path, options)
        arrays = {name: pickles.array(value) for name, value in _variables(network)}
        clamp = pickles.number(options.get("conv_clamp"))
    except pickles.DAMAGED as error:
        raise UserError(
            f"{path}: its TensorFlow network cannot be read ({pickles.reason(error)}): get the file again"
        ) from error
    return renamed(path, arrays), clamp


def renamed(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Variables with the names, axes and conventions of NVlabs' PyTorch release."""
    state: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if name == "dlatent_avg":
            state["mapping.w_avg"] = value
        elif match := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
            state[f"mapping.fc{match[1]}.{match[2]}"] = value.T
        elif name == "synthesis/4x4/Const/const":
            state["synthesis.b4.const"] = value[0]
        elif match := re.fullmatch(r"synthesis/noise(\d+)", name):
            number = int(match[1])  # 0 at 4 pixels, then two of each resolution
            layer = f"b{2 ** ((number + 5) // 2)}.conv{1 if number % 2 == 0 else 0}"
            state[f"synthesis.{layer}.noise_const"] = value[0, 0]
        elif match := re.fullmatch(r"synthesis/(\d+)x\1/(Conv|Conv0_up|Conv1|ToRGB)/(\w+)", name):
            key = f"synthesis.b{match[1]}.{KINDS[match[2]]}.{MODULATED.get(match[3], match[3])}"
            if match[3] == "weight":
                value = (value[::-1, ::-1] if match[2] == "Conv0_up" else value).transpose(3, 2, 0, 1)
            state[key] = value.T if match[3] == "mod_weight" else value + 1 if match[3] == "mod_bias" else value
        elif name.rpartition("/")[2] != "lod":  # how far progressive growing went; StyleGAN2 does not grow
            raise UserError(f"{path}: has a variable {name}, which no StyleGAN2 generator has: use another network")
    return {key: torch.from_numpy(np.array(value, order="C")) for key, value in state.items()}


def _variables(network: pickles.Record, prefix: str = "") -> list[tuple[str, Any]]:
    """Names and arrays of a network, then those of its parts."""
    variables = [(prefix + name, value) for name, value in network.state["variables"]]
    for name, part in network.state["components"].items():
        variables += _variables(part, f"{prefix}{name}/")
    return variables


def _check(path: Path, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        wanted = FIXED.get(name, "")
        value = list(value) if isinstance(value, tuple | list) else value
        if name not in FIXED or not (wanted is None or value is None or value == wanted):
            expected = f"{wanted!r}" if name in FIXED else "no such setting"
            raise UserError(f"{path}: its generator has {name} {value!r}, expected {expected}: use another network")
