"""Trainings by two processes have the losses of one, for every recipe; with Fabric, and with torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranked import RECIPES, losses

from t2ibench.core.errors import UserError
from t2ibench.networks import ranks, weights
from t2ibench.networks.training.loop import FullRecipe

SUPPORT = Path(__file__).parents[1] / "support"
NEEDED = ("--dataset", "avatars", "--set", "batch=8", "--set", "widths=[8,8,8,8]", "--set", "calibration=64")
# the loss is the direction between the features of two images that are nearly equal at first
HARDER = {"stylegan_nada": 30}


def together(folder: Path, size: int, steps: int, dtype: str, names: list[str]) -> list[dict]:
    """The losses of `size` processes, of each."""
    script = [sys.executable, str(SUPPORT / "ranked.py"), str(folder / f"store of {size}")]
    paths = [str(Path(__file__).parents[2]), str(SUPPORT), str(SUPPORT / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [*script, str(rank), str(size), str(steps), dtype, *names],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    answers = [process.communicate(timeout=3000) for process in processes]
    assert not any(process.returncode for process in processes), answers[0][1][-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in answers]


def worst(one: list[dict[str, float]], other: list[dict[str, float]]) -> float:
    """The largest relative difference of two rows of losses."""
    return max(abs(a[key] - b[key]) / max(abs(a[key]), 1e-3) for a, b in zip(one, other, strict=True) for key in a)


def compared(folder: Path, steps: int, dtype: str, names: list[str], bound: float) -> None:
    [one] = together(folder, 1, steps, dtype, names)
    first, second = together(folder, 2, steps, dtype, names)
    assert first == second
    apart = {name: worst(one[name], first[name]) for name in names}
    assert all(value < bound * HARDER.get(name, 1) for name, value in apart.items()), apart


def test_what_is_shared_out_has_the_values_and_both_derivatives_of_the_whole(tmp_path):
    """By one process that goes the way of several: convolution, batch statistics, two derivatives."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        found = []
        for shared in (False, True):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                network = torch.nn.Sequential(
                    torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Tanh()
                ).double()
                images = torch.randn(6, 3, 5, 5, dtype=torch.float64, requires_grad=True)
            call = network.forward
            if shared:
                network[1].forward = ranks._synchronised(network[1], network[1].forward)
                call = ranks._shared(network, network.forward)
            out = call(images)
            [gradient] = torch.autograd.grad(out.square().sum(), images, create_graph=True)
            (out.mean() + gradient.square().sum()).backward()
            found.append([out, gradient, *(p.grad for p in network.parameters()), *network.state_dict().values()])
        for plain, shared_out in zip(*found, strict=True):
            torch.testing.assert_close(shared_out, plain, atol=1e-9, rtol=1e-9)
    finally:
        dist.destroy_process_group()


def convolutions() -> torch.nn.Sequential:
    torch.manual_seed(3)
    layers = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(8, 8, 3), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(72, 1)).double()


@pytest.mark.parametrize("parts", [2, 3, 7, 9])
def test_a_batch_in_parts_has_the_values_and_both_derivatives_of_the_whole(parts):
    network = convolutions()
    found = []
    for accumulate in (1, parts):
        generator = torch.Generator().manual_seed(5)
        images = torch.randn(7, 3, 5, 5, dtype=torch.float64, generator=generator, requires_grad=True)
        with ranks.sharing([(network, network, "forward")], "it", accumulate):
            outputs = network(images)
            [slope] = torch.autograd.grad(outputs.sum(), images, create_graph=True)
            loss = outputs.logsumexp(0).sum() + slope.square().sum()  # compares the rows, and has a second derivative
            derivatives = torch.autograd.grad(loss, [images, *network.parameters()])
        found.append([outputs.detach(), slope.detach(), *derivatives])
    for whole, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(in_parts, whole, rtol=1e-12, atol=1e-13)


def test_a_batch_in_parts_keeps_what_goes_in_and_no_more():
    network, images = convolutions(), torch.randn(8, 3, 5, 5, dtype=torch.float64)
    kept = {}
    for parts in (1, 4, 20):
        saved: list[int] = []

        def keep(x: torch.Tensor, saved: list[int] = saved) -> torch.Tensor:
            saved.append(x.nbytes)
            return x

        counting = torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x)
        with ranks.sharing([(network, network, "forward")], "it", parts), counting:
            network(images).sum()
        kept[parts] = sum(saved)
    assert kept[4] < kept[1] / 4
    assert kept[20] <= kept[4]  # more parts than rows: a row each


@pytest.mark.parametrize("name", ["styleclip mapper", "stylegan_nada", "stylet2i attribute", "composer upsampler"])
def test_a_recipe_in_parts_has_the_losses_of_the_whole(name, tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    assert worst(losses(name, 3), losses(name, 3, accumulate=2)) < 1e-5 * HARDER.get(name, 1)


@pytest.mark.parametrize("name", ["attribute_judge", "stylegan2"])
def test_a_network_that_looks_at_all_rows_at_once_is_refused_in_parts(name, tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"--accumulate: a network looks at all rows of a batch at once .* --devices"):
        losses(name, 1, accumulate=2)


@pytest.mark.slow
def test_two_processes_follow_one(tmp_path, monkeypatch):
    """Batch statistics and a penalty of second order; the slow tests have every recipe."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    first, second = together(tmp_path, 2, 2, "float32", ["gan-int-cls"])
    assert first == second
    assert worst(losses("gan-int-cls", 2), first["gan-int-cls"]) < 1e-4


@pytest.mark.slow
def test_every_recipe_in_float32(tmp_path):
    compared(tmp_path, 10, "float32", [*RECIPES], 1e-5)


@pytest.mark.slow
def test_every_recipe_in_float64(tmp_path):
    compared(tmp_path, 50, "float64", [*RECIPES], 1e-9)


def test_a_recipe_that_shares_nothing_out_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "_world", ranks._World(0, 2))
    with pytest.raises(UserError, match="use --devices 1"), ranks.sharing(FullRecipe.split, "x"):
        pass


def test_nothing_is_wrapped_where_one_process_trains():
    network = torch.nn.Linear(2, 2)
    with ranks.sharing([(network, network, "forward")], "x"):
        assert "forward" not in network.__dict__


def test_without_fabric_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(UserError, match=r"pip install 't2ibench\[train\]'"):
        ranks.joined(2, "cpu")
    assert ranks.joined(1, "cpu") == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("started", ["--devices", "torchrun"])
def test_the_command_trains_with_two_processes(started, tmp_path):
    if "T2IBENCH_NEED_CHROMIUM" not in os.environ:
        pytest.importorskip("lightning_fabric", reason="pip install -e '.[dev-all]'")
    command = ["-m", "t2ibench", "train", "attribute_judge", *NEEDED, "--steps", "3"]
    one = [sys.executable, *command, "--out", str(tmp_path / "one")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    two = [sys.executable, *command, "--devices", "2"] if started == "--devices" else [*torchrun, *command]
    for line in (one, [*two, "--out", str(tmp_path / "two")]):
        subprocess.run(line, check=True, timeout=900, stdout=subprocess.DEVNULL)
    [first, second] = [weights.read(next((tmp_path / name).glob("*.safetensors"))) for name in ("one", "two")]
    assert first.card["steps"] == second.card["steps"] == 3
    for key, value in first.tensors.items():
        torch.testing.assert_close(second.tensors[key], value, atol=5e-3, rtol=1e-2)
