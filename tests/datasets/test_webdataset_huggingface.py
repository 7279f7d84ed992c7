"""datasets/webdataset.py on shards of webdataset's own writer, huggingface.py on what `datasets` wrote."""

import io
import json
import logging
import tarfile

import numpy as np
import pytest
from dev_all import hugging_face_datasets
from PIL import Image
from release_files import noise

from t2ibench.checks.contracts.datasets import check_dataset
from t2ibench.core.errors import UserError
from t2ibench.datasets import huggingface, webdataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))


def encoded(image, kind="JPEG", **more):
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def row(number, caption=None):
    return json.dumps({"caption": caption, "url": "x", "key": f"{number:09}", "status": "success"}, indent=4)


def write_shards(root):
    """Two shards of four samples: a gap, keys out of order, no txt, a text in json alone, a dotted field, bad bytes."""
    wds = pytest.importorskip("webdataset", reason="the extra dev-all brings webdataset")
    root.mkdir()
    samples = [
        [
            {"__key__": "000000002", "jpg": encoded(noise(2)), "json": row(2, "two"), "txt": "two"},
            {"__key__": "000000000", "jpg": encoded(noise(0)), "json": row(0)},
            {"__key__": "000000003", "json": row(3, "three"), "png": encoded(noise(3), "PNG"), "txt": "three"},
            {"__key__": "000000004", "jpg": encoded(noise(4)), "json": row(4, " only in json ")},
        ],
        [
            {"__key__": "000010000", "jpg": encoded(noise(5)), "a.txt": "no text of ours", "txt": "füüf"},
            {"__key__": "000010001", "jpg": encoded(noise(6)), "txt": b"\xff\xfe\xfd bad"},
            {"__key__": "000010002", "json": row(7, "no image"), "txt": "no image"},
            {"__key__": "000010003", "webp": encoded(noise(8), "WEBP", lossless=True), "txt": "eight"},
        ],
    ]
    for number, own in enumerate(samples):
        with wds.TarWriter(str(root / f"{number:05}.tar"), mtime=0, encoder=False) as writer:
            for sample in own:
                writer.write({k: v.encode() if k != "__key__" and isinstance(v, str) else v for k, v in sample.items()})
    return root


def load(root, name="train", **more):
    return webdataset.load(webdataset.Config(root, **{"size": 16, **more}), name)


def test_shards_keep_the_contract_of_a_data_set(tmp_path):
    wrong: list[dict[str, object]] = [{"root": "nowhere"}, {"crop": "box"}, {"shards": "{00000..00003}.tar"}]
    check_dataset("webdataset", {"root": str(write_shards(tmp_path / "data")), "size": 16}, wrong=wrong)


def test_samples_come_in_the_order_of_the_shards_with_their_own_texts(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        split = load(write_shards(tmp_path / "data"))
    assert dict(zip(split.ids, split.captions, strict=True)) == {
        "00000/000000002": ("two",),
        "00000/000000000": (),
        "00000/000000003": ("three",),
        "00000/000000004": ("only in json",),
        "00001/000010000": ("füüf",),
        "00001/000010001": (),
        "00001/000010003": ("eight",),
    }
    assert next(iter(split.ids)) == "00000/000000002"
    assert "2 of 7 images have no caption, first 00000/000000000" in caplog.text
    whole = load(tmp_path / "data", size=None, crop="none").images
    assert (whole.read([2])[0].transpose(1, 2, 0) == np.asarray(noise(3))).all()
    assert (whole.read([6])[0].transpose(1, 2, 0) == np.asarray(noise(8))).all()


def test_each_split_may_have_its_shards(tmp_path):
    root = write_shards(tmp_path / "data")
    named = {"train": "{00000..00000}.tar", "test": "00001.tar"}
    assert [len(load(root, name, shards=named)) for name in ("train", "test")] == [4, 3]
    with pytest.raises(UserError, match="no split is called 'val'"):
        load(root, "val", shards=named)


def test_the_second_opening_reads_the_index_and_no_archive(tmp_path, monkeypatch):
    root = write_shards(tmp_path / "data")
    first = load(root)
    monkeypatch.setattr(tarfile, "open", None)
    assert load(root).contents == first.contents


def test_an_archive_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path, caplog):
    path = write_shards(tmp_path / "data") / "00001.tar"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"000010003.webp") + 512 + 100])
    with caplog.at_level(logging.WARNING):
        split = load(tmp_path / "data")
    assert len(split) == 6
    assert "00001.tar is cut off" in caplog.text
    assert split.images.read(range(6)).shape == (6, 3, 16, 16)


