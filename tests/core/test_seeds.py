"""t2ibench/core/seeds.py: streams that depend on what they are for, and on nothing else."""

import numpy as np
import torch
from scipy import stats

from t2ibench.core.seeds import derive_seed, latents, normal, permutation, uniform


def test_a_seed_depends_on_every_part_and_their_order():
    names: list[tuple[int | str, ...]] = [
        (0, "a", 1),
        (0, "a", 2),
        (1, "a", 1),
        (0, "b", 1),
        ("a", 0, 1),
        (0, "a1"),
        ("0", "a", 1),
    ]
    seeds = {derive_seed(*parts) for parts in names}
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_are_those_of_every_machine():
    """Raw Philox bits are guaranteed by numpy; these values were written down once."""
    assert derive_seed(0, "prompt", 3) == 8574738385173650319
    np.testing.assert_allclose(
        uniform(7, 3), [0.8720734548204873, 0.29536538151378355, 0.4200976785072422], rtol=0, atol=0
    )
    np.testing.assert_allclose(normal(3, 3), [2.05067000, 1.11333644, 0.29751052], atol=1e-8)


def test_a_longer_draw_begins_with_the_shorter_one():
    assert np.array_equal(uniform(5, 9)[:4], uniform(5, 4))
    assert np.array_equal(normal(5, 9)[:3], normal(5, 3))


def test_a_latent_depends_on_its_own_seed_alone():
    both = latents([11, 12], 4, 3)
    assert torch.equal(both[1:], latents([12], 4, 3))
    assert both.shape == (2, 4, 3)
    assert both.dtype == torch.float32


def test_normal_values_are_normal():
    values = normal(1, 20_000)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(values[::2], values[1::2])[0, 1]) < 0.03  # Box-Muller hands out pairs


def test_a_permutation_is_one():
    assert sorted(permutation(9, 50)) == list(range(50))
    assert list(permutation(9, 50)) != list(permutation(10, 50))
