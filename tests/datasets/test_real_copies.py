"""What only real copies can show: `make test-data DATA=FOLDER`, where FOLDER holds cub/, coco/ … Each is skipped where
it is not.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from t2ibench.core.images import pixel_hash
from t2ibench.data.dataset import Dataset, opened
from t2ibench.data.rare_pairs import find_pairs
from t2ibench.datasets import celeba_hq, coco, ffhq

DATA = os.environ.get("T2IBENCH_TEST_DATA", "")
pytestmark = pytest.mark.data


@pytest.fixture
def copy() -> Callable[..., Dataset]:
    """Opens a real copy: copy(name, setting=value, …)."""

    def open_it(name: str, **settings: object) -> Dataset:
        root = Path(DATA) / name
        if not DATA or not root.is_dir():
            pytest.skip(f"no real copy of {name} in {DATA or 'T2IBENCH_TEST_DATA'}: make test-data DATA=FOLDER")
        return opened(name, {"root": str(root), **settings})

    return open_it


def sizes(data: Dataset) -> dict[str, int]:
    return {name: len(data.split(name)) for name in data.splits or ()}


def test_cub_has_its_150_and_50_classes_and_ten_captions_an_image(copy):
    data = copy("cub")
    assert sizes(data) == {"train": 8_855, "test": 2_933}
    for split in (data.split("train"), data.split("test")):
        assert {len(own) for own in split.captions} == {10}
        assert split.attributes is not None
        assert split.attributes.shape[1] == 312
    assert len({id[:3] for id in data.split("test").ids}) == 50


def test_cub_has_606_rows_of_six_tokens(copy):
    copy("cub")
    path = Path(DATA) / "cub/CUB_200_2011/attributes/image_attribute_labels.txt"
    with path.open() as file:
        assert sum(len(line.split()) == 6 for line in file) == 606


def test_flowers_has_1155_test_images(copy):
    assert sizes(copy("oxford_flowers")) == {"train": 7_034, "test": 1_155}
    assert sizes(copy("oxford_flowers", split="classifier")) == {"train": 1_020, "val": 1_020, "test": 6_149}


def test_coco_has_its_captions_and_the_30k_are_different_photos(copy):
    data = copy("coco")
    val = data.split("val")
    assert (len(val), sum(map(len, val.captions))) == (40_504, 202_654)
    listed = coco.listed(coco.Config(Path(DATA) / "coco"))
    assert len({image for image, _, _ in listed}) == 30_000
    assert tuple(data.split("30k").ids) == tuple(f"{image:012}" for image, _, _ in listed)


def test_celeba_hq_is_parted_by_the_original_files(copy):
    assert sizes(copy("celeba_hq")) == {"train": 24_000, "test": 6_000}
    if (Path(DATA) / "celeba_hq/list_eval_partition.txt").exists():
        assert sizes(copy("celeba_hq", split="celeba")) == {"train": 24_183, "val": 2_993, "test": 2_824}
        files = celeba_hq.originals(celeba_hq.Release("celeba_hq", Path(DATA) / "celeba_hq", "", ""))
        assert files[0] == "119614.jpg"
    train = copy("celeba_hq").split("train")
    assert train.attributes is not None
    assert train.vocabulary is not None
    assert find_pairs(train.attributes, train.vocabulary).near_unseen


def test_stylet2i_drops_and_chooses(copy):
    if not (Path(DATA) / "celeba_hq/unseen_split.csv").exists():
        pytest.skip("no lists of StyleT2I: t2ibench fetch stylet2i-unseen-split, …")
    assert sizes(copy("celeba_hq", split="stylet2i")) == {
        "train": 23_379,
        "val": 2_886,
        "test": 2_751,
        "val-unseen": 1_874,
        "test-unseen": 1_941,
    }


def test_ffhq_is_what_its_json_says(copy):
    assert sizes(copy("ffhq")) == {"train": 60_000, "val": 10_000, "all": 70_000}
    rows = ffhq.index(Path(DATA) / "ffhq")
    assert [row["category"] for row in rows] == ["training"] * 60_000 + ["validation"] * 10_000


@pytest.mark.parametrize("name", ["cub", "oxford_flowers", "coco", "celeba_hq", "ffhq"])
def test_images_and_masks_of_a_real_copy_can_be_read(name, copy):
    data = copy(name)
    split = data.split({"coco": "val", "ffhq": "val"}.get(name, "test"))
    rows = np.linspace(0, len(split) - 1, 50).astype(int)
    images = split.images.read(rows)
    assert images.shape[:2] == (50, 3)
    assert len({pixel_hash(image) for image in images}) == 50
    if split.masks is not None:
        assert split.masks.read(rows[:5]).shape == (5, *images.shape[2:])
