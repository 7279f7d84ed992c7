"""The stored StyleGAN2 generators, and files as public code writes them: NVlabs' pickles (without their code) and
rosinality's .pt.
"""

import ast
import collections
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from goldens import FOLDER

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import Config, Generator, checkpoints, nvlabs, shapes

GOLDEN = ("stylegan2_32", "stylegan2_16_clamp")
VERSION = 6  # of NVlabs' persistence


def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files if key != "config"}


def settings(name: str) -> dict[str, Any]:
    """Of the reference generator: img_resolution, channel_base, channel_max, w_dim, mapping_layers, conv_clamp."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return ast.literal_eval(str(arrays["config"]))


def state_of(name: str) -> dict[str, torch.Tensor]:
    """The state dict under NVlabs' names, with the filters that the stored one leaves out."""
    state = {key.removeprefix("state/"): value for key, value in golden(name).items() if key.startswith("state/")}
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    blocks = {key.rsplit(".", 2)[0] for key in state if key.endswith("torgb.weight")}
    layers = {key.removesuffix(".noise_const") for key in state if key.endswith("noise_const")}
    return state | {f"{at}.resample_filter": torch.outer(taps, taps) / 64 for at in blocks | layers}


def generator_of(name: str) -> Generator:
    given = settings(name)
    w_dim = given["w_dim"]
    config = Config(
        given["img_resolution"],
        w_dim,
        w_dim,
        given["mapping_layers"],
        given["channel_base"],
        given["channel_max"],
        given["conv_clamp"],
    )
    state = {nvlabs.rename(key): value for key, value in state_of(name).items() if not key.endswith("resample_filter")}
    return shapes.build(name, config, state)


class EasyDict(dict):
    """Stands for dnnlib.util.EasyDict: a dict with attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


class Persistent:
    """Stands for a module of NVlabs: reduced to a call with its source, class name and attributes."""

    def __init__(self, class_name: str, source: str, **state: Any) -> None:
        self.meta: dict[str, Any] = {
            "type": "class",
            "version": VERSION,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,), None


def module(
    class_name: str, tensors: dict[str, torch.Tensor], parts: dict[str, Persistent], source: str, **attributes: Any
) -> Persistent:
    """A torch module's attributes as NVlabs pickles them; buffers are those names that theirs registers as such."""
    buffers = {"resample_filter", "noise_const", "w_avg"}
    hooks: dict[str, Any] = {
        f"_{name}": collections.OrderedDict()
        for name in ("backward_hooks", "forward_hooks", "forward_pre_hooks", "state_dict_hooks")
    }
    return Persistent(
        class_name,
        source,
        training=False,
        _parameters=collections.OrderedDict(
            (key, torch.nn.Parameter(value, requires_grad=False))
            for key, value in tensors.items()
            if key not in buffers
        ),
        _buffers=collections.OrderedDict((key, value) for key, value in tensors.items() if key in buffers),
        _non_persistent_buffers_set=set(),
        _modules=collections.OrderedDict(parts),
        **hooks,
        **attributes,
    )


def tree(
    state: dict[str, torch.Tensor], source: str, clamp: float | None, c_dim: int = 0, rate: float = 0.01, **changes: Any
) -> Persistent:
    """G_ema of a state dict. changes: attributes of every modulated 3x3 convolution, instead of NVlabs' own."""

    def build(prefix: str) -> Persistent:
        below = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        own = {key: value for key, value in below.items() if "." not in key}
        parts = {
            name: build(f"{prefix}{name}.") for name in dict.fromkeys(key.split(".")[0] for key in below if "." in key)
        }
        kind = prefix.rstrip(".").rsplit(".", 1)[-1]
        gain = np.float64(1) / np.sqrt(3)  # numpy's scalars travel in these files
        if kind.startswith("conv"):
            given = {"conv_clamp": clamp, "activation": "lrelu", "use_noise": True, "act_gain": np.sqrt(2), **changes}
            return module("SynthesisLayer", own, parts, source, **given)
        if kind == "torgb":
            return module("ToRGBLayer", own, parts, source, conv_clamp=clamp, weight_gain=gain)
        if kind == "affine":
            return module("FullyConnectedLayer", own, parts, source, activation="linear", weight_gain=gain)
        if kind.startswith("fc"):
            return module(
                "FullyConnectedLayer", own, parts, source, activation="lrelu", weight_gain=gain, bias_gain=rate
            )
        if kind.startswith("b"):
            return module("SynthesisBlock", own, parts, source, architecture="skip", use_fp16=False)
        if kind in ("mapping", "synthesis"):
            return module(f"{kind.title()}Network", own, parts, source)
        kwargs = EasyDict(c_dim=c_dim, synthesis_kwargs=EasyDict(conv_clamp=clamp))
        return module("Generator", own, parts, source, c_dim=c_dim, img_channels=3, _init_args=(), _init_kwargs=kwargs)

    return build("")


