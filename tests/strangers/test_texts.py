"""Which text belongs to which image: every form in which people keep texts, and how it is joined."""

import json

import numpy as np
import pytest
from dev_all import hugging_face_datasets
from folders import folder, image, lines, named, one_line
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.data import texts
from t2ibench.data.given_images import made_images
from t2ibench.datasets import image_folder as data
from t2ibench.methods import image_folder as method
from t2ibench.networks.models import Models

NAMES = [f"{row}.png" for row in range(12)]
TEXTS = {name: f"text of {name}" for name in NAMES}


def read(images, prompts=None) -> dict[str, str]:
    """The first text of each image, by its name."""
    made = made_images(images, prompts, None)
    assert all(captions[0] == captions[0].strip() for captions in made.captions)
    return {name: captions[0] for name, captions in zip(made.ids, made.captions, strict=True)}


def refused(images, prompts=None) -> str:
    with pytest.raises(UserError) as error:
        made_images(images, prompts, None)
    return one_line(error.value)


def loaded(root, split: str = "test"):
    return data.load(data.Config(root, None), split)


# the images that are scored are those of the folder, whoever describes them


@pytest.mark.parametrize("form", ["metadata.jsonl", "metadata.csv", "anything.jsonl", "folder"])
def test_texts_of_another_folder_are_given_to_the_images_of_this_one(tmp_path, form):
    a, b = tmp_path / "a", tmp_path / "b"
    image(a / "0.png", 200)
    image(b / "0.png", 100)
    if form.endswith(".csv"):
        (b / form).write_text("file_name,text\n0.png,a red square\n")
    else:
        lines(b / ("metadata.jsonl" if form == "folder" else form), named({"0.png": "a red square"}))
    made = made_images(a, b if form == "folder" else b / form, None)
    assert made.images.read([0])[0, 0, 0, 0] == 200
    assert list(made.captions) == [("a red square",)]


def test_names_join_in_any_order_and_however_the_folders_are_spelled(tmp_path):
    root = folder(tmp_path / "img", NAMES)
    backwards = dict(reversed(TEXTS.items()))
    for spelled in ("{}", "./{}", "img/{}", "C:\\data\\img\\{}", str(root) + "/{}"):
        path = lines(tmp_path / "p.jsonl", named({spelled.format(name): text for name, text in backwards.items()}))
        assert read(root, path) == TEXTS


def test_texts_of_the_real_photo_describe_the_image_that_was_made_of_it(tmp_path):
    root = folder(tmp_path / "img", NAMES)
    path = lines(tmp_path / "p.jsonl", named({name.replace(".png", ".jpg"): text for name, text in TEXTS.items()}))
    assert read(root, path) == TEXTS
    assert "without suffix" in made_images(root, path, None).texts_from


def test_equal_names_in_two_folders_are_never_mixed_up(tmp_path):
    root = folder(tmp_path / "img", ["a/0.png", "b/0.png"])
    path = lines(tmp_path / "p.jsonl", named({"b/0.png": "of b", "a/0.png": "of a"}))
    assert read(root, path) == {"a/0.png": "of a", "b/0.png": "of b"}
    assert "0.png is missing in img (1 of 1" in refused(root, lines(tmp_path / "q.jsonl", named({"0.png": "?"})))
    both = lines(tmp_path / "r.jsonl", named({"train/0.png": "of train", "test/0.png": "of test"}))
    assert "train/0.png is missing" in refused(folder(tmp_path / "one", ["0.png"]), both)  # which of them is it?


def test_an_image_without_a_text_and_a_text_without_an_image_are_named(tmp_path):
    root = folder(tmp_path / "img", NAMES)
    fewer = lines(tmp_path / "p.jsonl", named({name: TEXTS[name] for name in NAMES[:-2]}))
    assert "2 images have no caption, first 10.png" in refused(root, fewer)
    more = lines(tmp_path / "q.jsonl", named(TEXTS | {"12.png": "more"}))
    assert "q.jsonl:13: 12.png is missing in img (1 of 13 texts have no image)" in refused(root, more)
    some = lines(tmp_path / "r.jsonl", [*named(TEXTS)[:-1], {"text": "of nothing"}])
    assert "r.jsonl:12: names no file, but" in refused(root, some)


# the forms


def _json(path):
    path.write_text(json.dumps([{"file_name": name, "caption": text} for name, text in TEXTS.items()]))


def _object(path):
    path.write_text(json.dumps(TEXTS))


def _csv(path):
    path.write_text("text,file_name,n\n" + "".join(f'"{text}",{name},1\n' for name, text in TEXTS.items()))


def _semicolons(path):
    path.write_text("file_name;caption\n" + "".join(f"{name};{text}\n" for name, text in TEXTS.items()))


