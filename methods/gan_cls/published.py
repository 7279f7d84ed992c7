"""Reed's released networks, files of Lua Torch: generators `…_net_G.t7` and text encoders.

The layouts are those of reedscot/icml2016 and reedscot/cvpr2016. A file holds the whole graph of modules with their
buffers; only the weights and the statistics of batch norms are taken. A generator does not say which text encoder
it was trained with, and birds and flowers have different ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t2ibench.core import torch7
from t2ibench.core.errors import UserError
from t2ibench.methods.gan_cls.networks import Generator, Residual, Shape
from t2ibench.methods.gan_cls.text_encoder import EncoderShape, TextEncoder
from t2ibench.networks.state import fill

GENERATOR = "a generator of Reed's release, …_net_G.t7"
ENCODER = "a text encoder of Reed's releases, lm_sje_….t7"
FAMILIES = ("nn.", "cudnn.", "nngraph.", "graph.")
LAYERS: dict[type[nn.Module], str] = {
    nn.ConvTranspose2d: "SpatialFullConvolution",
    nn.Conv2d: "SpatialConvolution",
    nn.BatchNorm2d: "SpatialBatchNormalization",
    nn.Linear: "Linear",
    nn.LeakyReLU: "LeakyReLU",
    nn.ReLU: "ReLU",
    nn.Tanh: "Tanh",
    Residual: "ConcatTable",
}
# places, from 1, of the linear maps in the graph of a recurrent core
GRU = {"inputs": (5, 10, 2), "gates": (6, 11), "candidate": (15,)}  # update, reset, candidate
RNN = {"inputs": (2,), "recurrent": (6,)}


def read_generator(path: Path) -> Generator:
    """The generator of a file, frozen and in evaluation mode.

    Raises UserError for a file that is missing, damaged, or another network.
    """
    content = _content(path, GENERATOR)
    try:
        modules = [layer for layer in _inside(content, "Sequential") if _kind(layer) != "CAddTable"]
        _, text = _inside(modules[0], "ParallelTable")
        text, image = _inside(text, "Sequential"), modules[2:]
        projection = _array(text[0], "weight")
        blocks = sum(_kind(layer) == "ConcatTable" for layer in image)
        ngf = len(_array(image[-2], "weight"))
        shape = Shape(
            text_dim=projection.shape[1],
            nz=len(_array(image[0], "weight")) - len(projection),
            nt=len(projection),
            ngf=ngf,
            large=blocks == 4,
        )
        network = _empty(lambda: Generator(shape))
        tensors = dict(_tensors("text", network.text, text)) | dict(_tensors("image", network.image, image))
    except (LookupError, ValueError, TypeError) as error:
        raise UserError(f"{path}: another network than {GENERATOR} ({error}): name the right file") from error
    return fill(network, tensors, path, GENERATOR).eval().requires_grad_(False)


def read_encoder(path: Path) -> TextEncoder:
    """The text encoder of a file, frozen: with a gated or a ReLU core, with two or three poolings.

    Raises UserError for a file that is missing, damaged, or another network.
    """
    content = _content(path, ENCODER)
    try:
        if not isinstance(content, torch7.Object):  # a checkpoint of training
            content = content["protos"]["enc_doc"]
        modules = _inside(content, "gModule")
        convolutions, core, out = modules[1], modules[3], modules[5]
        layers, recurrent = _inside(convolutions, "Sequential"), _inside(core, "gModule")
        gated = any(_kind(layer) == "Sigmoid" for layer in recurrent)
        kernels = [_temporal(layers[place]) for place in (0, 3, 6)]
        a, b, c = (len(kernel) for kernel in kernels)
        poolings = sum(_kind(layer).endswith("MaxPooling") for layer in layers)
        shape = EncoderShape(
            (a, b, c), "gru" if gated else "rnn", third_pool=poolings == 3, out=len(_array(out, "bias"))
        )
        network = _empty(lambda: TextEncoder(shape))
        ours = [name for name, layer in network.convolutions.named_children() if isinstance(layer, nn.Conv1d)]
        tensors = {"out.weight": _tensor(out, "weight"), "out.bias": _tensor(out, "bias")}
        for name, kernel, place in zip(ours, kernels, (0, 3, 6), strict=True):
            tensors |= {
                f"convolutions.{name}.weight": torch.from_numpy(kernel),
                f"convolutions.{name}.bias": _tensor(layers[place], "bias"),
            }
        for name, places in (GRU if gated else RNN).items():
            maps = [_inside(recurrent[place - 1], "Sequential")[0] for place in places]
            for part in ("weight", "bias"):
                tensors[f"core.{name}.{part}"] = torch.cat([_tensor(layer, part) for layer in maps])
    except (LookupError, ValueError, TypeError) as error:
        raise UserError(f"{path}: another network than {ENCODER} ({error}): name the right file") from error
    return fill(network, tensors, path, ENCODER).eval().requires_grad_(False)


def _content(path: Path, expected: str) -> Any:
    return torch7.read(path, expected, known=lambda name: name.startswith(FAMILIES))


def _empty(build: Any) -> Any:
    with torch.device("meta"):  # its weights are replaced at once
        return build()


def _kind(module: Any) -> str:
    """The class of a module without its package: cudnn's layers are those of nn."""
    if not isinstance(module, torch7.Object):
        raise ValueError(f"{type(module).__name__} stands in place of a module")
    return module.name.partition(".")[2]


