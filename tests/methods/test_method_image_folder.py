"""methods/image_folder.py: images of others go through a suite as a method's do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records, settings
from t2ibench.core.errors import UserError
from t2ibench.methods.image_folder import Config, Method
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import TextToImage


def folder(path: Path, *rows: dict, size: int = 4) -> Path:
    """A folder in which the i-th image is of grey level 10 * i."""
    path.mkdir(exist_ok=True)
    for i, row in enumerate(rows):
        Image.fromarray(np.full((size, size, 3), 10 * i, np.uint8)).save(path / row["file_name"])
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def level(method: Method, text: str, seed: int) -> int:
    return int(method.text_to_image([TextToImage(text, seed)])[0, 0, 0, 0])


def test_text_and_seed_choose_the_image_and_the_batch_does_not(tmp_path):
    rows = [
        {"file_name": f"{i}.png", "text": text, "seed": seed}
        for i, (text, seed) in enumerate([("a", 1), ("a", 2), ("b", 1)])
    ]
    method = Method(Config(folder(tmp_path, *rows)), Models())
    assert [level(method, *key) for key in (("a", 1), ("a", 2), ("b", 1))] == [0, 10, 20]
    both = method.text_to_image([TextToImage("b", 1), TextToImage("a", 2)])
    assert both.dtype == torch.uint8
    assert both[:, 0, 0, 0].tolist() == [20, 10]


def test_without_seeds_an_image_of_the_text_is_taken(tmp_path):
    method = Method(
        Config(folder(tmp_path, {"file_name": "0.png", "text": "a"}, {"file_name": "1.png", "text": "a"})), Models()
    )
    assert {level(method, "a", seed) for seed in range(4)} == {0, 10}


def test_a_missing_answer_fails_its_sample(tmp_path):
    method = Method(Config(folder(tmp_path, {"file_name": "0.png", "text": "a", "seed": 1})), Models())
    for key in (("a", 2), ("b", 1)):
        with pytest.raises(ValueError, match="no image answers"):
            level(method, *key)


def test_other_images_have_another_hash(tmp_path):
    hashes = []
    for size in (4, 5):
        models = Models()
        Method(Config(folder(tmp_path, {"file_name": "0.png", "text": "a"}, size=size)), models)
        hashes.append(models.used[f"images of {tmp_path.name}"]["sha256"])
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "metadata.jsonl:2: not JSON"),
        ('{"text": "a"}', "metadata.jsonl:2: names no file"),
        ("3", "metadata.jsonl:2: found int"),
        ('{"file_name": "0.png", "text": "a", "seed": 1.5}', "metadata.jsonl:2: seed is '1.5'"),
        ('{"file_name": "../x.png", "text": "a"}', "leaves the folder"),
        ('{"file_name": "9.png", "text": "a"}', "9.png is missing"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, said):
    folder(tmp_path, {"file_name": "0.png", "text": "a"})
    with (tmp_path / "metadata.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError) as error:
        Method(Config(tmp_path), Models())
    assert said in str(error.value)


def test_a_folder_without_metadata_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"metadata\.jsonl is missing"):
        Method(Config(tmp_path), Models())


def test_a_suites_prompts_answered_elsewhere_score_as_a_method_does(squares, tmp_path):
    from testing_painter import Config as PainterConfig
    from testing_painter import Method as Painter

    path = squares(("{name: painter, as: blind, colour_blind: true}", "{name: image_folder, as: theirs, root: theirs}"))
    (tmp_path / "theirs").mkdir()
    result = CliRunner().invoke(cli.app, ["prompts", str(path), "--out", "theirs/metadata.jsonl"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in Path("theirs/metadata.jsonl").read_text().splitlines()]
    assert len(rows) == 32
    made = Painter(PainterConfig(), Models()).text_to_image([TextToImage(row["text"], row["seed"]) for row in rows])
    for row, image in zip(rows, made.numpy(), strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "theirs" / row["file_name"])
    assert CliRunner().invoke(cli.app, ["run", str(path)]).exit_code == 0
    theirs, painter = (
        records.read(records.path_of(Path("runs"), "squares", "text_to_image", name, 0))
        for name in ("theirs", "painter")
    )
    assert theirs["images"] == painter["images"]
    assert theirs["values"] == painter["values"]


def test_transparent_pixels_are_what_alpha_says(tmp_path):
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[..., :3] = 50
    Image.fromarray(clear).save(tmp_path / "0.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "text": "a", "seed": 1}))
    with pytest.raises(UserError, match="alpha"):
        Method(Config(tmp_path), Models())
    levels = {alpha: level(Method(Config(tmp_path, alpha=alpha), Models()), "a", 1) for alpha in ("drop", "white")}
    assert levels == {"drop": 50, "white": 255}
    with pytest.raises(UserError, match="'refuse', 'drop' or a colour"):
        Method(Config(tmp_path, alpha="whit"), Models())


def test_alpha_is_part_of_the_identity_where_somebody_chose_it(tmp_path):
    assert "alpha" not in settings.recorded(Config(tmp_path))
    assert settings.recorded(Config(tmp_path, alpha="white"))["alpha"] == "white"
