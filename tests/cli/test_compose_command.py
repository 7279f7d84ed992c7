"""`t2ibench compose`: what is made of files and of images of data sets, and what is said where something is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from t2ibench.cli import app
from t2ibench.core.errors import UserError
from t2ibench.core.images import encode_png, read_image


@pytest.fixture
def run(squares):
    """Runs the command with a made-up method; an image file of 12 x 8 pixels is there."""
    squares()
    image = np.full((3, 8, 12), 200, np.uint8)
    image[:, 2:6, 4:8] = 40
    Path("wide.png").write_bytes(encode_png(image))

    def compose(*arguments: str):
        result = CliRunner().invoke(
            app, ["compose", "--method", "collage", "--out", "made", *arguments], catch_exceptions=False
        )
        assert result.exit_code == 0
        return result

    return compose


def pixels(name: str) -> np.ndarray:
    return read_image(Path("made", name)).transpose(2, 0, 1)


def test_every_image_and_a_sheet_are_written(run):
    result = run(
        "--task", "E", "--task", "conflict_GS", "--image", "wide.png", "--other", "squares/test/3", "--seeds", "0,1"
    )
    assert result.stdout.strip() == "made/sheet.png"
    assert sorted(path.name for path in Path("made").iterdir()) == [
        *("E-0.png", "E-1.png", "conflict_GS-0.png", "conflict_GS-1.png", "sheet.png")
    ]
    np.testing.assert_array_equal(pixels("E-0.png"), 2 * pixels("E-1.png"))  # the method darkens by its seed
    assert pixels("E-0.png").shape == (3, 8, 8)  # the middle of the file
    from t2ibench.checks.contracts.squares import Config, load

    np.testing.assert_array_equal(pixels("conflict_GS-0.png"), load(Config(), "test").images.read([3])[0])


def test_what_lies_between_goes_from_a_to_b_with_one_noise(run):
    from testing_collage import Method

    Method.asked.clear()
    with pytest.raises(KeyError):  # the made-up method knows no "between"
        run("--task", "interp_free", "--image", "wide.png", "--other", "squares/test/3", "--seeds", "4-6")
    assert [(one.seed, one.position) for one in Method.asked] == [(4, 0.0), (4, 0.5), (4, 1.0)]


def test_your_own_sketch_text_mask_and_edit_reach_the_method(run):
    from testing_collage import Method

    Method.asked.clear()
    run("--task", "pose_S", "--image", "wide.png", "--sketch", "wide.png", "--seeds", "0")  # needs no other image then
    run("--task", "reconf_G", "--image", "wide.png", "--edit", "mirror", "--seeds", "0")
    run("--task", "M", "--image", "wide.png", "--mask", "lower", "--seeds", "0")
    asked: Any = Method.asked
    pose, moved, masked = asked
    assert pose.sources["edited"].strokes.max() == pytest.approx(1 - 40 / 255)  # dark is a stroke
    assert moved.task.edit == "mirror"
    assert moved.sources["edited"].silhouette.shape == (8, 8)
    assert masked.known[:4].all()
    assert not masked.known[4:].any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--task", "stile"), "compose: --task: no task is called 'stile', did you mean 'style'?"),
        (
            ("--task", "style", "--image", "wide.png"),
            "style is made of sketch and depth of A, embedding of B: give --other",
        ),
        (("--task", "t2i"), "t2i is made of caption: give --text"),
        (("--task", "E", "--image", "narrow.png"), "narrow.png is missing"),
        (
            ("--task", "E", "--image", "squares/test/24"),
            "squares/test/24: squares test has 24 images, the last is 23",
        ),
        (("--task", "T", "--image", "wide.png"), "T is made of caption alone; a file has no caption"),
        (("--task", "reconf_S", "--image", "wide.png", "--edit", "mirorr"), "did you mean 'mirror'?"),
        (("--task", "M", "--image", "wide.png", "--mask", "none.png"), "--mask none.png: no such file"),
        (("--task", "E", "--image", "wide.png", "--seeds", "x"), "--seeds 'x'"),
    ],
)
def test_what_is_missing_is_said_in_one_line(run, arguments, said):
    with pytest.raises(UserError) as error:
        run(*arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_condition_that_a_file_lacks_is_left_out_and_said(run):
    result = run("--task", "TE", "--image", "wide.png", "--seeds", "0")
    assert "TE: without caption: a file has no caption" in result.stderr


def test_the_former_name_of_the_option_works_for_one_release(squares):
    assert "no task is called 'stile'" in str(CliRunner().invoke(app, ["compose", "--recipe", "stile"]).exception)


def test_tasks_are_listed_with_what_they_need():
    result = CliRunner().invoke(app, ["list", "tasks", "--json"])
    assert result.exit_code == 0
    assert '"name": "colorize_direct"' in result.stdout
    assert '"needs": "A, B"' in result.stdout


def test_a_text_that_is_cut_is_said(run, monkeypatch):
    from testing_collage import Method

    class Reader:
        context = 4

        def cut(self, texts):
            return [len(text.split()) > 2 for text in texts]

    def paint(self, requests):
        return torch.zeros(len(requests), 3, 8, 8, dtype=torch.uint8)

    monkeypatch.setattr(Method, "reads", {"reader": Reader()}, raising=False)
    monkeypatch.setattr(Method, "compose", paint)
    words = ("--task", "compose_TP", "--image", "squares/test/3", "--seeds", "0")
    assert "cut" not in run(*words, "--text", "two words").stderr
    assert "reader" in run(*words, "--text", "these are four words").stderr
