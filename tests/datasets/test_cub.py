"""datasets/cub: the release's own traps, four layouts of captions, two splits, and a line for every broken copy."""

import logging
import pickle

import numpy as np
import pytest
import yaml
from cub_files import IDS, TEST, TRAIN, WRITERS, pickles, sentences, words_only, write_cub, xian
from PIL import Image

from t2ibench.checks.contracts.datasets import check_dataset
from t2ibench.core.errors import UserError
from t2ibench.data.attributes import attribute_of
from t2ibench.data.framing import Framing, box_region
from t2ibench.datasets import cub


def load(root, name="test", **more):
    return cub.load(cub.Config(root, **{"size": 16, "partial": True, **more}), name)


@pytest.fixture
def root(tmp_path):
    return write_cub(tmp_path / "data")


def test_it_keeps_the_contract_of_a_data_set(root):
    wrong: list[dict[str, object]] = [
        {"root": "nowhere"},
        {"crop": "center", "size": None},
        {"certainty": 1},
        {"size": 0},
    ]
    check_dataset("cub", {"root": str(root), "partial": True, "size": 16}, wrong=wrong)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_captions_and_images_come_in_the_order_of_the_list(tmp_path, end):
    root = write_cub(tmp_path, end)
    test, train = load(root), load(root, "train")
    assert (list(test.ids), list(train.ids)) == (TEST, TRAIN)
    assert [own[0] for own in test.captions] == [sentences(id)[0] for id in TEST]
    assert test.captions[1][9] == sentences(TEST[1])[9]
    assert "bird crested_auklet_0008_1 is last" in load(root, "train", clean=True).captions[-2][9]


def test_a_stray_copy_of_a_grey_photo_is_no_image(root):
    assert not any(id.endswith("_rgb") for id in load(root).ids)
    grey = load(root).images.read([2])[0]
    assert (grey[0] == grey[2]).all()


@pytest.mark.parametrize("layout", list(WRITERS))
def test_every_layout_gives_the_captions_of_its_image(tmp_path, layout):
    root = write_cub(tmp_path, captions=layout)
    for split in ("train", "test"):
        found = load(root, split, clean=True)
        plain = (lambda text: text.replace(".", "")) if layout == "words" else str
        said = [tuple(plain(line.replace("\ufffd\ufffd", " ")) for line in sentences(id)) for id in found.ids]
        assert list(found.captions) == said


def test_attributes_are_read_with_their_certainty(root):
    table = load(root).attributes
    assert table.to_dict("list") == {
        "bill_shape::curved_(up_or_down)": ["yes", None, "yes"],
        "wing_color::blue": ["yes", "yes", None],
    }
    assert load(root, certainty=2).attributes["wing_color::blue"].tolist() == ["yes"] * 3
    words = load(root).vocabulary
    assert words.phrases["bill_shape::curved_(up_or_down)"]["yes"][0] == ("has", "a curved bill")
    assert words.phrases["wing_color::blue"]["yes"][0] == ("has", "blue wings")


def test_attributes_of_one_group_are_never_paired():
    words = cub.vocabulary(["size::small", "size::large", "wing_color::red"])
    assert words.excluded == {frozenset(("size::small=yes", "size::large=yes"))}
    assert {attribute_of(literal) for pair in words.excluded for literal in pair} == {"size::small", "size::large"}


def test_parts_have_names_with_spaces_and_may_be_hidden(root):
    names, places = cub.part_locations(cub.Config(root, partial=True))
    assert names == ["back", "left eye"]
    assert places.shape == (12, 2, 3)
    assert places[0].tolist() == [[0, 0, 0], [31, 18, 1]]


def test_the_crop_is_the_square_of_one_and_a_half_boxes():
    assert box_region((10, 5, 40, 20), 60, 48) == (0, 0, 60, 45)
    assert box_region((0, 0, 30, 20), 60, 48) == (0, 0, 37, 32)


def test_masks_are_cut_as_the_images_are(root):
    split = load(root, size=None)
    [mask] = split.masks.read([0])
    assert mask.shape == split.images.read([0]).shape[2:] == (45, 60)
    assert (mask[10:30, 20:40] == 1).all()
    assert mask.sum() == 400


def test_another_crop_is_another_digest(root):
    kinds = [load(root, crop=crop).contents for crop in ("box", "squash", "center", "square")]
    assert len({*kinds, load(root, filter="lanczos").contents}) == 5


def test_the_split_of_xian_is_read_from_its_file_and_is_a_data_set_of_its_own(root):
    xian(root)
    train, test, seen = (load(root, split, split="xian") for split in ("train", "test", "test-seen"))
    assert {id[:3] for id in test.ids} == {"002", "005"}
    assert sorted([*train.ids, *seen.ids]) == sorted(id for id in IDS if id[:3] in ("001", "003"))
    assert test.dataset == "cub-xian"


def test_no_class_of_the_test_is_trained_on(root):
    xian(root)
    for way in ("reed", "xian"):
        train, test = ({id[:3] for id in load(root, name, split=way).ids} for name in ("train", "test"))
        assert train
        assert test
        assert not train & test
    assert len(cub.TEST_CLASSES) == 50
    assert max(cub.TEST_CLASSES) <= cub.CLASSES


