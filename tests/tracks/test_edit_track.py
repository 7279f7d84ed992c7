"""t2ibench/tracks/edit.py, and a suite of two tracks: who takes part in which, and that edits share their sources."""

import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.seeds import derive_seed
from t2ibench.report import formats, outputs
from t2ibench.report.board import boards
from t2ibench.report.gallery import galleries_of
from t2ibench.runner import plan, suite
from t2ibench.runner import run as runner
from t2ibench.runner.journal import Store
from t2ibench.tracks.edit import TRACK

SUITE = """# Two tracks. A second.
dataset: {name: squares}
tracks: [text_to_image, edit]
methods: [painter, retoucher]
baselines: [{name: resampled, of: retoucher}, {name: unedited, of: retoucher}, real]
prompts: {captions: 6}
edits: {images: 5, literals: [colour=red, tone=light]}
metrics: [hue, moved]
columns: [moved, hue]
"""


@pytest.fixture
def written(squares):
    """Writes the suite, with replacements: written(old, new, …)."""
    squares()

    def write(*replacements: tuple[str, str]) -> Path:
        text = SUITE
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = Path("two.yaml")
        path.write_text(text, "utf-8")
        return path

    return write


def run(path: Path, folder: str = "runs", batch: int = 4) -> dict[tuple[str, str], dict]:
    done = runner.run(suite.load(str(path)), runner.RunOptions(Path(folder), Path(folder), batch))
    return {(cell.record["track"], cell.record["method"]): dict(cell.record) for cell in done}


def images(method: str, group: str, folder: str = "runs") -> dict[tuple[str, int], np.ndarray]:
    """What a method made, by prompt id and k."""
    [cell] = Path(folder, "two", "edit", method).iterdir()
    store = Store(cell)
    made = [outcome for outcome in store.outcomes().values() if outcome.group == group and outcome.sha256]
    return {(o.prompt, o.k): read_image(store.image_path(o.sample)).transpose(2, 0, 1) for o in made}


def test_each_track_runs_its_own_baselines_and_the_methods_that_have_its_functions(written):
    found = run(written())
    assert list(found) == [
        ("text_to_image", "real"),
        ("text_to_image", "painter"),
        ("edit", "resampled-retoucher"),
        ("edit", "unedited-retoucher"),
        ("edit", "retoucher"),
    ]
    for (track, _), record in found.items():
        records.validate(record)
        assert set(record["values"]) == ({"hue"} if track == "text_to_image" else {"moved"})
        assert [metric["name"] for metric in record["identity_of"]["metrics"]] == list(record["values"])
    edits = found["edit", "retoucher"]["prompts"]
    assert edits["images"] == {"sources": 5, "edits": 10}
    assert (edits["neutral"], edits["edits"]) == (
        "a square",
        {"colour=red": "a red square", "tone=light": "a square with a light tone"},
    )


def test_all_edits_start_from_the_source_of_their_k(written):
    from t2ibench.checks.contracts.squares import COLOURS, TONES, paint

    run(written())
    sources, edits = images("retoucher", "sources"), images("retoucher", "edits")
    assert len(sources) == 5
    assert len(edits) == 10
    for k in range(5):
        seed = derive_seed(0, "source", k)
        looks = [(colour, tone) for colour in COLOURS for tone in TONES]
        [(colour, tone)] = [look for look in looks if np.array_equal(sources["source", k], paint(*look, 8, seed))]
        np.testing.assert_array_equal(edits["edits/colour=red", k], paint("red", tone, 8, seed))
        np.testing.assert_array_equal(edits["edits/tone=light", k], paint(colour, "light", 8, seed))


