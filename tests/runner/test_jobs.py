"""A suite by several processes: the same records as by one, whatever becomes of the processes."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from preference_files import image_reward

from t2ibench.core import environment, readers, records
from t2ibench.core.errors import UserError
from t2ibench.runner import jobs, shards, suite, workers
from t2ibench.runner import run as runner
from t2ibench.runner.journal import Outcome, Store, journals, summed
from t2ibench.runner.plan import prepare
from t2ibench.runner.worker import Look, Make, Open, Score

TWO = ("[painter, {name: painter, as: blind, colour_blind: true}]", "[painter, {name: painter, as: slow, delay: 0.05}]")


REAL = ("[real, shuffled, {name: unconditional, of: painter}]", "[real]")


def run(path: Path, folder: str, batch: int = 8, **options) -> list[dict]:
    """The comparable parts of the records, in the order in which the cells ended."""
    wanted = runner.RunOptions(Path(folder), Path(folder), batch, **options)
    return [records.comparable(cell.record) for cell in runner.run(suite.load(str(path)), wanted)]


def by_method(found: list[dict]) -> dict[str, dict]:
    return {record["method"]: record for record in found}


def test_three_processes_make_the_records_of_one(squares, monkeypatch, tmp_path):
    path = squares(TWO)
    made = {}
    for folder, number in (("one", 1), ("three", 3)):
        monkeypatch.setenv("PAINTER_LOG", str(tmp_path / f"{folder}.log"))
        made[folder] = by_method(run(path, folder, jobs=number))
    assert made["three"] == made["one"]
    asked = [Counter((tmp_path / f"{folder}.log").read_text().split()) for folder in ("one", "three")]
    assert asked[0] == asked[1]  # no sample is made twice
    assert sum(asked[0].values()) == 3 * 32
    assert {path.name for path in Path("three").rglob("journal*")} == {"journal.jsonl"}  # merged
    again = list(runner.run(suite.load(str(path)), runner.RunOptions(Path("three"), Path("three"), 8, jobs=2)))
    assert not any(cell.fresh for cell in again)


def test_a_method_is_loaded_once_a_process(squares, monkeypatch, tmp_path):
    """Each opens the cells of the method that it has."""
    monkeypatch.setenv("PAINTER_LOADS", str(tmp_path / "loads"))
    run(squares((TWO[0], "[painter, {name: painter, as: slow, delay: 0.05}]\nseeds: [0, 1, 2]"), REAL), "out", jobs=2)
    loads = Counter((tmp_path / "loads").read_text().splitlines())
    assert len(loads) >= 3  # this one looks at both before the first image
    assert max(loads.values()) == 1


def test_a_process_that_is_killed_is_replaced_and_nothing_is_made_that_was_there(squares, monkeypatch, tmp_path):
    path = squares((TWO[0], "[{name: painter, delay: 0.2}]"))
    whole = by_method(run(path, "one"))
    monkeypatch.setenv("PAINTER_LOG", str(log := tmp_path / "log"))
    killed: list[int] = []

    def kill(self, timeout, answers=workers.LocalWorkers.answers):
        if len(killed) < 2 and log.exists() and len(log.read_text().split()) > 8 * len(killed):
            busy = [hand for hand in self.hands if isinstance(hand.task, Make)]
            if busy:
                killed.append(busy[0].handle.pid)
                os.kill(busy[0].handle.pid, signal.SIGKILL)
        yield from answers(self, timeout)

    monkeypatch.setattr(workers.LocalWorkers, "answers", kill)
    assert by_method(run(path, "two", jobs=2)) == whole
    assert len(killed) == 2
    assert sum(Counter(log.read_text().split()).values()) <= 64 + 2 * 8  # a kill costs the batch in flight


@pytest.mark.slow
def test_a_batch_that_takes_too_long_is_put_down_as_failed_and_the_rest_is_made(squares):
    stuck = (TWO[0], "[painter, {name: painter, as: stuck, delay: 60}]")
    path = squares(stuck, ("captions: 20", "captions: 6"), (", pair_hue]", "]"))  # captions alone are asked for
    found = by_method(run(path, "late", 64, batch_timeout=0.5))
    assert found["painter"]["counts"]["ok"] == found["painter"]["counts"]["requested"]
    assert found["stuck"]["counts"]["failed"] == found["stuck"]["counts"]["requested"]
    assert found["stuck"]["failures"][0]["message"] == "no image within 0.5 s (--batch-timeout)"


def test_a_mistake_of_the_user_is_one_line_and_leaves_no_process(squares):
    path = squares(("{name: painter, as: blind, colour_blind: true}", "{name: image_folder, as: mine, root: missing}"))
    with pytest.raises(UserError, match="missing does not exist"):
        run(path, "bad", jobs=2)
    assert not children()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(squares, tmp_path, how):
    path = squares((TWO[0], "[{name: painter, delay: 300}]"))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "t2ibench", "run", str(path), "--out", "k", "--work", "k", "--jobs", "2"]
    process = subprocess.Popen(command, env={**os.environ, "PAINTER_LOG": str(log)}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(children(process.pid)) == 2 and next(Path("k").rglob("images"), None) is not None)
        started = children(process.pid)
        process.send_signal(how)
        process.wait(timeout=60)  # far less than a batch takes
        wait_until(lambda: not any(alive(pid) for pid in started))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("devices", [(), ("cpu", "cpu")])
def test_the_number_of_processes_follows_the_work(squares, monkeypatch, devices):
    plans = prepare(suite.load(str(squares())))  # 5 cells of 32 images
    monkeypatch.setattr(readers, "processors", lambda: 6)
    for few, expected in ((200, 1), (50, 3), (2, 6)):
        monkeypatch.setattr(jobs, "FEW", few)
        monkeypatch.setattr(environment, "free_memory", lambda: None)  # a system that does not say it
        options = runner.RunOptions(jobs=0, devices=devices)
        assert jobs.number(plans, options) == (len(devices) or expected)
        monkeypatch.setattr(environment, "free_memory", lambda: 5 * 2**30)  # two processes
        assert jobs.number(plans, options) == (len(devices) or min(expected, 2))
    assert jobs.number(plans, runner.RunOptions(jobs=5, devices=devices)) == 5
    assert jobs.number(plans, runner.RunOptions(jobs=0, device="cuda")) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_shards_in_any_order_make_the_records_of_one_process(squares, monkeypatch, tmp_path, number):
    path = squares((TWO[0], "[painter]"))
    made = {}
    for folder, parts in (("one", []), ("parts", [(2, 3), (0, 3), (1, 3)])):
        monkeypatch.setenv("PAINTER_LOG", str(tmp_path / f"{folder}.log"))
        for shard in parts if number == 1 else parts[:1]:
            assert run(path, folder, shard=shard, jobs=number) == []  # nothing is scored
            assert not (Path(folder) / "records").exists()
        if folder == "parts":  # the last run has nothing to make, or the shards that nobody made
            monkeypatch.setenv("PAINTER_LOG", str(tmp_path / "last.log"))
        made[folder] = by_method(run(path, folder))
    assert made["parts"] == made["one"]
    asked = [Counter((tmp_path / f"{name}.log").read_text().split()) for name in ("one", "parts")]
    if number == 1:
        assert asked[0] == asked[1]
        assert not (tmp_path / "last.log").exists()
    else:
        assert 0 < asked[1].total() < asked[0].total()


def test_the_shards_share_the_blocks_of_all_cells(squares):
    plans = prepare(suite.load(str(squares())))  # 5 cells of 20 captions and 12 images of pairs
    parts = [shards.blocks_of_shard(plans, runner.RunOptions(batch=8, shard=(k, 4))) for k in range(4)]
    for cell in shards.cells_of(plans):
        assert sorted(number for part in parts for number in part[cell]) == [0, 1, 2, 3, 4]
    assert [sum(map(len, part.values())) for part in parts] == [7, 6, 6, 6]


@pytest.mark.parametrize("text", ["3", "3/3", "-1/3", "a/b", "1/0", "1/2/3"])
def test_a_shard_that_does_not_exist_is_one_line(squares, t2ibench, text):
    answer = t2ibench("run", str(squares()), "--shard", text)
    assert answer.returncode == 2
    assert (
        answer.stderr == f"t2ibench: --shard {text!r}: expected a part and their number, 0/8 to 7/8 for eight parts\n"
    )


def cells(number: int = 2) -> list[tuple[str, str, int]]:
    return [("text_to_image", f"method-{k}", 0) for k in range(number)]


def test_a_free_process_keeps_its_cell_then_opens_one_then_helps():
    first, second = cells()
    agenda = jobs.Agenda([first, second])
    assert agenda.next(None) == Open(first)
    assert agenda.next(None) == Open(second)
    assert agenda.next(None) is None
    for cell, blocks in ((first, {0: 8}), (second, {0: 8, 1: 8, 2: 4})):
        state = agenda.returned(Open(cell))
        state.stage, state.blocks = "making", blocks
    assert agenda.next(first) == Make(first, 0)
    assert agenda.next(first) == Make(second, 0)  # helps
    assert agenda.next(second) == Make(second, 1)
    agenda.returned(Make(first, 0))
    assert agenda.next(second) == Score(first)  # whoever is free
    assert not agenda.finished


def test_where_nothing_else_is_left_all_look_before_one_scores():
    first, second = cells()
    agenda = jobs.Agenda([first, second], hands=2)
    for cell in (first, second):
        agenda.next(None)
        state = agenda.returned(Open(cell))
        state.stage, state.blocks = "making", {0: 8}
    for cell in (first, second):
        assert agenda.next(cell) == Make(cell, 0)
    agenda.returned(Make(first, 0))
    assert agenda.next(first) == Look(first, 0, 2)
    agenda.returned(Make(second, 0))
    assert agenda.next(second) == Look(first, 1, 2)
    assert agenda.lost(Look(first, 1, 2), "signal 9")  # not made again: the one that scores makes it
    agenda.returned(Look(first, 0, 2))
    assert agenda.next(first) == Score(first)
    assert agenda.next(second) == Look(second, 0, 2)


@pytest.mark.slow
def test_what_networks_say_of_images_is_shared_and_the_record_is_that_of_one_process(squares, monkeypatch, tmp_path):
    pytest.importorskip("transformers", reason="pip install transformers")
    weights, vocabulary, _ = image_reward(tmp_path)
    fid = "{name: fid, extractor: clip-judge-avatars, fewest: 16}"
    rewards = f"{{name: image_reward, weights: {weights}, vocabulary: {vocabulary}}}"
    changes = (("captions: 20", "captions: 24"), ("[hue, pair_hue]", f"[{fid}, {rewards}]"))
    path = squares((TWO[0], "[painter]"), ("[real, shuffled, {name: unconditional, of: painter}]", "[]"), *changes)
    tasks, made = list[object](), {}

    def taken(self, task, taken=jobs.Agenda._taken):
        tasks.append(task)
        return taken(self, task)

    monkeypatch.setattr(jobs.Agenda, "_taken", taken)
    for folder, number in (("one", 1), ("two", 2)):
        monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / f"cache of {folder}"))
        made[folder] = by_method(run(path, folder, jobs=number))
    assert made["two"] == made["one"]
    assert [task.part for task in tasks if isinstance(task, Look)] == [0, 1]
    assert not any(Path("two").rglob("features/*"))


def test_processes_start_before_the_plans_and_those_that_are_not_needed_end(squares, monkeypatch):
    path, made = squares((TWO[0], "[painter]"), REAL), list[subprocess.Popen]()
    start = workers.process

    def process() -> subprocess.Popen:
        made.append(start())
        return made[-1]

    monkeypatch.setattr(workers, "process", process)
    run(path, "two", jobs=2)
    assert len(made) == 2  # those that were there
    made.clear()
    with pytest.raises(UserError, match="--again: no method of squares is called"):
        run(path, "other", jobs=2, again=("nobody",))
    assert [one.poll() for one in made] == [-9, -9]
    made.clear()
    with workers.started(2) as waiting:
        taken = waiting.pop()
    assert (made[0].poll(), taken.poll()) == (-9, None)
    taken.kill()
    taken.communicate()


def test_as_many_processes_are_expected_as_will_surely_work(squares, monkeypatch):
    monkeypatch.setattr(readers, "processors", lambda: 8)
    small, large = (("captions: 20", f"captions: {count}") for count in (20, 700))
    painters = (TWO[0], "[painter, {name: painter, as: slow}]")

    def expected(change, **options) -> int:
        asked = suite.load(str(squares(painters, change)))
        return jobs.expected(asked, runner.RunOptions(Path("out"), Path("out"), **options))

    assert [expected(small, jobs=number) for number in (0, 1, 3)] == [0, 0, 3]
    assert expected(large, jobs=0) == 2 * 700 // jobs.FEW
    assert expected(large, jobs=0, device="cuda") == 0
    assert expected(large, jobs=0, executor="ray") == 0
    path = records.path_of(Path("out"), "squares", "text_to_image", "slow", 0)
    path.parent.mkdir(parents=True)
    path.touch()
    assert expected(large, jobs=0) == 0  # most of it may be there


def test_a_free_process_opens_a_cell_of_the_method_that_it_has():
    keys = [("text_to_image", name, seed) for seed in (0, 1) for name in "ab"]
    agenda = jobs.Agenda(keys)
    assert agenda.next(None) == Open(keys[0])
    assert agenda.next(None) == Open(keys[1])
    assert agenda.next(keys[1]) == Open(keys[3])


def test_a_task_is_tried_three_times():
    [cell] = cells(1)
    agenda = jobs.Agenda([cell])
    task = agenda.next(None)
    for tried in range(3):
        assert task == Open(cell)
        assert agenda.lost(task, "signal 9") is (tried < 2)
        task = agenda.next(None)
    assert task is None
    agenda = jobs.Agenda([cell])
    agenda.next(None)
    state = agenda.returned(Open(cell))
    state.stage, state.blocks = "making", {0: 8}
    for _ in range(3):
        assert agenda.next(cell) == Make(cell, 0)
        assert agenda.lost(Make(cell, 0), "signal 9")
    assert agenda.next(cell) == Make(cell, 0, "signal 9")


def test_journals_of_several_processes_are_one(tmp_path, caplog):
    made = Outcome("a", "p", "captions", "text", 0, "text", "ok", "", 1.0)
    image = np.zeros((3, 4, 4), np.uint8)
    one, two = Store(tmp_path, "1"), Store(tmp_path, "2")
    whole = [replace(made, sample=name, sha256=one.save(name, image)) for name in "ab"]
    failed = replace(made, sample="b", status="failed", message="lost")
    one.append([whole[0], failed], {"prompts_trained": 1, "training_seconds_per_prompt": 3.0, "training_seconds": 3.0})
    two.append([whole[1]], {"prompts_trained": 2, "training_seconds_per_prompt": 6.0, "training_seconds": 12.0})
    store = Store(tmp_path)
    assert store.outcomes() == store.sound({"a": "text", "b": "text"}) == {"a": whole[0], "b": whole[1]}
    cost = {"prompts_trained": 3, "training_seconds_per_prompt": 5.0, "training_seconds": 15.0}
    assert store.cost() == cost
    store.merge(whole)
    assert [path.name for path in journals(tmp_path)] == ["journal.jsonl"]
    assert Store(tmp_path).outcomes() == {"a": whole[0], "b": whole[1]}
    assert Store(tmp_path).cost() == cost
    store.merge([])  # nothing is left to merge
    assert Store(tmp_path).outcomes() == {"a": whole[0], "b": whole[1]}


def test_costs_are_summed_and_means_weighed():
    assert summed([]) == {}
    assert summed([{"preparation_seconds": 4.0}, {"preparation_seconds": 5.0}]) == {"preparation_seconds": 5.0}
    assert summed([{"training_seconds_per_prompt": 2.0}]) == {"training_seconds_per_prompt": 2.0}


def children(parent: int | None = None) -> list[int]:
    answer = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent or os.getpid())], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in answer.stdout.splitlines() if workers.MODULE in line]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(holds, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_imports_what_this_one_imports(squares, monkeypatch, tmp_path):
    """A folder with modules of the same names, from which the run is started, changes nothing."""
    path = squares((TWO[0], "[painter]"))
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    (tmp_path / "t2ibench").mkdir()
    (tmp_path / "t2ibench/__init__.py").write_text("raise ImportError('another t2ibench')")
    (tmp_path / "torch.py").write_text("raise ImportError('no torch')")
    found = by_method(run(path, "here", jobs=2))
    assert found["painter"]["counts"]["ok"] == 32