def add(path, *members):
    with tarfile.open(path, "w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            info.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(info, io.BytesIO(content))


REGULAR, PIXELS = tarfile.REGTYPE, encoded(noise(0))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../0.jpg", REGULAR, PIXELS)], "a link or a path out of it"),
        ([("/0.jpg", REGULAR, PIXELS)], "a link or a path out of it"),
        ([("0.jpg", tarfile.SYMTYPE, b"")], "a link or a path out of it"),
        ([("0.jpg", REGULAR, PIXELS), ("0.JPG", REGULAR, PIXELS)], "the sample 0 has two .jpg"),
        ([("0.jpg", REGULAR, PIXELS), ("0.json", REGULAR, b"[1")], "0.json is no JSON object"),
        ([("0.jpg", REGULAR, PIXELS), ("1.jpg", REGULAR, PIXELS), ("0.jpg", REGULAR, PIXELS)], "is there twice"),
        ([("0.txt", REGULAR, b"x"), (".x.jpg", REGULAR, PIXELS), ("__a__/0.jpg", REGULAR, PIXELS)], "no sample with"),
    ],
)
def test_what_is_wrong_with_an_archive_is_one_line(tmp_path, members, message):
    add(tmp_path / "0.tar", *members)
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_archive_and_an_image_that_is_none_are_named(tmp_path):
    (tmp_path / "0.tar").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"is no tar archive, or empty"):
        load(tmp_path)
    add(tmp_path / "0.tar", ("a.jpg", REGULAR, PIXELS[:200]))
    with pytest.raises(UserError, match=r"0\.tar: a\.jpg: cannot be read as an image"):
        load(tmp_path).images.read([0])


def table(datasets):
    turned = noise(9, 20, 10)
    exif = Image.Exif()
    exif[0x0112] = 6
    photos = [encoded(noise(n, 20, 10), "PNG") for n in range(3)] + [encoded(turned, exif=exif)]
    columns = {
        "image": [{"bytes": photo, "path": None} for photo in photos],
        "caption": ["one", "never mixed", "drei", ""],
        "kind": [0, 1, 1, 0],
    }
    kinds = datasets.ClassLabel(names=["cat", "dog"])
    features = {"image": datasets.Image(), "caption": datasets.Value("string"), "kind": kinds}
    return datasets.Dataset.from_dict(columns, datasets.Features(features))


def rows(path, name="train", **more):
    return huggingface.load(huggingface.Config(str(path), **{"size": 8, **more}), name)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    datasets = hugging_face_datasets(monkeypatch)
    own = table(datasets)
    own.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": own, "validation": own.select([1])}).save_to_disk(str(tmp_path / "both"))
    (tmp_path / "parquet/data").mkdir(parents=True)
    own.to_parquet(str(tmp_path / "parquet/data/train-00000-of-00001.parquet"))
    own.select([2]).to_parquet(str(tmp_path / "parquet/data/test-00000-of-00001.parquet"))
    (tmp_path / "plain").mkdir()
    (tmp_path / "empty").mkdir()
    import pyarrow.parquet

    bare = pyarrow.parquet.read_table(tmp_path / "parquet/data/train-00000-of-00001.parquet")
    pyarrow.parquet.write_table(bare.replace_schema_metadata(None), tmp_path / "plain/train.parquet")
    return tmp_path


def test_tables_of_every_form_give_the_same_split(saved):
    first = rows(saved / "one")
    assert list(first.captions) == [("one",), ("never mixed",), ("drei",), ()]
    for place in ("both", "parquet", "plain"):
        assert rows(saved / place).contents == first.contents
    assert rows(saved / "both", "val").captions == [("never mixed",)]
    assert rows(saved / "parquet", "test").captions == [("drei",)]
    wrong = [{"path": str(saved / "empty")}, {"text": "title"}]
    check_dataset("huggingface", {"path": str(saved / "one"), "size": 8}, wrong=wrong)


def test_labels_have_their_names_and_photos_are_turned_or_not(saved):
    assert rows(saved / "one", attributes=("kind",)).attributes["kind"].tolist() == ["cat", "dog", "dog", "cat"]
    shapes = [
        rows(saved / "one", size=None, crop="none", exif=exif).images.read([3]).shape[2:] for exif in ("turn", "ignore")
    ]
    assert shapes == [(20, 10), (10, 20)]


@pytest.mark.parametrize(
    ("place", "more", "message"),
    [
        ("one", {"image": "picture"}, "no column 'picture'; known: caption, image, kind"),
        ("one", {"image": "caption"}, "expected images"),
        ("both", {"name": "test"}, "no split is called 'test'"),
        ("empty", {}, "holds no .parquet, state.json or dataset_dict.json"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(saved, place, more, message):
    with pytest.raises(UserError, match=message) as error:
        rows(saved / place, **more)
    assert "\n" not in str(error.value)
