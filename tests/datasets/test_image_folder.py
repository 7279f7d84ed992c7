"""datasets/image_folder.py: the imagefolder convention, and one line for everything that is wrong with a folder."""

import json

import numpy as np
import pytest
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.datasets import image_folder


def write(root, lines, images=()):
    root.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(images):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), (10 * index, 0, 0)).save(root / name)
    (root / "metadata.jsonl").write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8"
    )
    return root


def load(root, split="test", size=8):
    return image_folder.load(image_folder.Config(root, size), split)


def test_lines_of_one_file_merge_and_order_is_by_name(tmp_path):
    lines = [
        "﻿" + json.dumps({"file_name": "b.png", "text": "zwei"}),
        "",
        {"file_name": "a/c.png", "text": ["eins", "ein Straßenbild"]},
    ]
    split = load(write(tmp_path, [*lines, {"file_name": "b.png", "text": "drei"}], ["b.png", "a/c.png"]))
    assert list(split.ids) == ["a/c.png", "b.png"]
    assert list(split.captions) == [("eins", "ein Straßenbild"), ("zwei", "drei")]
    assert split.images.read([1, 0]).shape == (2, 3, 8, 8)
    assert split.images.read([1])[0, 0, 0, 0] == 0
    assert split.images.read([0])[0, 0, 0, 0] == 10


def test_split_folders_are_found_under_either_name(tmp_path):
    write(tmp_path / "validation", [{"file_name": "v.png", "text": "v"}], ["v.png"])
    write(tmp_path / "train", [{"file_name": "t.png", "text": "t"}], ["t.png"])
    assert (load(tmp_path, "val").captions, load(tmp_path, "train").captions) == ([("v",)], [("t",)])
    with pytest.raises(UserError, match="no split folder 'test', only train, validation"):
        load(tmp_path, "test")


def test_other_keys_become_attributes_and_words(tmp_path):
    lines = [
        {"file_name": "0.png", "text": "x", "wing": "red", "tame": True},
        {"file_name": "1.png", "text": "y", "wing": "", "tame": False},
    ]
    split = load(write(tmp_path, lines, ["0.png", "1.png"]))
    assert split.attributes.to_dict("list") == {"wing": ["red", None], "tame": ["true", "false"]}
    assert split.vocabulary.phrases == {
        "wing": {"red": [("has", "red wing")] * 2},
        "tame": {"true": [("has", "tame")] * 2},
    }


def test_side_car_captions_are_read(tmp_path):
    Image.new("L", (8, 8), 7).save(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    split = load(tmp_path)
    assert list(split.captions) == [("one", "two")]
    assert np.all(split.images.read([0]) == 7)


def test_two_loads_have_one_digest_and_a_changed_pixel_another(tmp_path):
    root = write(tmp_path, [{"file_name": "0.png", "text": "x"}], ["0.png"])
    first = load(root).digest
    assert load(root).digest == first
    Image.new("RGB", (20, 10), (1, 0, 0)).save(root / "0.png")
    assert load(root).digest != first


@pytest.mark.parametrize(
    ("lines", "images", "message"),
    [
        ([], [], "no image found"),
        (["{"], ["0.png"], r"metadata.jsonl:1: not JSON"),
        (["1"], ["0.png"], "found int, expected a JSON object"),
        ([{"text": "x"}], ["0.png"], "there is no file_name: name the image"),
        ([{"file_name": "../0.png", "text": "x"}], ["0.png"], "leaves the folder"),
        ([{"file_name": "/etc/0.png", "text": "x"}], ["0.png"], "leaves the folder"),
        ([{"file_name": "1.png", "text": "x"}], ["0.png"], "1.png is missing"),
        ([{"file_name": "0.png"}], ["0.png"], "there is no text, only file_name"),
        ([{"file_name": "0.png", "text": " "}], ["0.png"], "the caption is empty"),
        ([{"file_name": "0.png", "text": "x"}], ["0.png", "1.png"], "1 images have no caption, first 1.png"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(tmp_path, lines, images, message):
    with pytest.raises(UserError, match=message) as error:
        load(write(tmp_path / "data", lines, images))
    assert "\n" not in str(error.value)


def test_a_truncated_image_is_named(tmp_path):
    root = write(tmp_path, [{"file_name": "0.png", "text": "x"}], ["0.png"])
    (root / "0.png").write_bytes((root / "0.png").read_bytes()[:40])
    with pytest.raises(UserError, match=r"0\.png: cannot be read as an image"):
        load(root).images.read([0])
