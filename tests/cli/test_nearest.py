"""`nearest`: planted copies stand first on the table and on the sheet, beside what they are copies of."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2ibench.cli import app
from t2ibench.core.errors import UserError

JUDGE = "attribute-judge-avatars"


def draw(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row}.png")
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """Images of which 4.png and 5.png are copies of 2.png and 0.png; training images, of which one is there twice."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    draws = np.random.default_rng(0)
    plain = draws.integers(0, 256, (18, 8, 8, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    train, made, others = plain[:6], plain[6:10], plain[10:]
    return (
        draw(tmp_path / "made", np.concatenate([made, train[2:3], train[:1]])),
        draw(tmp_path / "train", np.concatenate([train, train[:1]])),
        draw(tmp_path / "others", others),
    )


def test_copies_are_named_first_with_what_they_are_copies_of(folders, capsys, tmp_path, monkeypatch):
    made, train, others = folders
    call = ["nearest", str(made), "--reference", str(train), "--extractor", JUDGE, "--top", "3"]
    app([*call, "--json", "--held-out", str(others), "--out", str(tmp_path / "sheet.png")], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert (found["training_images"], found["of"], len(found["pairs"])) == (6, 7, 3)
    first = {pair["image"]: pair for pair in found["pairs"][:2]}
    assert {name: pair["by_pixels"] for name, pair in first.items()} == {"4.png": "2.png", "5.png": "0.png"}
    assert {name: pair["by_features"] for name, pair in first.items()} == {"4.png": "2.png", "5.png": "0.png"}
    assert all(pair["cosine"] == pytest.approx(1) and pair["grey_levels"] == 0 for pair in first.values())
    assert found["pairs"][2]["grey_levels"] > 20
    assert found["summary"]["images"]["auth_pct"] <= 100 * 4 / 6
    assert found["summary"]["held out"]["grey_levels"]["nearest"] > 20
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] > 3 * 112
    monkeypatch.setenv("COLUMNS", "100")
    app(call, standalone_mode=False)
    shown = capsys.readouterr().out
    assert "4.png" in shown
    assert "1 duplicates left out" in shown
    assert "--held-out" in shown


def test_bad_input_is_one_line(folders, tmp_path):
    made, _, _ = folders
    one = draw(tmp_path / "one", np.zeros((2, 8, 8, 3), np.uint8))
    for given, line in (
        (["--reference", str(one), "--extractor", JUDGE], "one: 1 different training images, expected at least 2"),
        (["--reference", str(tmp_path / "nowhere")], "nowhere"),
        (["--reference", str(made), "--out", "sheet.jpg"], "a file name that ends in .png is expected"),
    ):
        with pytest.raises(UserError, match=line) as error:
            app(["nearest", str(made), *given], standalone_mode=False)
        assert "\n" not in str(error.value)
