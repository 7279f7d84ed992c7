"""The three layers together: what was found, and what it means."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2ibench.checks.cases import Case
from t2ibench.checks.gate import means
from t2ibench.checks.gate.distances import FACTOR, distances, limits, noisy
from t2ibench.checks.gate.faults import Fault, Source, faults, pairs, read
from t2ibench.checks.gate.means import Mean
from t2ibench.core.errors import UserError

FINE, FAILED, OPEN = 0, 1, 3  # exit codes


@dataclass(frozen=True)
class Far:
    """A pair that is too far apart. kind: of the distance. size, limit: in its unit."""

    name: str
    kind: str
    size: float
    limit: float


@dataclass(frozen=True)
class Result:
    """What the gate found.

    pairs: how many there are. faults, far, means: of the three layers. limits: of the distances.
    """

    pairs: int
    faults: Sequence[Fault]
    far: Sequence[Far]
    means: Sequence[Mean]
    limits: Mapping[str, float]

    @property
    def exit_code(self) -> int:
        """1 for a fault, a pair too far apart or a mean outside its margin; 3 where a mean cannot be told; else 0."""
        if self.faults or self.far or any(mean.status == "fail" for mean in self.means):
            return FAILED
        return OPEN if any(mean.status == "open" for mean in self.means) else FINE

    @property
    def summary(self) -> str:
        """One line."""
        word = {FINE: "B may stand in for A", FAILED: "B is not A", OPEN: "it cannot be said"}[self.exit_code]
        outside = sum(mean.status == "fail" for mean in self.means)
        untold = sum(mean.status == "open" for mean in self.means)
        return (
            f"{word}: of {self.pairs:,} pairs {len({fault.name for fault in self.faults}):,} have a fault and "
            f"{len({far.name for far in self.far}):,} are too far apart; of {len(self.means)} means {outside} lie "
            f"outside their margin and {untold} cannot be told"
        )

    def cases(self) -> Iterator[Case]:
        """Every finding, for reports."""
        at = "t2ibench.checks.gate"
        if not self.faults:
            yield Case("images", f"{at}.images", "every image", "pass", f"{self.pairs:,} images are sound")
        for fault in self.faults:
            yield Case("images", f"{at}.images", f"{fault.name} {fault.kind}", "fail", fault.said)
        for kind, limit in self.limits.items():
            if not any(far.kind == kind for far in self.far):
                yield Case("pairs", f"{at}.pairs", kind, "pass", f"no pair is further apart than {limit:.4g}")
        for far in self.far:
            said = f"{far.size:.4g}, at most {far.limit:.4g} is allowed"
            yield Case("pairs", f"{at}.pairs", f"{far.name} {far.kind}", "fail", said)
        for mean in self.means:
            said = (
                f"difference {mean.difference:+.4g} ± {mean.half:.2g}, margin {mean.margin:.4g}; "
                f"r = {mean.r:.2f}, {mean.enough:,} pairs give a power of 99 %"
            )
            yield Case("means", f"{at}.means", mean.name, mean.status, said)


def judge(
    a: Path,
    b: Path,
    reruns: Sequence[Path] = (),
    noise: int = 0,
    margins: Mapping[str, float] | None = None,
    factor: float = FACTOR,
) -> Result:
    """Compare the images of two folders, paired by their names.

    reruns: folders in which A drew the same prompts and seeds again. noise: the grey levels by which a value of a pixel
    may be off. margins: of means, by name.

    Raises UserError for sets that do not pair, and for a margin of an unknown value.
    """
    one, other = read(a), read(b)
    names = pairs(one, other)
    found = list(faults(one, other, names))
    whole = [name for name in names if _comparable(one, other, name)]
    if len(whole) < 2:
        return Result(len(names), found, (), (), {})
    again = []
    for folder in reruns:
        rerun = read(folder)
        pairs(one, rerun)
        if bad := [name for name in whole if not _comparable(one, rerun, name)]:
            raise UserError(f"{folder}: {bad[0]!r} cannot be compared with that of {a}: a rerun has to be sound")
        again.append([rerun.pictures[name].pixels for name in whole])
    images, others = ([source.pictures[name].pixels for name in whole] for source in (one, other))
    if noise:
        random = np.random.default_rng(0)
        again.append([noisy(image, noise, random) for image in images])
    limit = limits(images, again, factor)
    allowed = means.margins(means.columns(images), map(means.columns, again), factor) | dict(margins or {})
    if unknown := sorted(set(allowed) - set(means.of_image(images[0]))):
        known = ", ".join(means.of_image(images[0]))
        raise UserError(f"--margin {unknown[0]}: the gate has the means {known}: name one of them")
    return judged(len(names), whole, images, others, found, limit, allowed)


def judged(
    count: int,
    names: Sequence[str],
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    found: Sequence[Fault],
    limit: Mapping[str, float],
    allowed: Mapping[str, float],
) -> Result:
    """The result for the images a and b of some names, of `count` pairs in all."""
    far = [
        Far(name, kind, size, limit[kind])
        for name, one, other in zip(names, a, b, strict=True)
        for kind, size in distances(one, other).items()
        if size > limit[kind]
    ]
    return Result(count, found, far, means.equivalence(means.columns(a), means.columns(b), allowed), limit)


def _comparable(a: Source, b: Source, name: str) -> bool:
    return name in a.pictures and name in b.pictures and a.pictures[name].pixels.shape == b.pictures[name].pixels.shape
