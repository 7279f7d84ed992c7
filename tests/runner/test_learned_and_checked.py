"""runner/train.py: what a recipe learns from and is checked on, also on a data set without a split for the latter."""

from dataclasses import replace

from cub_files import write_cub
from release_files import noise, save

from t2ibench.data.dataset import opened
from t2ibench.runner.train import learned_and_checked


def test_a_twentieth_of_the_training_images_is_checked_on_where_there_is_no_val(tmp_path):
    data = opened("cub", {"root": str(write_cub(tmp_path)), "partial": True})
    few = data.split("train")
    many = few.take([row % len(few) for row in range(4000)])
    many = replace(many, ids=[f"{row}" for row in range(4000)])
    learned, checked = learned_and_checked(replace(data, split=lambda name: many), ["train"], "val")
    assert len(learned) + len(checked) == 4000
    assert 150 < len(checked) < 250
    assert not set(learned.ids) & set(checked.ids)
    again = learned_and_checked(replace(data, split=lambda name: many.take(range(3999, -1, -1))), ["train"], "val")
    assert set(again[1].ids) == set(checked.ids)


def test_one_image_is_checked_on_at_least(tmp_path):
    data = opened("cub", {"root": str(write_cub(tmp_path)), "partial": True})
    learned, checked = learned_and_checked(data, ["train"], "val")
    assert (len(learned) + len(checked), len(checked) >= 1) == (len(data.split("train")), True)


def test_a_split_that_is_there_is_taken_whole(tmp_path):
    for split in ("train", "val"):
        for row in range(2):
            save(noise(row), tmp_path / split / f"{row}.png")
            (tmp_path / split / f"{row}.txt").write_text(f"{split} {row}")
    learned, checked = learned_and_checked(opened(str(tmp_path)), ["train"], "val")
    assert list(learned.captions) == [("train 0",), ("train 1",)]
    assert list(checked.captions) == [("val 0",), ("val 1",)]
