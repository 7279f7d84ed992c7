"""Compositional splits of any data set with attributes: chosen pairs of values are rare or absent in training, and
tested.

    dataset: {name: image_folder, root: birds, held_out: {pairs: 8}}
    dataset: {name: image_folder, root: birds, held_out: {named: [wing=red+bill=long], kept: 5}}

The splits are:

- `train` and `val`: those of the data set without the images that show a held-out pair. `kept` images of each pair stay
  in `train`.
- `test-unseen`: the test images that show a held-out pair.
- `test-seen`: as many test images that show none. Each is matched to an image of `test-unseen`: it has one value of the
  pair without the other (the two values take turns), and agrees with that image in most other attributes. So the two
  test splits are equally difficult, except for the pair.
- `held-out`: the images that were taken out of `train` and `val`.
- every other split is that of the data set.

Which images these are depends on the attribute table and the ids alone, not on their order.

In the manner of C-CUB and C-Flowers (Park et al., NeurIPS 2021), which hold out adjective-noun pairs; their split files
are not read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Range, Whole
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import attribute_of, canonical, indicators
from t2ibench.data.contract import DatasetPlugin
from t2ibench.data.rare_pairs import Names, Rules, capped, find_pairs
from t2ibench.data.split import Split, join

KEY = "held_out"
MADE = ("test-seen", "test-unseen", "held-out")
Part = Annotated[float, Range(0, 1, open_at=("least", "most"))]


@dataclass(frozen=True)
class Settings:
    """The settings under `held_out`.

    named: the held-out pairs, each written "attribute=value+attribute=value"; empty: they are chosen from the table.
    pairs: how many common pairs are chosen from the training table.
    kept: images of each pair that stay in training.
    test_share, val_share: the shares of `train` that become test and val if the data set has no such split. A hash of
        the images' ids divides them.
    """

    named: tuple[str, ...] = ()
    pairs: Whole = 8
    kept: Whole = 0
    test_share: Part = 0.2
    val_share: Part = 0.1


def with_held_out(plugin: DatasetPlugin, settings: Settings) -> DatasetPlugin:
    """A data set plug-in with the splits described above. All else is as the plug-in has it."""
    made = HeldOut(plugin, settings)
    return plugins.by_contract(DatasetPlugin, plugin, KEY, load=made.load, splits=made.splits)


@dataclass(frozen=True)
class HeldOut:
    """The splits of a plug-in, with pairs held out. They are made once for each Config."""

    plugin: DatasetPlugin
    settings: Settings
    _parts: dict[str, dict[str, Split]] = field(default_factory=dict, compare=False)

    def load(self, config: Any, split: str) -> Split:
        """A split. Raises UserError if no pair can be held out, or if too few test images are left to match."""
        if split not in ("train", "val", "test", *MADE):
            return self.plugin.load(config, split)
        if repr(config) not in self._parts:
            divided = self._divided(config)
            self._parts[repr(config)] = {**parts_of(divided, self.settings), "test": divided["test"]}
        return self._parts[repr(config)][split]

    def splits(self, config: Any) -> list[str]:
        return list(dict.fromkeys(["train", "val", "test", *self._plugin_splits(config), *MADE]))

    def _plugin_splits(self, config: Any) -> Sequence[str]:
        return ("train", "val", "test") if self.plugin.splits is None else self.plugin.splits(config)

    def _divided(self, config: Any) -> dict[str, Split]:
        """Train, val and test before anything is held out."""
        known, whole = self._plugin_splits(config), self.plugin.load(config, "train")
        shares = {"test": self.settings.test_share, "val": self.settings.val_share}
        divided = {name: self.plugin.load(config, name) for name in shares if name in known}
        place = np.array([derive_seed("division", id) / 2**63 for id in whole.ids])
        for name in [name for name in shares if name not in divided]:
            divided[name] = replace(whole.take(np.flatnonzero(place < shares[name])), name=name)
            whole, place = (
                whole.take(np.flatnonzero(place >= shares[name])),
                place[place >= shares[name]] - shares[name],
            )
        return {"train": whole, **divided}


def parts_of(divided: Mapping[str, Split], settings: Settings) -> dict[str, Split]:
    """The splits `train`, `val`, `test-seen`, `test-unseen` and `held-out` of a data set's train, val and test."""
    train, val, test = divided["train"], divided["val"], divided["test"]
    pairs = chosen(train, settings)
    shown = {name: shows(split, pairs) for name, split in divided.items()}
    stays = np.zeros(len(train), bool)
    for shows_pair in shown["train"].T:
        rows = np.flatnonzero(shows_pair)
        stays[
            rows[np.argsort([derive_seed("kept", train.ids[int(row)]) for row in rows], kind="stable")][: settings.kept]
        ] = True
    out = shown["train"].any(axis=1) & ~stays
    unseen = np.flatnonzero(shown["test"].any(axis=1))
    if len(unseen) == 0:
        raise UserError(
            f"{test.dataset}: no test image shows {' or '.join('+'.join(names) for names in pairs)}: hold out other "
            f"pairs"
        )
    seen = matched(test, unseen, shown["test"], pairs)
    val_out = shown["val"].any(axis=1)
    taken = [
        replace(split.take(np.flatnonzero(rows)), masks=None)
        for split, rows in ((train, out), (val, val_out))
        if rows.any()
    ]
    if not taken:
        raise UserError(
            f"{train.dataset}: no training image shows a held-out pair, or all are kept: there is nothing to hold out"
        )
    return {
        "train": replace(train.take(np.flatnonzero(~out)), name="train-seen"),
        "val": replace(val.take(np.flatnonzero(~val_out)), name="val-seen"),
        "test-unseen": replace(test.take(unseen), name="test-unseen"),
        "test-seen": replace(test.take(seen), name="test-seen"),
        "held-out": replace(join(taken), name="held-out"),
    }