def _inside(module: Any, kind: str) -> list[Any]:
    """The modules that one of this kind holds."""
    if _kind(module) != kind:
        raise ValueError(f"{module.name} stands in place of {kind}")
    return module["modules"].listed()


def _array(module: Any, name: str) -> np.ndarray:
    value = module[name]
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} of {module.name} is no tensor")
    return value


def _tensor(module: Any, name: str) -> Tensor:
    return torch.from_numpy(_array(module, name).astype(np.float32))


def _temporal(module: Any) -> np.ndarray:
    """The kernel of a TemporalConvolution, [out, kW * in] with the input innermost, as Conv1d has it."""
    weight, width = _array(module, "weight"), int(module["kW"])
    return np.ascontiguousarray(weight.reshape(len(weight), width, -1).transpose(0, 2, 1), dtype=np.float32)


def _tensors(prefix: str, ours: nn.Sequential, theirs: Sequence[Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of our layers from theirs, one by one. Raises ValueError where they differ in more than numbers."""
    layers = [*ours]
    if len(layers) != len(theirs):
        raise ValueError(f"{len(theirs)} layers in {prefix}, expected {len(layers)}")
    for place, (layer, module) in enumerate(zip(layers, theirs, strict=True)):
        name, wanted = f"{prefix}.{place}", LAYERS[type(layer)]
        if _kind(module) != wanted:
            raise ValueError(f"{module.name} at {name}, expected {wanted}")
        if isinstance(layer, Residual):
            yield from _tensors(f"{name}.branch", layer.branch, _inside(_inside(module, wanted)[1], "Sequential"))
            continue
        for field, expected in _settings(layer).items():
            if module[field] != expected:
                raise ValueError(f"{field} of {module.name} at {name} is {module[field]}, expected {expected}")
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = module["eps"]
            yield f"{name}.running_mean", _tensor(module, "running_mean")
            yield f"{name}.running_var", _variance(module)
            yield f"{name}.num_batches_tracked", torch.tensor(0)
        for part, _ in layer.named_parameters():
            yield f"{name}.{part}", _tensor(module, part)


def _settings(layer: nn.Module) -> Mapping[str, float]:
    """What decides a layer beside its weights, by the names of Torch."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        pairs: dict[tuple[str, str], Any] = {
            ("kH", "kW"): layer.kernel_size,
            ("dH", "dW"): layer.stride,
            ("padH", "padW"): layer.padding,
        }
        return {name: value for names, pair in pairs.items() for name, value in zip(names, pair, strict=True)}
    return {"negval": layer.negative_slope} if isinstance(layer, nn.LeakyReLU) else {}


def _variance(module: Any) -> Tensor:
    """The running variance; the first version of the layer kept one over the root of it, with eps."""
    if "running_var" in module:
        return _tensor(module, "running_var")
    return torch.from_numpy((_array(module, "running_std").astype(np.float64) ** -2 - module["eps"]).astype(np.float32))
