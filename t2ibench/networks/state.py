"""How stored tensors get into a network: all of them, or none.

A network that got a part of its weights only draws and scores like any other, and nobody sees it. So a tensor that is
missing, left over, of another shape or not finite is refused by its name. Nothing else in the suite calls
`load_state_dict`, and a test holds that.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

from t2ibench.core import tensor_files
from t2ibench.core.errors import UserError
from t2ibench.core.pickles import DAMAGED, kind_of, reason
from t2ibench.networks.weights import Weights

N = TypeVar("N", bound=nn.Module)


def fill(
    network: N, tensors: Mapping[str, Tensor], where: Path | str, expected: str, advice: str = "get the file again"
) -> N:
    """Put tensors into a network, on the device and in the precision of the network, and return the network.

    where: the file or the name, with which the error text begins.
    expected: what the tensors should be, as "the weights of ArcFace".
    advice: the end of the error text.

    A network on the device "meta" gets the tensors themselves. Raises UserError for a tensor that is missing, left
    over, of another shape, or not finite; then the network is as it was.
    """
    if (fault := misfit(network.state_dict(), tensors)) is not None:
        raise UserError(f"{where}: not {expected} ({fault}): {advice}")
    network.load_state_dict(dict(tensors), assign=any(value.is_meta for value in network.state_dict().values()))
    return network


def rebuilt(
    weights: Weights, build: Callable[[Mapping[str, Any]], N], tensors: Mapping[str, Tensor] | None = None
) -> N:
    """The network of some weights, frozen and in evaluation mode, on the CPU.

    build: makes the network from the config of the card; its random numbers move no global state.
    tensors: those of the network, if they are not all those of the weights.

    Raises UserError if the config lacks something, or the tensors do not fit it.
    """
    given = weights.tensors if tensors is None else tensors
    try:
        with torch.random.fork_rng(devices=[]):
            network = build(weights.config)
        fault = misfit(network.state_dict(), given)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        fault = f"{type(error).__name__}: {reason(error)}"
    if fault is not None:
        raise UserError(
            f"{weights.name}: weights do not fit the config of their card ({fault}): train or fetch them again"
        )
    network.load_state_dict(dict(given), assign=any(value.is_meta for value in network.state_dict().values()))
    return network.eval().requires_grad_(False)


def misfit(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """The first difference between the state dict of a network and stored tensors, in words; None: they fit."""
    if wrong := [key for key, value in tensors.items() if not isinstance(value, Tensor)]:
        return f"{wrong[0]} is {type(tensors[wrong[0]]).__name__}, expected a tensor"
    if missing := sorted(wanted.keys() - tensors.keys()):
        return f"{missing[0]} is missing{_more(missing)}, expected {len(wanted):,} tensors, found {len(tensors):,}"
    if unused := sorted(tensors.keys() - wanted.keys()):
        return f"{unused[0]} is unexpected{_more(unused)}, the network has {len(wanted):,} tensors"
    for key, value in wanted.items():
        stored = tensors[key]
        if stored.shape != value.shape:
            return f"{key} has shape {shape(stored)}, expected {shape(value)}"
        whole = not value.is_floating_point() and not stored.is_complex() and torch.equal(stored, stored.round())
        if stored.is_floating_point() != value.is_floating_point() and not whole:
            return f"{key} is {_dtype(stored)}, expected {_dtype(value)}"
        if stored.is_floating_point() and not torch.isfinite(stored).all():
            return f"{key} holds values that are not finite"
    return None


def resume(parts: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Bring networks, optimisers and averages to the state that a checkpoint holds of each.

    parts: by their names in the checkpoint. Raises UserError, with the name, for a part that is missing or does not
    fit.
    """
    for name, part in parts.items():
        if name not in state:
            raise UserError(f"checkpoint: holds no {name!r}, it is of another version: delete it to begin again")
        if isinstance(part, nn.Module):
            fill(part, state[name], "checkpoint", f"the state of this {name}", "delete it to begin again")
            continue
        try:
            part.load_state_dict(state[name])
        except (*DAMAGED, RuntimeError) as error:
            raise UserError(
                f"checkpoint: not the state of this {name} ({reason(error)}): delete it to begin again"
            ) from error


def published(path: Path, who: str, example: str, expected: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of a published file and its sha256. Raises UserError for a file that is missing, or not `expected`.

    who: what needs it, as in `who:FILE`.
    example: the name of such a file.
    """
    if not path.is_file():
        raise UserError(f"{who}: {path} is missing: give the file of the published weights, as {who}:{example}")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return state_dict(path, expected), sha256


def state_dict(path: Path, expected: str) -> dict[str, Tensor]:
    """The tensors by name that a file holds.

    expected: what they should be. Raises UserError as `tensor_files.read`, and for other contents.
    """
    content = tensor_files.read(path, expected)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path}: not {expected} (holds {kind_of(content)}): get the file again")
    return dict(content)


def stored_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors by name of a `.safetensors` or torch file that was read before, mapped and not loaded if possible."""
    if path.suffix == ".safetensors":
        return load_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError):  # a file of an old version of torch cannot be mapped
        content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return {str(key).removeprefix("module."): value for key, value in tensors.items() if isinstance(value, Tensor)}


def shape(value: Tensor) -> str:
    """ "8x9x3x3"; "()" for a scalar."""
    return "x".join(map(str, value.shape)) or "()"


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1:,} more)" if len(keys) > 1 else ""


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
