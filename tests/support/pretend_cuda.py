"""A pretended CUDA device for machines without one: tensors say `cuda:0` and hold CPU data, so that values are right.

    with pretended() as device:
        model.to(device)(torch.zeros(2, 3, device=device))

Tests that use it have the mark `gpu`; with T2IBENCH_TEST_GPU=1 they run on the real device.
What CUDA refuses is refused here, as a RuntimeError or TypeError that begins with PRETENDED: an operation on tensors of
both devices, a CPU generator for a CUDA tensor, a CPU tensor indexed by a CUDA one, `.numpy()`. It cannot show which
types autocast chooses, what cuDNN does, or how fast anything is. Known to differ from CUDA: a CPU index into a CUDA
tensor is allowed, as there; sequences packed in C++ take their lengths from the CPU.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda:0")
NAME = "Pretended"
REAL = bool(os.environ.get("T2IBENCH_TEST_GPU"))  # set where there is an accelerator: nothing is pretended then
aten = torch.ops.aten
INDEXED = {  # a CUDA tensor may be indexed by CPU indices
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}
ON_HOST = {aten._local_scalar_dense.default, aten.equal.default, aten.is_same_size.default}  # answer on the CPU
NO_SCALARS = {"cat", "stack", "mm", "bmm", "addmm", "convolution", "embedding", "gather", "scatter", "index_select"}
_tensor, _as_tensor, _to, _save = torch.tensor, torch.as_tensor, torch.Tensor.to, torch.save
_quantile, _one_hot = torch.quantile, F.one_hot


def is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


class OnCuda(torch.Tensor):
    """A tensor that says it is on CUDA. `held` is its data, on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> "OnCuda":
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device("cpu"),
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnCuda({self.held})"

    def cpu(self, memory_format: Any = torch.preserve_format) -> torch.Tensor:
        return aten._to_copy(self, device=torch.device("cpu"))

    def cuda(self, *_: Any, **__: Any) -> "OnCuda":  # type: ignore[override]
        return self

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("PRETENDED: can't convert cuda:0 tensor to numpy, use Tensor.cpu() first")

    __array__ = numpy

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, **_: Any) -> Any:  # type: ignore[override]
        made = _tensor(data, dtype=dtype or self.dtype)
        return made if device is not None and not is_cuda(device) else OnCuda(made)

    def tolist(self) -> Any:
        return self.held.detach().tolist()

    def to(self, *args: Any, **settings: Any) -> Any:
        return moved(self, *args, **settings)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made: Any = OnCuda(self.held.clone())
        if isinstance(self, torch.nn.Parameter):
            made = torch.nn.Parameter(made, requires_grad=self.requires_grad)
        else:
            made.requires_grad_(self.requires_grad)
        memo[id(self)] = made
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return called(func, args, kwargs or {})


class Mode(TorchDispatchMode):
    """While it is on, operations that ask for CUDA are done here. With the key FAKE torch looks for no driver."""

    _mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return called(func, args, kwargs or {})


