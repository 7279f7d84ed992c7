"""Several processes train one network, and the result is that of one process, up to rounding.

Each process draws the whole batch of a step from the step's own seed, so all of them know the same numbers. The calls
of networks that a recipe names in `split` are shared out: a process gives its rows of the batch to the network, and all
outputs are put together again. The losses are those of the whole batch in every process, so one that compares all rows
with one another, as that of CLIP does, stays what it is. What is not named is computed in every process.

A process can also give its rows to a network in several parts, one after another, and keep what goes in instead of what
is computed on the way; it is computed again for the derivatives. So a batch needs the memory of a part, and stays one
batch: losses that compare rows are those of all of them, which a sum of gradients is not.

Three kinds of tensors: whole ones, which are equal in all processes; rows, of which each has its own; and parameters.
Each way from one kind to another is the derivative of the way back, so second derivatives pass too.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils.checkpoint import checkpoint

from t2ibench.core.errors import UserError

# A network, and where the function is that calls it: an object and the name of its attribute.
Call = tuple[nn.Module, Any, str]


@dataclass
class _World:
    """The processes, and what this one is at.

    parts: in which a process gives its rows to a network.
    rows: of the rows of a call, the first of this process (or part), the end and their number; None outside of such a
        call.
    """

    rank: int = 0
    size: int = 1
    parts: int = 1
    rows: tuple[int, int, int] | None = None


_world = _World()


def rank() -> int:
    """The number of this process; 0 writes the files."""
    return _world.rank


def size() -> int:
    return _world.size


class _Gather(torch.autograd.Function):
    """Rows -> whole."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, start: int, total: int) -> Tensor:
        ctx.start, ctx.count = start, len(x)
        whole = x.new_zeros(total, *x.shape[1:])
        whole[start : start + len(x)] = x
        dist.all_reduce(whole)
        last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        return whole.contiguous(memory_format=torch.channels_last) if last else whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Slice.apply(gradient, ctx.start, ctx.count), None, None


class _Slice(torch.autograd.Function):
    """Whole -> rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, start: int, count: int) -> Tensor:
        ctx.start, ctx.total = start, len(x)
        return x[start : start + count].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Gather.apply(gradient, ctx.start, ctx.total), None, None


class _Lend(torch.autograd.Function):
    """A parameter -> what a process uses of it; its gradient is the sum of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Sum.apply(gradient)


class _Sum(torch.autograd.Function):
    """A sum over the rows of all processes -> whole."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Lend.apply(gradient)


def sum_of_rows(x: Tensor) -> Tensor:
    """A sum over the rows of this process, as the sum over those of all, to go on with beside them."""
    return cast(Tensor, _Lend.apply(_Sum.apply(x)))


def whole(work: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that needs all rows of a batch at once, for use within a network whose calls are shared out."""

    @functools.wraps(work)
    def on_all(x: Tensor) -> Tensor:
        if _world.rows is None or (_world.size == 1 and _world.parts == 1):
            return work(x)
        _refuse_parts()
        (start, end, total), _world.rows = _world.rows, None
        try:
            return cast(Tensor, _Slice.apply(work(_Gather.apply(x, start, total)), start, end - start))
        finally:
            _world.rows = (start, end, total)

    return on_all


