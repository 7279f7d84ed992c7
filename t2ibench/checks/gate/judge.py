"""The three layers together: what was found, and what it means."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from t2ibench.checks.cases import Case
from t2ibench.checks.gate import means
from t2ibench.checks.gate.distances import FACTOR, distances, limits, noisy
from t2ibench.checks.gate.faults import Fault, Source, faults, pairs
from t2ibench.checks.gate.means import Mean
from t2ibench.core.errors import UserError

FINE, FAILED, OPEN = 0, 1, 3  # exit codes
log = logging.getLogger(__name__)


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
    a: Source,
    b: Source,
    reruns: Sequence[Source] = (),
    noise: int = 0,
    margins: Mapping[str, float] | None = None,
    factor: float = FACTOR,
) -> Result:
    """Compare the images of two sources, paired by their names, and the values that records hold of both.

    reruns: what A drew from the same prompts and seeds again. noise: the grey levels by which a value of a pixel may be
    off. margins: of means, by name.

    Raises UserError for sets that do not pair, and for a margin of an unknown value.
    """
    names = pairs(a, b)
    found = list(faults(a, b, names))
    whole = [name for name in names if _comparable(a, b, name)]
    if len(whole) < 2:
        return Result(len(names), found, (), (), {})
    again = []
    for rerun in reruns:
        pairs(a, rerun)
        if bad := [name for name in whole if not _comparable(a, rerun, name)]:
            raise UserError(f"{rerun.where}: {bad[0]!r} cannot be compared with that of {a.where}: give a sound rerun")
        again.append([rerun.pictures[name].pixels for name in whole])
    images, others = ([source.pictures[name].pixels for name in whole] for source in (a, b))
    if noise:
        random = np.random.default_rng(0)
        again.append([noisy(image, noise, random) for image in images])
    limit = limits(images, again, factor)
    columns = means.columns(images)
    values, other_values = shared(a, b)
    allowed = means.margins(columns, map(means.columns, again), factor)
    allowed |= means.margins(values, [shared(a, rerun)[1] for rerun in reruns if rerun.values], factor)
    if unknown := sorted(set(margins or {}) - set(allowed)):
        raise UserError(f"--margin {unknown[0]}: the gate has the means {', '.join(allowed)}: name one of them")
    result = judged(len(names), whole, images, others, found, limit, allowed | dict(margins or {}))
    more = means.equivalence(values, other_values, allowed | dict(margins or {}))
    return replace(result, means=[*result.means, *more])


def shared(a: Source, b: Source) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The values of one protocol that both records hold, of the images of which both do, by id.

    A value of another protocol, and one of fewer than two images, is left out with a line in the log.
    """
    sides: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
    for id in sorted(set(a.values) & set(b.values)):
        one, other = a.values[id], b.values[id]
        if a.protocols[id] != b.protocols[id] or len(one) != len(other):
            log.warning("%s: %s and %s have it by two protocols; it is left out", id, a.where, b.where)
            continue
        both = np.isfinite(one) & np.isfinite(other)
        if both.sum() < 2:
            log.warning("%s: %d images have it on both sides; it is left out", id, both.sum())
            continue
        sides[0][id], sides[1][id] = one[both], other[both]
    return sides


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