def _tsv(path):
    path.write_text("image\tPrompt\n" + "".join(f"{name}\t{text}\n" for name, text in TEXTS.items()))


def _tabs(path):
    path.write_text("".join(f"{name}\t{text}\n" for name, text in TEXTS.items()))


def _plain(path):
    path.write_text("".join(f"{text}\n" for text in TEXTS.values()))


def _unnamed(path):
    lines(path, [{"prompt": text} for text in TEXTS.values()])


def _strings(path):
    lines(path, list(TEXTS.values()))


def _ids(path):
    path.write_text("image_id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(TEXTS.values())))


FORMS = [
    ("p.jsonl", lambda path: lines(path, named(TEXTS))),
    ("p.ndjson", _unnamed),
    ("strings.jsonl", _strings),
    ("list.json", _json),
    ("object.json", _object),
    ("p.csv", _csv),
    ("excel.csv", _semicolons),
    ("ids.csv", _ids),
    ("p.tsv", _tsv),
    ("tabs.txt", _tabs),
    ("p.txt", _plain),
]


@pytest.mark.parametrize(("name", "write"), FORMS, ids=[name for name, _ in FORMS])
def test_every_form_gives_each_image_its_text(tmp_path, name, write):
    root = folder(tmp_path / "img", NAMES)
    write(tmp_path / name)
    assert read(root, tmp_path / name) == TEXTS


def test_a_folder_of_text_files_beside_the_folder_of_images(tmp_path):
    root, beside = folder(tmp_path / "img", NAMES), tmp_path / "txt"
    beside.mkdir()
    for name, text in TEXTS.items():
        (beside / name.replace(".png", ".txt")).write_text(f"{text}\n")
    assert read(root, beside) == TEXTS
    (beside / "12.txt").write_text("one more")
    assert "12 is missing in img (1 of 13 texts" in refused(root, beside)


def test_text_files_among_the_images(tmp_path):
    root = folder(tmp_path, NAMES)
    for name, text in TEXTS.items():
        (root / name.replace(".png", ".txt")).write_text(f"{text}\nthe same in other words\n")
    assert read(root) == TEXTS
    assert made_images(root, None, None).passed_over == {}
    assert loaded(root).captions[3] == ("text of 3.png", "the same in other words")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_metadata_of_hugging_face_at_the_top_and_in_sub_folders(tmp_path, suffix):
    def write(path, texts):
        rows = [{**row, "colour": "red"} for row in named(texts)]
        if suffix == "jsonl":
            lines(path, rows)
        elif suffix == "csv":
            path.write_text("file_name,text,colour\n" + "".join(f"{r['file_name']},{r['text']},red\n" for r in rows))
        else:
            pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
            import pandas as pd

            pd.DataFrame(rows).to_parquet(path)

    top, deep = folder(tmp_path / "top", ["a/0.png", "1.png"]), folder(tmp_path / "deep", ["a/0.png", "b/c/0.png"])
    write(top / f"metadata.{suffix}", {"1.png": "one", "a/0.png": "zero"})
    write(deep / "a" / f"metadata.{suffix}", {"0.png": "of a"})
    write(deep / "b" / f"metadata.{suffix}", {"c/0.png": "of c"})
    assert read(top) == {"1.png": "one", "a/0.png": "zero"}
    assert read(deep) == {"a/0.png": "of a", "b/c/0.png": "of c"}
    assert loaded(deep).attributes.to_dict("list") == {"colour": ["red", "red"]}
    assert [text for _, text, _ in method.lines(deep)] == ["of a", "of c"]


def test_metadata_above_the_split_folders(tmp_path):
    folder(tmp_path, ["train/0.png", "train/1.png", "test/0.png"])
    lines(tmp_path / "metadata.jsonl", named({"test/0.png": "t", "train/1.png": "b", "train/0.png": "a"}))
    assert list(loaded(tmp_path, "train").captions) == [("a",), ("b",)]
    assert list(loaded(tmp_path, "test").captions) == [("t",)]
    assert read(tmp_path) == {"test/0.png": "t", "train/0.png": "a", "train/1.png": "b"}
    assert read(tmp_path / "train", tmp_path / "metadata.jsonl") == {"0.png": "a", "1.png": "b"}


def test_folders_called_train_and_test_are_folders_where_nobody_asks_for_a_split(tmp_path):
    folder(tmp_path, ["train/0.png", "test/1.png", "test/2.png", "test.png"])
    assert len(made_images(tmp_path, None, None)) == 4
    lines(tmp_path / "metadata.jsonl", [{"step": 1, "loss": 0.5}])  # the log of a training
    made = made_images(tmp_path, None, None)
    assert (len(made), made.captions[0]) == (4, ("",))
    assert "metadata.jsonl:1: there is no text, only step, loss" in made.unread


# characters


SEPARATORS = ["a\u2028b", "a\x85b", "a\x0bb", "a\x0cb", "a\x1cb", "a\u2029b"]


@pytest.mark.parametrize("text", SEPARATORS, ids=[f"{ord(text[1]):04x}" for text in SEPARATORS])
def test_a_separator_inside_a_caption_ends_no_line(tmp_path, text):
    image(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({"0.png": text}))
    for suffix, content in (("txt", text), ("csv", f"file_name,text\n0.png,{text}"), ("tsv", f"text\n{text}")):
        (tmp_path / f"p.{suffix}").write_bytes(f"{content}\n".encode())
        assert read(tmp_path, tmp_path / f"p.{suffix}") == {"0.png": text}
    assert read(tmp_path) == {"0.png": text}
    assert list(loaded(tmp_path).captions) == [(text,)]
    assert method.lines(tmp_path) == [(tmp_path / "0.png", text, None)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv", "json"])
def test_a_byte_order_mark_is_read(tmp_path, encoding, suffix):
    image(tmp_path / "0.png")
    content = {
        "txt": "a café\r\n",
        "jsonl": '{"file_name": "0.png", "text": "a café"}\r\n',
        "csv": "file_name,text\r\n0.png,a café\r\n",
        "json": '{"0.png": "a café"}',
    }[suffix]
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / f"metadata.{suffix}").write_bytes((mark + content).encode(encoding))
    assert read(tmp_path, tmp_path / f"metadata.{suffix}") == {"0.png": "a café"}
    if suffix in ("jsonl", "csv"):
        assert list(loaded(tmp_path).captions) == [("a café",)]
        assert [text for _, text, _ in method.lines(tmp_path)] == ["a café"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "0.png", "text": "café"}\n'.encode("latin-1"),
            ":1: is not UTF-8 (byte 0xe9)",
        ),
        ("metadata.csv", "file_name,text\n0.png,café\n".encode("latin-1"), ":2: is not UTF-8 (byte 0xe9)"),
        ("metadata.csv", "file_name,text\n0.png,caf\n".encode("utf-16-le"), ":1: holds a zero byte"),
        ("metadata.csv", b"", "holds no text"),
        ("metadata.csv", b"file_name,text\n", "holds no text"),
        ("metadata.csv", b"file_name,text\n0.png,x\n0.png,a, b\n", ":3: 3 columns, the head has 2"),
        ("metadata.csv", b'file_name,text\n0.png,"a\n', "not a table (unexpected end of data)"),
        ("metadata.csv", b"file_name,words\n0.png,a\n", ":1: the head is 'file_name, words', expected a column `text`"),
        ("metadata.csv", b"file_name,text,text\n0.png,a,b\n", ":1: 'text' stands there twice"),
        ("metadata.jsonl", b'{"file_name": "0.png", "text": "a", "text": "b"}\n', ":1: 'text' stands there twice"),
        ("metadata.jsonl", b'{"file_name": "0.png", "text"}\n', ":1: not JSON"),
        ("metadata.parquet", b"no parquet", "cannot be read ("),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    image(tmp_path / "0.png")
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path, tmp_path / name)
    for reader in (loaded, method.lines):
        with pytest.raises(UserError) as error:
            reader(tmp_path)
        assert message in one_line(error.value)


