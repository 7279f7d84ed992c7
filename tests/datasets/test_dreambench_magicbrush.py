"""datasets/dreambench.py and magicbrush.py on small copies of their layouts; the texts and pictures are ours."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2ibench.checks.contracts import check_dataset
from t2ibench.core.errors import UserError
from t2ibench.data.downloads import named
from t2ibench.datasets import dreambench, magicbrush
from t2ibench.runner import suite
from t2ibench.runner.plan import prepare
from t2ibench.runner.suite import parse

CLASSES = {"backpack": "backpack", "backpack_dog": "backpack", "bear_plushie": "stuffed animal", "dog6": "dog"}


def paint(path: Path, seed: int, size: tuple[int, int] = (24, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_dreambench(root: Path, photos: int = 4, prompts: int = 25) -> Path:
    """As the folder dataset/ of the release: its list is Python, and names of subjects are not those of classes."""
    for row, subject in enumerate(CLASSES):
        for number in range(photos):
            paint(root / subject / f"{number:02}.jpg", 10 * row + number)
    classes = "\n".join(f"{subject},{kind}" for subject, kind in CLASSES.items())
    blocks = []
    for kind in ("Object", "Live Subject"):
        lines = ",\n".join(
            f"'a {{0}} {{1}} {kind.split()[0].lower()} {k}'.format(unique_token, class_token)" for k in range(prompts)
        )
        blocks.append(f"{kind} Prompts\n\nprompt_list = [\n{lines}\n]\n")
    text = f"Classes\n\nsubject_name,class\n{classes}\n\nPrompts\n\n" + "\n".join(blocks)
    (root / "prompts_and_classes.txt").write_text(text)
    return root


def write_magicbrush(root: Path) -> Path:
    """Photo 139 has two turns and photo 30 one, as in edit_sessions.json of the release."""
    turns = {"139": 2, "30": 1}
    sessions, texts = {}, {}
    for row, (photo, count) in enumerate(turns.items()):
        names = [f"{photo}-output{k + 1}.png" for k in range(count)]
        before = [f"{photo}-input.png", *names]
        sessions[photo] = [
            {"input": before[k], "mask": f"{photo}-mask{k + 1}.png", "output": names[k], "instruction": "add a hat"}
            for k in range(count)
        ]
        texts[photo] = {name: f" text of {name} " for name in names}
        for k, name in enumerate(before):
            paint(root / "images" / photo / name, 100 * row + k)
    (root / "edit_sessions.json").write_text(json.dumps(sessions))
    (root / "local_captions.json").write_text(json.dumps(texts))
    everything = {photo: {name: f"the whole {name}" for name in own} for photo, own in texts.items()}
    (root / "global_descriptions.json").write_text(json.dumps(everything))
    return root


def test_both_keep_the_contract_of_a_data_set(tmp_path):
    bench, brush = write_dreambench(tmp_path / "a"), write_magicbrush(tmp_path / "b")
    few = {"size": 16, "partial": True}
    check_dataset("dreambench", {"root": str(bench), **few}, wrong=[{"root": "nowhere"}, {"crop": "box"}])
    check_dataset("magicbrush", {"root": str(brush), "size": 16}, wrong=[{"root": "nowhere"}, {"crop": "box"}])


def test_each_subject_has_its_prompts_and_its_photos_in_turn(tmp_path):
    config = dreambench.Config(write_dreambench(tmp_path), 16, partial=True)
    split = dreambench.load(config, "test")
    assert len(split) == 4 * 25
    assert list(split.ids)[:2] == ["backpack/00", "backpack/01"]
    assert split.captions[0] == ("a backpack object 0",)
    assert split.captions[50] == ("a stuffed animal object 0",)
    assert split.captions[75] == ("a dog live 0",)  # of which the class is alive
    assert split.attributes is not None
    assert split.attributes.subject.value_counts().tolist() == [25] * 4
    pixels = split.images.read(range(5))
    assert (pixels[0] == pixels[4]).all()  # four photos
    assert len({image.tobytes() for image in pixels}) == 4
    with_token = dreambench.load(dreambench.Config(tmp_path, 16, token="sks", partial=True), "test")
    assert with_token.captions[30] == ("a sks backpack object 5",)


def test_a_copy_of_the_repository_is_read_too(tmp_path):
    write_dreambench(tmp_path / "dataset")
    assert len(dreambench.load(dreambench.Config(tmp_path, 16, partial=True), "test")) == 100


def test_what_is_wrong_with_a_copy_is_one_line(tmp_path):
    root = write_dreambench(tmp_path / "a")
    with pytest.raises(UserError, match=r"4 subjects in .*, the release has 30"):
        dreambench.load(dreambench.Config(root), "test")
    for path in (root / "dog6").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"no photo in .*dog6"):
        dreambench.load(dreambench.Config(root), "test")
    assert len(dreambench.load(dreambench.Config(root, partial=True), "test")) == 75
    short = write_dreambench(tmp_path / "b", prompts=24)
    with pytest.raises(UserError, match="4 classes and lists of 24 and 24 prompts, expected 30 classes and two lists"):
        dreambench.load(dreambench.Config(short, partial=True), "test")
    (short / "prompts_and_classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        dreambench.load(dreambench.Config(short, partial=True), "test")
    with pytest.raises(UserError, match=r"no list of prompts at .* expected prompts_and_classes\.txt"):
        dreambench.load(dreambench.Config(root / "backpack", partial=True), "test")


def test_all_turns_and_the_last_ones_with_the_text_of_their_image(tmp_path):
    root = write_magicbrush(tmp_path)
    every = magicbrush.load(magicbrush.Config(root, 16), "all_turn")
    assert list(every.ids) == ["139-output1", "139-output2", "30-output1"]
    assert every.captions[1] == ("text of 139-output2.png",)
    last = magicbrush.load(magicbrush.Config(root, 16), "final_turn")
    assert list(last.ids) == ["139-output2", "30-output1"]
    assert (last.images.read([0]) == every.images.read([1])).all()
    whole = magicbrush.load(magicbrush.Config(root, 16, captions="global"), "final_turn")
    assert whole.captions[0] == ("the whole 139-output2.png",)


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("edit_sessions.json", "[1]", "is no JSON object"),
        ("edit_sessions.json", "{", "cannot be read"),
        ("edit_sessions.json", '{"139": [{"input": "x"}]}', "139 is no list of turns with an output"),
        ("edit_sessions.json", "{}", "lists no turn"),
        ("edit_sessions.json", '{"139": [{"output": "139-output9.png"}]}', r"0 of 1 images in .*139-output9\.png"),
        ("local_captions.json", "{}", r"has no text for 139-output1\.png of 139"),
        ("local_captions.json", '{"139": {"139-output1.png": " "}}', r"has no text for 139-output1\.png of 139"),
    ],
)
def test_what_is_wrong_with_the_turns_is_one_line(tmp_path, file, content, line):
    root = write_magicbrush(tmp_path)
    (root / file).write_text(content)
    with pytest.raises(UserError, match=line):
        magicbrush.load(magicbrush.Config(root), "all_turn")


@pytest.mark.parametrize(
    ("name", "write", "count"), [("dreambench", write_dreambench, 100), ("magicbrush", write_magicbrush, 3)]
)
def test_the_suite_plans_every_prompt_of_a_copy(tmp_path, monkeypatch, name, write, count):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    shipped = suite.load(name)
    settings = {**shipped.dataset.settings, "root": str(write(tmp_path / "copy")), "size": 16}
    if name == "dreambench":
        settings["partial"] = True
    split = next(iter(shipped.settings.values())).split
    small = {
        "dataset": {"name": name, **settings},
        "methods": ["gan-cls"],
        "baselines": ["real", "shuffled"],
        "reference": {"split": split, "original": False},
        "prompts": {"split": split, "captions": count},
        "metrics": [{"name": "clip_i", "clip": "clip-judge-avatars"}],
    }
    [plan] = prepare(parse(small, name, "", name))
    assert len(plan.prompts) == count
    [asset] = named(name)
    assert (asset.click != "", asset.check, bool(asset.licence)) == (True, name, True)
