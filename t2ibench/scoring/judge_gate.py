"""When may the number of an attribute pair be printed? Only if the judge is right about both literals on real images,
also when the other literal is in the image.

Each of the two literals needs, on held-out real images,

- a balanced accuracy of 0.90;
- a balanced accuracy of 0.80 (that is se + sp - 1 >= 0.6) within each stratum, that is among the images with the other
  literal and among those without it, if the stratum has 50 images;
- an expected calibration error of at most 0.05.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError
from t2ibench.data.attributes import attribute_of, canonical, indicators
from t2ibench.data.split import Split
from t2ibench.stats.judge_errors import cell_index, confusion


@dataclass(frozen=True)
class Gate:
    """The thresholds. They belong to the protocol, and are part of the protocol id.

    balanced_accuracy: the least balanced accuracy for a literal.
    within_stratum: the least balanced accuracy within a stratum.
    calibration_error: the greatest expected calibration error.
    support: images that a stratum needs to be tested, and that a cell needs to be used for a correction.
    """

    balanced_accuracy: float = 0.90
    within_stratum: float = 0.80
    calibration_error: float = 0.05
    support: int = 50


@dataclass(frozen=True)
class Verdict:
    """What the gate says about the judge on a pair, a literal or an attribute.

    failures: why the judge may not speak about it; empty: it may.
    untested_strata: the strata with too few real images.
    numbers: what was measured.
    """

    failures: tuple[str, ...]
    untested_strata: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


def balanced_accuracy(true: np.ndarray, judged: np.ndarray) -> float | None:
    """Mean of sensitivity and specificity; None unless `true` holds both values.

    true: whether each image has the literal, bool [N].
    judged: whether the judge sees it, bool [N].
    """
    if true.all() or not true.any():
        return None
    return float((judged[true].mean() + (~judged[~true]).mean()) / 2)


def calibration_error(probability: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of P(literal), in [0, 1]: the mean of |stated - actual| over bins of equal mass.

    There are fewer bins if there are fewer images than `bins`.
    """
    order = np.argsort(probability, kind="stable")
    groups = np.array_split(order, min(bins, len(order)))
    return float(sum(abs(probability[rows].mean() - true[rows].mean()) * len(rows) for rows in groups) / len(order))


def judge_pair(
    names: tuple[str, str], true: np.ndarray, judged: np.ndarray, calibration: Mapping[str, float], gate: Gate
) -> Verdict:
    """Test the judge on a pair of literals, on N real images on which both attributes can be seen.

    names: the two literals.
    true: whether each image has each literal, bool [N, 2].
    judged: whether the judge sees it, bool [N, 2].
    calibration: the calibration error of each literal.
    """
    failures, untested, numbers = [], [], {}
    for own, other in ((0, 1), (1, 0)):
        literal, partner = names[own], names[other]
        overall = balanced_accuracy(true[:, own], judged[:, own])
        if overall is None:
            failures.append(f"{literal}: no real images with and without it")
            continue
        numbers[literal] = overall
        if overall < gate.balanced_accuracy:
            failures.append(f"{literal}: balanced accuracy {overall:.3f}, below {gate.balanced_accuracy:.2f}")
        for present in (True, False):
            rows, where = true[:, other] == present, f"{literal} {'with' if present else 'without'} {partner}"
            inside = balanced_accuracy(true[rows, own], judged[rows, own]) if rows.sum() >= gate.support else None
            if inside is None:
                untested.append(where)
                continue
            numbers[where] = inside
            if inside < gate.within_stratum:
                failures.append(f"{where}: balanced accuracy {inside:.3f}, below {gate.within_stratum:.2f}")
        numbers[f"{literal}: calibration error"] = calibration[literal]
        if calibration[literal] > gate.calibration_error:
            failures.append(
                f"{literal}: calibration error {calibration[literal]:.3f}, above {gate.calibration_error:.2f}"
            )
    return Verdict(tuple(failures), tuple(untested), numbers)


def judge_literal(literal: str, true: np.ndarray, judged: np.ndarray, calibration: float, gate: Gate) -> Verdict:
    """Test the judge on one literal, on N real images on which its attribute can be seen.

    true: whether each image has the literal, bool [N].
    judged: whether the judge sees it, bool [N].
    """
    accuracy = balanced_accuracy(true, judged)
    if accuracy is None:
        return Verdict((f"{literal}: no real images with and without it",))
    failures = []
    if accuracy < gate.balanced_accuracy:
        failures.append(f"{literal}: balanced accuracy {accuracy:.3f}, below {gate.balanced_accuracy:.2f}")
    if calibration > gate.calibration_error:
        failures.append(f"{literal}: calibration error {calibration:.3f}, above {gate.calibration_error:.2f}")
    return Verdict(tuple(failures), (), {literal: accuracy, f"{literal}: calibration error": calibration})


