"""The pair finder: planted pairs, invariances, and the list of CelebA-HQ from published counts (its table is not
shipped).
"""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from t2ibench.core.errors import UserError
from t2ibench.data.attributes import literal_set
from t2ibench.data.rare_pairs import Counts, Pair, Rules, capped, choose, find_pairs
from t2ibench.data.split import Vocabulary

TOTAL = 24_183  # images of CelebA-HQ in the training partition of CelebA
SINGLE = {
    "Male=1": 9024,
    "Male=0": TOTAL - 9024,
    "Young=1": 18963,
    "Young=0": TOTAL - 18963,
    "Smiling=1": 11363,
    "Eyeglasses=1": 1166,
    "Wearing_Hat=1": 861,
    "Wearing_Lipstick=1": 13514,
    "Heavy_Makeup=1": 10976,
    "Wearing_Earrings=1": 6360,
    "Wearing_Necktie=1": 1745,
    "Bald=1": 582,
    "Bangs=1": 4328,
    "Black_Hair=1": 5377,
    "Blond_Hair=1": 4193,
    "Brown_Hair=1": 5566,
    "Gray_Hair=1": 1013,
    "Mustache=1": 1384,
    "Goatee=1": 1876,
    "No_Beard=0": TOTAL - 19565,
    "Sideburns=1": 1975,
    "Double_Chin=1": 1422,
    "Chubby=1": 1665,
    "Wavy_Hair=1": 8683,
}
RARE = [  # in the order of the list: pair, images that have both
    ("Male=1", "Heavy_Makeup=1", 13),
    ("Male=1", "Wearing_Lipstick=1", 58),
    ("Blond_Hair=1", "Goatee=1", 11),
    ("Eyeglasses=1", "Heavy_Makeup=1", 19),
    ("Blond_Hair=1", "Sideburns=1", 13),
    ("Wearing_Earrings=1", "Sideburns=1", 20),
    ("Young=1", "Gray_Hair=1", 37),
    ("Wearing_Earrings=1", "Wearing_Necktie=1", 28),
    ("Wearing_Necktie=1", "Blond_Hair=1", 19),
    ("Male=1", "Wearing_Earrings=1", 230),
    ("Heavy_Makeup=1", "Gray_Hair=1", 59),
    ("Wearing_Hat=1", "Brown_Hair=1", 28),
    ("Eyeglasses=1", "Wearing_Lipstick=1", 101),
    ("Wearing_Hat=1", "Bangs=1", 27),
    ("Bangs=1", "Chubby=1", 55),
    ("Wearing_Lipstick=1", "Chubby=1", 174),
    ("Male=0", "Chubby=1", 213),
    ("Bangs=1", "Goatee=1", 76),
    ("Wearing_Hat=1", "Wavy_Hair=1", 73),
    ("Male=0", "Double_Chin=1", 217),
]
NEAR_UNSEEN = [
    ("Heavy_Makeup=1", "Bald=1", 0),
    ("Heavy_Makeup=1", "Mustache=1", 0),
    ("Heavy_Makeup=1", "Sideburns=1", 0),
    ("Male=0", "Mustache=1", 0),
    ("Wearing_Lipstick=1", "Sideburns=1", 1),
    ("Male=0", "Wearing_Necktie=1", 1),
    ("Wearing_Lipstick=1", "Wearing_Necktie=1", 1),
    ("Wearing_Lipstick=1", "Mustache=1", 1),
    ("Male=0", "Sideburns=1", 2),
]
OTHERS = [  # known counts of pairs that the caps, the order or the thresholds keep out of the two lists
    ("Male=1", "Blond_Hair=1", 188),
    ("Male=0", "Bald=1", 1),
    ("Male=0", "Goatee=1", 3),
    ("Male=0", "No_Beard=0", 9),
    ("Male=0", "Eyeglasses=1", 182),
    ("Young=1", "Bald=1", 120),
    ("Male=0", "Wearing_Lipstick=1", 13456),
    ("Male=0", "Heavy_Makeup=1", 10963),
    ("Male=0", "Wearing_Earrings=1", 6130),
    ("Young=0", "Gray_Hair=1", 976),
    ("Male=1", "Wearing_Necktie=1", 1744),
    ("Male=1", "Eyeglasses=1", 984),
]
LIFTS = {  # published to three decimals
    ("Male=1", "Wearing_Lipstick=1"): 0.012,
    ("Male=1", "Heavy_Makeup=1"): 0.003,
    ("Male=1", "Wearing_Earrings=1"): 0.097,
    ("Male=1", "Blond_Hair=1"): 0.120,
    ("Male=0", "Wearing_Necktie=1"): 0.001,
    ("Male=0", "Eyeglasses=1"): 0.249,
    ("Male=0", "Double_Chin=1"): 0.243,
    ("Young=1", "Gray_Hair=1"): 0.047,
    ("Young=1", "Bald=1"): 0.263,
    ("Eyeglasses=1", "Heavy_Makeup=1"): 0.036,
    ("Eyeglasses=1", "Wearing_Lipstick=1"): 0.155,
    ("Male=0", "Wearing_Lipstick=1"): 1.59,
    ("Male=0", "Heavy_Makeup=1"): 1.59,
    ("Male=0", "Wearing_Earrings=1"): 1.54,
    ("Young=0", "Gray_Hair=1"): 4.46,
    ("Male=1", "Wearing_Necktie=1"): 2.68,
    ("Male=1", "Eyeglasses=1"): 2.26,
}
HAIR = ["Black_Hair=1", "Blond_Hair=1", "Brown_Hair=1", "Gray_Hair=1"]
FACIAL_HAIR = ["No_Beard=0", "Goatee=1", "Mustache=1", "Sideburns=1"]


