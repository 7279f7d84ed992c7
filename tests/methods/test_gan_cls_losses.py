"""Losses of the GAN-CLS family: worked values, closed forms of the optimal discriminator, interpolation, who gets a
gradient.
"""

import pytest
import torch
from gan_cls_data import TINY
from torch.nn.functional import binary_cross_entropy

from t2ibench.methods.gan_cls.losses import (
    discriminator_loss,
    generator_loss,
    interpolate,
    interpolation_beta,
    joint_embedding_loss,
)
from t2ibench.methods.gan_cls.networks import Discriminator, Generator


def logits(probability: float, count: int = 4) -> torch.Tensor:
    return torch.full((count,), probability).logit()


@pytest.mark.parametrize(("c", "expected"), [(0.5, 0.656894), (0.0, 0.733969)])
def test_discriminator_loss_of_constant_scores(c, expected):
    assert discriminator_loss(logits(0.8), logits(0.3), logits(0.4), c).item() == pytest.approx(expected, abs=1e-6)


def test_discriminator_loss_is_the_weighted_binary_cross_entropy_of_the_released_code():
    real, wrong, fake = torch.randn(3, 64)
    one, zero = torch.ones(64), torch.zeros(64)
    bce = [binary_cross_entropy(x.sigmoid(), y) for x, y in ((real, one), (wrong, zero), (fake, zero))]
    torch.testing.assert_close(discriminator_loss(real, wrong, fake, 0.3), bce[0] + 0.3 * bce[1] + 0.7 * bce[2])


def test_generator_loss_of_constant_scores():
    assert generator_loss(logits(0.4), None, 0.0).item() == pytest.approx(0.916291, abs=1e-6)


@pytest.mark.parametrize(("w", "expected"), [(1.0, 0.924196), (0.5, 0.693147), (0.0, 0.462098)])
def test_interpolants_are_weighed_but_always_counted(w, expected):
    assert generator_loss(logits(0.5, 4), logits(0.25, 2), w).item() == pytest.approx(expected, abs=1e-6)


def test_without_interpolants_the_loss_is_the_plain_mean():
    assert generator_loss(logits(0.5), None, 0.0).item() == pytest.approx(0.693147, abs=1e-6)


def test_a_missing_wrong_batch_is_refused_where_it_counts():
    with pytest.raises(ValueError, match="mismatched pairs"):
        discriminator_loss(logits(0.8), None, logits(0.4), 0.5)


def test_scores_that_round_to_0_and_1_keep_their_loss():
    extreme = torch.tensor([200.0])
    assert discriminator_loss(-extreme, None, extreme, 0.0).item() == pytest.approx(400)


def test_beta_1_and_0_are_the_two_halves_and_one_half_is_symmetric():
    text = torch.randn(6, 5)
    assert torch.equal(interpolate(text, 1.0), text[:3])
    assert torch.equal(interpolate(text, 0.0), text[3:])
    assert torch.equal(interpolate(text), interpolate(text.roll(3, 0)))


def test_the_second_kind_of_interpolation_also_extrapolates():
    text = torch.randn(4, 5)

    def kind2(a: float) -> torch.Tensor:
        return interpolate(text, interpolation_beta(2, torch.full((2, 1), (a + 1) / 2)))

    assert torch.equal(kind2(0.0), interpolate(text, interpolation_beta(1, torch.zeros(2, 1))))
    torch.testing.assert_close(kind2(0.5), text[2:])
    torch.testing.assert_close(kind2(-0.5), text[:2])
    torch.testing.assert_close(kind2(-1.0), 1.5 * text[:2] - 0.5 * text[2:])


def test_an_odd_batch_cannot_be_interpolated():
    with pytest.raises(ValueError, match="two halves of a batch, got 3"):
        interpolate(torch.zeros(3, 5))


def test_interpolation_to_one_end_is_the_plain_loss_on_repeated_texts():
    generator, discriminator = Generator(TINY).eval(), Discriminator(TINY).eval()
    text, z = torch.randn(4, 5), torch.randn(6, 4)

    def scores(z: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return discriminator.logits(generator(z, text), text)

    joint = scores(z, torch.cat([text, interpolate(text, 1.0)]))
    first, repeated = generator_loss(scores(z[:4], text), None, 0), generator_loss(scores(z[4:], text[:2]), None, 0)
    torch.testing.assert_close(generator_loss(joint[:4], joint[4:], 1.0), (4 * first + 2 * repeated) / 6)


@pytest.mark.parametrize(("c", "reaches"), [(0.0, False), (0.5, True)])
def test_wrong_images_get_a_gradient_only_with_cls(c, reaches):
    discriminator = Discriminator(TINY)
    real, wrong, fake = (torch.randn(4, 3, 64, 64, requires_grad=True) for _ in range(3))
    text = torch.randn(4, 5)
    scores = [discriminator.logits(images, text) for images in (real, wrong, fake)]
    loss = discriminator_loss(scores[0], scores[1], scores[2], c)
    gradients = torch.autograd.grad(loss, (real, wrong), allow_unused=True, materialize_grads=True)
    assert gradients[0].any()
    assert bool(gradients[1].any()) == reaches


def optimal_discriminator(c: float, generated: torch.Tensor) -> torch.Tensor:
    """Train a table of log-odds [image, text] for two texts, real images that match, and generated (image, text) counts
    `generated`.
    """
    table = torch.zeros(len(generated), 2, requires_grad=True)
    optimiser = torch.optim.Adam([table], 0.1)
    matching, wrong = torch.tensor([0, 1]), torch.tensor([1, 0])
    share = generated.flatten() / generated.sum()
    for _ in range(600):
        real = table[matching, torch.arange(2)]
        mismatched = table[wrong, torch.arange(2)]
        fake = torch.nn.functional.softplus(table.flatten()) @ share
        loss = (
            discriminator_loss(real, mismatched, torch.zeros(1), c) - (1 - c) * torch.tensor(2.0).log() + (1 - c) * fake
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return table.sigmoid().detach()


@pytest.mark.parametrize(("c", "match"), [(0.0, 2 / 3), (0.5, 4 / 5)])
def test_the_best_discriminator_of_a_generator_that_ignores_text(c, match):
    found = optimal_discriminator(c, torch.ones(2, 2))  # D* = p_r / (p_r + c p_w + (1 - c) p_g)
    torch.testing.assert_close(found.diagonal(), torch.full((2,), match), atol=5e-3, rtol=0)
    assert found[0, 1] < 0.05
    assert found[1, 0] < 0.05


def test_only_cls_learns_that_a_real_image_of_another_text_is_wrong():
    noise_only = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])  # a third image, never a real one
    plain, cls = optimal_discriminator(0.0, noise_only), optimal_discriminator(0.5, noise_only)
    assert plain[1, 0] == 0.5  # never trained
    assert plain[1, 0] - cls[1, 0] > 0.45
    assert cls[0, 0] - cls[1, 0] > 0.5


def test_joint_embedding_loss_of_a_worked_pair():
    to_text, to_image = joint_embedding_loss(torch.eye(2), torch.tensor([[2.0, 0.0], [0.5, 0.5]]))
    assert (to_text.item(), to_image.item(), (to_text + to_image).item()) == (0.125, 0.25, 0.375)


def test_pairs_beyond_the_margin_have_no_joint_embedding_loss():
    assert [loss.item() for loss in joint_embedding_loss(2 * torch.eye(5), torch.eye(5))] == [0, 0]