def write_pickle(path: Path, content: Any, protocol: int = 4) -> Path:
    """Pickle as NVlabs' code does: by the names of their modules, which exist while this writes and at no other
    time.
    """
    names = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util", "dnnlib.tflib", "dnnlib.tflib.network")
    utils, persistence, dnnlib, util, tflib, network = (types.ModuleType(name) for name in names)

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("a pickle was executed")

    _reconstruct_persistent_obj.__module__, _reconstruct_persistent_obj.__qualname__ = (
        persistence.__name__,
        "_reconstruct_persistent_obj",
    )
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    util.EasyDict = EasyDict  # type: ignore[attr-defined]
    network.Network = Network  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "__module__", network.__name__)
        for fake in (utils, persistence, dnnlib, util, tflib, network):
            patch.setitem(sys.modules, fake.__name__, fake)
        patch.setattr(EasyDict, "__module__", "dnnlib.util")
        path.write_bytes(pickle.dumps(content, protocol))
    return path


def write_pkl(path: Path, name: str = "stylegan2_32", source: str = "", protocol: int = 4, **changes: Any) -> Path:
    """A network snapshot of a stored generator, with another one as G and a D that nobody reads."""
    clamp = changes.pop("conv_clamp", settings(name)["conv_clamp"])
    state = changes.pop("state", state_of(name))
    ema = tree(state, source, clamp, **changes)
    discriminator = module("Discriminator", {"weight": torch.ones(2)}, {}, source)
    content = {
        "training_set_kwargs": EasyDict(path="faces.zip"),
        "G": ema,
        "D": discriminator,
        "G_ema": ema,
        "augment_pipe": None,
    }
    return write_pickle(path, content, protocol)


class Network:
    """Stands for dnnlib.tflib.network.Network: pickled as its state, with the source of its code."""

    def __init__(self, variables: list[tuple[str, Any]], components: dict[str, "Network"], **options: Any) -> None:
        self.variables, self.components, self.options = variables, components, options
        self.version, self.source = options.pop("version", 4), options.pop("source", "")

    def __getstate__(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "name": "Gs",
            "static_kwargs": self.options,
            "components": self.components,
            "build_module_src": self.source,
            "build_func_name": "G_main",
            "variables": self.variables,
        }


