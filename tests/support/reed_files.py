"""Networks in the layout of Reed's Lua Torch releases, with random weights: the files, and what they compute.

Written from the modules that the released scripts build; nothing of the package's own networks is used. A network is a
dict of arrays, which `generator_file` and `encoder_file` write and `draw` and `embed` compute with.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch7_files import Memory, Thing, write

SIZES = {"text": 6, "nz": 3, "nt": 4, "n": 2}


def generator_numbers(large=False, seed=0):
    """The arrays of a small generator by module path, as in main_cls_int.lua."""
    rng, n, nt = np.random.default_rng(seed), SIZES["n"], SIZES["nt"]
    blocks = 1 + large
    numbers: dict[Any, Any] = {"text": (rng.normal(size=(nt, SIZES["text"])), rng.normal(size=nt))}
    wide = [
        ("full", SIZES["nz"] + nt, 8 * n),
        *[("block", 8 * n, 2 * n)] * blocks,
        ("full", 8 * n, 4 * n),
        *[("block", 4 * n, n)] * blocks,
        ("full", 4 * n, 2 * n),
        ("full", 2 * n, n),
        ("last", n, 3),
    ]
    for place, (kind, a, b) in enumerate(wide):
        if kind == "block":
            shapes = [(b, a, 1, 1), (b, b, 3, 3), (a, b, 3, 3)]
            numbers[place] = kind, [(*_kernel(rng, shape, shape[0]), *_norm(rng, shape[0])) for shape in shapes]
        else:
            norm = _norm(rng, b) if kind == "full" else ()
            numbers[place] = kind, (*_kernel(rng, (a, b, 4, 4), b), *norm)
    return numbers


def _kernel(rng, shape, out):
    fan = np.prod(shape) / out
    return rng.normal(size=shape) / fan**0.5, rng.normal(size=out) * 0.1


def _norm(rng, width):
    """weight, bias, running mean and running variance of a batch norm."""
    return rng.normal(1, 0.2, width), rng.normal(0, 0.2, width), rng.normal(0, 0.2, width), rng.uniform(0.5, 2, width)


def generator_file(path, numbers, package="nn", kind="Float", version="V 2", **more):
    """Write a generator. package: `nn`, or `cudnn` as the scripts for a GPU. version: of batch norms."""
    memory, modules = Memory(kind), []

    def conv(name, kernel, bias, stride, padding):
        at = {"kW": kernel.shape[3], "kH": kernel.shape[2], "dW": stride, "dH": stride, "padW": padding}
        tensors = {"weight": memory.tensor(kernel), "bias": memory.tensor(bias)}
        return Thing(f"{package}.{name}", {**at, "padH": padding, **tensors, "gradWeight": memory.tensor(kernel * 0)})

    def norm(weight, bias, mean, variance):
        spread = ("running_var", variance) if version == "V 2" else ("running_std", (variance + 1e-5) ** -0.5)
        named = {"weight": weight, "bias": bias, "running_mean": mean, spread[0]: spread[1]}
        fields = {name: memory.tensor(value) for name, value in named.items()}
        return Thing(f"{package}.SpatialBatchNormalization", {**fields, "eps": 1e-5, "momentum": 0.1}, version)

    relu = Thing(f"{package}.ReLU", {"threshold": 0, "val": 0, "inplace": True})
    entries = [value for key, value in numbers.items() if key != "text"]
    for place, (form, parts) in enumerate(entries):
        if form == "block":
            branch = []
            for kernel, bias, *rest in parts:
                padding = kernel.shape[2] // 2
                branch += [conv("SpatialConvolution", kernel, bias, 1, padding), norm(*rest), relu]
            both = [Thing("nn.Sequential", {"modules": [Thing("nn.Identity", {})]}), _sequence(branch[:-1])]
            modules += [Thing("nn.ConcatTable", {"modules": both}), Thing("nn.CAddTable", {"inplace": False})]
            modules += [relu] if entries[place + 1][0] != "block" else []
            continue
        kernel, bias, *rest = parts
        first = place == 0
        modules.append(conv("SpatialFullConvolution", kernel, bias, 1 if first else 2, 0 if first else 1))
        modules += [norm(*rest)] if rest else [Thing(f"{package}.Tanh", {})]
        modules += [relu] if rest and entries[place + 1][0] in ("full", "last") and kernel.shape[1] <= 4 else []
    weight, bias = numbers["text"]
    text = [_linear(memory, weight, bias), Thing("nn.LeakyReLU", {"negval": 0.2, "inplace": True})]
    both = [Thing("nn.Sequential", {"modules": [Thing("nn.Identity", {})]}), _sequence(text)]
    head = [Thing("nn.ParallelTable", {"modules": both}), Thing("nn.JoinTable", {"dimension": 2})]
    return write(path, _sequence([*head, *modules]), **more)


def _sequence(modules):
    return Thing("nn.Sequential", {"modules": modules, "train": False, "output": None})


def _linear(memory, weight, bias):
    return Thing("nn.Linear", {"weight": memory.tensor(weight), "bias": memory.tensor(bias)})


def draw(numbers, z, text):
    """Images [B, 3, 64, 64] of noise [B, nz] and embeddings [B, T], floats in [-1, 1], by the sheet's table."""
    give = {key: _torch(value) for key, value in numbers.items()}
    joint = torch.cat([z, F.leaky_relu(F.linear(text, *give.pop("text")), 0.2)], 1)[:, :, None, None]
    entries = list(give.values())
    x = joint
    for place, (kind, parts) in enumerate(entries):
        if kind == "block":
            y = x
            for step, (kernel, bias, *norm) in enumerate(parts):
                y = _normed(F.conv2d(y, kernel, bias, padding=kernel.shape[2] // 2), *norm)
                y = y.relu() if step < 2 else y
            x = x + y
            x = x.relu() if entries[place + 1][0] != "block" else x
        elif kind == "last":
            kernel, bias = parts
            x = F.conv_transpose2d(x, kernel, bias, stride=2, padding=1).tanh()
        else:
            kernel, bias, *norm = parts
            x = F.conv_transpose2d(x, kernel, bias, stride=2 if place else 1, padding=1 if place else 0)
            x = _normed(x, *norm)
            x = x.relu() if entries[place + 1][0] != "block" else x
    return x


def _normed(x, weight, bias, mean, variance):
    return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def _torch(value):
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.astype(np.float32))
    return type(value)(_torch(part) for part in value) if isinstance(value, tuple | list) else value


def encoder_numbers(gated, seed=0, out=6):
    """The arrays of a small text encoder: three kernels [out, 4, in], linear maps of the core, and the last one."""
    rng, (a, b, c) = np.random.default_rng(seed), (5, 4, 3)
    kernels = [
        (rng.normal(size=(m, 4, k)) / (4 * k) ** 0.5 * 3, rng.normal(size=m)) for m, k in ((a, 70), (b, a), (c, b))
    ]
    names = ("i2h", "i2h_update", "h2h_update", "i2h_reset", "h2h_reset", "h2h") if gated else ("i2h", "h2h")
    core = {name: (rng.normal(size=(c, c)), rng.normal(size=c)) for name in names}
    return {"kernels": kernels, "core": core, "out": (rng.normal(size=(out, c)), rng.normal(size=out))}


def encoder_file(path, numbers, pool, bare=False, **more):
    """Write a text encoder. pool: a third pooling. bare: without the table of a training around it."""
    memory, layers = Memory("Cuda"), []
    for kernel, bias in numbers["kernels"]:
        weight = memory.tensor(kernel.reshape(len(kernel), -1))
        layers += [
            Thing("nn.TemporalConvolution", {"weight": weight, "bias": memory.tensor(bias), "kW": 4, "dW": 1}),
            Thing("nn.Threshold", {"threshold": 1e-6, "val": 0}),
            Thing("nn.TemporalMaxPooling", {"kW": 3, "dW": 3}),
        ]
    layers = layers if pool else layers[:-1]
    maps = {name: _sequence([_linear(memory, *value)]) for name, value in numbers["core"].items()}
    plain = {
        name: Thing(f"nn.{name}", {}) for name in ("Identity", "CAddTable", "Sigmoid", "Tanh", "CMulTable", "ReLU")
    }
    if len(maps) == 2:
        places = {2: maps["i2h"], 3: plain["ReLU"], 4: plain["Identity"], 5: maps["i2h"], 6: maps["h2h"]}
    else:
        order = ("i2h_update", "h2h_update", "i2h_reset", "h2h_reset", "h2h")
        places = dict(zip((5, 6, 10, 11, 15), (maps[name] for name in order), strict=True))
        places |= {2: maps["i2h"], 3: plain["Tanh"], 8: plain["Sigmoid"], 13: plain["Sigmoid"], 14: plain["CMulTable"]}
    core = [places.get(place, plain["CAddTable"]) for place in range(1, 20)]
    deep = Thing("nngraph.Node", {"children": []})
    for _ in range(2000):  # a graph that was unrolled over the steps of a text
        deep = Thing("nngraph.Node", {"children": [deep], "data": {"module": maps["i2h"]}})
    inner = Thing("nn.gModule", {"modules": core, "forwardnodes": [deep]})
    split, mean = Thing("nn.SplitTable", {"dimension": 2}), Thing("nn.Dropout", {"p": 0})
    outer = [plain["Identity"], _sequence(layers), split, inner, mean, _linear(memory, *numbers["out"])]
    network = Thing("nn.gModule", {"modules": outer})
    training = {"protos": {"enc_doc": network, "enc_image": _sequence([])}, "opt": {"cnn_dim": 3}, "epoch": 1.5}
    return write(path, network if bare else training, **more)


def embed(numbers, codes, pool):
    """Embeddings of characters [B, 201], counted from 1 in the alphabet, by the sheet's equations."""
    x = F.one_hot(codes, 71)[:, :, 1:].float()  # [B, steps, in]
    for place, (kernel, bias) in enumerate(numbers["kernels"]):
        windows = x.unfold(1, 4, 1).permute(0, 1, 3, 2)  # [B, steps, 4, in]
        x = torch.einsum("bski,oki->bso", windows, _torch(kernel)) + _torch(bias)
        x = torch.where(x > 1e-6, x, 0.0)
        if place < 2 or pool:
            x = F.max_pool1d(x.transpose(1, 2), 3, 3 if place < 2 else 2).transpose(1, 2)
    core = {name: _torch(value) for name, value in numbers["core"].items()}

    def linear(name, value):
        return F.linear(value, *core[name])

    states: list[torch.Tensor] = []
    gated = "i2h_update" in core
    for step in x.unbind(1):
        if not states:
            h = linear("i2h", step).tanh() if gated else linear("i2h", step).relu()
        elif gated:
            update = (linear("i2h_update", step) + linear("h2h_update", h)).sigmoid()
            reset = (linear("i2h_reset", step) + linear("h2h_reset", h)).sigmoid()
            candidate = (linear("i2h", step) + linear("h2h", reset * h)).tanh()
            h = update * candidate + (1 - update) * h
        else:
            h = (linear("i2h", step) + linear("h2h", h)).relu()
        states.append(h)
    return F.linear(torch.stack(states).mean(0), *_torch(numbers["out"]))
