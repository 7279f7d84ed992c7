"""The differences of every two methods of a board in one value: `t2ibench.stats.paired.difference` for all of them.

The samples of each method are read from its records once. What remains for each pair is arithmetic on arrays, for one
method and all that come after it at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from t2ibench.stats.finite import finite, not_infinite
from t2ibench.stats.paired import EQUAL, Value, effects, means, per_sample


@dataclass(frozen=True)
class PairwiseDifferences:
    """The P = M (M - 1) / 2 differences of M methods: method `first` minus method `second`.

    first, second: places of the methods, first < second; int [P].
    value: the differences, float64 [P].
    p: the two-sided p of no difference, not adjusted; [P].
    """

    first: np.ndarray
    second: np.ndarray
    value: np.ndarray
    p: np.ndarray


def differences(values: Sequence[Sequence[Value]]) -> PairwiseDifferences:
    """The differences of methods of which every two can be paired (`t2ibench.stats.paired.paired`).

    values: for each method, its value (as in a record) for each run seed.

    Raises ValueError for two methods that answered fewer than two prompts both.
    """
    first, second = np.triu_indices(len(values), 1)
    samples = means([[per_sample(value) for value in method] for method in values])
    if samples is not None:
        value, p = _of_samples(np.stack(samples))
    else:
        sides = [[effects(value) for value in method] for method in values]
        fake, real = (
            means([[None if kept is None else kept[side] for kept in method] for method in sides], centred=True)
            for side in range(2)
        )
        if fake is None or real is None:
            raise ValueError("the records keep neither samples nor effects that can be paired")
        size = np.array([np.mean([value["value"] for value in method]) for method in values])
        value, p = _of_effects(size, np.stack(fake), np.stack(real))
    return PairwiseDifferences(first, second, value, p)


def _of_samples(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `between_samples`, for every two rows of samples [M, N]."""
    not_infinite("a paired test", samples=samples)
    there = ~np.isnan(samples)
    other = there & ~np.isin(samples, (0.0, 1.0))  # neither a hit nor a miss
    hit, miss = (there & (samples == number) for number in (1.0, 0.0))
    values, p_values = [np.empty(0)], [np.empty(0)]
    for i in range(len(samples) - 1):
        rest = slice(i + 1, None)
        both = there[i] & there[rest]  # [K, N]
        n = both.sum(1)
        if (n < 2).any():
            raise ValueError(f"a paired test needs two prompts that both methods answered, got {n.min()}")
        gap = np.where(both, samples[i] - samples[rest], 0.0)
        value = gap.sum(1) / n
        spread = np.sqrt((np.where(both, gap - value[:, None], 0.0) ** 2).sum(1) / (n - 1))
        spread = np.where(spread <= EQUAL * np.abs(value), 0.0, spread)
        only_first, only_second = (hit[i] & miss[rest]).sum(1), (miss[i] & hit[rest]).sum(1)
        binary = ~(both & (other[i] | other[rest])).any(1)
        by_count = special.bdtr(np.minimum(only_first, only_second), only_first + only_second, 0.5)  # as `mcnemar`
        p = np.where(binary, np.minimum(1.0, 2 * by_count), _p(value, spread / np.sqrt(n), n - 1))
        values.append(value)
        p_values.append(p)
    return np.concatenate(values), np.concatenate(p_values)


def _of_effects(size: np.ndarray, fake: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `between_effects`, for every two methods.

    size: the value of each, [M]. fake, real: the effects of prompts and of real images, [M, N] and [M, R].
    """
    finite("a paired test", value=size, real=real)
    not_infinite("a paired test", fake=fake)
    fake = np.nan_to_num(fake)
    values, p_values = [np.empty(0)], [np.empty(0)]
    for i in range(len(size) - 1):
        value = size[i] - size[i + 1 :]
        errors = [(side[i] - side[i + 1 :]).std(axis=1, ddof=1) / side.shape[1] ** 0.5 for side in (fake, real)]
        values.append(value)
        p_values.append(_p(value, np.hypot(*errors), np.full(len(value), fake.shape[1] - 1)))
    return np.concatenate(values), np.concatenate(p_values)


def _p(value: np.ndarray, se: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Two-sided p of t-tests. Without any error it is 1 for no difference, and 0 for a difference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * special.stdtr(freedom, -np.abs(value) / se)
    return np.where(se == 0, np.where(value == 0, 1.0, 0.0), p)