@dataclass
class JudgeOnReal:
    """What a judge says about real images that it was not trained on.

    reference: the real images.
    judge: gives the judge's values for a split, one row for each image.
    probabilities: gives P(literal) for a split, one column for each literal.
    render: `render(conditions, count)` makes real images that show attribute values; None if the data set cannot.
    count: images to render for a cell in which the reference has fewer than `gate.support` images.
    gate: the thresholds.
    """

    reference: Split
    judge: Callable[[Split], pd.DataFrame]
    probabilities: Callable[[Split], pd.DataFrame]
    render: Callable[[Mapping[str, str], int], Split] | None
    count: int
    gate: Gate
    _rendered: dict[frozenset[str], Split] = field(default_factory=dict)
    _said: dict[str, pd.DataFrame] = field(default_factory=dict)
    _errors: dict[str, float] = field(default_factory=dict)

    def pair(self, i: str, j: str) -> tuple[Verdict, np.ndarray]:
        """Whether the judge may speak about a pair, and its confusion counts [4, 4] (row judged, column true)."""
        if unknown := [literal for literal in (i, j) if attribute_of(literal) not in self._judge(self.reference)]:
            return Verdict(tuple(f"{literal}: the judge does not know the attribute" for literal in unknown)), np.zeros(
                (4, 4), int
            )
        parts = [self._look(self.reference, (i, j))]
        filled = np.bincount(cell_index(*parts[0][0].T), minlength=4)
        for cell, literals in ((1, (j,)), (2, (i,)), (3, (i, j))):
            if filled[cell] < self.gate.support:
                parts += [self._look(split, (i, j)) for split in self._more(literals)]
        true, judged = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        calibration = {literal: self._calibration_error(literal) for literal in (i, j)}
        return judge_pair((i, j), true, judged, calibration, self.gate), confusion(
            cell_index(*true.T), cell_index(*judged.T)
        )

    def alone(self, literal: str) -> tuple[Verdict, np.ndarray]:
        """Whether the judge may speak about one literal, and its confusion counts [2, 2] (row judged, column true)."""
        if literal not in self.probabilities(self.reference):
            return Verdict((f"{literal}: the judge has no word for it",)), np.zeros((2, 2), int)
        true, judged = self._of(literal)
        counts = np.bincount(2 * judged.astype(int) + true, minlength=4).reshape(2, 2)
        return judge_literal(literal, true, judged, self._calibration_error(literal), self.gate), counts

    def single(self, literal: str) -> tuple[float, float] | None:
        """Sensitivity and specificity for one literal; None unless it has enough images both with and without it."""
        if attribute_of(literal) not in self._judge(self.reference):
            return None
        true, judged = self._of(literal)
        if min(true.sum(), (~true).sum()) < self.gate.support:
            return None
        return float(judged[true].mean()), float((~judged[~true]).mean())

    def attribute(self, name: str) -> Verdict:
        """Whether the judge may speak about the value of an attribute.

        Its balanced accuracy is the mean recall of the values, on the reference images that show the attribute.
        """
        if name not in self._judge(self.reference):
            return Verdict((f"{name}: the judge does not know the attribute",))
        assert self.reference.attributes is not None
        true, judged = (
            canonical(values, [name])[name] for values in (self.reference.attributes, self._judge(self.reference))
        )
        right = pd.Series((true == judged).to_numpy(), dtype=float).groupby(true.to_numpy()).mean()  # leaves None out
        if right.empty:
            return Verdict((f"{name}: no real image shows it",))
        accuracy = float(right.mean())
        short = f"{name}: balanced accuracy {accuracy:.3f}, below {self.gate.balanced_accuracy:.2f}"
        return Verdict((short,) if accuracy < self.gate.balanced_accuracy else (), (), {name: accuracy})

    def _of(self, literal: str) -> tuple[np.ndarray, np.ndarray]:
        """Truth and judgement of one literal, bool [N] each.

        Rendered images are added if the reference has too few images with the literal.
        """
        parts = [self._look(self.reference, (literal,))]
        if parts[0][0].sum() < self.gate.support:
            parts += [self._look(split, (literal,)) for split in self._more((literal,))]
        true, judged = (np.concatenate(arrays)[:, 0] for arrays in zip(*parts, strict=True))
        return true, judged

    def _more(self, literals: tuple[str, ...]) -> list[Split]:
        """Rendered images with these literals, made once; an empty list if the data set cannot render."""
        if self.render is None or self.count == 0:
            return []
        key = frozenset(literals)
        if key not in self._rendered:
            self._rendered[key] = self.render(dict(literal.split("=", 1) for literal in sorted(literals)), self.count)
        return [self._rendered[key]]

    def _judge(self, split: Split) -> pd.DataFrame:
        if split.digest not in self._said:  # a data set may give rendered images of any conditions one name
            self._said[split.digest] = self.judge(split)
        return self._said[split.digest]

    def _look(self, split: Split, literals: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Truth and judgement of literals, bool [N, L] each, on the images that show all their attributes."""
        if split.attributes is None:
            raise UserError(
                f"{split.dataset}: the split {split.name!r} has no attributes, so the judge cannot be tested on it"
            )
        attributes = [attribute_of(literal) for literal in literals]
        true, judged = canonical(split.attributes, attributes), canonical(self._judge(split), attributes)
        visible = true.notna().all(axis=1).to_numpy()
        return indicators(true, literals)[visible], indicators(judged, literals)[visible]

    def _calibration_error(self, literal: str) -> float:
        """The calibration error on the reference alone, because rendered images have other base rates."""
        if literal not in self._errors:
            assert self.reference.attributes is not None
            true = canonical(self.reference.attributes, [attribute_of(literal)])
            visible = true.notna().all(axis=1).to_numpy()
            stated = self.probabilities(self.reference)[literal].to_numpy(np.float64)
            self._errors[literal] = calibration_error(stated[visible], indicators(true, [literal])[visible, 0])
        return self._errors[literal]