def celeba_vocabulary() -> Vocabulary:
    """The literal set and the exclusions of the published list (texts do not matter here)."""
    phrases: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for literal in SINGLE:
        attribute, _, value = literal.partition("=")
        phrases.setdefault(attribute, {})[value] = [("has", literal), ("has", literal)]
    excluded = [*itertools.combinations(HAIR, 2), *itertools.combinations(FACIAL_HAIR, 2)]
    excluded += [("Bald=1", other) for other in [*HAIR, "Wavy_Hair=1", "Bangs=1"]]
    excluded += [("Wearing_Lipstick=1", "Heavy_Makeup=1"), ("Chubby=1", "Double_Chin=1")]
    opposite = [("Male=1", "Male=0"), ("Young=1", "Young=0")]
    complements = {a: b for pair in opposite for a, b in (pair, pair[::-1])}
    return Vocabulary(phrases, frozenset(frozenset(pair) for pair in excluded), complements)


def celeba_counts() -> Counts:
    """The published counts. Pairs whose count was not published are set to independence, so they enter no list."""
    names = list(SINGLE)
    single = np.array([SINGLE[name] for name in names])
    joint = np.rint(np.outer(single, single) / TOTAL).astype(int)
    for i, j, n in RARE + NEAR_UNSEEN + OTHERS:
        a, b = names.index(i), names.index(j)
        joint[a, b] = joint[b, a] = n
    return Counts(tuple(names), TOTAL, single, joint)


@pytest.fixture(scope="module")
def celeba():
    return choose(celeba_counts(), celeba_vocabulary(), Rules())


def names(pairs: tuple[Pair, ...]) -> list[tuple[str, str, int]]:
    return [(pair.i, pair.j, pair.n) for pair in pairs]


