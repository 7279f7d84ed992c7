"""datasets/oxford_flowers.py, coco and ffhq.py: orders, splits, masks, and a line for every broken copy."""

import json

import numpy as np
import pytest
import scipy.io
from PIL import Image
from release_files import COCO_IDS, write_coco, write_ffhq, write_flowers

from t2ibench.checks.contracts.datasets import check_dataset
from t2ibench.core.errors import UserError
from t2ibench.datasets import coco, ffhq, oxford_flowers
from t2ibench.datasets.coco.outlines import mask_of, of_polygon, spelled

DRAWN_BY_SEED_0 = [
    (74, 1074, "a photo of 74 number 1."),
    (133, 3133, "a photo of 133 number 3."),
    (136, 136, "a photo of 136 number 0."),
    (143, 143, "a photo of 143 number 0."),
]


def flowers(root, name="test", **more):
    return oxford_flowers.load(oxford_flowers.Config(root, **{"size": 16, "partial": True, **more}), name)


def photos(root, name="val", **more):
    return coco.load(coco.Config(root, **{"size": 16, "partial": True, "drawn": 4, **more}), name)


def faces(root, name="train", **more):
    return ffhq.load(ffhq.Config(root, **{"size": 8, "partial": True, **more}), name)


def test_they_keep_the_contract_of_a_data_set(tmp_path):
    few = {"partial": True, "size": 16}
    wrong: list[dict[str, object]] = [{"root": "nowhere"}, {"crop": "box"}]
    check_dataset("oxford_flowers", {"root": str(write_flowers(tmp_path / "a")), **few}, wrong=wrong)
    root = str(write_coco(write_coco(tmp_path / "b"), part="train"))
    check_dataset("coco", {"root": root, "drawn": 4, "masks": True, **few}, wrong=[*wrong, {"drawn": 0}])
    check_dataset("ffhq", {"root": str(write_ffhq(tmp_path / "c")), **few}, wrong=wrong)


@pytest.mark.parametrize("layout", ["text_c10", "text"])
def test_classes_1_to_20_are_the_test_and_captions_are_those_of_the_image(tmp_path, layout):
    root = write_flowers(tmp_path, layout)
    test, train = flowers(root), flowers(root, "train")
    assert test.ids == ["image_00002", "image_00004", "image_00005", "image_00006"]
    assert train.ids == ["image_00001", "image_00003"]
    assert [own[9] for own in test.captions] == [f"flower {number} line 9" for number in (2, 4, 5, 6)]


def test_the_classifiers_split_is_a_data_set_of_its_own(tmp_path):
    split = flowers(write_flowers(tmp_path), "train", split="classifier")
    assert (split.dataset, split.ids) == ("oxford_flowers-classifier", ["image_00001", "image_00006"])


def test_the_blue_ground_is_told_from_the_flower_although_it_is_a_jpeg(tmp_path):
    [mask] = flowers(write_flowers(tmp_path), size=None, crop="none").masks.read([0])
    shown = np.zeros((40, 48), np.uint8)
    shown[10:30, 10:40] = 1
    assert (mask != shown).mean() < 0.01


def test_captions_stay_in_the_order_of_annotations_and_images_in_that_of_ids(tmp_path):
    split = photos(write_coco(tmp_path))
    assert split.ids == [f"{id:012}" for id in COCO_IDS]
    assert len(split.captions[2]) == 6
    for id, own in zip(COCO_IDS, split.captions, strict=True):
        assert {text.partition(" number")[0] for text in own} == {f"a photo of {id}"}
    order = [
        one["caption"].strip()
        for one in json.loads((tmp_path / "annotations/captions_val2014.json").read_text())["annotations"]
        if one["image_id"] == 42
    ]
    assert list(split.captions[0]) == order
    assert photos(write_coco(tmp_path / "b", 2017), year=2017).contents == split.contents


def test_the_30k_are_different_images_with_one_caption_each_drawn_by_the_seed(tmp_path):
    root = write_coco(tmp_path)
    drawn = coco.listed(coco.Config(root, drawn=4, partial=True))
    assert drawn == DRAWN_BY_SEED_0
    assert photos(root, "30k").ids == [f"{id:012}" for id, _, _ in drawn]
    lists = {tuple(coco.listed(coco.Config(root, drawn=4, partial=True, seed=seed))) for seed in range(5)}
    assert len(lists) == 5


def test_masks_are_those_of_pycocotools(tmp_path):
    masks = pytest.importorskip("pycocotools.mask", reason="the extra dev-all brings pycocotools")
    api = pytest.importorskip("pycocotools.coco")
    root = write_coco(tmp_path)
    theirs = api.COCO(str(root / "annotations/instances_val2014.json"))
    for annotation in theirs.anns.values():
        size = theirs.imgs[annotation["image_id"]]
        mine = mask_of(annotation["segmentation"], size["height"], size["width"])
        assert (mine == theirs.annToMask(annotation)).all()
    generator = np.random.default_rng(0)
    for corners in range(3, 43):
        polygon = generator.uniform(-4, 44, 2 * corners).round(2).tolist()
        runs = masks.frPyObjects([polygon], 30, 40)[0]
        assert (of_polygon(polygon, 30, 40) == masks.decode(runs)).all()
        counts = masks.frPyObjects([polygon], 30, 40)[0]["counts"].decode()
        assert (mask_of({"counts": counts, "size": [30, 40]}, 30, 40) == masks.decode(runs)).all()
        assert sum(spelled(counts)) == 1200


