"""Which files of a folder are images and in which order, and which files of a folder are records."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import folder, image, lines, named, one_line
from made_records import record
from PIL import Image

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.order import natural
from t2ibench.data.folders import store_of
from t2ibench.data.given_images import lines_on_reading, made_images
from t2ibench.data.listing import image_files
from t2ibench.datasets import image_folder as data
from t2ibench.methods import image_folder as method
from t2ibench.runner import suite

# order


@pytest.mark.parametrize(
    "names",
    [
        [f"{row}.png" for row in range(120)],
        [f"img_{row}_seed_{seed}.png" for row in range(3) for seed in (0, 2, 10)],
        ["a/2.png", "a/10.png", "b1/0.png", "b12/0.png"],
        [f"prompt {row}.png" for row in (0, 9, 10, 99, 100, 1000)],
        ["01.png", "1.png", "002.png", "2.png", "x.png"],
        ["0.png", "9007199254740993.png", "9007199254740994.png", "A.png", "a.png", "é1.png", "é10.png"],
    ],
)
def test_numbers_in_names_count_as_numbers(tmp_path, names):
    for name in reversed(names):
        image(tmp_path / name)
    assert image_files(tmp_path).images == names
    texts = [f"text of {name}" for name in names]
    made = made_images(tmp_path, texts, None)
    assert [made.ids, [captions[0] for captions in made.captions]] == [names, texts]


def test_every_reader_of_folders_has_the_same_order(tmp_path):
    names = [f"{row}.png" for row in range(12)]
    root = folder(tmp_path, names)
    lines(root / "metadata.jsonl", named({name: name for name in reversed(names)}))
    split = data.load(data.Config(root, None), "test")
    assert split.ids == store_of(root, None)[1] == made_images(root, None, None).ids == names
    assert [int(level) for level in split.images.read(range(12))[:, 0, 0, 0]] == list(range(12))


def test_the_order_is_one_order():
    names = ["b", "a10", "a2", "a02", "a", "a/b", "a/10/c", "a/9/c", "10", "9", "", "Z", "é"]
    once = sorted(names, key=natural)
    assert once == sorted(reversed(once), key=natural)
    assert once.index("9") < once.index("10") < once.index("a") < once.index("a02") < once.index("a10")


# which files


def test_hidden_files_are_no_images(tmp_path):
    image(tmp_path / "0.png")
    for name in (".ipynb_checkpoints/0-checkpoint.png", ".thumbs/a/0.png", "__MACOSX/0.png", "@eaDir/0.png", ".1.png"):
        image(tmp_path / name)
    (tmp_path / "._0.png").write_bytes(b"\0\5\26\7" + bytes(100))
    (tmp_path / "Thumbs.db").write_bytes(b"0")
    assert store_of(tmp_path, None)[1] == ["0.png"]
    assert image_files(tmp_path).passed_over() == {".db": 1, "hidden": 6}
    assert lines_on_reading(made_images(tmp_path, None, None)) == [
        f"{tmp_path.name}: 1 images; passed over: 1 .db, 6 hidden"
    ]


def test_every_kind_that_the_peers_read_is_read(tmp_path):
    kinds = ["png", "jpg", "JPEG", "jpe", "jfif", "webp", "bmp", "gif", "tif", "TIFF", "ppm", "pgm", "jp2"]
    for row, kind in enumerate(kinds):
        save = {"jfif": "JPEG", "jpe": "JPEG", "pgm": "PPM"}.get(kind)
        image(tmp_path / f"{row}.{kind}", 90, (16, 16), "L" if kind == "pgm" else "RGB", format=save)
    _, names, store = store_of(tmp_path, None)
    assert names == [f"{row}.{kind}" for row, kind in enumerate(kinds)]
    assert np.abs(store.read(range(len(kinds))).astype(int) - 90).max() <= 3
    from cleanfid.utils import EXTENSIONS  # type: ignore[import-untyped]

    assert {f".{kind.lower()}" for kind in EXTENSIONS} - {".npy"} <= {Path(name).suffix.lower() for name in names}


def test_what_is_passed_over_is_counted_by_kind(tmp_path, caplog):
    folder(tmp_path, ["0.png", "1.png"])
    lines(tmp_path / "metadata.jsonl", named({"0.png": "a", "1.png": "b"}))
    for name in ("a.heic", "b.HEIC", "c.png.part", "LICENSE", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    expected = {".heic": 2, ".md": 1, ".part": 1, "without suffix": 1}
    assert made_images(tmp_path, None, None).passed_over == expected
    data.load(data.Config(tmp_path), "test")
    assert "2 images; passed over: 2 .heic, 1 .md, 1 .part, 1 without suffix" in caplog.text


def test_linked_folders_and_files_are_read(tmp_path):
    folder(tmp_path / "elsewhere", ["0.png", "deep/1.png"])
    image(tmp_path / "made/2.png")
    (tmp_path / "made/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "made/3.png").symlink_to(tmp_path / "elsewhere/0.png")
    (tmp_path / "link").symlink_to(tmp_path / "made")
    assert image_files(tmp_path / "link").images == ["2.png", "3.png", "more/0.png", "more/deep/1.png"]
    assert image(tmp_path / "made/x.png/4.png").exists()  # a folder that is called like an image
    assert "x.png/4.png" in image_files(tmp_path / "made").images


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: (root / "a.png").symlink_to(root / "gone.png"), "a.png is a link to a file that is not there"),
        (lambda root: (root / "a").symlink_to(root), "is a link to a folder that it lies in"),
        (lambda root: os.mkdir(root / "empty"), "no image found, it is empty: expected .png"),
        (lambda root: (root / "a.heic").write_bytes(b""), "no image found, only 1 .heic: expected .png"),
        (lambda root: image(root / ".a/0.png"), "no image found, only 1 hidden: expected .png"),
        (shutil.rmtree, "does not exist"),
    ],
)
def test_a_folder_without_images_says_what_lies_there(tmp_path, make: Callable, message):
    root = tmp_path / "images"
    root.mkdir()
    make(root)
    with pytest.raises(UserError) as error:
        made_images(root, None, None)
    assert message in one_line(error.value)


def test_a_name_that_is_no_utf_8_is_one_line(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_bytes(b"")
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(UserError, match=r"'caf.udce9\.png' is not UTF-8: rename it"):
        image_files(tmp_path)


def test_the_method_does_not_answer_with_hidden_files(tmp_path):
    image(tmp_path / "._0.png"), image(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({"._0.png": "a"}))
    with pytest.raises(UserError, match=r"\._0\.png is missing"):
        method.lines(tmp_path)


def test_no_image_is_opened_to_list_a_folder(tmp_path, monkeypatch):
    (tmp_path / "0.png").write_bytes(b"no image")
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("opened"))
    assert made_images(tmp_path, ["a"], None).ids == ["0.png"]


# records


@pytest.mark.parametrize("copy", ["0 copy.json", "backup/0.json", "0 (1).json", "deep/er/0.json"])
def test_a_copy_of_a_record_counts_once(tmp_path, caplog, copy):
    for seed in (0, 1):
        records.write(record(seed=seed), tmp_path / "records" / f"{seed}.json")
    before = records.load(tmp_path)
    target = tmp_path / "records" / copy
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / "records/0.json", target)
    assert sorted(row["seed"] for row in records.load(tmp_path)) == [row["seed"] for row in before] == [0, 1]
    assert "is a copy of" in caplog.text


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints/0-checkpoint.json", "._0.json", ".old/0.json"])
def test_a_hidden_record_is_none(tmp_path, hidden):
    records.write(record(), tmp_path / "0.json")
    target = tmp_path / hidden
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"\0\5\26\7")
    assert len(records.load(tmp_path)) == 1


def test_two_records_of_one_cell_are_no_two_seeds(tmp_path):
    records.write(record(), tmp_path / "a/0.json")
    other = record()
    other["values"] = {id: {**value, "value": value["ci"][0]} for id, value in other["values"].items()}
    records.write(records.seal(other), tmp_path / "b/0.json")
    with pytest.raises(UserError) as error:
        records.load(tmp_path)
    assert "a/0.json and" in one_line(error.value)
    assert "are two records of one cell" in one_line(error.value)


def test_records_are_in_the_order_of_their_seeds(tmp_path):
    for seed in (0, 2, 10):
        records.write(record(seed=seed), tmp_path / f"records/{seed}.json")
    assert [row["seed"] for row in records.load(tmp_path)] == [0, 2, 10]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_never_read(tmp_path):
    for name in ("0.png", "r.json", "s.yaml"):
        os.mkfifo(tmp_path / name)
    for read in (image_files, records.load, lambda folder: suite.load(str(folder / "s.yaml"))):
        with pytest.raises(UserError, match="is a pipe, a socket or a device") as error:
            read(tmp_path)
        assert "\n" not in str(error.value)