def test_the_published_lists_of_celeba_hq_come_out_of_its_counts(celeba):
    """Covers: lifts, strata, order, ties, caps, K, and the 254 admissible pairs. Not covered, for want of the table
    itself: that 83 pairs are under-represented (64 rare, 19 near-unseen); the fixture has the 35 of them whose counts
    are published.
    """
    assert names(celeba.rare) == RARE
    assert names(celeba.near_unseen) == NEAR_UNSEEN
    assert len(celeba.table) == 254
    lift = {(row.i, row.j): row.lift for row in celeba.table.itertuples()}
    for pair, published in LIFTS.items():
        assert lift[pair] == pytest.approx(published, abs=0.0051 if published > 1 else 0.00051), pair
    assert (celeba.under, celeba.unseen) == ({"rare": 23, "near_unseen": 12}, 4)


def test_every_deficit_of_celeba_hq_survives_the_poisson_test(celeba):
    under = celeba.table[celeba.table["stratum"].isin(["rare", "near_unseen"])]
    assert (under["poisson_p"] <= 0.01 / 254).all()


def test_the_control_is_the_complement_where_that_pair_is_common(celeba):
    control = {(pair.i, pair.j): pair.control for pair in celeba.rare + celeba.near_unseen}
    expected = {
        ("Male=1", "Wearing_Lipstick=1"): ("Male=0", 13456),
        ("Young=1", "Gray_Hair=1"): ("Young=0", 976),
        ("Male=0", "Wearing_Necktie=1"): ("Male=1", 1744),
    }
    for pair, (partner, n) in expected.items():
        assert (control[pair].i, control[pair].j, control[pair].n) == (partner, pair[1], n)


def test_without_a_complement_the_control_is_the_most_frequent_over_represented_partner(celeba):
    control = {(pair.i, pair.j): pair.control for pair in celeba.rare}
    assert control["Eyeglasses=1", "Heavy_Makeup=1"].name == "Male=0+Heavy_Makeup=1"  # keeps j, the second literal
    assert control["Wearing_Earrings=1", "Wearing_Necktie=1"].name == "Male=1+Wearing_Necktie=1"
    assert (
        control["Wearing_Hat=1", "Wavy_Hair=1"] is None
    )  # neither literal has an over-represented partner in this fixture


def toy_vocabulary(attributes: int = 8) -> Vocabulary:
    return Vocabulary({f"a{k}": {"1": [("has", f"thing {k}"), ("has", f"a {k}")]} for k in range(attributes)})


def independent(rows: int = 50_000, attributes: int = 8, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        np.random.default_rng(seed).random((rows, attributes)) < 0.1, columns=[f"a{k}" for k in range(attributes)]
    )


def planted() -> pd.DataFrame:
    """Independent, but nine in ten of the images with a2 and a5 lose a5: a lift of about 0.1."""
    table = independent()
    both = np.flatnonzero(table["a2"] & table["a5"])
    table.loc[both[len(both) // 10 :], "a5"] = False
    return table


def test_an_independent_table_has_no_under_represented_pair():
    found = find_pairs(independent(), toy_vocabulary())
    assert found.under == {"rare": 0, "near_unseen": 0}
    assert (found.rare, found.near_unseen, found.over) == ((), (), ())


def test_a_planted_pair_is_found_first():
    [pair] = find_pairs(planted(), toy_vocabulary()).rare
    assert (pair.i, pair.j) == ("a2=1", "a5=1")
    assert pair.lift == pytest.approx(0.1, abs=0.03)
    assert pair.expected == pytest.approx(pair.n_i * pair.n_j / 50_000)
    assert pair.pmi == pytest.approx(np.log((pair.n + 0.5) / (pair.expected + 0.5)))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.sample(frac=1, random_state=1),
        lambda table: table[table.columns[::-1]],
        lambda table: table.astype(float),
        lambda table: table.astype(int),
        lambda table: table.astype(int).astype(str),
        lambda table: table.astype(object).where(table, None),
    ],
    ids=["rows", "columns", "float", "int", "text", "missing-for-absent"],
)
def test_the_lists_depend_neither_on_order_nor_on_type(change):
    table = planted()
    assert find_pairs(change(table), toy_vocabulary()) == find_pairs(table, toy_vocabulary())