def test_a_class_that_is_trained_on_and_unseen_is_an_error(root, monkeypatch):
    xian(root)
    monkeypatch.setitem(cub.XIAN, "test", "test_seen_loc")
    with pytest.raises(UserError, match="trains on the unseen class 1: two class lists are mixed"):
        load(root, split="xian")


def test_images_without_a_caption_stay_and_are_said(root, caplog):
    (root / f"birds/text_c10/{TEST[1]}.txt").unlink()
    with caplog.at_level(logging.WARNING):
        split = load(root)
    assert (len(split), split.captions[1]) == (3, ())
    assert (
        "1 of 3 images have no caption, first 001.Black_footed_Albatross/Black_footed_Albatross_0008_1" in caplog.text
    )


def edit(name, old, new):
    def change(root):
        path = root / name
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")

    return change


def swap(root):
    birds = root / "birds"
    (birds / "train").rename(birds / "x")
    (birds / "test").rename(birds / "train")
    (birds / "x").rename(birds / "test")


def mixed(root):
    (root / "birds/test/filenames.pickle").write_bytes(pickle.dumps([*TEST, TRAIN[0]], 0))
    (root / "birds/test/class_info.pickle").unlink()


def evil(root):
    class Evil:
        def __reduce__(self):
            import os

            return os.system, ("echo no",)

    (root / "birds/test/filenames.pickle").write_bytes(pickle.dumps(Evil(), 0))


def fewer_words(root):
    words_only(root)
    path = root / "birds/captions.pickle"
    train, test, *more = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps([train, test[:-1], *more], 2))
    for text in (root / "birds/text_c10").rglob("*.txt"):
        text.unlink()
    for folder in sorted((root / "birds/text_c10").rglob("*"), reverse=True):
        folder.rmdir()
    (root / "birds/text_c10").rmdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / f"CUB_200_2011/images/{IDS[4]}.jpg").unlink(), "11 of 12 images .*, first missing 002"),
        (lambda root: (root / "CUB_200_2011/images.txt").unlink(), "no images.txt at .*vision.caltech.edu"),
        (edit("CUB_200_2011/bounding_boxes.txt", "7 10.0 5.0 40.0 20.0", "7 10.0 5.0"), "row 7 is '7 10.0 5.0'"),
        (edit("CUB_200_2011/image_class_labels.txt", "12 5\n", ""), "11 rows that do not number the 12 images"),
        (edit("CUB_200_2011/image_class_labels.txt", "12 5\n", "12 3\n"), "another class than its folder"),
        (edit("CUB_200_2011/attributes/image_attribute_labels.txt", "12 2 1 2", "12 1 1 2"), "once"),
        (edit("CUB_200_2011/attributes/image_attribute_labels.txt", "1 1 1 3 5.01\n", ""), "23 rows, expected 12"),
        (edit("CUB_200_2011/attributes/image_attribute_labels.txt", "1 1 1 3", "1 one 1 3"), "cannot be read"),
        (swap, "the two were interchanged"),
        (mixed, "class 2 is of the other side of Reed's split: two class lists are mixed"),
        (evil, "which a list of a caption release does not need; it was not run"),
        (fewer_words, "29 test captions for the 3 images"),
        (lambda root: pickles(root / "birds") or (root / "birds/test/class_info.pickle").write_bytes(b"("), "no whole"),
    ],
)
def test_what_is_wrong_with_a_copy_is_one_line(root, change, message):
    change(root)
    with pytest.raises(UserError, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)


def test_a_torn_photo_is_named(root):
    path = root / f"CUB_200_2011/images/{TEST[0]}.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"0009_0\.jpg: cannot be read as an image"):
        load(root).images.read([0])


def test_a_small_copy_is_refused_with_both_counts(root):
    with pytest.raises(UserError, match=r"12 images in images.txt in .*, the release has 11,788: .*partial: true"):
        load(root, partial=False)


def test_the_baselines_of_a_suite_come_to_a_board(root, t2ibench, tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    suite = {
        "dataset": {"name": "cub", "root": str(root), "partial": True},
        "reference": {"split": "train"},
        "methods": [],
        "baselines": ["real", "shuffled"],
        "prompts": {"split": "test", "captions": 3},
        "metrics": [{"name": "prdc", "extractor": "attribute-judge-avatars", "k": 1}],
    }
    (tmp_path / "birds.yaml").write_text("# Three birds\n" + yaml.safe_dump(suite))
    answer = t2ibench("run", str(tmp_path / "birds.yaml"), "--out", str(tmp_path / "runs"))
    assert answer.returncode == 0, answer.stderr
    assert "shuffled" in answer.stdout


@pytest.mark.parametrize(("size", "region"), [((20, 10), (5, 0, 15, 10)), ((9, 20), (0, 5, 9, 14))])
def test_a_square_is_cut_from_the_middle(size, region):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))
    assert (np.asarray(Framing(None, "square").apply(image)) == np.asarray(image.crop(region))).all()


def test_center_is_torchvisions_resize_and_crop():
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is the second opinion")
    for width, height in ((50, 31), (31, 50), (40, 40), (33, 64)):
        image = Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))
        theirs = transforms.Resize(16, transforms.InterpolationMode.BICUBIC)(image)
        assert (np.asarray(transforms.CenterCrop(16)(theirs)) == Framing(16, "center").apply(image)).all()
