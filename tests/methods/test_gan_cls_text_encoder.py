"""The character encoder: alphabet traps, lengths, parameter counts, its recurrent cells, and independence from the
batch.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gan_cls_data import ENCODER, colour_split, tiny_encoder
from torch import nn

from t2ibench.core.errors import UserError
from t2ibench.methods.gan_cls.text_encoder import (
    ALPHABET,
    COLUMN,
    EncoderShape,
    GatedUnit,
    ReluUnit,
    TextEncoder,
    characters,
)
from t2ibench.methods.gan_cls.train import recipe
from t2ibench.methods.gan_cls.train_text import attribute_features, retrieval
from t2ibench.networks.models import Models


def test_the_alphabet_has_70_columns_and_69_symbols():
    assert (len(ALPHABET), len(set(ALPHABET))) == (70, 69)
    assert [COLUMN[c] for c in "az09,= "] == [0, 25, 26, 35, 37, 60, 69]
    assert ALPHABET[36] == "-"
    assert COLUMN["-"] == 59


def test_characters_are_counted_from_1_and_empty_past_the_end():
    assert characters(["aZ-é "], 7).tolist() == [
        [1, 26, 60, 0, 70, 0, 0]
    ]  # lower-cased; an unknown character is an empty row
    assert characters(["a" * 500]).tolist() == [[1] * 201]


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (EncoderShape(channels=(384, 512, 256), core="rnn", third_pool=True), 1_814_144),  # CVPR release
        (EncoderShape(channels=(384, 512, 512), core="rnn", third_pool=True), 2_994_560),  # ICML Flowers
        (EncoderShape(), 4_045_184),  # ICML CUB
    ],
)
def test_parameter_counts_are_those_of_the_released_encoders(shape, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in TextEncoder(shape).parameters()) == count


@pytest.mark.parametrize(("third_pool", "lengths"), [(False, [198, 66, 63, 21, 18]), (True, [198, 66, 63, 21, 18, 8])])
def test_lengths_of_the_convolutional_part(third_pool, lengths):
    x, seen = torch.zeros(1, 70, 201), []
    for layer in TextEncoder(EncoderShape(channels=(2, 2, 2), third_pool=third_pool)).convolutions:
        x = layer(x)
        seen += [x.shape[-1]] if not isinstance(layer, nn.Threshold) else []
    assert seen == lengths


def test_an_empty_text_has_a_finite_embedding():
    encoder = tiny_encoder()
    assert not characters([""], 60).any()
    assert torch.isfinite(encoder.embed([""])).all()
    assert encoder.embed([]).shape == (0, 5)


def test_an_embedding_does_not_depend_on_the_texts_beside_it():
    encoder, texts = tiny_encoder(), [f"text number {i}" for i in range(70)]
    together = encoder.embed(texts)
    torch.testing.assert_close(together[7:8], encoder.embed([texts[7]]))
    torch.testing.assert_close(together[:7], encoder(characters(texts[:7], 60)))


def test_the_first_state_of_the_gated_unit_uses_no_gate():
    cell, x = GatedUnit(4), torch.randn(3, 2, 4)
    weight, bias = cell.inputs.weight[8:], cell.inputs.bias[8:]
    torch.testing.assert_close(cell(x)[:, 0], torch.tanh(x[:, 0] @ weight.T + bias))


def test_the_gated_unit_follows_the_released_equations():
    cell, x = GatedUnit(4), torch.randn(1, 2, 4)
    h = cell(x)[:, 0]
    wu, wr, w = cell.inputs.weight.chunk(3)
    bu, br, b = cell.inputs.bias.chunk(3)
    uu, ur = cell.gates.weight.chunk(2)
    cu, cr = cell.gates.bias.chunk(2)
    u = torch.sigmoid(x[:, 1] @ wu.T + bu + h @ uu.T + cu)
    r = torch.sigmoid(x[:, 1] @ wr.T + br + h @ ur.T + cr)
    candidate = torch.tanh(x[:, 1] @ w.T + b + (r * h) @ cell.candidate.weight.T + cell.candidate.bias)
    torch.testing.assert_close(cell(x)[:, 1], u * candidate + (1 - u) * h)


def test_the_relu_unit_has_no_recurrent_bias_in_its_first_state():
    cell, x = ReluUnit(4), torch.randn(2, 2, 4)
    states = cell(x)
    torch.testing.assert_close(states[:, 0], cell.inputs(x[:, 0]).relu())
    torch.testing.assert_close(states[:, 1], (cell.inputs(x[:, 1]) + cell.recurrent(states[:, 0])).relu())


def test_the_output_is_linear_in_the_mean_over_time():
    encoder: Any = tiny_encoder()
    steps = torch.randn(2, 9, 6)
    assert encoder.out(steps.mean(dim=1)).shape == (2, 5)
    encoder.convolutions, encoder.core = nn.Identity(), nn.Identity()
    codes = characters(["ab", "c"], 60)
    one_hot = torch.zeros(2, 60, 70)
    one_hot[0, 0, 0] = one_hot[0, 1, 1] = one_hot[1, 0, 2] = 1
    encoder.out = nn.Linear(70, 3)
    torch.testing.assert_close(encoder(codes), encoder.out(one_hot.mean(dim=1)))


def test_retrieval_is_certain_for_equal_sides_and_a_hundredth_by_chance():
    torch.manual_seed(0)
    sides = torch.nn.functional.normalize(torch.randn(2, 4000, 32), dim=-1)
    assert retrieval(sides[0], sides[0], seed=0) == 1
    assert retrieval(sides[0], sides[1], seed=0) == pytest.approx(0.01, abs=0.006)
    assert retrieval(torch.ones(200, 3), torch.ones(200, 3), seed=0) == 0  # a tie is no find
    with pytest.raises(ValueError, match="among 100 needs as many pairs, got 99"):
        retrieval(sides[0, :99], sides[1, :99], seed=0)


def test_attributes_are_one_hot_and_unseen_ones_empty():
    train, val = colour_split(8), colour_split(4, "val")
    assert val.attributes is not None
    val.attributes.loc[0, "colour"] = "mauve"
    features = attribute_features(train, val)
    assert torch.equal(features[0].sum(dim=1), torch.ones(8))
    assert features[1].sum(dim=1).tolist() == [0, 1, 1, 1]
    with pytest.raises(UserError, match="colours has no attributes: set `image_side: joint`"):
        attribute_features(dataclasses.replace(train, attributes=None), val)


SMALL = {
    "channels": [8, 8, 8],
    "length": 60,
    "out": 8,
    "batch": 4,
    "optimiser": "adam",
    "learning_rate": 0.01,
    "image_width": 2,
}


@pytest.mark.parametrize("image_side", ["joint", "attributes"])
def test_training_brings_texts_to_their_images(image_side):
    trained = recipe(
        "text-encoder", {**SMALL, "image_side": image_side}, colour_split(), colour_split(100, "val"), Models(), seed=0
    )
    losses = [sum(trained.step(i, i / 150).values()) for i in range(150)]
    assert np.mean(losses[-10:]) < 0.25 * losses[0]


def test_shipped_embeddings_have_a_mean_square_of_1_and_unchanged_scores():
    train = colour_split()
    trained: Any = recipe("text-encoder", {**SMALL, "image_side": "joint"}, train, train, Models(), seed=0)
    trained.step(0, 0.0)
    tensors, config = trained.result()
    assert config["image_width"] == 2
    shipped = TextEncoder(dataclasses.replace(ENCODER, channels=(8, 8, 8), out=8)).eval()
    shipped.load_state_dict(
        {key.removeprefix("text."): value for key, value in tensors.items() if key.startswith("text.")}
    )
    texts = [captions[0] for captions in train.captions]
    assert shipped.embed(texts).square().mean().item() == pytest.approx(1, rel=1e-4)
    scale = (shipped.embed(texts[:1]) / trained.text.embed(texts[:1])).mean()
    torch.testing.assert_close(tensors["image.layers.11.weight"] * scale, trained.image.layers[11].weight.detach())


def test_rmsprop_decays_by_the_epoch_of_as_many_steps_as_classes():
    given = {
        **SMALL,
        "optimiser": "rmsprop",
        "class_column": "colour",
        "learning_rate": 7e-4,
        "image_side": "attributes",
    }
    trained: Any = recipe("text-encoder", given, colour_split(), colour_split(4, "val"), Models(), seed=0)
    rates = []
    for index in range(9):  # four classes, so four steps an epoch
        trained.step(index, 0.0)
        rates.append(trained.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([7e-4] * 4 + [7e-4 * 0.98] * 4 + [7e-4 * 0.98**2])


def test_settings_of_a_text_encoder_are_refused_in_one_line():
    with pytest.raises(UserError, match="gan_cls text-encoder: unknown key 'lenght', did you mean 'length'"):
        recipe("text-encoder", {"lenght": 3}, colour_split(), colour_split(4), Models(), seed=0)
    with pytest.raises(UserError, match="a batch of 40 takes as many classes, the data has 4"):
        recipe("text-encoder", {**SMALL, "batch": 40}, colour_split(), colour_split(4), Models(), seed=0).step(0, 0.0)
