"""Trainings with `preset: paper` on stand-ins of CUB, CelebA-HQ and shards: real steps at the paper's batch, its
learning rate at three epochs, and a resumed run that equals one that was never stopped.

Numbers of parameters at paper size are counted on the meta device beside each network (tests/methods). The networks of
Composer are small ones here: its own have 1 to 2 billion parameters, and batches of 512 to 4,096 images.
"""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from rehearsal_sets import write_birds, write_faces, write_shards

from t2ibench.core import plugins
from t2ibench.data.dataset import opened
from t2ibench.networks.models import Models
from t2ibench.networks.training import loop
from t2ibench.networks.training.loop import FullRecipe
from t2ibench.runner.train import learned_and_checked, recipes, splits_of

pytestmark = pytest.mark.slow
AVATARS = {"generator": "stylegan2-avatars", "clip": "clip-guide-avatars"}  # trained networks of 64 pixels
PEAK = 0.05  # share of the budget at which rates that rise and fall with it are at their peak
SMALL = {"size": "xs", "precision": "float32"}
# method, part, data set, settings beside the preset, batch, and learning rate by epoch
CASES: list[tuple[str, str, str, dict[str, Any], int, dict[int, float]]] = [
    ("gan_cls", "text-encoder", "cub", {}, 40, {0: 7e-4, 1: 7e-4 * 0.98, 10: 7e-4 * 0.98**10}),
    *(
        ("gan_cls", variant, "cub", {}, 64, {0: 2e-4, 98: 2e-4, 99: 1e-4})
        for variant in ("gan", "gan-cls", "gan-int", "gan-int-cls")
    ),
    ("gan_cls", "style-encoder", "cub", {}, 64, {0: 2e-4, 1: 2e-4, 900: 2e-4}),
    ("stylet2i", "clip", "celeba_hq", {"base": "clip-guide-avatars"}, 192, {0: 5e-4, 1: 5e-4, 900: 5e-4}),
    ("stylet2i", "sentence", "celeba_hq", AVATARS, 40, {0: 1e-4, 1: 1e-4, 900: 1e-4}),
    ("stylet2i", "attribute", "celeba_hq", AVATARS, 40, {0: 1e-4, 1: 1e-4, 900: 1e-4}),
    *(
        ("composer", part, "shards", {**SMALL, **of_part}, batch, {0: rate / warmup, warmup - 1: rate, 10**6: rate})
        for part, of_part, batch, rate, warmup in (
            (
                "composer",
                {"instances": "silhouette", "depth": "proxy", "clip": "clip-guide-avatars"},
                1024,
                1.2e-4,
                500,
            ),
            ("upsampler", {"judge": "attribute-judge-avatars"}, 512, 1.2e-4, 100),
            ("prior", {"clip": "clip-guide-avatars"}, 4096, 1.1e-4, 100),
        )
    ),
]
# by data set, how it is opened: its name, and its settings beside root and size
OPENED: dict[str, tuple[str, dict[str, Any]]] = {
    "cub": ("cub", {"partial": True}),
    "celeba_hq": ("celeba_hq", {"partial": True}),
    "shards": ("webdataset", {"shards": {"train": "{00000..00001}.tar", "val": "00002.tar"}}),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The data sets; and what others need, of two steps each: a text encoder and a GAN of CUB, a segmenter of
    CelebA-HQ.
    """
    folder = tmp_path_factory.mktemp("paper")
    write_birds(folder / "cub", dict.fromkeys((1, 2, 3, 5), 60))
    write_faces(folder / "celeba_hq", 500, 60, masked=500)
    write_shards(folder / "shards", [48, 48, 16])
    before = os.environ.get("T2IBENCH_WEIGHTS")
    os.environ["T2IBENCH_WEIGHTS"] = str(folder / "trained")
    for method, part, data, name, small in (
        ("gan_cls", "text-encoder", "cub", "char-cnn-rnn-cub", {}),
        ("gan_cls", "gan-int-cls", "cub", "gan-int-cls-cub", {"batch": 4}),
        ("stylet2i", "parts", "celeba_hq", "stylet2i-parts-celeba_hq", {}),
    ):
        loop.fit(made(folder, method, part, data, small), name, folder / "trained", steps=2)
    yield folder
    if before is None:
        del os.environ["T2IBENCH_WEIGHTS"]
    else:
        os.environ["T2IBENCH_WEIGHTS"] = before


def made(folder: Path, method: str, part: str, name: str, settings: dict[str, Any]) -> FullRecipe:
    """The training of a part, as `t2ibench train` makes it."""
    module = recipes(method)
    dataset, more = OPENED[name]
    data = opened(dataset, {"root": str(folder / name), "size": 64, **more})
    splits = learned_and_checked(data, *splits_of(part, module, data.splits))
    models = Models(cache=folder / "cache")
    return plugins.complete(FullRecipe, module.recipe(part, {"preset": "paper", **settings}, *splits, models, 0))


def rates(state: Any) -> set[float]:
    """Every learning rate in the state of a training."""
    if isinstance(state, dict):
        own = {state["lr"]} if "lr" in state and "params" in state else set()
        return own.union(*map(rates, state.values()))
    return set().union(*map(rates, state)) if isinstance(state, list) else set()


@pytest.mark.parametrize(
    ("method", "part", "data", "settings", "batch", "by_epoch"), CASES, ids=lambda value: str(value)
)
def test_steps_at_the_papers_batch_follow_its_schedule_and_can_be_resumed(
    method, part, data, settings, batch, by_epoch, place
):
    recipe = made(place, method, part, data, settings)
    assert recipe.settings["batch"] == batch
    losses = recipe.step(0, 0.0)
    assert all(value == value for value in losses.values())
    state = copy.deepcopy(recipe.state())
    recipe.step(1, 0.0)
    resumed = made(place, method, part, data, settings)
    resumed.load_state(state)
    resumed.step(1, 0.0)
    ours, theirs = recipe.result()[0], resumed.result()[0]
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-6)
    epoch_steps = vars(recipe).get("epoch_steps", 1)  # StyleT2I's rates are constant
    for epoch, rate in by_epoch.items():
        recipe.step(epoch * epoch_steps, PEAK)
        assert list(rates(recipe.state())) == [pytest.approx(rate)]
