"""Kills, full disks, damaged files and two processes at once: what is recorded in the end is what an undisturbed run
records.
"""

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from t2ibench.core import records
from t2ibench.core.cache import cached
from t2ibench.core.errors import UserError
from t2ibench.data import image_sets
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.journal import Store

ONE = ("[painter, {name: painter, as: blind, colour_blind: true}]", "[painter]")
FEW = ("[real, shuffled, {name: unconditional, of: painter}]", "[shuffled]")
SCRIPT = Path(__file__).parents[1] / "support" / "killed.py"


def run(path: Path, folder: str = "runs") -> list[dict]:
    for _ in runner.run(suite.load(str(path)), runner.RunOptions(Path(folder), Path(folder), 4)):
        pass
    return [records.comparable(record) for record in records.load(Path(folder))]


def cell(folder: str = "runs") -> Path:
    [found] = Path(folder, "squares", "text_to_image", "painter").iterdir()
    return found


def forget(folder: str = "runs") -> None:
    records.path_of(Path(folder), "squares", "text_to_image", "painter", 0).unlink()


def killed(*words: object) -> dict:
    words = (sys.executable, SCRIPT, *words)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return json.loads(
        subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.slow
def test_a_run_killed_at_random_calls_and_one_of_two_processes_end_in_the_same_records(squares, tmp_path):
    path = squares(ONE, FEW)
    slow = tmp_path / "slow.yaml"
    slow.write_text(path.read_text("utf-8").replace("[painter]", "[{name: painter, delay: 0.05}]"), "utf-8")
    found = killed(path, 12, 0, slow)
    assert [point for point in found["killed"] if not (point["killed"] and point["equal"])] == []
    [both] = found["together"]
    assert both == {"codes": both["codes"], "equal": True, "again": 0}
    assert sorted(both["codes"]) in ([0, 0], [0, 2])  # 2: refused, since the other was at work on the cell


@pytest.mark.slow
def test_a_run_killed_at_200_random_calls_ends_in_the_same_records(squares):
    found = killed(squares(ONE, FEW), 200, 1)["killed"]
    assert [point for point in found if not (point["killed"] and point["equal"])] == []
    assert np.histogram([point["at"] for point in found], 4, (0, 1))[0].min() > 20  # all parts of a run were struck


def test_a_journal_with_any_byte_changed_ends_in_the_same_record(squares):
    path, choose = squares(ONE, FEW), random.Random(0)
    whole = run(path)
    journal = cell() / "journal.jsonl"
    sound = journal.read_bytes()
    for _ in range(8):
        place = choose.randrange(len(sound))
        journal.write_bytes(sound[:place] + bytes([sound[place] ^ (1 << choose.randrange(7))]) + sound[place + 1 :])
        forget()
        assert run(path) == whole


def test_a_changed_line_of_a_journal_does_not_count_and_one_without_checksum_does(tmp_path):
    from made_outcomes import outcome

    store = Store(tmp_path)
    store.append([outcome(store, "a", 1), outcome(store, "b", 1)])
    text = store.path.read_text("utf-8")
    store.path.write_text(text.replace('"k": 0', '"k": 1', 1), "utf-8")
    assert set(store.outcomes()) == {"b"}
    old = [{key: value for key, value in json.loads(line).items() if key != "crc32"} for line in text.splitlines()]
    store.path.write_text("".join(json.dumps(line) + "\n" for line in old) + "[1]\n", "utf-8")
    assert set(store.outcomes()) == {"a", "b"}


def test_a_damaged_record_is_refused_by_name_and_made_again_once_removed(squares):
    path = squares(ONE, FEW)
    whole = run(path)
    record = records.path_of(Path("runs"), "squares", "text_to_image", "painter", 0)
    record.write_text(record.read_text("utf-8").replace('"coverage": 1.0', '"coverage": 0.9'), "utf-8")
    with pytest.raises(UserError, match=r"painter/0\.json: not a sound record"):
        run(path)
    record.unlink()
    assert run(path) == whole


def test_a_damaged_feature_file_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    values = np.arange(40, dtype=np.float32)
    cached(tmp_path, ["k"], lambda: values)
    [file] = (tmp_path / "features").iterdir()
    sound, choose = file.read_bytes(), random.Random(0)
    for damaged in [sound[: len(sound) // 2], b"", *(_flipped(sound, choose) for _ in range(20))]:
        file.write_bytes(damaged)
        np.testing.assert_array_equal(cached(tmp_path, ["k"], lambda: values), values)
        assert file.read_bytes() == sound


def _flipped(content: bytes, choose: random.Random) -> bytes:
    place = choose.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")


@full
def test_a_full_disk_is_one_line_at_the_journal_and_the_run_goes_on_once_there_is_room(squares, monkeypatch):
    path = squares(ONE, FEW)
    whole = run(path)
    forget()
    journal = cell() / "journal.jsonl"
    kept = b"".join(journal.read_bytes().splitlines(keepends=True)[:5])
    journal.unlink()
    journal.symlink_to("/dev/full")
    with monkeypatch.context() as patched:
        patched.setattr("t2ibench.runner.journal.lines_of", lambda path: [])  # /dev/full has no end to read to
        with pytest.raises(
            UserError, match=r"journal\.jsonl cannot be written \(No space left on device\): free some space"
        ):
            run(path)
    journal.unlink()
    journal.write_bytes(kept)
    assert run(path) == whole


def test_a_full_disk_is_one_line_at_the_record_and_leaves_the_old_one(tmp_path, monkeypatch):
    from made_records import record

    path = tmp_path / "r.json"
    records.write(record(), path)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(UserError, match=r"r\.json cannot be written \(No space left on device\): free some space"):
            records.write(record(cost={"seconds_per_image": 1.0}), path)
    assert records.read(path) == record()


def test_a_full_disk_is_one_line_at_an_image(squares, monkeypatch):
    path = squares(ONE, FEW)
    whole = run(path, "whole")
    original, written = os.replace, 0

    def write(part: Path, path: Path) -> None:
        nonlocal written
        written += path.suffix == ".png"
        if written > 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(part, path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", write)
        with pytest.raises(UserError, match=r"png cannot be written \(No space left on device\): free some space"):
            run(path)
    assert run(path) == whole


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve room")
def test_a_full_disk_is_one_line_at_a_drawn_image_set_and_does_not_kill_the_process(tmp_path, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\): 31 MB are needed"):
        image_sets.write_images(tmp_path / "a.npy", [], (10_000, 3, 32, 32))
    assert list(tmp_path.iterdir()) == []
