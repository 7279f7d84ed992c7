"""Composer's conditions: which are present, how dropout draws them, and what the network makes of them."""

import dataclasses
import math

import pytest
import torch
from composer_tiny import TINY, conditions, denoiser

from t2ibench.core.errors import UserError
from t2ibench.methods.composer.conditions import LETTERS, VALUES, Conditions, Dropout, chosen, joint_dropout
from t2ibench.methods.composer.network import Denoiser
from t2ibench.methods.composer.settings import SHAPES, Shape

COUNT = 200_000


@pytest.fixture(scope="module")
def model():
    return denoiser()


def run(model: Denoiser, given: Conditions) -> torch.Tensor:
    g = torch.Generator().manual_seed(9)
    x = torch.randn(1, 3, 16, 16, generator=g).expand(len(given.present), -1, -1, -1)
    return model(x, torch.full((len(x),), 400), given)


def changed(given: Conditions, letter: str, value: float) -> Conditions:
    """The values of one letter replaced by one number."""
    names = [name for name in VALUES.get(letter, (letter,)) if name != "word_mask"]
    return dataclasses.replace(
        given, values={**given.values, **{name: torch.full_like(given.values[name], value) for name in names}}
    )


@pytest.mark.parametrize("letter", LETTERS)
def test_an_absent_condition_is_the_same_whatever_it_holds(model, letter):
    without = LETTERS.replace(letter, "")
    expected = run(model, conditions(present=without))
    assert torch.equal(run(model, changed(conditions(present=without), letter, math.nan)), expected)
    kept = {name: value for name, value in conditions().values.items() if name not in VALUES.get(letter, (letter,))}
    assert torch.equal(run(model, Conditions(kept, conditions(present=without).present)), expected)


@pytest.mark.parametrize("letter", LETTERS)
def test_a_present_condition_changes_the_prediction(model, letter):
    given = conditions()
    assert (run(model, changed(given, letter, 0.5)) - run(model, given)).abs().max() > 1e-4


def test_with_everything_dropped_the_prediction_is_unconditional(model):
    nothing = Conditions({}, torch.zeros(2, 8, dtype=torch.bool))
    assert torch.equal(run(model, conditions(present="")), run(model, nothing))
    assert torch.equal(run(model, conditions(seed=1, present="")), run(model, nothing))


def test_rows_have_sets_of_conditions_of_their_own(model):
    given = conditions()
    mixed = run(model, given.with_present(torch.stack([chosen("TE"), chosen("SM")])))
    torch.testing.assert_close(mixed[:1], run(model, given.only("TE"))[:1], atol=1e-5, rtol=0)
    torch.testing.assert_close(mixed[1:], run(model, given.only("SM"))[1:], atol=1e-5, rtol=0)


def test_what_stands_after_the_last_word_changes_nothing(model):
    given = conditions()
    words = given.values["words"].clone()
    words[:, -1] = 100
    assert torch.equal(
        run(model, dataclasses.replace(given, values={**given.values, "words": words})), run(model, given)
    )
    words[:, 0] = 100
    assert not torch.equal(
        run(model, dataclasses.replace(given, values={**given.values, "words": words})), run(model, given)
    )


def test_local_maps_add_up(model):
    maps = {letters: model.conditioner(conditions(present=letters)).local for letters in ("S", "D", "SD")}
    torch.testing.assert_close(maps["S"] + maps["D"], maps["SD"], atol=1e-6, rtol=0)
    assert maps["S"].abs().max() > 0


def test_a_pixel_of_a_map_reaches_its_neighbourhood(model):
    given = conditions(present="S")
    other = given.values["S"].clone()
    other[:, :, 8, 8] += 1
    moved = (
        model.conditioner(dataclasses.replace(given, values={**given.values, "S": other})).local
        - model.conditioner(given).local
    )
    touched = moved[0].abs().amax(0) > 0
    assert touched[5:12, 5:12].all()
    assert touched.sum() == 49