def test_fewer_than_ten_images_are_near_unseen():
    table = planted()
    both = np.flatnonzero(table["a2"] & table["a5"])
    for left, stratum in ((10, "rare"), (9, "near_unseen")):
        fewer = table.copy()
        fewer.loc[both[left:], "a5"] = False
        found = find_pairs(fewer, toy_vocabulary())
        assert [pair.n for pair in getattr(found, stratum)] == [left]


def test_a_value_that_only_a_negation_could_name_is_in_no_pair():
    found = find_pairs(planted(), toy_vocabulary())
    assert not any(literal.endswith("=0") for literal in [*found.table["i"], *found.table["j"]])


def test_an_excluded_pair_is_nowhere():
    vocabulary = dataclasses.replace(toy_vocabulary(), excluded=frozenset([frozenset(["a5=1", "a2=1"])]))
    found = find_pairs(planted(), vocabulary)
    assert found.rare == ()
    assert len(found.table) == 8 * 7 // 2 - 1


def test_a_deficit_that_chance_explains_is_not_listed():
    """In 200 images the floor on the expected count is 0.8: two images fewer than expected prove nothing."""
    table = pd.DataFrame({"a0": [True] * 20 + [False] * 180, "a1": [False] * 180 + [True] * 20})
    assert find_pairs(table, toy_vocabulary(2)).under == {"rare": 0, "near_unseen": 0}


def test_a_literal_is_used_three_times_at_most_and_the_walk_stops_at_k():
    star = [("hub", f"spoke {k}") for k in range(5)] + [("x", "y")]
    assert capped(star, size=20, per_literal=3) == [*star[:3], ("x", "y")]
    assert capped(star, size=2, per_literal=3) == star[:2]


def test_literals_of_a_categorical_column_are_never_paired_with_each_other():
    table = pd.DataFrame({"hair": ["long", "short", "bald", None] * 500, "hat": ["yes", "no"] * 1000})
    phrases = {
        "hair": {value: [("has", value)] * 2 for value in ("long", "short", "bald")},
        "hat": {"yes": [("wears", "a hat")] * 2},
    }
    found = find_pairs(table, Vocabulary(phrases))
    assert literal_set(Vocabulary(phrases)) == ("hair=long", "hair=short", "hair=bald", "hat=yes")
    assert [(row.i, row.j, row.n, row.n_i) for row in found.table.itertuples()] == [
        ("hair=long", "hat=yes", 500, 500),
        ("hair=short", "hat=yes", 0, 500),
        ("hair=bald", "hat=yes", 500, 500),
    ]


def test_a_pair_that_can_never_be_seen_must_be_excluded():
    """Hair colour is missing under every hat, so a hat with blond hair is impossible, not unseen."""
    hat = np.arange(20_000) % 4 == 0
    colour = [None if covered else ("blond", "brown")[k % 2] for k, covered in enumerate(hat)]
    table = pd.DataFrame({"hat": np.where(hat, "yes", "no"), "colour": colour})
    phrases = {"hat": {"yes": [("wears", "a hat")] * 2}, "colour": {"blond": [("has", "blond hair")] * 2}}
    with pytest.raises(UserError, match=r"colour is missing in all images with hat=yes.*exclude the pair"):
        find_pairs(table, Vocabulary(phrases))
    assert find_pairs(table, Vocabulary(phrases, frozenset([frozenset(["hat=yes", "colour=blond"])]))).near_unseen == ()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"a0": [], "a1": []}), "no rows"),
        (pd.DataFrame({"a0": [1, 0], "b": [1, 0]}), "no column 'a1'; known: a0, b"),
    ],
    ids=["empty", "column"],
)
def test_a_table_that_cannot_be_counted_is_an_error(table, message):
    with pytest.raises(UserError, match=message):
        find_pairs(table, toy_vocabulary(2))
