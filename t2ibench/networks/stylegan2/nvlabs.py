"""Reads `.pkl` files of NVlabs' StyleGAN2-ADA for PyTorch: {"G", "D", "G_ema", …}, each a module of their persistence
wrapper. Those of TensorFlow, which have the same suffix, are handed on.

Their files contain the source code of the modules, which unpickling would execute; here they are read as data. Only
G_ema is read: its parameters and buffers, and the settings that cannot be found from shapes. Weights of NVlabs are
licensed for research only.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2ibench.core import pickles
from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import tensorflow
from t2ibench.networks.stylegan2.layout import Config
from t2ibench.networks.stylegan2.network import fir
from t2ibench.networks.stylegan2.shapes import config_of, mean_w

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
KNOWN = (
    pickles.NUMPY
    | pickles.TORCH
    | {
        PERSISTENT,
        tensorflow.NETWORK,
        *pickles.CONTAINERS,
        "dnnlib.util.EasyDict",
    }
)
PREFIXES = {"synthesis.b4.const": "const", "synthesis.": "blocks."}  # their names -> ours
FIXED: dict[str, Any] = {
    "activation": "lrelu",
    "architecture": "skip",
    "use_noise": True,
}  # settings of their layers that this generator is made for
RATE = 0.01  # of the mapping, by which its weights are scaled


def read(path: Path) -> tuple[Config, dict[str, Tensor]]:
    """Config and state dict of the averaged generator, with our names.

    Raises UserError for anything but an unconditional generator.
    """
    content = pickles.read(path, KNOWN.__contains__, "a StyleGAN2-ADA checkpoint")
    if tensorflow.is_network(content):
        return _finished(path, *tensorflow.read(path, content))
    if not isinstance(content, Mapping) or "G_ema" not in content:
        raise UserError(
            f"{path}: holds {pickles.kind_of(content)}, expected a network snapshot of stylegan2-ada-pytorch with the "
            f"key 'G_ema'"
        )
    try:
        generator = Module(content["G_ema"])
        modules, tensors = dict(_walk(generator)), generator.tensors()
        rates = {
            pickles.number(module.get("bias_gain", RATE))
            for name, module in modules.items()
            if name.startswith("mapping.fc")
        }
        clamps = {
            pickles.number(module.get("conv_clamp"))
            for name, module in modules.items()
            if name.endswith(("conv0", "conv1"))
        }
    except (*pickles.DAMAGED, RuntimeError) as error:
        raise UserError(
            f"{path}: its G_ema cannot be read ({pickles.reason(error)}): get the file from a source you trust"
        ) from error
    _check(path, generator, modules, tensors)
    if rates - {RATE}:
        raise UserError(
            f"{path}: the mapping of G_ema has the learning rates {rates}, expected {RATE}: use another network"
        )
    if len(clamps) > 1:
        raise UserError(
            f"{path}: G_ema has layers with different conv_clamp ({', '.join(map(str, clamps))}), expected one for all"
        )
    return _finished(path, tensors, next(iter(clamps), None))


def _finished(path: Path, tensors: Mapping[str, Tensor], clamp: float | None) -> tuple[Config, dict[str, Tensor]]:
    """Config and state dict with our names.

    A generator of grey images gets the same weights for all three colours. A mean w that is missing is estimated.
    """
    state = {rename(name): value.float() for name, value in tensors.items() if not name.endswith("resample_filter")}
    for name, value in state.items():
        if ".torgb." in name and ".affine." not in name and len(value) == 1:
            state[name] = value.expand(3, *value.shape[1:]).clone()
    config = config_of(path, state, clamp)
    if "mapping.w_avg" not in state:
        state["mapping.w_avg"] = mean_w(path, config, state)
    return config, state


class Module:
    """An object of NVlabs' persistence wrapper: its attributes as data.

    The source code that travels with it is left alone.
    """

    def __init__(self, record: Any) -> None:
        meta = record.args[0] if isinstance(record, pickles.Record) and record.name == PERSISTENT else None
        if not isinstance(meta, dict) or not isinstance(meta.get("state"), Mapping):
            raise ValueError(f"{pickles.kind_of(record)} in the place of a module")
        self.class_name, self.state = str(meta.get("class_name")), meta["state"]

    def get(self, name: str, default: Any = None) -> Any:
        return self.state.get(name, default)

    @property
    def modules(self) -> dict[str, "Module"]:
        """Its submodules by name."""
        return {name: Module(record) for name, record in self.state.get("_modules", {}).items()}

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """The state dict: parameters and buffers by dotted name."""
        values = {**self.state.get("_parameters", {}), **self.state.get("_buffers", {})}
        tensors = {prefix + name: pickles.tensor(value) for name, value in values.items() if value is not None}
        for name, module in self.modules.items():
            tensors |= module.tensors(f"{prefix}{name}.")
        return tensors


def rename(name: str) -> str:
    """Our name of one of their parameters or buffers."""
    for theirs, ours in PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _walk(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    yield prefix, module
    for name, child in module.modules.items():
        yield from _walk(child, f"{prefix}.{name}" if prefix else name)


def _check(path: Path, generator: Module, modules: Mapping[str, Module], tensors: Mapping[str, Tensor]) -> None:
    """Refuse what this generator does not support and shapes do not show.

    These are labels, and other activations, filters or architectures.
    """
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise UserError(
            f"{path}: G_ema is a StyleGAN3, which has neither the layers nor the noise of StyleGAN2, in whose style "
            f"space the methods here work: use a StyleGAN2"
        )
    if generator.get("c_dim"):
        raise UserError(
            f"{path}: G_ema takes a label (c_dim is {generator.get('c_dim')}), expected none (c_dim 0): use another "
            f"network"
        )
    for name, module in modules.items():
        wanted: dict[str, Any] = {"activation": "linear"} if name.endswith("affine") else FIXED
        for key, value in wanted.items():
            if module.get(key, value) != value:
                raise UserError(
                    f"{path}: G_ema.{name} has {key} {module.get(key)!r}, expected {value!r}: use another network"
                )
    for name, value in tensors.items():
        if name.endswith("resample_filter") and (
            value.shape != (4, 4) or not torch.allclose(value.float(), fir(), atol=1e-6)
        ):
            raise UserError(
                f"{path}: G_ema.{name} is not the filter [1, 3, 3, 1], which is the only one known here: use another "
                f"network"
            )
