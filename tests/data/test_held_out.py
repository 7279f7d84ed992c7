"""Compositional splits: what is held out, what stays, what is matched, of tables made here and of a folder of
images.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from no_images import NoImages
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.core.plugins import by_contract
from t2ibench.data.contract import DatasetPlugin
from t2ibench.data.dataset import dataset_of, opened
from t2ibench.data.held_out import HeldOut, Settings, chosen, shows, with_held_out
from t2ibench.data.rare_pairs import find_pairs
from t2ibench.data.split import Split, Vocabulary
from t2ibench.datasets import image_folder
from t2ibench.runner import suite

VALUES = {"hat": ("red", "blue", "none"), "coat": ("long", "short"), "mood": ("glad", "grim"), "sky": ("clear", "dull")}
VOCABULARY = Vocabulary(
    {name: {value: [("has", f"{value} {name}")] * 2 for value in options} for name, options in VALUES.items()}
)
PAIR = ("hat=red", "coat=long")
NAMED = Settings(named=("hat=red+coat=long",))


def split(name: str, count: int, seed: int) -> Split:
    """Every attribute uniform and independent; a tenth of the skies cannot be seen."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({key: rng.choice(options, count) for key, options in VALUES.items()}, dtype=object)
    table.loc[rng.random(count) < 0.1, "sky"] = None
    ids = [f"{name}-{row}" for row in range(count)]
    return Split(
        "people", name, ids, NoImages(count), [("a person",)] * count, table.where(table.notna(), None), VOCABULARY
    )


SPLITS = {
    "train": split("train", 3000, 0),
    "val": split("val", 300, 1),
    "test": split("test", 600, 2),
    "extra": split("extra", 50, 3),
}
PEOPLE = SimpleNamespace(
    Config=SimpleNamespace,
    load=lambda config, name: SPLITS[name],
    splits=lambda config: list(SPLITS),
    domain_texts=lambda config: {"people": "kept"},
)


def values(split: Split, attribute: str) -> pd.Series:
    assert split.attributes is not None
    return split.attributes[attribute]


def people(settings: Settings, module=PEOPLE) -> dict[str, Split]:
    held_out = HeldOut(module, settings)
    return {
        name: held_out.load("config", name) for name in ("train", "val", "test", "test-seen", "test-unseen", "held-out")
    }


def test_training_never_shows_a_held_out_pair_and_nothing_else_is_lost():
    made = people(NAMED)
    assert not shows(made["train"], [PAIR]).any()
    assert not shows(made["val"], [PAIR]).any()
    assert shows(made["held-out"], [PAIR]).all()
    assert len(made["train"]) + len(made["val"]) + len(made["held-out"]) == 3300
    assert list(made["train"].ids) == [
        id for id in SPLITS["train"].ids if id in set(made["train"].ids)
    ]  # in their order
    assert shows(made["test-unseen"], [PAIR]).all()
    assert len(made["test-unseen"]) == shows(SPLITS["test"], [PAIR]).sum()
    assert made["test"] is SPLITS["test"]


def test_a_few_images_may_stay_in_training():
    made = people(replace(NAMED, kept=7))
    assert shows(made["train"], [PAIR]).sum() == 7
    assert not set(made["train"].ids) & {id.removeprefix("train/") for id in made["held-out"].ids}


def test_seen_test_images_have_one_value_of_the_pair_by_turns_and_agree_otherwise():
    made = people(NAMED)
    seen, unseen = made["test-seen"], made["test-unseen"]
    assert len(seen) == len(unseen) == len(set(seen.ids))
    red, long = (values(seen, "hat") == "red").to_numpy(), (values(seen, "coat") == "long").to_numpy()
    assert not (red & long).any()
    assert (red ^ long).all()
    assert abs(int(red.sum()) - int(long.sum())) <= 1
    for attribute in ("mood", "sky"):  # as far as the data allow: 50 of each kind could not all be equal by chance
        shares = [
            values(part, attribute).value_counts(normalize=True, dropna=False).sort_index() for part in (seen, unseen)
        ]
        assert abs(shares[0] - shares[1]).max() < 0.05


def test_the_splits_follow_from_table_and_ids_not_from_their_order():
    def turned(config, name):
        return SPLITS[name].take(range(len(SPLITS[name]))[::-1])

    one, other = (
        people(replace(NAMED, kept=3)),
        people(replace(NAMED, kept=3), SimpleNamespace(load=turned, splits=PEOPLE.splits)),
    )
    for name in ("train", "val", "test-seen", "test-unseen", "held-out"):
        assert set(one[name].ids) == set(other[name].ids), name


def test_pairs_that_nobody_names_are_common_share_no_value_and_leave_half_of_each():
    pairs = chosen(SPLITS["train"], Settings(pairs=2))
    literals = [literal for names in pairs for literal in names]
    assert len(pairs) == 2
    assert len(set(literals)) == 4
    table = find_pairs(SPLITS["train"].attributes, VOCABULARY).table.set_index(["i", "j"])
    lifts = [table.loc[names, "lift"] for names in pairs]
    assert all(0.8 <= lift <= 1.25 for lift in lifts)
    assert all(2 * table.loc[names, "n"] <= min(table.loc[names, "n_i"], table.loc[names, "n_j"]) for names in pairs)
    assert "coat=long" not in [
        names[0] for names in pairs if names[1].startswith("sky")
    ]  # half of all long coats stand before a clear sky


