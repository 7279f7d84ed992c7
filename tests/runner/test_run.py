"""t2ibench/runner/run.py and what it drives: a cell is made once, whatever happens meanwhile, and says what became of
every sample.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.seeds import derive_seed
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.cell import maker_of, whole_cost
from t2ibench.runner.generate import locked
from t2ibench.runner.methods import Method
from t2ibench.runner.plan import prepare
from t2ibench.tracks.contract import Prompt, Sample
from t2ibench.tracks.text_to_image import samples as samples_of

TRACK = "text_to_image"


def run(path: Path, folder: str = "runs", batch: int = 8, replace: bool = False) -> dict[str, dict]:
    options = runner.RunOptions(Path(folder), Path(folder), batch, replace=replace)
    return {done.record["method"]: dict(done.record) for done in runner.run(suite.load(str(path)), options)}


def test_every_cell_leaves_a_sound_record(squares):
    found = run(squares())
    assert list(found) == ["real", "shuffled-real", "unconditional-painter", "painter", "blind"]
    for name, record in found.items():
        records.validate(record)
        assert record == records.read(records.path_of(Path("runs"), "squares", TRACK, name, 0))
        assert record["counts"] == {"requested": 32, "generated": 32, "ok": 32, "black": 0, "nan": 0, "failed": 0}
        assert (record["coverage"], record["partial"], record["unscored"]) == (1.0, False, {})
        assert record["prompts"]["images"] == {"captions": 20, "pairs": 12}
        assert {"hue", "pair_hue"} == set(record["values"])
    assert found["painter"]["config"]["config"]["colour_blind"] is False
    assert found["blind"]["config"]["config"]["colour_blind"] is True


def test_the_baselines_bracket_the_methods(squares):
    values = {
        name: {id: entry["value"] for id, entry in record["values"].items()} for name, record in run(squares()).items()
    }
    assert values["real"] == values["painter"] == {"hue": 1.0, "pair_hue": 1.0}
    for name in ("shuffled-real", "unconditional-painter", "blind"):
        assert values[name]["hue"] < 0.7
        assert values[name]["pair_hue"] < 0.7


def test_an_image_is_made_from_its_own_stream_and_saved_as_it_was_scored(squares):
    from t2ibench.checks.contracts.squares import paint

    run(squares())
    [folder] = Path("runs/squares", TRACK, "painter").iterdir()
    prompt = Prompt("pairs/a light blue square", "a light blue square", "pairs", 2)
    sample = Sample(prompt, 1, derive_seed(0, prompt.id, 1))
    image = read_image(folder / "images" / f"{sample.id}.png").transpose(2, 0, 1)
    np.testing.assert_array_equal(image, paint("blue", "light", 8, derive_seed(0, prompt.id, 1)))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_batch_size_changes_no_image_and_no_number(squares, batch):
    path = squares()
    for one, other in zip(run(path, "a", 8).values(), run(path, "b", batch).values(), strict=True):
        assert records.comparable(one) == records.comparable(other)


def test_captions_of_another_split_keep_the_ceiling_from_being_compared_with_itself(squares):
    path = squares(("captions: 20", "captions: 12, split: val"))
    real = run(path)["real"]
    assert real["prompts"]["captions"] == "val"
    assert real["dataset"]["reference"]["split"] == "test"
    from t2ibench.checks.contracts.squares import Config, load

    [folder] = Path("runs/squares", TRACK, "real").iterdir()
    first = samples_of(_prompts(real), 0)[0]
    image = read_image(folder / "images" / f"{first.id}.png").transpose(2, 0, 1)
    np.testing.assert_array_equal(image, load(Config(), "val").images.read([0])[0])


def test_run_seeds_have_images_of_their_own(squares):
    path = squares(("metrics:", "seeds: [0, 1]\nmetrics:"))
    list(runner.run(suite.load(str(path)), runner.RunOptions()))
    one, other = (records.read(records.path_of(Path("runs"), "squares", TRACK, "painter", seed)) for seed in (0, 1))
    assert one["images"] != other["images"]
    assert one["values"]["hue"]["protocol_id"] == other["values"]["hue"]["protocol_id"]


def test_the_same_run_again_makes_nothing(squares, monkeypatch, tmp_path):
    path = squares()
    first = run(path)
    times = {file: file.stat().st_mtime_ns for file in Path("runs").rglob("*.png")}
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    assert run(path) == first
    assert not (tmp_path / "log").exists()
    assert times == {file: file.stat().st_mtime_ns for file in Path("runs").rglob("*.png")}


def test_what_a_method_spent_survives_a_stop_while_scoring_and_a_new_score(squares, monkeypatch):
    path, account = squares((", pair_hue]", "]")), {"training_seconds_per_prompt": 2.0, "prompts_trained": 3}
    import testing_hue

    score = testing_hue.score

    def stopped(evidence, config):
        """Ctrl-C at the metric of the painter, after its images."""
        if "painter" in evidence.samples().store.store.folder.parts:
            raise KeyboardInterrupt
        return score(evidence, config)

    monkeypatch.setattr("testing_painter.Method.cost", account, raising=False)
    monkeypatch.setattr(testing_hue, "score", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    monkeypatch.setattr(testing_hue, "score", score)
    monkeypatch.setattr("testing_painter.Method.cost", {})  # nothing is left to train for
    assert run(path)["painter"]["cost"].items() >= account.items()
    again = run(squares((", pair_hue]", ", {name: pair_hue, images: 1}]")), replace=True)["painter"]["cost"]
    assert again.items() >= account.items()
    assert whole_cost(account, {**account, "prompts_trained": 5})["prompts_trained"] == 5
    assert whole_cost({}, {}) == {}


def test_another_metric_reuses_the_images(squares, monkeypatch, tmp_path):
    run(squares((", pair_hue]", "]")))
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    run(squares((", pair_hue]", ", {name: pair_hue, images: 1}]")), "runs", replace=True)
    asked = Counter((tmp_path / "log").read_text().split())
    assert all(count <= 3 for count in asked.values())  # painter, blind and unconditional, once each
    assert len(asked) <= 6 + 6 + 4  # the six new prompts, and what shares a batch with them


def test_a_record_of_other_settings_is_left_alone_and_the_setting_named(squares):
    run(squares())
    before = records.path_of(Path("runs"), "squares", TRACK, "blind", 0).read_bytes()
    changed = squares(("colour_blind: true", "colour_blind: true, delay: 0.001"))
    with pytest.raises(UserError, match=r"maker\.config\.delay: 0\.0 there, 0\.001 now.*--replace"):
        run(changed)
    assert records.path_of(Path("runs"), "squares", TRACK, "blind", 0).read_bytes() == before
    assert run(changed, replace=True)["blind"]["config"]["config"]["delay"] == 0.001


def test_lost_and_damaged_images_are_made_again_with_the_batch_they_belong_to(squares, monkeypatch, tmp_path):
    path = squares()
    first = run(path)
    [folder] = Path("runs/squares", TRACK, "painter").iterdir()
    images = sorted((folder / "images").glob("*.png"))
    images[0].unlink()
    images[1].write_bytes(b"no image")
    records.path_of(Path("runs"), "squares", TRACK, "painter", 0).unlink()
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    again = run(path)
    assert records.comparable(again["painter"]) == records.comparable(first["painter"])
    assert len((tmp_path / "log").read_text().split()) in (8, 16)


def test_nan_and_black_images_are_counted_and_keep_a_record_off_the_board(squares):
    suites = (
        "{name: painter, as: blind, colour_blind: true}",
        "{name: painter, as: broken, nan_below: 0.3, black_below: 0.5}",
    )
    record = run(squares(suites))["broken"]
    seeds = [sample.seed / 2**63 for sample in samples_of(_prompts(record), 0)]
    nan, black = sum(seed < 0.3 for seed in seeds), sum(0.3 <= seed < 0.5 for seed in seeds)
    assert nan > 0
    assert black > 0
    assert record["counts"] == {
        "requested": 32,
        "generated": 32 - nan,
        "ok": 32 - nan - black,
        "black": black,
        "nan": nan,
        "failed": 0,
    }
    assert record["partial"] is True
    assert record["failures"][0]["status"] in ("nan", "black")
    assert any("NaN" in failure["message"] for failure in record["failures"])


def _prompts(record: dict) -> list[Prompt]:
    [plan] = prepare(suite.load("squares.yaml"))
    assert plan.prompt_facts["digest"] == record["prompts"]["digest"]
    return list(plan.prompts)


def test_a_method_without_a_single_image_has_a_record_that_says_so(squares):
    record = run(squares(("colour_blind: true", "nan_below: 1")))["blind"]
    assert (record["counts"]["nan"], record["coverage"], record["values"]) == (32, 0.0, {})
    assert set(record["unscored"]) == {"hue", "pair_hue"}


def test_too_few_images_for_a_metric_is_one_line_and_nothing_is_recorded(squares):
    with pytest.raises(UserError, match="hue: hue needs 21 images, got 20"):
        run(squares(("[hue,", "[{name: hue, least: 21},")))
    assert not list(Path("runs").rglob("0.json"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("colour_blind: true", "colour_blnd: true", "blind: unknown key 'colour_blnd', did you mean 'colour_blind'?"),
        ("[hue,", "[{name: hue, last: 3},", "hue: unknown key 'last', did you mean 'least'?"),
        ("captions: 20", "captions: 25", "captions is 25, but squares test has 24 images"),
        ("name: squares}", "name: squares, captions: 0}", "image test-0 has no caption"),
        (
            "metrics:",
            "columns: [hoe]\nmetrics:",
            "columns: 'hoe' is made by none of the suite's metrics, did you mean 'hue'?",
        ),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_before_a_method_works(squares, old, new, said, monkeypatch, tmp_path):
    monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "log"))
    with pytest.raises(UserError) as error:
        run(squares((old, new)))
    assert said in str(error.value)
    assert not (tmp_path / "log").exists()


def test_a_second_run_on_the_same_cell_is_refused_while_the_first_is_at_work(squares):
    path = squares()
    run(path)
    [folder] = Path("runs/squares", TRACK, "painter").iterdir()
    record = records.path_of(Path("runs"), "squares", TRACK, "painter", 0)
    record.unlink()
    holder = "import sys, time; from t2ibench.runner.generate import locked; from pathlib import Path\n"
    holder += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", holder, str(folder)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another run is at work on this cell"):
            run(path)
        assert not record.exists()
    finally:
        process.kill()
        process.wait()
    assert run(path)["painter"]["counts"]["ok"] == 32  # a killed process leaves no lock
    with locked(folder):
        pass


def test_a_run_killed_at_any_point_ends_in_the_same_records(squares, monkeypatch, tmp_path):
    path = squares(("[painter, {name: painter, as: blind, colour_blind: true}]", "[{name: painter, delay: 0.02}]"))
    whole = {name: records.comparable(record) for name, record in run(path, "whole", 4).items()}
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
    environment = {**os.environ, "PAINTER_LOG": str(log), "OMP_NUM_THREADS": "1"}
    for asked in (3, 9, 22):  # kill it when so many samples were asked for: in the first batch, in the middle, late
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while process.poll() is None and (not log.exists() or len(log.read_text().split()) < asked):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    monkeypatch.setenv("PAINTER_LOG", str(log))
    run(path, "killed", 4)
    killed = {record["method"]: records.comparable(record) for record in records.load(Path("killed"))}
    assert killed == whole
    asked_for = Counter(log.read_text().split())
    assert max(asked_for.values()) <= 4  # a kill costs the batch in flight and no more; 32 samples a cell, 2 cells
    assert sum(asked_for.values()) <= 64 + 3 * 4
    assert not list(Path("killed").rglob("*.part"))


def test_everything_that_is_kept_lies_in_the_cache_of_the_run(squares, tmp_path):
    [plan] = prepare(suite.load(str(squares())), cache=tmp_path / "other")
    maker = maker_of(plan, plan.entries[-1], 0)
    assert (plan.models.cache, plan.data.cache) == (tmp_path / "other", tmp_path / "other")
    assert isinstance(maker, Method)
    assert maker.method.models.cache == tmp_path / "other"
    [plan] = prepare(suite.load(str(squares())))
    assert plan.models.cache == plan.data.cache == tmp_path / "cache"  # T2IBENCH_CACHE
