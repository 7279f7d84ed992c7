"""The style encoder inverts what can be inverted; verification is chance for noise and certain for planted styles."""

from typing import Any

import numpy as np
import pytest
import torch
from gan_cls_data import colour_split, tiny_encoder
from torch import Tensor, nn

from t2ibench.methods.gan_cls.networks import Generator, Shape
from t2ibench.methods.gan_cls.recipe_style import StyleRecipe, style_loss
from t2ibench.methods.gan_cls.settings import StyleSettings
from t2ibench.methods.gan_cls.style_score import background_colours, roc_auc, style_pairs, verification_auc


class LinearGenerator(Generator):
    """x = A z + C h with orthonormal A and C, so that A^T x is z."""

    a: Tensor
    c: Tensor

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.shape = Shape(text_dim=5, nz=4)
        basis = torch.linalg.qr(torch.randn(3 * 64 * 64, 9, generator=torch.Generator().manual_seed(0))).Q.T
        self.register_buffer("a", basis[:4])
        self.register_buffer("c", basis[4:])

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        return (z @ self.a + text @ self.c).view(-1, 3, 64, 64)


def linear_recipe(monkeypatch, tmp_path) -> StyleRecipe:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    settings = StyleSettings(width=2, batch=32, learning_rate=0.03)
    train, val = colour_split(), colour_split(200, "val")
    return StyleRecipe(settings, train, val, tiny_encoder(), LinearGenerator(), torch.device("cpu"), seed=0)


def test_the_noise_of_a_linear_generator_is_recovered(monkeypatch, tmp_path):
    trained: Any = linear_recipe(monkeypatch, tmp_path)
    trained.network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4))
    trained.optimiser = torch.optim.Adam(trained.network.parameters(), 0.03)
    before = trained.validate()["mse_per_dimension"]
    for index in range(300):
        trained.step(index, index / 300)
    assert before > 0.5
    assert trained.validate()["mse_per_dimension"] < 0.01


def test_a_style_run_that_was_stopped_goes_on_as_if_it_was_not(monkeypatch, tmp_path):
    whole, stopped, resumed = (linear_recipe(monkeypatch, tmp_path) for _ in range(3))
    losses = [whole.step(i, 0.0) for i in range(5)]
    for i in range(3):
        stopped.step(i, 0.0)
    resumed.load_state(stopped.state())
    assert [resumed.step(i, 0.0) for i in (3, 4)] == losses[3:]


def test_style_loss_sums_dimensions_and_averages_the_batch():
    assert style_loss(torch.zeros(2, 100), torch.ones(2, 100)).item() == 100


def test_random_labels_are_chance_and_planted_styles_are_found():
    generator = torch.Generator().manual_seed(0)
    clusters = np.arange(2000) % 20
    noise = torch.randn(2000, 16, generator=generator)
    chance, spread = verification_auc(noise, clusters)
    assert chance == pytest.approx(0.5, abs=0.02)
    assert 0 < spread < 0.02
    planted = torch.randn(20, 16, generator=generator)[clusters] + 0.3 * noise
    assert verification_auc(planted, clusters)[0] > 0.95


def test_pairs_are_of_different_images_within_and_between_clusters():
    clusters = np.repeat(np.arange(5), 3)
    same, other = style_pairs(clusters, 500, seed=0)
    assert (same[0] != same[1]).all()
    assert (clusters[same[0]] == clusters[same[1]]).all()
    assert (clusters[other[0]] != clusters[other[1]]).all()
    with pytest.raises(ValueError, match="needs pairs within and between clusters"):
        style_pairs(np.zeros(9), 10, seed=0)


def test_the_area_counts_ties_half():
    assert roc_auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == (1 + 1 + 1 + 0.5) / 4


def test_background_colours_are_those_of_the_upper_corners():
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    images[:, 0, :8, :8] = 100
    images[:, 0, :8, -8:] = 200
    assert background_colours(images).tolist() == [[150, 0, 0]]
