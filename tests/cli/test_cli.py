"""The command line: quick where it must be, quiet where nobody looks, one line where the user is wrong."""

import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.cli.generate import seeds_of
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.settings import settings_of
from t2ibench.networks import weights as weight_files
from t2ibench.runner.train import part_of, splits_of


def test_help_and_lists_import_neither_torch_nor_pandas():
    code = """
import sys
from typer.testing import CliRunner
from t2ibench.cli import app
kinds = ("methods", "metrics", "datasets", "suites", "assets", "downloads")
lists = [["list", kind, "--json"] for kind in kinds]
for words in (["--help"], ["run", "--help"], ["audit", "draw", "--help"], *lists):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (words, result.output)
heavy = {"torch", "pandas", "numpy", "scipy", "matplotlib", "transformers"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets", "suites", "assets", "downloads"])
def test_every_list_has_json_and_a_table(kind):
    result = CliRunner().invoke(cli.app, ["list", kind, "--json"])
    entries = json.loads(result.output)
    assert all(entry["name"] for entry in entries)
    plain = CliRunner().invoke(cli.app, ["list", kind])
    assert plain.exit_code == 0
    assert all(entry["name"] in plain.output for entry in entries)


def test_run_shows_the_board_writes_everything_and_is_quiet_in_a_pipe(squares, t2ibench):
    answer = t2ibench("run", str(squares()), "--out", "results", "--work", "made")
    assert (answer.returncode, answer.stderr) == (0, "")
    for name in ("painter", "blind", "real", "shuffled-real", "unconditional-painter"):
        assert name in answer.stdout
    assert "5 of 5 cells made now" in answer.stdout
    kept = sorted(path.relative_to("results").parts[0] for path in Path("results").rglob("*") if path.is_file())
    assert set(kept) == {"records", "sheets", "squares"}
    assert {path.suffix for path in Path("results").rglob("*") if path.is_file()} == {".json", ".md", ".csv", ".webp"}
    assert (
        "made/squares/report/index.html: open it in a browser, or run `t2ibench view made/squares/report`"
        in answer.stdout
    )
    page = Path("made/squares/report/samples.squares.text_to_image.html").read_text("utf-8")
    assert page.count('src="images/gallery/') == 5 * (8 + 6)
    assert not [word for word in ("http://", "https://") if word in page]
    with Image.open("made/squares/samples.png") as sheet:
        assert sheet.width > 8 * 112
    again = t2ibench("run", str(squares()), "--out", "results", "--work", "made")
    assert "0 of 5 cells made now" in again.stdout
    tables = {
        form: t2ibench("table", "results", "--format", form).stdout for form in ("terminal", "markdown", "csv", "latex")
    }
    assert all("unconditional-painter" in text for text in tables.values())
    assert json.loads(t2ibench("table", "results", "--json").stdout)[0]["suite"] == "squares"
    columns = t2ibench("table", "results", "--columns", "pair_hue, hue", "--format", "markdown").stdout
    assert "- hue ↑: is an image of the colour that its text names?" in columns
    assert columns.index("| pair_hue ↑ | hue ↑ |") > columns.index("- hue ↑")
    unknown, both = (t2ibench("table", "results", "--columns", *words) for words in (["hoe"], ["hue", "--all"]))
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "t2ibench: --columns: no board has a column 'hoe', did you mean 'hue'?\n",
    )
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    pages = t2ibench("report", "results", "--work", "made", "--out", "pages", "--suite", "squares")
    assert (pages.returncode, pages.stderr) == (0, "")
    assert Path("pages/index.html").exists()
    other = t2ibench("report", "results", "--suite", "squares2", "--out", "pages")
    assert (other.returncode, other.stderr) == (
        2,
        "t2ibench: results holds no record of the suite 'squares2', did you mean 'squares'?\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quik"], "no suite is called 'quik', did you mean 'quick'?"),
        (["run", "squares.yaml", "--out", "squares.yaml/x"], "cannot be written"),
        (["run", "squares.yaml", "--work", "squares.yaml"], "cannot be written"),
        (["run", "squares.yaml", "--device", "cuda:99"], "--device 'cuda:99' cannot be used"),
        (["table", "nowhere"], "nowhere is missing"),
        (["generate", "pointer", "a text"], "no method is called 'pointer', did you mean 'painter'?"),
        (["generate", "painter", "a text", "--seeds", "3-1"], "--seeds '3-1'"),
        (["generate", "retoucher", "a text"], "give the neutral one, --neutral 'a person'"),
        (["generate", "painter", "a text", "--out", "sheets"], "--out sheets: a sheet is one PNG"),
        (["generate", "painter"], "generate: a text is missing: give one or more, or --target"),
        (["generate", "painter", "--target", "a text"], "painter has no adapt and unadapted"),
        (
            ["generate", "tinter", "a text", "--target", "a grey square"],
            "generate: PROMPTS has no effect here: --target adapts a generator",
        ),
        (["generate", "painter", "a text", "--source", "a square"], "--source has no effect here: it says"),
        (["generate", "retoucher", "a text", "--neutral", "x", "--image", "no.png"], "no.png is missing"),
        (["generate", "painter", "a text", "--neutral", "x"], "painter has no edit and unedited"),
        (["generate", "painter", "a text", "--set", "delai=3"], "unknown key 'delai', did you mean 'delay'?"),
        (["train", "gan_clss"], "nothing to train is called 'gan_clss', did you mean 'gan_cls'?"),
        (["train", "gan_cls", "--variant", "gan-clss"], "--variant is 'gan-clss', did you mean 'gan-cls'?"),
        (["train", "image_folder"], "image_folder has no recipe"),
        (["train", "painter", "--steps", "1", "--dataset", "squares"], "--variant is missing"),
        (["train", "painter", "--variant", "brush", "--dataset", "squares"], "--minutes or --steps"),
        (["show", "avatar"], "no dataset is called 'avatar', did you mean 'avatars'?"),
        (["show", "avatars", "--split", "tst"], "no split is called 'tst', did you mean 'test'?"),
        (["score", "nowhere", "--metrics", "hoe"], "no metric is called 'hoe', did you mean 'hue'?"),
        (["score", "nowhere", "--metrics", "hue", "--dataset", "squares"], "nowhere does not exist"),
    ],
)
def test_what_the_user_has_to_mend_is_one_line_and_exit_code_2(squares, t2ibench, arguments, said):
    squares()
    answer = t2ibench(*arguments)
    assert answer.returncode == 2, answer.stderr
    assert said in answer.stderr
    assert answer.stderr.startswith("t2ibench: ")
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""


def test_a_damaged_record_is_named(squares, t2ibench):
    squares()
    path = records.path_of(Path("runs"), "squares", "text_to_image", "painter", 0)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 1')
    answer = t2ibench("table")
    assert answer.returncode == 2
    assert f"{path}: not a sound record" in answer.stderr


def test_generate_shows_what_edits_start_from(t2ibench, squares):
    from t2ibench.checks.contracts.squares import COLOURS, TONES, paint

    squares()
    assert t2ibench("generate", "retoucher", "a red square", "--neutral", "a square", "--seeds", "0-2").returncode == 0
    sheet = np.asarray(Image.open("sheet.png"))
    for k in range(3):
        before, after = (_cell(sheet, 2, 3, row, k) for row in (0, 1))
        assert any(
            np.allclose(before.mean((0, 1)), paint(c, t, 8, k).mean((1, 2)), atol=2) for c in COLOURS for t in TONES
        )
        assert after.mean((0, 1)).argmax() == 0


def test_generate_edits_real_images(t2ibench, squares):
    squares()
    for name, level in (("a.png", 80), ("b.png", 160)):
        Image.new("RGB", (8, 8), (level, level, level)).save(name)
    answer = t2ibench(
        "generate", "retoucher", "darker", "--neutral", "a square", "--image", "a.png", "--image", "b.png"
    )
    assert answer.returncode == 0
    sheet = np.asarray(Image.open("sheet.png"))
    found = [[round(_cell(sheet, 3, 2, row, column).mean()) for column in (0, 1)] for row in (0, 1, 2)]
    assert found == [[80, 160], [80, 160], [40, 80]]


def test_generate_adapts_a_generator_and_shows_what_it_drew_before(t2ibench, squares):
    squares()
    targets = ("--target", "a grey square", "--target", "the negative of a square")
    assert t2ibench("generate", "tinter", "--source", "a square", *targets, "--seeds", "0-2").returncode == 0
    sheet = np.asarray(Image.open("sheet.png"))
    for k in range(3):
        before, grey, negative = (_cell(sheet, 3, 3, row, k).mean((0, 1)) for row in range(3))
        assert np.ptp(before) > 50 > 5 > np.ptp(grey)
        np.testing.assert_allclose(before + negative, 255, atol=2)


def _cell(sheet: np.ndarray, rows: int, columns: int, row: int, column: int) -> np.ndarray:
    """The pixels of one image of a sheet, counted from its lower right corner."""
    right, below = sheet.shape[1] - 14 - (columns - 1 - column) * 118, sheet.shape[0] - 14 - (rows - 1 - row) * 118
    return sheet[below - 112 : below, right - 112 : right]


def test_generate_writes_a_row_a_prompt_and_a_column_a_seed(squares):
    squares()
    result = CliRunner().invoke(
        cli.app, ["generate", "painter", "a light red square", "a dark blue square", "--seeds", "0-2,9"]
    )
    assert result.output == "sheet.png\n"
    sheet = np.asarray(Image.open("sheet.png").convert("RGB"))
    red, blue = (np.asarray(sheet)[y, 260:720] for y in (100, 210))
    assert (red.argmax(1) == 0).mean() > 0.9
    assert (blue.argmax(1) == 2).mean() > 0.9


def test_train_writes_weights_and_card_goes_on_and_takes_settings(squares, t2ibench):
    squares()
    words = [
        "train",
        "painter",
        "--variant",
        "brush",
        "--dataset",
        "squares",
        "--set",
        "rate=0.25",
        "--set",
        "dataset.side=6",
        "--seed",
        "7",
    ]
    assert t2ibench(*words, "--steps", "2").returncode == 0
    answer = t2ibench(*words, "--steps", "5")
    assert answer.stdout.startswith("trained/paint-brush-squares.safetensors: sha256 ")
    weights = weight_files.read(Path("trained/paint-brush-squares.safetensors"))
    assert (weights.card["steps"], weights.card["recipe"]["rate"], weights.card["recipe"]["seed"]) == (5, 0.25, 7)
    from t2ibench.checks.contracts.squares import Config, load

    split = load(Config(side=6), "train")
    target = split.images.read(range(len(split))).mean((0, 2, 3))
    np.testing.assert_allclose(weights.tensors["colour"], target * (1 - 0.75**5), rtol=1e-3)
    refused = t2ibench(*words[:-1], "8", "--steps", "5")
    assert refused.returncode == 2
    assert "another" in refused.stderr


def test_show_writes_images_with_captions(squares):
    squares()
    result = CliRunner().invoke(cli.app, ["show", "squares", "--count", "6", "--columns", "3"])
    path, *examples = result.output.splitlines()
    assert path == "squares-test.png"
    assert "  tone=light: this person has a light tone | a photo of a square with a light tone" in examples
    with Image.open("squares-test.png") as sheet:
        assert sheet.height > 2 * 160


def test_images_of_others_are_scored_as_a_methods_are(squares, t2ibench, tmp_path):
    squares()
    from t2ibench.checks.contracts.squares import Config, load

    split = load(Config(), "test")
    folder = tmp_path / "theirs"
    folder.mkdir()
    for i, image in enumerate(split.images.read(range(24))):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:03}.png")
    (tmp_path / "prompts.txt").write_text("".join(f"{texts[0]}\n" for texts in split.captions))
    words = ["score", "theirs", "--prompts", "prompts.txt", "--metrics", "hue", "--dataset", "squares"]
    answer = CliRunner().invoke(cli.app, [*words, "--json", "--out", "theirs.json"])
    record = json.loads(answer.output)
    records.validate(record)
    assert record == records.read(Path("theirs.json"))
    assert (record["values"]["hue"]["value"], record["values"]["hue"]["n"]) == (1.0, 24)
    assert "hue ↑" in CliRunner().invoke(cli.app, words).output
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    answer2 = t2ibench(*words)
    assert "prompts.txt has 2 texts, theirs has 24 images" in answer2.stderr
    (folder / "003.png").write_bytes(b"no image")
    (tmp_path / "prompts.txt").write_text("a red square\n" * 24)
    assert "003.png: cannot be read as an image" in t2ibench(*words).stderr


def test_doctor_finds_a_damaged_weights_file(squares, monkeypatch, tmp_path):
    squares()
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "thing.safetensors").write_bytes(b"")
    (folder / "thing.json").write_text(json.dumps({"sha256": "a" * 64}))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(folder))
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.output)}
    assert result.exit_code == 1
    assert not checks["thing"]["ok"]
    assert "0 bytes" in checks["thing"]["found"]
    assert all(checks[name]["ok"] for name in ("python", "torch", "cache", "metrics"))


@pytest.mark.parametrize(("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("7", [7]), ("1,3-4, 9", [1, 3, 4, 9])])
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "1..4", "0-99999999"])
def test_other_seeds_are_refused(text):
    with pytest.raises(UserError, match="--seeds"):
        seeds_of(text)


def test_settings_are_read_as_yaml():
    assert settings_of(["a=0.5", "b=true", "c=[1, 2]", "d=gan-cls"]) == {
        "a": 0.5,
        "b": True,
        "c": [1, 2],
        "d": "gan-cls",
    }
    for pair in ("a", "=3", "a=["):
        with pytest.raises(UserError, match="--set"):
            settings_of([pair])


def test_a_recipe_learns_from_the_splits_it_wants_where_the_data_has_them():
    module = types.SimpleNamespace(SPLITS={"judge": (("train", "balanced-train"), "balanced-test")})
    assert splits_of("judge", module, ["train", "val", "balanced-train", "balanced-test"]) == (
        ["train", "balanced-train"],
        "balanced-test",
    )
    assert splits_of("judge", module, ["train", "val"]) == (["train"], "val")
    assert splits_of("judge", module, None) == (["train"], "val")
    assert splits_of("other", types.SimpleNamespace(SPLITS={}), ["train", "val", "test"]) == (["train"], "val")


def test_the_part_called_as_the_module_is_trained_where_none_is_named():
    module = types.SimpleNamespace(PARTS=("net", "encoder"))
    assert part_of("net", module, None) == "net"
    assert part_of("net", module, "encoder") == "encoder"
    with pytest.raises(UserError, match="--variant is missing"):
        part_of("other", module, None)


def test_a_table_of_one_track_has_its_board_alone(t2ibench):
    results = str(Path(__file__).parents[2] / "results")
    boards = json.loads(t2ibench("table", results, "--track", "edit", "--json").stdout)
    assert [board["track"] for board in boards] == ["edit"]
    answer = t2ibench("table", results, "--track", "edits")
    assert answer.returncode == 2
    assert "holds no record of the track 'edits', did you mean 'edit'" in answer.stderr


def test_a_table_of_methods_loads_neither_torch_nor_pandas(tmp_path):
    kept = Path(__file__).parents[2] / "results/records/avatars/text_to_image"
    for name in ("gan-cls", "composer", "real"):
        shutil.copytree(kept / name, tmp_path / "records/avatars/text_to_image" / name)
    code = (
        "import sys; from t2ibench import cli\n"
        f"cli.app(['table', {str(tmp_path)!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'scipy.stats', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "gan-cls" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