def chosen(train: Split, settings: Settings) -> tuple[Names, ...]:
    """The held-out pairs: those that are named, or else the common pairs whose lift is nearest to 1.

    No literal is in two chosen pairs, and both literals of a chosen pair keep at least half of their images. Raises
    UserError for a literal that no image shows, and if too few pairs can be chosen.
    """
    if train.attributes is None or train.vocabulary is None:
        raise UserError(
            f"{train.dataset} has no attributes: only a data set with an attribute table has pairs to hold out"
        )
    if settings.named:
        return tuple(_named(name, train.attributes) for name in settings.named)
    table = find_pairs(train.attributes, train.vocabulary, Rules()).table
    fit = table[(table["stratum"] == "neutral") & (2 * table["n"] <= table[["n_i", "n_j"]].min(axis=1))]
    ordered = fit.assign(away=np.log(fit["lift"]).abs()).sort_values(["away", "n", "i", "j"])
    pairs = capped(zip(ordered["i"], ordered["j"], strict=True), settings.pairs, per_literal=1)
    if len(pairs) < settings.pairs:
        raise UserError(
            f"{train.dataset}: {len(pairs)} pairs are common enough to hold out, {settings.pairs} were asked for: "
            f"name them"
        )
    return tuple(pairs)


def _named(name: str, table: pd.DataFrame) -> Names:
    """The two literals of a named pair. Raises UserError if the name is wrong or no image shows a literal."""
    literals = name.split("+")
    if len(literals) != 2 or attribute_of(literals[0]) == attribute_of(literals[1]):
        raise UserError(f"{KEY}: named: {name!r}, expected two attributes as attribute=value+attribute=value")
    values = canonical(table, [attribute_of(literal) for literal in literals])
    for literal in literals:
        known = {f"{attribute_of(literal)}={value}" for value in values[attribute_of(literal)].dropna().unique()}
        if literal not in known:
            raise UserError(f"{KEY}: named: no training image shows {literal}{did_you_mean(literal, sorted(known))}")
    return literals[0], literals[1]


def shows(split: Split, pairs: Sequence[Names]) -> np.ndarray:
    """Which images show which pairs, bool [N, P]."""
    return np.stack([_has(split, names).all(axis=1) for names in pairs], axis=1)


def _has(split: Split, literals: Sequence[str]) -> np.ndarray:
    assert split.attributes is not None
    return indicators(canonical(split.attributes, dict.fromkeys(map(attribute_of, literals))), literals)


def matched(test: Split, unseen: np.ndarray, shown: np.ndarray, pairs: Sequence[Names]) -> np.ndarray:
    """For each row of `unseen`, a different row of `test` without a held-out pair: int, in ascending order.

    The docstring of the module says how they are matched.

    test: the test split, N images.
    unseen: the rows that show a held-out pair.
    shown: which images show which pairs, bool [N, P].
    pairs: the P held-out pairs.

    Raises UserError if there are fewer such rows than rows of `unseen`.
    """
    assert test.attributes is not None
    free = np.asarray(~shown.any(axis=1))
    if free.sum() < len(unseen):
        raise UserError(
            f"{test.dataset}: {len(unseen):,} of {len(test):,} test images show these pairs, as many others are not "
            f"there: name fewer"
        )
    values = canonical(test.attributes, map(str, test.attributes.columns))
    codes = np.stack([pd.factorize(values[name])[0] for name in values], axis=1)  # -1: cannot be seen
    has = {names: _has(test, names) for names in pairs}
    rank = np.argsort(np.argsort([derive_seed("matched", id) for id in test.ids], kind="stable"), kind="stable")
    taken = []
    for turn, row in enumerate(sorted(unseen, key=lambda row: rank[row])):
        literals, first = has[pairs[int(np.argmax(shown[row]))]], turn % 2  # [N, 2]: which images have which
        wish = np.where(literals[:, first] & ~literals[:, 1 - first], 2, np.where(literals.any(axis=1), 1, 0))
        agree = (codes == codes[row]).sum(axis=1)
        order = np.lexsort((rank, -agree, -wish, ~free))
        taken.append(order[0])
        free[order[0]] = False
    return np.sort(np.array(taken))