def test_parquet_without_pyarrow_is_one_line(tmp_path, monkeypatch):
    import pandas as pd

    def missing(path):
        raise ImportError("Unable to find a usable engine;\ntried using: 'pyarrow', 'fastparquet'.")

    monkeypatch.setattr(pd, "read_parquet", missing)
    (folder(tmp_path, ["0.png"]) / "metadata.parquet").write_bytes(b"PAR1")
    assert "metadata.parquet needs the package pyarrow" in refused(tmp_path, tmp_path / "metadata.parquet")


# captions that are no strings, blank lines


@pytest.mark.parametrize("text", [["a cat"], ["a cat", " "], " a cat\n"])
def test_lists_of_captions_are_captions(tmp_path, text):
    image(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({"0.png": text}))
    assert read(tmp_path) == {"0.png": "a cat"}
    assert [text for _, text, _ in method.lines(tmp_path)] == ["a cat"]


@pytest.mark.parametrize("text", [None, 3, True, {"en": "a cat"}, [["a"]], ["a", None], "", [], [" "], float("nan")])
def test_what_is_no_text_is_refused_everywhere(tmp_path, text):
    image(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({"0.png": text}))
    assert "metadata.jsonl:1: the caption is" in refused(tmp_path, tmp_path / "metadata.jsonl")
    for reader in (loaded, method.lines):
        with pytest.raises(UserError, match=r"metadata\.jsonl:1: the caption is"):
            reader(tmp_path)


