"""Squared maximum mean discrepancy of two sets of features (Gretton et al., JMLR 2012), with the effect of each sample.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y). A constant added to the kernel changes nothing, so a kernel with values
near 1 is better given as k - 1. The kernel is computed in blocks.
"""

from collections.abc import Callable

from torch import Tensor

from t2ibench.stats.finite import finite

Kernel = Callable[[Tensor, Tensor], Tensor]  # [a, d], [b, d] -> [a, b]


def unbiased(fake: Tensor, real: Tensor, kernel: Kernel, block: int = 1000) -> tuple[float, Tensor, Tensor]:
    """The U-statistic of features [M, d] and [N, d] in float64, and the first-order effect of each sample, [M] and [N].

    An effect is 2 (h_i - mean h), h_i = mean_{j != i} k(x_i, x_j) - mean_j k(x_i, y_j), so that sd / sqrt(n) is one
    side's standard error. If the two distributions are equal, the effects vanish and the error is only roughly right.
    Raises ValueError for fewer than 2 samples on a side.
    """
    within_fake, within_real, across, effects = parts(fake, real, kernel, block)
    return within_fake + within_real - 2 * across, *effects


def parts(
    fake: Tensor, real: Tensor, kernel: Kernel, block: int = 1000
) -> tuple[float, float, float, tuple[Tensor, Tensor]]:
    """The three means of k that MMD^2 consists of, and the effects as in `unbiased`.

    The means are over pairs of two different fakes, of two different reals, and of a fake and a real.
    """
    if min(len(fake), len(real)) < 2 or fake.shape[1] != real.shape[1]:
        raise ValueError(
            f"a kernel distance needs 2 or more samples of equal dimension a side, got {list(fake.shape)} and "
            f"{list(real.shape)}"
        )
    finite("a kernel distance", fake=fake, real=real)
    fake, real = fake.double(), real.double()
    own_fake, own_real = mean_to_others(fake, kernel, block), mean_to_others(real, kernel, block)
    to_real, to_fake = mean_across(fake, real, kernel, block)
    of_fake, of_real = (2 * (h - h.mean()) for h in (own_fake - to_real, own_real - to_fake))
    return float(own_fake.mean()), float(own_real.mean()), float(to_real.mean()), (of_fake, of_real)


def mean_to_others(x: Tensor, kernel: Kernel, block: int) -> Tensor:
    """Mean kernel value of each row to every other row, [n]; each pair of blocks is computed once."""
    finite("a mean of kernel values", x=x)
    total = x.new_zeros(len(x))
    for i in range(0, len(x), block):
        for j in range(i, len(x), block):
            values = kernel(x[i : i + block], x[j : j + block])
            if i == j:
                values.fill_diagonal_(0.0)
            else:
                total[j : j + block] += values.sum(0)
            total[i : i + block] += values.sum(1)
    return total / (len(x) - 1)


def mean_across(x: Tensor, y: Tensor, kernel: Kernel, block: int) -> tuple[Tensor, Tensor]:
    """Mean kernel value of each row of x to all of y, and of each row of y to all of x."""
    finite("a mean of kernel values", x=x, y=y)
    to_y, to_x = x.new_zeros(len(x)), x.new_zeros(len(y))
    for i in range(0, len(x), block):
        for j in range(0, len(y), block):
            values = kernel(x[i : i + block], y[j : j + block])
            to_y[i : i + block] += values.sum(1)
            to_x[j : j + block] += values.sum(0)
    return to_y / len(y), to_x / len(x)