def test_a_held_out_pair_becomes_the_rarest_of_the_table_that_is_left():
    left = people(NAMED)["train"]
    found = find_pairs(left.attributes, VOCABULARY)
    assert (found.near_unseen[0].i, found.near_unseen[0].j) == PAIR
    assert found.near_unseen[0].n == 0


def test_what_else_a_data_set_can_do_it_still_can():
    held_out = with_held_out(by_contract(DatasetPlugin, PEOPLE, "people"), NAMED)
    assert held_out.domain_texts is not None
    assert held_out.splits is not None
    assert held_out.domain_texts("config") == {"people": "kept"}
    assert held_out.pair_images is None
    assert held_out.load("config", "extra") is SPLITS["extra"]
    assert held_out.splits("config") == ["train", "val", "test", "extra", "test-seen", "test-unseen", "held-out"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(named=("hat=green+coat=long",)), "no training image shows hat=green"),
        (Settings(named=("hat=red",)), "expected two attributes"),
        (Settings(named=("hat=red+hat=blue",)), "expected two attributes"),
        (Settings(named=("hut=red+coat=long",)), "no column 'hut', did you mean 'hat'"),
        (Settings(pairs=20), "20 were asked for: name them"),
        (
            Settings(named=("coat=long+mood=glad", "coat=long+mood=grim", "coat=short+mood=glad")),
            "as many others are not there",
        ),
        (replace(NAMED, kept=5000), "nothing to hold out"),
    ],
)
def test_what_cannot_be_held_out_is_an_error(settings, message):
    if settings.kept:  # val must not show the pair either, or it would be taken out
        module = SimpleNamespace(
            load=lambda config, name: SPLITS["train"] if name != "val" else people(NAMED)["val"], splits=PEOPLE.splits
        )
    else:
        module = PEOPLE
    with pytest.raises(UserError, match=message):
        people(settings, module)


def folder_of(root, splits):
    """Coloured squares: red and blue, large and small, in a folder without or with split folders."""
    for name in splits:
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for row in range(120):
            colour, size = ("red", "blue")[row % 2], ("large", "small")[row // 2 % 2]
            Image.new("RGB", (16, 16), {"red": (200, 0, 0), "blue": (0, 0, 200)}[colour]).save(folder / f"{row:03}.png")
            lines.append(
                json.dumps(
                    {"file_name": f"{row:03}.png", "text": f"a {size} {colour} square", "colour": colour, "size": size}
                )
            )
        (folder / "metadata.jsonl").write_text("\n".join(lines), "utf-8")


def test_a_suite_holds_pairs_out_of_a_folder_of_images(tmp_path):
    folder_of(tmp_path, [""])
    content = {
        "dataset": {
            "name": "image_folder",
            "root": str(tmp_path),
            "size": 16,
            "held_out": {"named": ["colour=red+size=large"]},
        },
        "methods": [],
        "baselines": ["real"],
        "metrics": [],
        "reference": {"split": "test-seen"},
        "prompts": {"split": "test-unseen", "captions": 3},
    }
    wanted = suite.parse(content, "s", "", "s.yaml")
    data = opened(wanted.dataset.name, wanted.dataset.settings, reference=wanted.reference.split)
    assert not shows(data.train, [("colour=red", "size=large")]).any()
    assert set(values(data.train, "colour")) == {"red", "blue"}
    asked = data.split("test-unseen")
    assert {text for texts in asked.captions for text in texts} == {"a large red square"}
    assert len(data.reference) == len(asked) > 0
    assert not set(data.train.ids) & (set(data.reference.ids) | set(asked.ids))
    assert data.facts["config"]["held_out"]["named"] == ["colour=red+size=large"]
    assert data.facts["train"]["digest"] == data.train.described


def test_a_folder_with_splits_keeps_them(tmp_path):
    folder_of(tmp_path, ["train", "test"])
    settings = {"root": str(tmp_path), "size": 16, "held_out": {"named": ["colour=red+size=large"], "kept": 2}}
    module, config, _ = dataset_of("image_folder", settings, "here")
    train, val = module.load(config, "train"), module.load(config, "val")
    assert shows(train, [("colour=red", "size=large")]).sum() == 2
    assert 0 < len(val) < 30  # a tenth of the training folder
    assert len(module.load(config, "test")) == 120


def test_without_the_key_a_data_set_is_itself_and_its_record_is_as_before(tmp_path):
    module, config, told = dataset_of("image_folder", {"root": str(tmp_path)}, "here")
    assert module.load is image_folder.load
    assert told == {"root": "path", "size": 64}
    assert config == module.Config(tmp_path)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ("all", "expected a mapping"),
        ({"pair": 2}, "unknown key 'pair', did you mean 'pairs'"),
        ({"kept": -1}, "kept is -1, expected at least 0"),
        ({"pairs": 0}, "pairs is 0, expected at least 1"),
        ({"val_share": 0}, r"val_share is 0\.0, expected 0 to 1, without 0 and 1"),
        ({"test_share": 0.9}, r"test_share is 0\.9 and val_share 0\.1, expected shares that leave some"),
    ],
)
def test_wrong_settings_are_errors(tmp_path, held_out, message):
    with pytest.raises(UserError, match=message):
        dataset_of("image_folder", {"root": str(tmp_path), "held_out": held_out}, "here")
