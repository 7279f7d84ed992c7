"""Copies as they come: strange files beside the images, photos that are torn, rows whose image is gone.

What each reader says of lists that are missing or contradict each other is tested beside it.
"""

import io
import tarfile

import pytest
from cub_files import IDS, TEST, write_cub
from dev_all import hugging_face_datasets
from PIL import Image
from release_files import noise, write_celeba_hq, write_coco, write_ffhq, write_flowers

from t2ibench.core.errors import UserError
from t2ibench.data.dataset import opened

# by data set: who writes a copy, its split, an image of it, and strange files beside the images
COPIES = {
    "cub": (write_cub, "test", f"CUB_200_2011/images/{TEST[0]}.jpg", [f"CUB_200_2011/images/{IDS[2]} (1).jpg"]),
    "oxford_flowers": (write_flowers, "test", "jpg/image_00002.jpg", ["jpg/image_00002_rgb.jpg", "jpg/Thumbs.db"]),
    "coco": (
        write_coco,
        "val",
        "val2014/COCO_val2014_000000000042.jpg",
        ["val2014/COCO_val2014_000000000042 (1).jpg", "val2014/.DS_Store", "annotations/notes.json"],
    ),
    "celeba_hq": (
        write_celeba_hq,
        "train",
        "CelebA-HQ-img/0.jpg",
        ["CelebA-HQ-img/0 (1).jpg", "CelebA-HQ-img/copy.jpg", "CelebAMask-HQ-mask-anno/0/Thumbs.db"],
    ),
    "ffhq": (
        write_ffhq,
        "train",
        "images1024x1024/00000/00000.png",
        ["images1024x1024/LICENSE.txt", "images1024x1024/00000/00000 (1).png"],
    ),
}


def split_of(name, root):
    return opened(name, {"root": str(root), "size": 16, "partial": True}).split(COPIES[name][1])


@pytest.mark.parametrize("name", COPIES)
def test_strange_files_beside_the_images_change_nothing(name, tmp_path):
    write, _, _, strange = COPIES[name]
    write(tmp_path)
    before = split_of(name, tmp_path)
    for place in strange:
        noise(99).save(tmp_path / place, "PNG")
    after = split_of(name, tmp_path)
    assert list(after.ids) == list(before.ids)
    assert after.contents == before.contents
    assert after.images.read([0]).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name", COPIES)
def test_a_torn_photo_is_named_when_it_is_read(name, tmp_path):
    write, _, photo, _ = COPIES[name]
    write(tmp_path)
    content = (tmp_path / photo).read_bytes()
    (tmp_path / photo).write_bytes(content[: len(content) // 2])
    split = split_of(name, tmp_path)  # opening reads no pixel
    for look in (lambda: split.images.read([0]), lambda: split.images.digests()):
        with pytest.raises(UserError, match=r"cannot be read as an image .*: replace the file") as error:
            look()
        assert photo in str(error.value)
        assert "\n" not in str(error.value)


def test_what_img2dataset_writes_beside_the_shards_is_no_shard(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    file = io.BytesIO()
    noise(0).save(file, "JPEG")
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data/00000.tar", "w") as archive:
        info = tarfile.TarInfo("000000000.jpg")
        info.size = len(file.getvalue())
        archive.addfile(info, io.BytesIO(file.getvalue()))
    for other in ("00000.parquet", "00000_stats.json", "sizes.json", "00001.tar.part"):
        (tmp_path / "data" / other).write_bytes(b"no archive")
    data = opened("webdataset", {"root": str(tmp_path / "data"), "size": 16})
    assert list(data.split("train").ids) == ["00000/000000000"]


def test_a_row_without_its_image_is_named(tmp_path, monkeypatch):
    hugging_face_datasets(monkeypatch)
    import pyarrow.parquet

    Image.new("RGB", (8, 8)).save(tmp_path / "there.png")
    images = [{"bytes": None, "path": str(tmp_path / "there.png")}, {"bytes": None, "path": str(tmp_path / "gone.png")}]
    table = pyarrow.table({"image": [*images, None], "text": ["a", "b", "c"]})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    split = opened("huggingface", {"path": str(tmp_path), "size": 8}).split("train")
    assert split.images.read([0]).shape == (1, 3, 8, 8)
    with pytest.raises(UserError, match=r"row 1: .*gone\.png cannot be read \(No such file"):
        split.images.read([1])
    with pytest.raises(UserError, match="row 2: neither bytes nor a path: the image is missing"):
        split.images.read([2])


def test_one_image_that_is_missing_is_refused_by_its_count_or_by_its_name(tmp_path):
    for name, (write, _, photo, _) in COPIES.items():
        write(tmp_path / name)
        (tmp_path / name / photo).unlink()
        partial = name != "ffhq"  # it has no list of its images beside the JSON: their number says it
        with pytest.raises(UserError, match=r"missing|first other|the release has 70,000") as error:
            opened(name, {"root": str(tmp_path / name), "size": 16, "partial": partial}).split(COPIES[name][1])
        assert "\n" not in str(error.value)