def test_the_baselines_change_nothing_and_everything(written):
    found = run(written())
    assert found["edit", "unedited-retoucher"]["values"]["moved"]["value"] == 0
    assert found["edit", "resampled-retoucher"]["values"]["moved"]["value"] == 1
    sources = images("retoucher", "sources")
    for name in ("unedited-retoucher", "resampled-retoucher"):
        assert all(np.array_equal(image, sources[key]) for key, image in images(name, "sources").items())
    same, others = images("unedited-retoucher", "edits"), images("resampled-retoucher", "edits")
    assert all(np.array_equal(image, sources["source", k]) for (_, k), image in same.items())
    strangers = [*sources.values(), *others.values()]
    assert len({image.tobytes() for image in strangers}) == len(strangers) == 15


@pytest.mark.parametrize("batch", [1, 64])
def test_the_batch_size_changes_no_image_and_no_number(written, batch):
    path = written()
    for one, other in zip(run(path, "a").values(), run(path, "b", batch).values(), strict=True):
        assert records.comparable(one) == records.comparable(other)


def test_another_neutral_text_makes_new_edits_of_the_same_sources(written, monkeypatch, tmp_path):
    run(written())
    Path("runs/records").rename("before")
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    run(written(("images: 5", "images: 5, neutral: one small square")))
    asked = Counter(line.partition("-")[2] for line in (tmp_path / "log").read_text().split() if "-" in line)
    assert asked == {"one_small_red_square": 5, "one_small_square_with_a_light_tone": 5}


def test_a_failed_edit_is_counted_and_its_source_stays(written):
    record = run(written(("methods: [painter, retoucher]", "methods: [painter, {name: retoucher, nan_below: 0.5}]")))[
        "edit", "retoucher"
    ]
    below = sum(derive_seed(0, "source", k) / 2**63 < 0.5 for k in range(5))
    assert 0 < below < 5
    ok = 15 - 2 * below
    assert record["counts"] == {"requested": 15, "generated": ok, "ok": ok, "black": 0, "nan": 2 * below, "failed": 0}
    assert record["partial"] is True
    assert record["values"]["moved"]["n"] == 2 * (5 - below)


def test_what_was_trained_for_each_prompt_is_in_the_record_and_on_the_board(written):
    found = run(written())
    cost = found["edit", "retoucher"]["cost"]
    assert (cost["preparation_seconds"], cost["training_seconds_per_prompt"], cost["prompts_trained"]) == (
        0.5,
        0.01,
        2.0,
    )
    assert "prompts_trained" not in found["text_to_image", "painter"]["cost"]

    one, other = boards(list(found.values()))
    assert (one.costs, other.costs) == ([], ["seconds_per_image", "training_seconds_per_prompt", "preparation_seconds"])
    assert "| training s / prompt | preparation s |" in formats.markdown(other)
    assert "| 0.01 | 0.5 |" in formats.markdown(other)
    assert "training s / prompt" not in formats.markdown(one)
    assert ",0.01,0.5\n" in formats.as_csv([other])
    assert r"& 0.01 & 0.5 \\" in formats.latex(other)


def test_what_is_spent_on_training_within_a_batch_is_not_charged_to_its_images(written, monkeypatch):
    import testing_retoucher

    path = written()
    monkeypatch.setattr(
        testing_retoucher.Method, "cost", property(lambda self: {"spent_seconds": 100.0 * len(self.trained)})
    )
    cost = run(path)["edit", "retoucher"]["cost"]
    assert cost["seconds_per_image"] == 0  # the made-up method did not spend what it says


def test_boards_keep_to_their_track_and_baselines_stand_last_in_their_order(written):
    one, other = boards(list(run(written()).values()))
    assert [column.id for column in formats.columns_of(one, False)] == ["hue"]
    assert [column.id for column in formats.columns_of(other, False)] == ["moved"]
    assert [row.method for row in one.rows] == ["painter", "real"]
    assert [row.method for row in other.rows] == ["retoucher", "unedited-retoucher", "resampled-retoucher"]