def test_gradients_stay_finite_where_an_absent_condition_holds_nan():
    model = denoiser().requires_grad_(True)
    given = changed(changed(conditions(present="TS"), "E", math.nan), "D", math.nan)
    run(model, given).square().mean().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


def test_maps_of_four_times_the_side_are_read_too():
    shape = dataclasses.replace(TINY, cond_size=64)
    assert denoiser(shape).conditioner(conditions(shape=shape)).local.shape == (2, 8, 16, 16)


def test_a_condition_without_values_cannot_be_present():
    with pytest.raises(ValueError, match="condition T is present and has no values, got E"):
        Conditions({"E": torch.zeros(1, 6)}, chosen("TE")[None])
    with pytest.raises(UserError, match="no condition is called 'X', expected letters of TEPSGDIM"):
        conditions().only("EX")


def test_dropout_has_the_frequencies_of_the_paper_s_rule():
    draws = torch.rand(COUNT, 9, generator=torch.Generator().manual_seed(0))
    present = joint_dropout(draws, torch.ones(COUNT, 8, dtype=torch.bool), Dropout())
    alone = present & (present.sum(1, keepdim=True) == 1)
    found = {
        "none": ~present.any(1),
        "all": present.all(1),
        "caption alone": alone[:, 0],
        "no local": ~present[:, 3:].any(1),
    }
    found |= {letter: present[:, column] for column, letter in enumerate(LETTERS)}
    coins = 0.8 * 0.5**7
    exact = {
        "none": 0.1 + coins * 0.7,
        "all": 0.1 + coins * 0.3,
        "caption alone": coins * 0.7,
        "no local": 0.1 + 0.8 * 0.5**4 * 0.7,
    }
    exact |= {letter: 0.34 if letter == "I" else 0.5 for letter in LETTERS}
    for name, share in exact.items():
        assert found[name].float().mean().item() == pytest.approx(
            share, abs=4 * math.sqrt(share * (1 - share) / COUNT)
        ), name


def test_dropout_by_hand():
    draws = torch.tensor(
        [[0.05] + [0.9] * 8, [0.15] + [0.0] * 8, [0.5, 0.4, 0.6, 0.4, 0.6, 0.4, 0.6, 0.6, 0.6], [0.2] + [0.71] * 8]
    )
    available = torch.ones(4, 8, dtype=torch.bool)
    available[3, 0] = False
    kept = [
        "".join(letter for letter, here in zip(LETTERS, row, strict=True) if here)
        for row in joint_dropout(draws, available, Dropout())
    ]
    assert kept == ["", LETTERS, "ESDM", LETTERS[1:]]


@pytest.mark.parametrize(("size", "millions"), [("xs", 2.340), ("s", 10.516), ("m", 27.066), ("paper", 2133)])
def test_trunks_have_the_parameters_they_are_declared_with(size, millions):
    with torch.device("meta"):
        model = Denoiser(Shape(**SHAPES[size]))
    assert sum(parameter.numel() for parameter in model.trunk.parameters()) / 1e6 == pytest.approx(millions, rel=1e-3)


def test_an_untrained_network_predicts_no_noise():
    with torch.random.fork_rng(devices=[]):
        assert run(Denoiser(TINY).eval(), conditions()).abs().max() == 0


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"max_words": 56}, "64 context tokens are as many as a level with attention has pixels"),
        ({"gn_groups": 3}, "gn_groups is 3, which does not divide a level of 8 channels"),
        ({"attention": (16,)}, r"attention is at \[16\], expected the lowest side 8 among them"),
        ({"cond_size": 32}, "cond_size is 32, expected 16 or 64"),
        ({"image_size": 17}, "image_size 17 cannot be halved 1 times"),
    ],
)
def test_shapes_that_cannot_be_are_one_line(wrong, line):
    with pytest.raises(UserError, match=line):
        dataclasses.replace(TINY, **wrong)