def test_smaller_objects_lie_over_larger_ones(tmp_path):
    split = photos(write_coco(tmp_path), size=None, crop="none", masks=True)
    [mask] = split.masks.read([0])
    assert split.masks.parts == ("background", "car", "toothbrush")
    assert (mask[3:9, 5:20] == 2).all()
    assert set(np.unique(mask)) == {0, 1, 2}
    assert not split.masks.read([7]).any()  # a photo without an object


def test_each_thousand_of_ffhq_has_a_folder_and_the_last_ten_thousand_are_val(tmp_path):
    root = write_ffhq(tmp_path)
    assert faces(root).ids == ["00000", "00999", "01000"]
    assert faces(root, "val").ids == ["60000"]
    write_ffhq(tmp_path / "b", folder="thumbnails128x128")
    assert faces(tmp_path / "b", "all", images="thumbnails128x128").contents == faces(root, "all").contents


def test_the_json_of_ffhq_is_read_entry_by_entry_once(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    root = write_ffhq(tmp_path / "data")
    whole = json.loads((root / ffhq.SHEET).read_text("utf-8"))
    for chunk in (1, 7, 4096):
        monkeypatch.setattr(ffhq, "CHUNK", chunk)
        assert dict(ffhq.entries(root / ffhq.SHEET)) == whole
    rows = ffhq.index(root)
    assert [row["id"] for row in rows] == [0, 999, 1000, 60_000]
    assert rows[1]["image"] == {"size": 1099, "md5": f"{999:032x}"}
    monkeypatch.setattr(ffhq, "entries", None)  # the second time it comes from the cache
    assert ffhq.index(root) == rows
    assert ffhq.licences(root) == {"Public Domain": 3, "CC BY-NC 2.0": 1}


@pytest.mark.parametrize("cut", [1, 40, 2000, -1, -2])
def test_a_torn_json_of_ffhq_is_one_line(tmp_path, cut):
    path = write_ffhq(tmp_path) / ffhq.SHEET
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="is no whole JSON") as error:
        list(ffhq.entries(path))
    assert "\n" not in str(error.value)


def torn(path):
    path.write_bytes(path.read_bytes()[:100])


def foreign(path):
    content = json.loads(path.read_text())
    content["annotations"][0]["image_id"] = 9
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("write", "load", "change", "message"),
    [
        (write_flowers, flowers, lambda r: (r / "jpg/image_00003.jpg").unlink(), "5 of 6 images .* first missing"),
        (write_flowers, flowers, lambda r: torn(r / "imagelabels.mat"), "imagelabels.mat cannot be read"),
        (write_flowers, flowers, lambda r: (r / "imagelabels.mat").unlink(), "no imagelabels.mat at .*robots.ox"),
        (
            write_flowers,
            lambda r: flowers(r, split="classifier"),
            lambda r: scipy.io.savemat(r / "setid.mat", {k: [[1, 2]] for k in ("trnid", "valid", "tstid")}),
            "setid.mat lists 6 images, expected each of 1 to 6 once",
        ),
        (write_flowers, lambda r: flowers(r, captions=r / "jpg"), lambda r: None, "no captions in .*jpg: expected"),
        (write_flowers, lambda r: flowers(r, partial=False), lambda r: None, "6 labels .* the release has 8,189"),
        (write_coco, photos, lambda r: (r / "val2014/COCO_val2014_000000000073.jpg").unlink(), "7 of 8 images"),
        (write_coco, photos, lambda r: torn(r / "annotations/captions_val2014.json"), "is no whole JSON"),
        (write_coco, photos, lambda r: foreign(r / "annotations/captions_val2014.json"), "of the image 9, which it"),
        (write_coco, lambda r: photos(r, "train"), lambda r: None, "no captions at .*captions_train2014.json"),
        (write_coco, lambda r: photos(r, "30k", drawn=9), lambda r: None, "drawn is 9, expected 1 to 8"),
        (write_coco, lambda r: photos(r, partial=False), lambda r: None, "8 images .* the release has 40,504"),
        (write_ffhq, lambda r: faces(r, partial=False), lambda r: None, "4 images in .* the release has 70,000"),
        (
            write_ffhq,
            faces,
            lambda r: (r / "images1024x1024/00000/00999.png").rename(r / "images1024x1024/01000/00999.png"),
            "expected in 00000/00999.png",
        ),
        (write_ffhq, lambda r: faces(r, images="thumbnails128x128"), lambda r: None, "no folder of images at"),
    ],
)
def test_what_is_wrong_with_a_copy_is_one_line(tmp_path, write, load, change, message):
    root = write(tmp_path)
    change(root)
    with pytest.raises(UserError, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)


def test_grey_photos_become_rgb(tmp_path):
    grey = photos(write_coco(tmp_path)).images.read([3])[0]
    assert (grey[0] == grey[1]).all()
    assert Image.open(tmp_path / "val2014/COCO_val2014_000000000133.jpg").mode == "L"
