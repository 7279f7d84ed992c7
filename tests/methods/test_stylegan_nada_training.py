"""StyleGAN-NADA's training: what stays and what learns, pairs, resuming, and what an adaptation leaves behind."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from styleclip_models import tiny_generator
from stylegan_nada_tiny import FACE, SKETCH, TinyModels, recipe
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.stylegan_nada import PARTS, layers
from t2ibench.methods.stylegan_nada import recipe as of_settings
from t2ibench.methods.stylegan_nada.training import AdaptationRecipe, spread
from t2ibench.networks import weights
from t2ibench.networks.stylegan2 import checkpoints
from t2ibench.networks.stylegan2.difference import adapted, difference
from t2ibench.networks.training import loop


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in tensors.items()}


def trained(made: AdaptationRecipe, steps: int, start: int = 0) -> dict[str, Tensor]:
    for index in range(start, steps):
        made.step(index, 0.0)
    return copied(made.child.state_dict())


def changed(made: AdaptationRecipe) -> set[str]:
    return set(difference(made.frozen, made.child))


def test_only_convolutions_and_const_learn():
    models = TinyModels()
    frozen, clip = copied(models.stylegan2("tiny").state_dict()), copied(models.clip().model.state_dict())
    made = recipe(models)
    trained(made, 5)
    learning = layers.parameters_of(made.child, layers.phase_layers(made.child.config, "default"))
    assert changed(made) == set(learning)  # mapping, toRGB, noise maps and the mean w are bit for bit what they were
    assert all(torch.equal(value, frozen[key]) for key, value in models.stylegan2("tiny").state_dict().items())
    assert all(torch.equal(value, clip[key]) for key, value in models.clip().model.state_dict().items())
    assert all(
        parameter.grad is None
        for network in (made.child, models.stylegan2("tiny"))
        for parameter in network.parameters()
    )


def test_without_affine_layers_they_stay_as_they_are():
    made = recipe(train_affine=False)
    trained(made, 2)
    assert changed(made)
    assert not [key for key in changed(made) if ".affine." in key]


def test_without_kernels_only_what_shifts_and_scales_learns():
    made = recipe(phase="all", train_kernels=False)
    trained(made, 2)
    assert not [key for key in changed(made) if layers.is_kernel(key)]
    assert {"blocks.b8.conv0.affine.weight", "blocks.b8.conv0.bias", "blocks.b8.torgb.bias", "const"} <= changed(made)
    assert layers.is_kernel("blocks.b8.conv0.weight")
    assert not layers.is_kernel("mapping.layers.0.weight")


def test_without_noise_no_noise_map_gets_stronger():
    made = recipe(train_noise=False)
    trained(made, 2)
    assert changed(made)
    assert not [key for key in changed(made) if "noise" in key]
    free = recipe()
    trained(free, 2)
    assert [key for key in changed(free) if key.endswith(".noise_strength")]


def test_only_chosen_layers_change_and_the_first_torgb_only_under_the_released_map():
    made = recipe(layers=2.0)
    before = copied(made.child.state_dict())
    for index in range(4):
        made.step(index, 0.0)
        after = copied(made.child.state_dict())
        moved = {layers.layer_of(key) for key in after if not torch.equal(after[key], before[key])}
        assert moved == set(made.learning)  # those of earlier steps keep their values, whatever their momentum
        before = after
    assert sum(made.layer_steps.values()) == 8
    everything = recipe(layers=99.0, row_map="reference")
    trained(everything, 1)
    assert {layers.layer_of(key) for key in changed(everything)} == {
        *layers.convolutions(made.child.config),
        "b4.torgb",
    }


def test_the_optimiser_is_that_of_the_release():
    [group] = recipe().optimiser.param_groups
    assert (group["lr"], group["eps"], group["weight_decay"]) == (0.0016, 1e-8, 0)
    assert group["betas"] == pytest.approx((0.0, 0.991992), abs=1e-6)


@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_an_untrained_pair_is_one_image_unless_each_draws_its_own_noise(mixing: float):
    before, after = recipe(mixing=mixing).pair(torch.Generator().manual_seed(3))
    assert torch.equal(before, after)
    before, after = recipe(mixing=mixing, paired=False).pair(torch.Generator().manual_seed(3))
    assert not torch.equal(before, after)


def test_crossing_over_mixes_two_latents():
    plain, mixed = (
        recipe(mixing=share, noise="const").pair(torch.Generator().manual_seed(3))[0] for share in (0.0, 1.0)
    )
    assert not torch.equal(plain, mixed)
    one, other = (
        recipe(mixing=1.0, noise="const", paired=False).pair(torch.Generator().manual_seed(seed))[0] for seed in (3, 4)
    )
    assert not torch.equal(one, other)


def test_the_first_step_of_a_paired_training_costs_1_and_moves():
    for settings in ({}, {"noise": "const"}, {"clips": ("clip-1", "clip-2"), "clip_weights": (0.5, 0.5)}):
        made = recipe(**settings)
        losses = made.step(0, 0.0)
        assert losses == pytest.approx({"loss": 1.0, "direction": 1.0}, abs=1e-5)
        assert changed(made)
        assert all(torch.isfinite(value).all() for value in made.child.state_dict().values())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_lowers_the_loss_on_latents_it_has_not_seen(seed: int):
    made = recipe(seed=seed, batch=4)
    start = made.validate()["clip-1"]["direction"]
    trained(made, 30)
    assert start == 1.0
    assert made.validate()["clip-1"]["direction"] < 0.8


SETTINGS: dict[str, Any] = {"layers": 2.0, "layers_every": 2, "mixing": 0.5}


def test_a_seed_is_a_training():
    one, same, other = (trained(recipe(seed=seed, **SETTINGS), 3) for seed in (0, 0, 1))
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert any(not torch.equal(value, other[key]) for key, value in one.items())


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path):
    whole = loop.fit(recipe(**SETTINGS), "whole", tmp_path, steps=6)
    stopped = recipe(**SETTINGS)
    plain = stopped.step

    def step(index: int, progress: float) -> dict[str, float]:
        if index == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(index, progress)

    stopped.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt, match="stopped at step 3"):
        loop.fit(stopped, "parts", tmp_path, steps=6)
    parts = loop.fit(recipe(**SETTINGS), "parts", tmp_path, steps=6)
    assert parts.sha256 == whole.sha256
    assert parts.card["layer_steps"] == whole.card["layer_steps"]
    with pytest.raises(UserError, match="is of another recipe"):
        loop.fit(recipe(**{**SETTINGS, "mixing": 0.0}), "parts", tmp_path, steps=6)


def test_weights_on_the_way_are_those_of_a_shorter_training(tmp_path: Path):
    short = loop.fit(recipe(), "short", tmp_path, steps=2)
    long = loop.fit(recipe(keep_every=2), "long", tmp_path, steps=5)
    kept = sorted(path.name for path in (tmp_path / "long").glob("step-*.safetensors"))
    assert kept == ["step-00002.safetensors", "step-00004.safetensors"]
    on_the_way = weights.read(tmp_path / "long" / kept[0])
    assert (on_the_way.sha256, on_the_way.card["steps"]) == (short.sha256, 2)
    assert on_the_way.card["validation"] == short.card["validation"]
    assert long.sha256 != short.sha256
    assert (tmp_path / "long" / "progress.png").exists()
    assert long.card["optimised_for"] == ["clip-1"]
    assert long.config["target"] == SKETCH


def test_the_preview_has_every_adapted_image_under_its_source():
    made = recipe()
    lines = made.preview().unflatten(0, (-1, 8))
    assert torch.equal(lines[0::2], lines[1::2])
    trained(made, 3)
    later = made.preview().unflatten(0, (-1, 8))
    assert torch.equal(later[0::2], lines[0::2])
    assert not torch.equal(later[1::2], lines[1::2])


def test_strength_goes_from_the_parent_to_the_child_bit_for_bit():
    made = recipe()
    trained(made, 3)
    parent, changes = made.frozen, difference(made.frozen, made.child)
    tensors = parent.state_dict()
    none, full, half, twice = (adapted(parent, changes, strength).state_dict() for strength in (0.0, 1.0, 0.5, 2.0))
    for key, value in tensors.items():
        child = value + changes[key] if key in changes else value
        assert torch.equal(none[key], value)
        assert torch.equal(full[key], child)
        torch.testing.assert_close(half[key], (value + child) / 2)
        torch.testing.assert_close(twice[key], value + 2 * (child - value))
        torch.testing.assert_close(full[key], made.child.state_dict()[key])
    assert not any(parameter.requires_grad for parameter in adapted(parent, changes).parameters())
    assert difference(parent, adapted(parent, {})) == {}


def test_changes_of_another_generator_are_refused():
    parent = TinyModels().stylegan2("tiny")
    for changes in ({"const": torch.zeros(3, 4, 4)}, {"blocks.b512.conv0.bias": torch.zeros(3)}):
        with pytest.raises(UserError, match=r"file: changes .* use the generator it was made from"):
            adapted(parent, changes, where="file")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_adapted_generator_can_be_written_as_any_other(tmp_path: Path, suffix: str):
    parent = tiny_generator(w_dim=8)  # as wide as z, which a .pt file cannot say apart
    child = adapted(parent, {"const": torch.ones_like(parent.const)})
    checkpoints.save(tmp_path / f"child{suffix}", child, {})
    state = checkpoints.load(tmp_path / f"child{suffix}").state_dict()
    assert all(torch.equal(state[key], value) for key, value in child.state_dict().items())
    assert torch.equal(state["mapping.w_avg"], parent.mapping.w_avg)
    assert torch.equal(state["const"], parent.const + 1)


def test_the_spread_is_0_of_one_image_and_the_mean_over_pairs_otherwise():
    assert float(spread(torch.eye(2)[[0, 0, 0]])) == 0.0
    assert float(spread(torch.eye(2)[[0, 0, 1]])) == pytest.approx(2 / 3)


def test_what_a_command_can_train():
    nothing: Any = SimpleNamespace(dataset="faces")  # of which it reads no image
    made = of_settings(
        "stylegan_nada",
        {"generator": "tiny", "clips": ["clip-1"], "target": SKETCH, "source": FACE},
        nothing,
        nothing,
        TinyModels(),
        7,
    )
    assert (made.name, made.config.seed, made.keep_every) == ("stylegan-nada-a-pencil-sketch-of-a-face", 7, 100)
    assert made.config.clip_weights == (1.0,)
    [part] = PARTS
    given = {"generator": "tiny", "clips": ["clip-1"], "target": SKETCH, "preset": "reference", "views": 2}
    released = of_settings(part, given, nothing, nothing, TinyModels(), 7)
    assert (released.config.steps, released.config.batch, released.config.views) == (301, 2, 2)
    assert released.config.seed == 7  # that of the command, also with the script's settings
    with pytest.raises(UserError, match=r"target is missing: name the domain, --set target="):
        of_settings(part, {}, nothing, nothing, TinyModels(), 0)
    with pytest.raises(UserError, match="no part 'stylegan_nda', did you mean 'stylegan_nada'"):
        of_settings("stylegan_nda", {}, nothing, nothing, TinyModels(), 0)
    with pytest.raises(UserError, match="unknown key 'step', did you mean 'steps'"):
        of_settings(part, {"step": 3, "target": SKETCH}, nothing, nothing, TinyModels(), 0)


def test_how_long_it_trains_and_how_strong_its_images_are_decide_no_training():
    plain, longer = recipe().settings, recipe(steps=9, keep_every=1, strength=0.5, truncation_psi=1.0).settings
    assert plain == longer
    assert recipe(mixing=0.5).settings != plain
