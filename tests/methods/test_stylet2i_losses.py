"""StyleT2I's losses and adjustment, each against numbers worked out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.methods.stylet2i.adjustment import adjust
from t2ibench.methods.stylet2i.losses import (
    contrastive_loss,
    cosine_loss,
    difference,
    norm_penalty,
    semantic_loss,
    spatial_loss,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(draw(*shape, seed=seed), dim=-1)


@pytest.mark.parametrize("scale", [1.0, 4.605, 100.0])
def test_contrastive_loss_is_ln_b_where_all_texts_are_alike(scale):
    assert float(contrastive_loss(unit(40, 8), unit(1, 8).expand(40, -1), scale)) == pytest.approx(
        math.log(40), abs=1e-5
    )


def test_contrastive_loss_of_a_gap_of_three_tenths():
    texts = torch.cat([torch.eye(40), torch.zeros(40, 1)], dim=1)
    images = 0.3 * texts + math.sqrt(1 - 0.09) * F.one_hot(
        torch.tensor([40] * 40), 41
    )  # cosine 0.3 with its own text, 0 with all others
    found = {scale: float(contrastive_loss(images, texts, scale)) for scale in (1.0, math.log(100), 100.0)}
    assert found[math.log(100)] == pytest.approx(math.log(1 + 39 * math.exp(-0.3 * math.log(100))), abs=1e-5)
    assert round(found[math.log(100)], 2) == 2.38  # as the specification says
    assert found[100.0] < 1e-6 < found[math.log(100)] < found[1.0]


def test_contrastive_loss_goes_from_image_to_text_only_and_ignores_order():
    images, texts = unit(6, 4), unit(6, 4, seed=1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = contrastive_loss(images, texts, 4.6)
    torch.testing.assert_close(loss, contrastive_loss(images[order], texts[order], 4.6))
    assert abs(float(loss - contrastive_loss(texts, images, 4.6))) > 1e-3
    assert float(cosine_loss(images, images)) == pytest.approx(0, abs=1e-6)
    assert float(cosine_loss(images, -images)) == pytest.approx(2, abs=1e-6)


def test_norm_penalty_is_a_hinge_on_the_length_over_all_rows():
    s = torch.zeros(2, 4, 8, requires_grad=True)
    inside = norm_penalty(s + 8 / math.sqrt(33), 8.0)  # 32 entries: a little less than 8
    inside.backward()
    assert float(inside.detach()) == 0
    assert torch.count_nonzero(s.grad) == 0  # type: ignore[arg-type]
    beyond = (9 * unit(2, 32)).unflatten(1, (4, 8)).requires_grad_()
    loss = norm_penalty(beyond, 8.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(beyond.grad, beyond.detach() / 9 / 2)  # s / |s|, halved by the mean
    spread = torch.full((1, 4, 8), 2.0)  # each row is 5.7 long, all together 11.3
    assert float(norm_penalty(spread, 8.0)) == pytest.approx(math.sqrt(128) - 8, abs=1e-5)


def test_semantic_loss_is_the_margin_without_a_step_and_nothing_once_reached():
    cosines = torch.tensor([0.2, 0.4])
    assert float(semantic_loss(cosines, cosines, 0.3)) == pytest.approx(0.3)
    assert float(semantic_loss(cosines, cosines - 0.35, 0.3)) == 0
    forward, back = semantic_loss(cosines, cosines - 0.1, 1.0), semantic_loss(cosines - 0.1, cosines, 1.0)
    assert float(forward) == pytest.approx(0.9)
    assert float(forward - 1) == pytest.approx(-float(back - 1))  # the sign of the direction turned


def masked_pair(mask: Tensor, scale: float = 0.5) -> tuple[Tensor, Tensor]:
    """Two images that differ by `scale` in every colour where the mask is true."""
    one = 0.2 * draw(len(mask), 3, *mask.shape[1:])
    return one + scale * mask[:, None], one


def test_a_change_exactly_in_the_mask_costs_nothing_and_one_outside_a_lot():
    mask = draw(2, 8, 8) > 0
    positive, negative = masked_pair(mask)
    assert float(spatial_loss(positive, negative, mask)) < 1e-4
    assert float(spatial_loss(positive, negative, ~mask)) > 5


def test_equal_images_have_a_finite_loss_and_gradient():
    mask = draw(2, 8, 8) > 0
    image = draw(2, 3, 8, 8).requires_grad_()
    loss = spatial_loss(image, image.detach(), mask)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-math.log(1e-6) * float(mask.float().mean()), rel=1e-3)
    assert torch.isfinite(image.grad).all()  # type: ignore[arg-type]


def test_the_difference_is_brought_to_the_unit_range_image_by_image():
    distance = draw(3, 6, 6).abs()
    red, base = torch.tensor([1.0, 0, 0])[:, None, None], torch.zeros(3, 3, 6, 6)
    of = [difference(scale * distance[:, None] * red + shift, base) for scale, shift in ((1, 0), (7, 0), (1, 0.5))]
    torch.testing.assert_close(of[0], of[1])
    torch.testing.assert_close(of[0], of[2], atol=1e-5, rtol=0)
    assert (of[0].amin((1, 2)) == 0).all()
    torch.testing.assert_close(of[0].amax((1, 2)), torch.ones(3))
    torch.testing.assert_close(of[0][:1], difference(distance[:1, None] * red, base[:1]))


def test_the_gradient_of_the_spatial_loss_is_that_of_finite_differences():
    mask = draw(1, 4, 4) > 0
    positive, negative = draw(1, 3, 4, 4, seed=1).double().requires_grad_(), draw(1, 3, 4, 4, seed=2).double()
    assert torch.autograd.gradcheck(
        lambda image: difference(image, negative).clamp(1e-6, 1 - 1e-6).mul(mask).sum(), positive, atol=1e-6
    )


S = torch.tensor([[3.0, 0.0], [0.0, 4.0]])  # [L, w_dim]


def at(row: int, column: int, value: float) -> Tensor:
    d = torch.zeros(2, 2)
    d[row, column] = value
    return d


def test_directions_that_the_sentence_expresses_change_nothing():
    assert torch.equal(adjust(S, [at(0, 0, 1.0), at(1, 1, 5.0)]), S)
    assert torch.equal(adjust(S, []), S)


def test_a_missing_direction_is_added_with_length_one():
    for d in (at(0, 1, 7.0), at(0, 0, -0.01)):  # cosine 0 counts as missing
        torch.testing.assert_close(adjust(S, [d]), S + d / d.norm())
    torch.testing.assert_close(adjust(S, [at(0, 1, 7.0)], scale=2.5), S + at(0, 1, 2.5))


def test_adjustment_ignores_order_and_length_and_null_directions_and_keeps_duplicates():
    ds = [at(0, 0, -1.0), at(0, 1, 2.0), draw(2, 2), at(1, 1, 1.0)]
    found = adjust(S, ds)
    torch.testing.assert_close(adjust(S, ds[::-1]), found)
    torch.testing.assert_close(adjust(S, [10 * d for d in ds]), found)
    torch.testing.assert_close(adjust(S, [*ds, torch.zeros(2, 2)]), found)
    assert float((found - S).norm()) <= 4
    torch.testing.assert_close(adjust(S, [ds[1], ds[1]]), S + at(0, 1, 2.0))  # the parser removes duplicates, not this


def test_a_step_of_no_length_gets_every_direction():
    zero = torch.zeros(2, 2)
    torch.testing.assert_close(adjust(zero, [at(0, 0, 2.0), at(1, 1, -3.0)]), at(0, 0, 1.0) + at(1, 1, -1.0))


def test_orthonormal_missing_directions_each_gain_one():
    basis = torch.linalg.qr(draw(4, 4)).Q.unflatten(1, (2, 2))
    s = -(basis * torch.tensor([0.5, 1.0, 2.0, 3.0])[:, None, None]).sum(0)
    found = adjust(s, list(basis))
    torch.testing.assert_close((basis * found).sum((1, 2)), (basis * s).sum((1, 2)) + 1)


def test_per_layer_adjusts_only_the_rows_that_point_away():
    d = torch.tensor([[1.0, 0.0], [0.0, -2.0]])  # with S in the first row, against it in the second; together against
    torch.testing.assert_close(adjust(S, [d], space="per_layer"), S + at(1, 1, -1.0))
    torch.testing.assert_close(adjust(S, [d]), S + d / d.norm())


def test_a_text_that_fits_is_no_negative():
    images, texts = unit(3, 4), unit(1, 4, seed=1).expand(3, -1)
    fits = torch.tensor([[True, True, False], [False, True, False], [True, True, True]])
    assert float(contrastive_loss(images, texts, 4.6, fits)) == pytest.approx(
        (math.log(2) + math.log(3) + 0) / 3, abs=1e-6
    )
    none = torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(contrastive_loss(images, texts, 4.6, none), contrastive_loss(images, texts, 4.6))


def test_a_threshold_decides_what_is_missing_and_a_push_may_count_in_steps():
    s = torch.tensor([[3.0, 4.0, 0.0]])  # cosines .6 and .8 with the first two axes, 0 with the third
    first, second, third = (axis[None] * 7 for axis in torch.eye(3))
    torch.testing.assert_close(adjust(s, [first, second, third]), s + third / 7)
    torch.testing.assert_close(adjust(s, [first, second], threshold=0.7), s + first / 7)
    torch.testing.assert_close(adjust(s, [first, second], 0.5, threshold=0.7, unit="step"), s + 2.5 * first / 7)
    torch.testing.assert_close(adjust(s, [first], threshold=-1.0), s)
    nothing = torch.zeros_like(s)
    torch.testing.assert_close(adjust(nothing, [first], threshold=0.7), first / 7)