def _shared(network: nn.Module, call: Callable[..., Any]) -> Callable[..., Any]:
    """A call of a network with the rows of this process, and the outputs of all.

    Each tensor argument with as many rows as the first, also in lists and data classes, is of the batch.
    """

    @functools.wraps(call)
    def with_own_rows(*arguments: Any, **named: Any) -> Any:
        total = _rows_of([*arguments, *named.values()])
        if _world.rows is not None or total is None or total < _world.size:
            return call(*arguments, **named)
        start, end = (total * place // _world.size for place in (_world.rank, _world.rank + 1))
        own = _Own(total, start, end)
        given = own.rows((arguments, named))
        lent: dict[str, Tensor] = {}
        if torch.is_grad_enabled() and _world.size > 1:
            lent = {name: _Lend.apply(p) for name, p in network.named_parameters() if p.requires_grad}

        def of_part(first: int, last: int) -> Any:
            inputs, words = own.part(given, first, last)
            _world.rows = (start + first, start + last, total)
            try:
                with _reparametrize_module(network, lent):
                    return call(*inputs, **words)
            finally:
                _world.rows = None

        count, parts = end - start, min(_world.parts, total // _world.size)  # as many in every process
        edges = [count * place // parts for place in range(parts + 1)]
        if parts == 1:
            answers = [of_part(0, count)]
        else:
            answers = [checkpoint(of_part, *edge, use_reentrant=False) for edge in pairwise(edges)]
        answer = _joined(answers)
        return answer if _world.size == 1 else _mapped(lambda x: _Gather.apply(x, start, total), answer)

    return with_own_rows


class _Own:
    """The rows of this process among the `total` of a call's tensors."""

    def __init__(self, total: int, start: int, end: int) -> None:
        self.total, self.start, self.end = total, start, end
        self._found: list[Tensor] = []

    def rows(self, values: Any) -> Any:
        """The values with the tensors' own rows; a tensor with another number of rows stays whole."""

        def own(x: Tensor) -> Tensor:
            if not x.dim() or len(x) != self.total:
                return x
            mine = cast(Tensor, _Slice.apply(x, self.start, self.end - self.start)) if _world.size > 1 else x
            self._found.append(mine)
            return mine

        return _mapped(own, values)

    def part(self, values: Any, first: int, last: int) -> Any:
        """Of what `rows` has given, the rows from `first` to `last`."""
        mine = {id(x) for x in self._found}
        return _mapped(lambda x: x[first:last] if id(x) in mine else x, values)


def _joined(answers: Sequence[Any]) -> Any:
    """The answers of parts as one, row below row."""
    if len(answers) == 1:
        return answers[0]
    tensors = [_tensors_of(answer) for answer in answers]
    whole = iter([torch.cat(parts) for parts in zip(*tensors, strict=True)])
    return _mapped(lambda x: next(whole), answers[0])


def _tensors_of(value: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def find(x: Tensor) -> Tensor:
        found.append(x)
        return x

    _mapped(find, value)
    return found


def _refuse_parts() -> None:
    if _world.parts > 1:
        raise UserError(
            "--accumulate: a network looks at all rows of a batch at once (batch normalisation, or statistics of "
            "groups), so it cannot have them in parts: leave --accumulate out, or share them out by --devices"
        )


def _rows_of(values: Any) -> int | None:
    """The number of rows of the first tensor."""
    for value in values:
        if isinstance(value, Tensor) and value.dim():
            return len(value)
        if isinstance(value, list | tuple) and (found := _rows_of(value)) is not None:
            return found
    return None


def _mapped(work: Callable[[Tensor], Any], value: Any) -> Any:
    if isinstance(value, Tensor):
        return work(value)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(work, item) for item in value)
    if isinstance(value, dict):
        return {name: _mapped(work, item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _mapped(work, getattr(value, each.name)) for each in fields(value)})
    return value


def _synchronised(norm: Any, original: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Batch normalisation by the statistics of the whole batch. `nn.SyncBatchNorm` has none for the CPU."""

    def forward(x: Tensor) -> Tensor:
        if _world.rows is None or not (norm.training or norm.running_mean is None):
            return original(x)
        _refuse_parts()
        start, end, total = _world.rows
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        over = [dim for dim in range(x.dim()) if dim != 1]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        count = wide.numel() // wide.shape[1] // (end - start) * total
        mean = sum_of_rows(wide.sum(over)) / count
        apart = wide - mean.view(shape)
        variance = sum_of_rows(apart.square().sum(over)) / count
        if norm.training and norm.track_running_stats and norm.running_mean is not None:
            with torch.no_grad():
                norm.num_batches_tracked.add_(1)
                share = norm.momentum if norm.momentum is not None else 1.0 / float(norm.num_batches_tracked)
                norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
                norm.running_var.lerp_((variance * count / max(count - 1, 1)).to(norm.running_var.dtype), share)
        out = apart * (variance + norm.eps).rsqrt().view(shape)
        if norm.affine:
            out = out * norm.weight.view(shape) + norm.bias.view(shape)
        return out.to(x.dtype)

    return forward


@contextmanager
def sharing(calls: Sequence[Call], who: str, parts: int = 1) -> Iterator[None]:
    """Inside, these calls are shared out among the processes, and made in so many parts one after another.

    Nothing changes where there is one process and one part. Raises UserError for a recipe that names no calls, and,
    where there are several parts, for a network that looks at all rows at once.
    """
    if _world.size == 1 and parts == 1:
        yield
        return
    if not calls:
        raise UserError(
            f"train {who}: its recipe does not say what several devices or parts could share out: use --devices 1 and "
            f"--accumulate 1"
        )
    norms = {
        norm
        for network, _, _ in calls
        for norm in network.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
    }
    kept = [(owner, name, owner.__dict__.get(name)) for _, owner, name in calls]
    kept += [(norm, "forward", norm.__dict__.get("forward")) for norm in norms]
    for network, owner, name in calls:
        owner.__dict__[name] = _shared(network, getattr(owner, name))
    for norm in norms:
        norm.__dict__["forward"] = _synchronised(norm, norm.forward)
    _world.parts = parts
    try:
        yield
    finally:
        _world.parts = 1
        for owner, name, before in kept:
            if before is None:
                del owner.__dict__[name]
            else:
                owner.__dict__[name] = before


def agreed(values: Sequence[float]) -> list[float]:
    """Numbers of process 0, such as those of its clock, for all processes."""
    if _world.size == 1:
        return list(values)
    sent = torch.tensor(list(values), dtype=torch.float64)
    if dist.get_backend() == "nccl":
        sent = sent.cuda()
    dist.broadcast(sent, 0)
    return [float(value) for value in sent]


def wait() -> None:
    """Until all processes are here."""
    agreed([0.0])


def joined(devices: int, device: str) -> str:
    """Start `devices` processes that train together, or join those that torchrun or Slurm have started.

    device: the kind that is asked for, "cpu" or "cuda". Returns the device of this process.

    Raises UserError where Lightning Fabric is not installed, or there are fewer devices.
    """
    started = int(os.environ.get("WORLD_SIZE", 1))
    tasks = int(os.environ.get("SLURM_NTASKS", 1)) if "SLURM_PROCID" in os.environ else 1
    if max(devices, started, tasks) < 2:
        return device
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
    except ModuleNotFoundError as error:
        raise UserError("--devices: Lightning Fabric is not installed: pip install 't2ibench[train]'") from error
    nodes = 1
    if TorchElasticEnvironment.detect():
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", started))
        nodes = started // devices
    elif tasks > 1 and SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        devices = tasks // nodes
    if devices * nodes < 2:
        return device
    kind = "cuda" if device.startswith("cuda") else "cpu"
    try:
        fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp")
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--devices {devices}: they cannot be used together ({str(error).splitlines()[0]})") from error
    _world.rank, _world.size = fabric.global_rank, fabric.world_size
    return str(fabric.device) if kind == "cuda" else "cpu"
