"""`t2ibench prompts`: the list of images that a suite asks for, of one run seed or of all."""

import json

import pytest
from PIL import Image

from t2ibench.runner.run import RunOptions, run
from t2ibench.runner.suite import load


def drawn(folder) -> list[dict]:
    """Makes the images that the list in a folder asks for, and returns its lines."""
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        path = folder / line["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)
    return lines


@pytest.mark.parametrize("seeds", ["[0]", "[0, 3]"])
def test_images_made_from_the_list_answer_every_request_of_every_run_seed(squares, t2ibench, tmp_path, seeds):
    path = squares(
        ("[painter, {name: painter, as: blind, colour_blind: true}]", "[{name: image_folder, as: mine, root: mine}]"),
        (", {name: unconditional, of: painter}]", "]"),
        ("prompts: {captions: 20}", f"seeds: {seeds}\nprompts: {{captions: 20}}"),
    )
    answer = t2ibench("prompts", str(path), "--out", "mine/metadata.jsonl")  # before there is a folder
    assert answer.returncode == 0, answer.stderr
    lines = drawn(tmp_path / "mine")
    assert len({line["file_name"] for line in lines}) == len(lines) == 32 * len(json.loads(seeds))
    cells = run(load(str(path)), RunOptions(out=tmp_path / "out", work=tmp_path / "out"))
    made = [cell.record for cell in cells if cell.record["method"] == "mine"]
    assert [(record["seed"], record["counts"]["failed"]) for record in made] == [(s, 0) for s in json.loads(seeds)]


def test_one_run_seed_is_asked_for_by_its_number(squares, t2ibench, tmp_path):
    path = str(squares(("prompts: {captions: 20}", "seeds: [0, 3]\nprompts: {captions: 20}")))
    for seed in ("0", "3"):
        assert t2ibench("prompts", path, "--seed", seed, "--out", f"{seed}.jsonl").returncode == 0
    first, second = ((tmp_path / f"{seed}.jsonl").read_text("utf-8").splitlines() for seed in ("0", "3"))
    assert [json.loads(line)["text"] for line in first] == [json.loads(line)["text"] for line in second]
    assert not {json.loads(line)["seed"] for line in first} & {json.loads(line)["seed"] for line in second}