def test_an_exact_edit_is_drawn_by_the_data_set(written):
    from t2ibench.checks.contracts.squares import TONES, paint

    found = run(written(("of: retoucher}, real]", "of: retoucher}, exact]")))
    assert found["edit", "exact"]["counts"]["ok"] == 15
    edits = images("exact", "edits")
    for k in range(5):
        seed = derive_seed(0, "source", k)
        np.testing.assert_array_equal(edits["edits/colour=red", k], paint("red", TONES[seed % 2], 8, seed))
    assert boards([*found.values()])[1].baselines[0].method == "exact"


def test_a_data_set_that_cannot_edit_has_no_exact_baseline(written, monkeypatch):
    from t2ibench.checks.contracts import squares

    path = written(("of: retoucher}, real]", "of: retoucher}, exact]"))
    monkeypatch.delattr(squares, "edited_images")
    with pytest.raises(UserError, match="exact: squares cannot change one attribute of an image: take it out"):
        run(path)


def test_a_method_can_be_kept_out_of_a_track_that_it_could_run_in(written, monkeypatch):
    import testing_retoucher

    monkeypatch.setattr(testing_retoucher.Method, "text_to_image", lambda self, requests: 1 / 0, raising=False)
    found = run(written(("[painter, retoucher]", "[painter, {name: retoucher, tracks: [edit]}]")))
    assert [key for key in found if key[1] == "retoucher"] == [("edit", "retoucher")]


def test_the_contact_sheet_shows_each_edit_under_its_source_and_shared_sources_once(written):
    found = list(run(written()).values())
    board = boards(found)[1]
    [gallery] = galleries_of(board, found, Path("runs"))
    assert gallery.rows == ["source", "retoucher", "unedited-retoucher", "resampled-retoucher"]
    assert [shown.text for shown in gallery.prompts] == ["a red square", "a square with a light tone"]
    for k, shown in enumerate(gallery.prompts):
        source, edited, unedited, resampled = (
            np.asarray(Image.open(io.BytesIO(png or b""))).transpose(2, 0, 1) for png in shown.images
        )
        np.testing.assert_array_equal(source, images("retoucher", "sources")["source", k])
        np.testing.assert_array_equal(source, unedited)
        assert not np.array_equal(source, resampled)
        prompt = ("edits/colour=red", "edits/tone=light")[k]
        np.testing.assert_array_equal(edited, images("retoucher", "edits")[prompt, k])
    sheets = outputs.write_sheets(found, Path("runs"), Path("runs/two"))
    assert [sheet.name for sheet in sheets] == ["samples.png", "samples-edit.png"]


def test_a_suite_of_edits_alone_needs_no_captions_and_no_baselines(written):
    lines = [
        line
        for line in SUITE.splitlines()
        if line.split(":")[0] in ("tracks", "methods", "baselines", "prompts", "metrics")
    ]
    changes = {"tracks": "tracks: [edit]", "methods": "methods: [retoucher]", "metrics": "metrics: [moved]"}
    found = run(written(*((line, changes.get(line.split(":")[0], "")) for line in lines), (", hue]", "]")))
    assert list(found) == [("edit", "retoucher")]