def called(func: Any, args: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """The result of an operation, with its tensors on the device where CUDA would have them."""
    tensors = [value for value in tree_leaves((args, settings)) if isinstance(value, torch.Tensor)]
    ours = [value for value in tensors if isinstance(value, OnCuda)]
    others = [value for value in tensors if not isinstance(value, OnCuda)]
    device, generator = settings.get("device"), settings.get("generator")
    if func is aten._to_copy.default:
        return _copied(args[0], settings)
    on_cuda = bool(ours) or is_cuda(device)
    if generator is not None and generator.device.type == "cpu" and on_cuda:
        raise RuntimeError(f"PRETENDED: expected a 'cuda' device type for generator but found 'cpu' in {func}")
    if ours and others and func is not aten.copy_.default:
        _check(func, args, others)
    on_cpu = {key: _on_cpu(key, value) for key, value in settings.items()}
    made = func(*tree_map(_held, args), **tree_map(_held, on_cpu))
    if func in ON_HOST or not on_cuda:
        return made
    known = {id(value.held): value for value in ours}  # an operation in place gives back its own tensor

    def wrapped(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or isinstance(value, OnCuda):
            return value
        if func is aten.copy_.default and not isinstance(args[0], OnCuda):
            return value
        return known.get(id(value)) if id(value) in known else OnCuda(value)

    if func is aten._pack_padded_sequence.default:  # the sizes of its batches stay on the CPU
        return wrapped(made[0]), made[1]
    result = tree_map(wrapped, made)
    if func._schema.name.startswith("aten::set"):
        return result
    try:
        return return_and_correct_aliasing(func, tuple(args), dict(settings), result)
    except (AssertionError, RuntimeError, AttributeError):
        return result


def moved(tensor: torch.Tensor, *args: Any, **settings: Any) -> torch.Tensor:
    """`Tensor.to` from and to CUDA, with gradients."""
    device, dtype, copy = settings.pop("device", None), settings.pop("dtype", None), settings.pop("copy", False)
    settings.pop("non_blocking", None)
    for value in args:
        if isinstance(value, torch.Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, str | torch.device):
            device = torch.device(value)
    device = torch.device(device) if device is not None else tensor.device
    same = is_cuda(device) == is_cuda(tensor.device) and dtype in (None, tensor.dtype)
    if same and not copy and settings.get("memory_format") is None:
        return tensor
    return aten._to_copy(tensor, dtype=dtype or tensor.dtype, device=device, **settings)


def _copied(source: torch.Tensor, settings: Mapping[str, Any]) -> torch.Tensor:
    device = settings.get("device")
    target = torch.device(device) if device is not None else source.device
    kept = {key: value for key, value in settings.items() if key not in ("device", "pin_memory", "non_blocking")}
    made = aten._to_copy.default(_held(source), **kept)
    return OnCuda(made) if is_cuda(target) else made


def _check(func: Any, args: Sequence[Any], others: Sequence[torch.Tensor]) -> None:
    """Refuse what CUDA refuses of an operation on tensors of both devices. Numbers without axes may be mixed in."""
    name = str(func).split(".")[1]
    shapes = [tuple(value.shape) for value in others]
    zeros = not any(value.any() for value in others if value.numel())
    if "_pack_padded" in name or (zeros and name in ("cat", "index_add")):
        return  # lengths are kept on the CPU; C++ makes zeros of its own
    if name == "index_add" and not any(isinstance(value, OnCuda) for value in (args[0], args[3])):
        return  # the gradient of a packed sequence, which C++ sums up in a tensor of its own
    if func in INDEXED:
        if not isinstance(args[0], OnCuda):
            raise RuntimeError(f"PRETENDED: indices should be on the device of the indexed tensor (cpu) in {name}")
        value = args[2] if len(args) > 2 else None
        if isinstance(value, torch.Tensor) and not isinstance(value, OnCuda) and value.ndim:
            raise RuntimeError(f"PRETENDED: expected the values of {name} on cuda:0, found cpu")
        return
    in_place = name.endswith("_") and not isinstance(args[0], OnCuda)
    if any(shapes) or in_place or name in NO_SCALARS:
        raise RuntimeError(
            f"PRETENDED: expected all tensors to be on the same device, found cuda:0 and cpu in {name} (on the CPU: "
            f"{shapes})"
        )


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnCuda) else value


def _on_cpu(key: str, value: Any) -> Any:
    if key == "device" and is_cuda(value):
        return torch.device("cpu")
    return False if key == "pin_memory" else value


def _made_of(original: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    """`torch.tensor` or `torch.as_tensor`, which know of no modes."""

    def made(data: Any, *args: Any, device: Any = None, **settings: Any) -> Any:
        if isinstance(data, OnCuda):
            target = data if device is None or is_cuda(device) else data.cpu()
            return moved(target, **settings) if original is _as_tensor else target.clone().detach()
        value = original(data, *args, **settings)
        return OnCuda(value) if is_cuda(device) else value

    return made


def _saved(content: Any, file: Any, *args: Any, **settings: Any) -> None:
    """`torch.save`, which stores the numbers of a CUDA tensor."""
    _save(tree_map(lambda value: value.held.detach().clone() if isinstance(value, OnCuda) else value, content), file)


def _quantile_of(values: Any, q: Any, *args: Any, **settings: Any) -> Any:
    if not isinstance(values, OnCuda):
        return _quantile(values, q, *args, **settings)
    if isinstance(q, torch.Tensor) and not isinstance(q, OnCuda):
        raise RuntimeError("PRETENDED: quantile() q tensor must be on the same device as the input tensor")
    return OnCuda(_quantile(values.held.detach(), _held(q), *args, **settings))


def _one_hot_of(values: Any, count: int = -1) -> Any:
    return OnCuda(_one_hot(values.held, count)) if isinstance(values, OnCuda) else _one_hot(values, count)


@contextlib.contextmanager
def pretended() -> Iterator[torch.device]:
    """Inside, `cuda:0` exists. Afterwards everything is as it was."""
    if REAL:
        yield CUDA
        return

    def to(self: torch.Tensor, *args: Any, **settings: Any) -> Any:
        wanted = settings.get("device"), *args
        cuda = any(
            isinstance(value, OnCuda) or (isinstance(value, str | torch.device) and is_cuda(value)) for value in wanted
        )
        return moved(self, *args, **settings) if cuda else _to(self, *args, **settings)

    properties = SimpleNamespace(name=NAME, total_memory=2**30, major=9, minor=0)
    functions: dict[str, Any] = {
        "get_device_name": lambda *_: NAME,
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (9, 0),
        "max_memory_allocated": lambda *_: 2**20,
        "reset_peak_memory_stats": lambda *_: None,
        "synchronize": lambda *_: None,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda *_: None,
        "manual_seed": lambda *_: None,
        "manual_seed_all": lambda *_: None,
    }
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for name, function in functions.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, function))
        for owner, name, function in (
            (torch.Tensor, "to", to),
            (torch.Tensor, "cuda", lambda self, *_, **__: moved(self, CUDA)),
            (torch, "tensor", _made_of(_tensor)),
            (torch, "as_tensor", _made_of(_as_tensor)),
            (torch, "save", _saved),
            (torch, "quantile", _quantile_of),
            (F, "one_hot", _one_hot_of),
        ):
            stack.enter_context(mock.patch.object(owner, name, function))
        for module in [module for name, module in sys.modules.items() if name.startswith("t2ibench.")]:
            if vars(module).get("one_hot") is _one_hot:
                stack.enter_context(mock.patch.object(module, "one_hot", _one_hot_of))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with Mode():
                yield CUDA
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


def resumed(make: Callable[[], Any], folder: Any) -> Any:
    """A training on CUDA that was stored after one step and went on in another process for two; everything it does."""
    first, second = make(), make()
    first.step(0, 0.0)
    torch.save(first.state(), folder / "state.pt")
    second.load_state(torch.load(folder / "state.pt", map_location="cpu", weights_only=True))
    for index in (1, 2):
        second.step(index, index / 3)
    tensors, _ = second.result()
    assert all(torch.isfinite(value.cpu().float()).all() for value in tensors.values())
    second.validate()
    second.preview()
    return second