def test_blank_lines(tmp_path):
    root = folder(tmp_path / "img", NAMES[:3])
    for name, content in (
        ("p.txt", "a\nb\nc\n\n \n"),
        ("p.jsonl", '\n{"text": "a"}\n\n{"text": "b"}\n{"text": "c"}\n\n'),
        ("p.csv", "text\n\na\nb\n\nc\n"),
    ):
        (tmp_path / name).write_text(content)
        assert list(read(root, tmp_path / name).values()) == ["a", "b", "c"]
    (tmp_path / "p.txt").write_text("a\n\nc\n")
    assert "p.txt:2 is empty, expected a text" in refused(root, tmp_path / "p.txt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", '{"file_name": "0.png", "text": "a"}\n', "is JSON, where a text is expected: call the file .jsonl"),
        ("p.txt", '[\n"a"\n]\n', "is JSON, where a text is expected"),
        ("p.txt", "0.png,a cat\n", "every line begins with a file name ('0.png,a cat')"),
        ("p.yaml", "- a cat\n", ".yaml is no file of texts: expected .txt, .jsonl"),
        ("p.json", '"a cat"', "found str, expected a list, or an object"),
        ("p.json", '{"images": [], "annotations": []}', "images: the caption is"),
        ("p.txt", "a cat\na dog\n", "has 2 texts, img has 1 images"),
    ],
)
def test_what_would_be_taken_for_other_texts_is_refused(tmp_path, name, content, message):
    root = folder(tmp_path / "img", ["0.png"])
    (tmp_path / name).write_text(content)
    assert message in refused(root, tmp_path / name)


def test_texts_from_python(tmp_path):
    root = folder(tmp_path, NAMES)
    assert read(root, list(TEXTS.values())) == TEXTS
    assert read(root, dict(reversed(TEXTS.items()))) == TEXTS
    assert "prompts:12 is None, expected a text" in refused(root, ["a"] * 11 + [None])
    assert "prompts:1 is ['a'], expected a text" in refused(root, [["a"]] * 12)
    assert "does not exist" in refused(root, "a red square")
    assert "0.png is missing in array" in refused(np.zeros((12, 3, 4, 4), np.uint8), TEXTS)


def test_two_files_that_describe_one_folder_are_refused(tmp_path):
    image(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({"0.png": "a"}))
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,b\n")
    with pytest.raises(UserError, match="describe the same folder: keep one of them"):
        loaded(tmp_path)


@pytest.mark.parametrize("name", ["../0.png", "a/../../0.png", "/etc/0.png", "https://x/0.png"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    image(tmp_path / "0.png")
    lines(tmp_path / "metadata.jsonl", named({name: "a"}))
    with pytest.raises(UserError, match="leaves the folder"):
        loaded(tmp_path)
    lines(tmp_path / "metadata.jsonl", named({"a/../0.png": "a"}))
    assert list(loaded(tmp_path).captions) == [("a",)]


def test_accents_in_two_spellings_are_one_name(tmp_path):
    composed, apart = "caf\u00e9.png", "cafe\u0301.png"
    Image.new("RGB", (4, 4)).save(tmp_path / apart)  # as macOS writes it
    lines(tmp_path / "metadata.jsonl", named({composed: "a"}))
    assert list(read(tmp_path).values()) == ["a"]


def test_two_images_that_answer_one_request_are_refused(tmp_path):
    folder(tmp_path, ["0.png", "1.png"])
    lines(tmp_path / "metadata.jsonl", [{"file_name": f"{row}.png", "text": "a", "seed": 7} for row in range(2)])
    with pytest.raises(UserError, match=r"0\.png and 1\.png both answer 'a' with seed 7"):
        method.Method(method.Config(tmp_path), Models())


def test_the_whole_of_the_folder_is_read_as_hugging_face_reads_it(tmp_path, monkeypatch):
    datasets = hugging_face_datasets(monkeypatch)
    folder(tmp_path / "d", ["train/10.png", "train/a/9.png"])
    lines(tmp_path / "d/train/metadata.jsonl", named({"a/9.png": "nine", "10.png": "ten"}))
    theirs = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "d"), split="train", cache_dir=tmp_path / "c")
    ours = loaded(tmp_path / "d", "train")
    assert {row["text"]: row["image"].getpixel((0, 0))[0] for row in theirs} == {
        captions[0]: int(ours.images.read([row])[0, 0, 0, 0]) for row, captions in enumerate(ours.captions)
    }


def test_a_text_file_is_opened_once_and_no_image_is(tmp_path, monkeypatch):
    root = folder(tmp_path, NAMES)
    lines(root / "metadata.jsonl", named(TEXTS))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("an image was opened"))
    assert texts.read(root / "metadata.jsonl")[0].texts == ("text of 0.png",)
    assert len(loaded(root)) == 12
