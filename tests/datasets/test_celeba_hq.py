"""datasets/celeba_hq: the mapping that counts from 0, three splits, masks merged in order, words that read well."""

import logging

import numpy as np
import pandas as pd
import pytest
from release_files import HQ, celeba_list, interchanged, text, write_celeba_hq, write_stylet2i

from t2ibench.checks.contracts.datasets import check_dataset
from t2ibench.core.errors import UserError
from t2ibench.data.rare_pairs import find_pairs
from t2ibench.datasets import celeba_hq
from t2ibench.tracks.pair_texts import pair_text


def load(root, name="train", **more):
    return celeba_hq.load(celeba_hq.Config(root, **{"size": 16, "partial": True, **more}), name)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return write_celeba_hq(tmp_path_factory.mktemp("celeba_hq"))


def test_it_keeps_the_contract_of_a_data_set(tmp_path):
    wrong: list[dict[str, object]] = [{"root": "nowhere"}, {"crop": "box"}]
    root = write_celeba_hq(tmp_path, masked=HQ)
    check_dataset("celeba_hq", {"root": str(root), "partial": True, "size": 16}, wrong=wrong)


def test_captions_and_attributes_are_those_of_the_image(copy):
    split = load(copy)
    assert split.ids == ["0", "1", "2", "3", "2000"]
    assert [own[3] for own in split.captions] == [f"face {number} line 3." for number in (0, 1, 2, 3, 2000)]
    assert split.attributes["Male"].tolist() == ["yes", "yes", "no", "yes", "yes"]
    assert load(copy, "test").ids == ["24000"]


def test_the_part_of_an_image_is_that_of_its_original_file(copy):
    assert load(copy, "val", split="celeba").ids == ["2"]  # 162771.jpg, which orig_idx 162770 would put into train
    assert load(copy, "test", split="celeba").ids == ["3"]
    assert load(copy, split="celeba").dataset == "celeba_hq-celeba"


def test_a_mapping_without_its_head_is_the_same(copy, tmp_path):
    release = celeba_hq.Release("celeba_hq", copy, "", "")
    bare = celeba_hq.Release("celeba_hq", write_celeba_hq(tmp_path, head=False), "", "")
    assert celeba_hq.originals(release) == celeba_hq.originals(bare)
    assert celeba_hq.originals(bare)[2] == "162771.jpg"


def test_a_mapping_that_counts_from_1_is_flagged(tmp_path):
    text(tmp_path / "CelebA-HQ-to-CelebA-mapping.txt", ["0          162771     162771.jpg"])
    with pytest.raises(UserError, match=r"162771\.jpg the orig_idx 162771, expected 162770, which counts from 0"):
        celeba_hq.originals(celeba_hq.Release("celeba_hq", tmp_path, "", ""))


def test_the_splits_of_stylet2i_drop_and_choose(tmp_path):
    root = write_stylet2i(write_celeba_hq(tmp_path))
    splits = {name: load(root, name, split="stylet2i").ids for name in celeba_hq.SPLITS["stylet2i"]}
    assert splits == {
        "train": ["0", "2000", "24000"],
        "val": ["2"],
        "test": ["3"],
        "val-unseen": ["2"],
        "test-unseen": ["3"],
    }


def test_later_parts_of_a_mask_lie_over_earlier_ones(copy):
    split = load(copy)
    [mask] = split.masks.read([0])
    parts = split.masks.parts
    assert (parts[0], parts[1], parts[18]) == ("background", "skin", "cloth")
    assert [parts[mask[row, 5]] for row in (1, 5, 8, 15)] == ["hat", "hair", "skin", "background"]
    with pytest.raises(UserError, match=r"no mask .*0/00001_"):
        split.masks.read([1])


def test_a_list_of_celeba_itself_is_read_in_its_own_form(tmp_path):
    names, values = celeba_hq.attribute_list(celeba_list(tmp_path / "list_attr_celeba.txt"))
    assert names == ["Male", "Young"]
    assert values == {"000001.jpg": [-1, 1], "000002.jpg": [1, -1]}


def test_rare_pairs_of_a_table_read_well():
    generator = np.random.default_rng(0)
    male = generator.random(4000) < 0.5
    moustache, lipstick = male & (generator.random(4000) < 0.5), ~male & (generator.random(4000) < 0.8)
    columns = {
        "Male": male,
        "Mustache": moustache,
        "Wearing_Lipstick": lipstick,
        "Smiling": generator.random(4000) < 0.5,
    }
    table = pd.DataFrame({name: np.where(own, "yes", "no") for name, own in columns.items()}, dtype=object)
    words = celeba_hq.vocabulary(tuple(table.columns))
    pairs = find_pairs(table, words)
    names = {pair.name for pair in (*pairs.rare, *pairs.near_unseen)}
    assert "Mustache=yes+Wearing_Lipstick=yes" in names
    assert "Male=yes+Wearing_Lipstick=yes" in names
    [pair] = [pair for pair in pairs.near_unseen if pair.name == "Male=yes+Wearing_Lipstick=yes"]
    assert pair.control is not None
    assert pair.control.name == "Male=no+Wearing_Lipstick=yes"
    assert pair_text(words, pair.i, pair.j, 0) == "this person is a man and wears lipstick"


def test_every_attribute_that_is_asked_for_has_two_wordings():
    words = celeba_hq._words()
    assert len(words["attributes"]) == celeba_hq.ATTRIBUTES
    all_words = celeba_hq.vocabulary(tuple(words["attributes"]))
    assert all(len({*ways}) == 2 for values in all_words.phrases.values() for ways in values.values())
    assert set(words["parts"]) <= set(words["attributes"])
    named = {literal.partition("=")[0] for pair in all_words.excluded for literal in pair}
    assert named <= set(words["attributes"])


def test_interchanged_pickles_are_said_and_change_nothing(tmp_path, caplog):
    root = write_celeba_hq(tmp_path)
    interchanged(root)
    with caplog.at_level(logging.WARNING):
        assert load(root, "test").ids == ["24000"]
    assert "names training images: the two pickles are interchanged" in caplog.text


def edit(name, old, new):
    def change(root):
        path = root / name
        content = path.read_text("utf-8")
        assert old in content
        path.write_text(content.replace(old, new, 1), "utf-8")

    return change


LIST = "CelebAMask-HQ-attribute-anno.txt"


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda root: (root / "CelebA-HQ-img/2.jpg").unlink(), {}, "6 rows, which are not those of the 5 images"),
        (edit(LIST, "0.jpg  ", "9.jpg  "), {}, "first other: 9.jpg.: a renumbered copy is in circulation"),
        (edit(LIST, "6\n", "7\n"), {}, "6 rows, its head says 7"),
        (edit(LIST, "2.jpg  1", "2.jpg"), {}, "line 5 has 4 values, expected 5 of 1 or -1"),
        (lambda root: None, {"partial": False}, "6 images in .*, the release has 30,000"),
        (lambda root: None, {"split": "stylet2i"}, "no list_eval_partition.csv at"),
        (edit("list_eval_partition.txt", "000005.jpg 0\n", ""), {"split": "celeba"}, "image 2000 is in no part of"),
    ],
)
def test_what_is_wrong_with_a_copy_is_one_line(tmp_path, change, more, message):
    root = write_celeba_hq(tmp_path)
    change(root)
    with pytest.raises(UserError, match=message) as error:
        load(root, **more)
    assert "\n" not in str(error.value)
    assert len(HQ) == 6
