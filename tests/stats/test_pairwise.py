"""The differences of all methods at once are those of every two, and the samples of a method are read once."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from t2ibench.stats import paired, pairwise
from t2ibench.stats.paired import difference, spell, spell_samples
from t2ibench.stats.pairwise import differences

Value = dict[str, Any]


def value(details: Value, number: float = 0.5) -> Value:
    return {"value": number, "ci": [number - 0.1, number + 0.1], "n": 30, "details": details}


def some(kind: str, methods: int = 6, seeds: int = 2) -> list[list[Value]]:
    """Values of methods, of which the last two are equal."""
    generator = np.random.default_rng(0)

    def one(row: int) -> Value:
        if kind == "effects":
            sides = {"made": spell(generator.normal(size=30)), "real": spell(generator.normal(size=20))}
            return value({"effects": sides}, float(row))
        if kind == "effects of images alone":
            return value({"effects": {"made": spell(generator.normal(size=30))}}, float(row))
        ok = generator.random(30) > (0.2 if "missing" in kind else 0.0)
        numbers = generator.random(30) * (1 + row / 3)
        if "hits" in kind:
            numbers = (numbers > 0.6).astype(float)
        return value({"per_sample": spell_samples(numbers[ok], ok)})

    rows = [[one(row) for _ in range(seeds)] for row in range(methods - 1)]
    return [*rows, rows[-1]]


KINDS = ["hits", "hits, some missing", "numbers", "numbers, some missing", "effects", "effects of images alone"]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_all_differences_at_once_are_those_of_every_two(kind, seeds):
    values = some(kind, seeds=seeds)
    if kind == "numbers":
        values.insert(0, [value({"per_sample": "01" * 15})] * seeds)  # hits beside numbers: each pair by its own test
        values.insert(0, [value({"per_sample": "0110" * 7 + "00"})] * seeds)
    assert paired.paired(values)
    at_once = differences(values)
    pairs = list(combinations(range(len(values)), 2))
    assert list(zip(at_once.first, at_once.second, strict=True)) == pairs
    one_by_one = [difference(values[i], values[j]) for i, j in pairs]
    np.testing.assert_allclose(at_once.value, [gap.value for gap in one_by_one], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(at_once.p, [gap.p for gap in one_by_one], rtol=1e-9)
    assert at_once.p[-1] == 1.0


def test_two_methods_that_answered_no_two_prompts_both_are_refused():
    values = [[value({"per_sample": text})] for text in ("11--", "--11", "1111")]
    with pytest.raises(ValueError, match="two prompts that both methods answered, got 0"):
        differences(values)


def test_the_samples_of_a_method_are_read_once_however_many_methods_there_are(monkeypatch):
    read: list[Value] = []

    def per_sample(one: Value) -> np.ndarray | None:
        read.append(one)
        return paired.per_sample(one)

    monkeypatch.setattr(pairwise, "per_sample", per_sample)
    for methods in (10, 40):
        read.clear()
        differences(some("hits", methods, seeds=1))
        assert len(read) == methods