def tensorflow_network(name: str = "stylegan2_32", **options: Any) -> Network:
    """A stored generator as TensorFlow's code pickles it: its names, its order of axes and its conventions."""
    state = {key: value.numpy() for key, value in state_of(name).items()}
    given = settings(name)
    size = {"resolution": given["img_resolution"], "num_channels": 3, "label_size": 0, "fmap_base": 8192}
    options = {**size, "mapping_layers": given["mapping_layers"], "conv_clamp": given["conv_clamp"], **options}
    mapping, synthesis = [], [("4x4/Const/const", state["synthesis.b4.const"][None])]
    for number in range(given["mapping_layers"]):
        mapping.append((f"Dense{number}/weight", state[f"mapping.fc{number}.weight"].T.copy()))
        mapping.append((f"Dense{number}/bias", state[f"mapping.fc{number}.bias"]))
    count, resolution = 0, 4
    while resolution <= given["img_resolution"]:
        kinds = [("conv1", "Conv")] if resolution == 4 else [("conv0", "Conv0_up"), ("conv1", "Conv1")]
        for ours, theirs in (*kinds, ("torgb", "ToRGB")):
            of, to = f"synthesis.b{resolution}.{ours}", f"{resolution}x{resolution}/{theirs}"
            kernel = state[f"{of}.weight"].transpose(2, 3, 1, 0)  # [kh, kw, in, out]
            synthesis.append((f"{to}/weight", (kernel[::-1, ::-1] if ours == "conv0" else kernel).copy()))
            synthesis.append((f"{to}/mod_weight", state[f"{of}.affine.weight"].T.copy()))
            synthesis.append((f"{to}/mod_bias", state[f"{of}.affine.bias"] - 1))
            synthesis.append((f"{to}/bias", state[f"{of}.bias"]))
            if ours != "torgb":
                synthesis.append((f"{to}/noise_strength", state[f"{of}.noise_strength"][()]))  # a scalar of numpy
                synthesis.append((f"noise{count}", state[f"{of}.noise_const"][None, None]))
                count += 1
        resolution *= 2
    parts = {"synthesis": Network(synthesis, {}), "mapping": Network(mapping, {})}
    return Network([("lod", np.float32(0)), ("dlatent_avg", state["mapping.w_avg"])], parts, **options)


def public_state(generator: Generator) -> dict[str, torch.Tensor]:
    """The state dict of rosinality's generator, by the table of its names, written without this package's own table.

    Its noise maps are random, as each conversion has its own.
    """
    ours, theirs = generator.state_dict(), {}
    for k in range(generator.config.mapping_layers):
        for kind in ("weight", "bias"):
            theirs[f"style.{k + 1}.{kind}"] = ours[f"mapping.fc{k}.{kind}"]
    theirs["input.input"] = ours["const"][None]
    for number, layer in enumerate(layer for layer in generator.layers if not layer.is_rgb):
        name, key = ("conv1" if number == 0 else f"convs.{number - 1}"), f"blocks.{layer.name}"
        theirs[f"{name}.conv.weight"] = ours[f"{key}.weight"][None]
        theirs[f"{name}.conv.modulation.weight"] = ours[f"{key}.affine.weight"]
        theirs[f"{name}.conv.modulation.bias"] = ours[f"{key}.affine.bias"]
        theirs[f"{name}.noise.weight"] = ours[f"{key}.noise_strength"].reshape(1)
        theirs[f"{name}.activate.bias"] = ours[f"{key}.bias"]
        theirs[f"noises.noise_{number}"] = torch.randn(1, 1, layer.resolution, layer.resolution)  # each file its own
    for number, layer in enumerate(layer for layer in generator.layers if layer.is_rgb):
        name, key = ("to_rgb1" if number == 0 else f"to_rgbs.{number - 1}"), f"blocks.{layer.name}"
        theirs[f"{name}.conv.weight"] = ours[f"{key}.weight"][None]
        theirs[f"{name}.conv.modulation.weight"] = ours[f"{key}.affine.weight"]
        theirs[f"{name}.conv.modulation.bias"] = ours[f"{key}.affine.bias"]
        theirs[f"{name}.bias"] = ours[f"{key}.bias"].reshape(1, 3, 1, 1)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    for k in range(len(generator.config.resolutions) - 1):
        for key in (f"convs.{2 * k}.conv.blur.kernel", f"to_rgbs.{k}.upsample.kernel"):
            theirs[key] = torch.outer(taps, taps) / 16
    return {key: value.clone() for key, value in theirs.items()}


def images(generator: Generator, name: str) -> torch.Tensor:
    return generator.synthesis(generator.style(golden(name)["w_plus_psi07"]))


def refused(path: Path, says: str, **options: Any) -> None:
    with pytest.raises(UserError, match=says) as caught:
        checkpoints.load(path, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


class Call:
    """Pickled as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call
