"""What a method may change in its process, put back after every call into it.

All methods of a suite run in one process. A global setting that one of them leaves behind (autocast, a default dtype,
the precision of products, a patched function, another working directory) would change the images of the next method and
the numbers of all.
"""

import inspect
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import PIL.Image
import torch

log = logging.getLogger(__name__)
DEVICES = ("cpu", "cuda")
WATCHED: tuple[ModuleType, ...] = (torch, torch.nn.functional, torch.linalg, np, PIL.Image)  # whose functions stay
_named: set[tuple[str, str]] = set()  # what was said of whom, once in a process

# name -> how it is read and how it is set; in this order they are put back
_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the working directory": (os.getcwd, os.chdir),
    "the default dtype of torch": (torch.get_default_dtype, torch.set_default_dtype),
    "the default device of torch": (
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device.type == "cpu" else device),
    ),
    "the gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the precision of float32 products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "mkldnn": (lambda: torch.backends.mkldnn.enabled, lambda on: torch.backends.mkldnn.set_flags(_enabled=on)),
    "TF32 in cuDNN": (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda on: setattr(torch.backends.cudnn, "allow_tf32", on),
    ),
    "TF32 of products": (
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda on: setattr(torch.backends.cuda.matmul, "allow_tf32", on),
    ),
    "autocast": (
        lambda: {device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in DEVICES},
        lambda states: _set_autocast(states),
    ),
}


@contextmanager
def isolated(who: str) -> Iterator[None]:
    """Call a method inside: what it leaves changed is put back afterwards, and said in one line that names it.

    who: the method, for the line. The states of the global random generators are put back without a line. A change is
    said once in a process. What native code changes outside of these settings is not seen.
    """
    before = {name: get() for name, (get, _) in _SETTINGS.items()}
    functions = [(module, _functions(module)) for module in WATCHED]
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        changed = [name for name, (get, _) in _SETTINGS.items() if get() != before[name]]
        for name in changed:
            _SETTINGS[name][1](before[name])
        for module, members in functions:
            for name in [name for name, member in members.items() if vars(module).get(name) is not member]:
                if _wrapped_by_torch(vars(module).get(name), members[name]):
                    continue
                setattr(module, name, members[name])
                changed.append(f"{module.__name__}.{name}")
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002
        torch.set_rng_state(drawn[2])
        for name in changed:
            if (who, name) not in _named:
                _named.add((who, name))
                log.warning("%s changed %s and left it so; it is put back, so that no other method feels it", who, name)


def _set_autocast(states: Mapping[str, tuple[bool, torch.dtype]]) -> None:
    for device, (enabled, dtype) in states.items():
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


def _wrapped_by_torch(now: Any, before: Any) -> bool:
    """Whether torch itself has wrapped a function, as it wraps `manual_seed` when its compiler is imported."""
    if not isinstance(now, FunctionType):
        return False
    inside = Path(now.__code__.co_filename).is_relative_to(Path(torch.__file__).parent)
    return inside and inspect.unwrap(now) is before


def _functions(module: ModuleType) -> dict[str, Any]:
    """The public functions and classes of a module, by name."""
    return {name: member for name, member in vars(module).items() if callable(member) and not name.startswith("_")}