@pytest.mark.slow
def test_a_run_killed_at_any_point_ends_in_the_same_records(written, monkeypatch, tmp_path):
    path = written(
        ("methods: [painter, retoucher]", "methods: [painter, {name: retoucher, delay: 0.02}]"),
        ("images: 5", "images: 10"),
    )
    whole = {key: records.comparable(record) for key, record in run(path, "whole").items()}
    command = [
        sys.executable,
        "-m",
        "t2ibench.cli",
        "run",
        str(path),
        "--out",
        "killed",
        "--work",
        "killed",
        "--batch",
        "4",
    ]
    log = tmp_path / "log"
    for asked in (10, 75):  # among the sources of the first cell, among the edits of the last
        with subprocess.Popen(
            command, env={**os.environ, "PAINTER_LOG": str(log)}, stdout=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 120
            while process.poll() is None and (not log.exists() or log.read_text().count("-") < asked):
                assert time.monotonic() < deadline
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
    monkeypatch.setenv("PAINTER_LOG", str(log))
    found = {key: records.comparable(record) for key, record in run(path, "killed").items()}
    assert found == whole
    edits = [line for line in log.read_text().split() if "-" in line]
    assert len(edits) <= 90 + 2 * 4  # 30 samples in each of three cells; a kill costs the batch in flight and no more


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "colour=red",
            "colour=rad",
            "literals: colour=rad cannot be said, did you mean 'red'?; colour may be red, green, blue",
        ),
        ("colour=red", "colur=red", "two: edits: literals: no attribute is called 'colur', did you mean 'colour'?"),
        ("tone=light", "tone=dark", "tone=dark cannot be said"),
        ("tone=light", "colour=red", "edits: literals names one twice"),
        ("images: 5", "images: 0", "two.yaml: edits: images is 0, expected at least 1"),
        ("images: 5", "image: 5", "two.yaml: edits: unknown key 'image', did you mean 'images'?"),
        ("[painter, retoucher]", "[painter]", "two: tracks: none of the suite's methods has edit and unedited"),
        (
            "tracks: [text_to_image, edit]",
            "tracks: [text_to_image]",
            "resampled is of the track edit, which is not in the suite",
        ),
        ("of: retoucher}, real", "of: painter}, real", "two: baselines: unedited: painter has no edit and unedited"),
        ("of: retoucher}, real", "of: real}, real", "baselines: unedited: no method is called 'real'"),
        (
            "of: retoucher}, real",
            "of: retouche}, real",
            "baselines: unedited: no method is called 'retouche', did you mean 'retoucher'?",
        ),
        (
            "painter, retoucher]",
            "painter, {name: retoucher, tracks: [edits]}]",
            "retoucher: 'edits' is no track of the suite, did you mean",
        ),
        (
            "painter, retoucher]",
            "{name: painter, tracks: [edit]}, retoucher]",
            "painter has no edit and unedited, so it cannot",
        ),
        (
            "painter, retoucher]",
            "painter, {name: retoucher, tracks: edit}]",
            "retoucher: tracks is 'edit', expected a list of tracks",
        ),
        ("{name: unedited, of: retoucher}", "unedited", "baselines: unedited: the key 'of' is missing"),
        ("metrics: [hue, moved]", "metrics: [hue]", "two: metrics: none of them can score the track edit"),
        (
            "columns: [moved",
            "columns: [movd",
            "columns: 'movd' is made by none of the suite's metrics, did you mean 'moved'?",
        ),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_in_one_line(written, old, new, said):
    with pytest.raises(UserError) as error:
        run(written((old, new)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_method_in_none_of_the_tracks_and_a_metric_of_none_are_errors(written):
    only = ("tracks: [text_to_image, edit]", "tracks: [edit]"), (", real]", "]"), ("prompts: {captions: 6}\n", "")
    with pytest.raises(UserError, match="two: painter has no edit and unedited, so it cannot take part in any track"):
        run(written(*only))
    with pytest.raises(UserError, match="two: metrics: hue can score text_to_image, expected one of edit"):
        run(written(*only, ("[painter, retoucher]", "[retoucher]")))
    with pytest.raises(UserError, match="prompts: is of the track text_to_image, which is not in the suite"):
        run(written(*only[:2]))


def test_a_sample_depends_on_k_and_its_prompt_on_nothing_else(written):
    plans = {plan.track: plan for plan in plan.prepare(suite.load(str(written())))}
    few, other = TRACK.samples(plans["edit"].prompts, 0), TRACK.samples(plans["edit"].prompts, 1)
    assert len({sample.id for sample in few}) == len(few) == 15
    assert [sample.id for sample in few] == [sample.id for sample in other]
    assert {sample.seed for sample in few} == {derive_seed(0, "source", k) for k in range(5)}
    assert all(sample.seed == few[sample.k].seed for sample in few)
    assert not {sample.seed for sample in few} & {sample.seed for sample in other}
