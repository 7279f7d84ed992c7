"""Claims without `flock`: who gets one, who takes over that of a dead process, and what they are not needed for."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t2ibench.core import claims, storage
from t2ibench.core.claims import Claim, Taken
from t2ibench.core.errors import UserError
from t2ibench.core.storage import held, once, publish

HOLDER = """
import sys, time
from pathlib import Path
from t2ibench.core import claims
claims.LEASE = float(sys.argv[2])
claims.Claim(Path(sys.argv[1])).acquire(wait=False)
print("holds", flush=True)
time.sleep(600)
"""


def holder(path: Path, lease: float = 30.0) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER, str(path), str(lease)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT})
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    return process


ROOT = os.pathsep.join(sys.path)


def of_another_host(path: Path) -> None:
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "host": "another"}))


def test_one_holds_it_until_it_is_released(tmp_path):
    first, second = Claim(tmp_path / "lock"), Claim(tmp_path / "lock")
    first.acquire(wait=False)
    with pytest.raises(Taken):
        second.acquire(wait=False)
    first.release()
    assert not (tmp_path / "lock").exists()
    second.acquire(wait=False)
    second.release()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_that_of_a_dead_process_of_this_host_is_taken_at_once(tmp_path, how):
    process = holder(tmp_path / "lock")
    with pytest.raises(Taken):
        Claim(tmp_path / "lock").acquire(wait=False)
    process.send_signal(how)
    time.sleep(0.2)  # it is a zombie now, which does not count as alive
    Claim(tmp_path / "lock").acquire(wait=False)
    process.wait()


def test_that_of_another_host_is_taken_over_when_it_no_longer_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "LEASE", 0.6)
    Claim(tmp_path / "lock").acquire(wait=False)
    monkeypatch.setattr(claims, "_host", lambda: "another")
    with pytest.raises(Taken):  # it is seen to change
        Claim(tmp_path / "lock").acquire(wait=False)
    monkeypatch.setattr(Claim, "_write", lambda self: None)  # its host is gone
    taken = Claim(tmp_path / "lock")
    taken.acquire(wait=False)
    assert json.loads((tmp_path / "lock").read_bytes())["token"] == taken.token


def test_a_frozen_owner_loses_it_and_notices(tmp_path):
    process = holder(tmp_path / "lock", 0.4)
    process.send_signal(signal.SIGSTOP)
    taken = Claim(tmp_path / "lock")
    taken.acquire(wait=True)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    assert json.loads((tmp_path / "lock").read_bytes())["token"] == taken.token
    process.kill()
    process.wait()
    taken.release()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]"])
def test_a_torn_claim_is_taken(tmp_path, monkeypatch, content):
    monkeypatch.setattr(claims, "TORN", 0.1)
    (tmp_path / "lock").write_bytes(content)
    taken = Claim(tmp_path / "lock")
    taken.acquire(wait=True)
    assert json.loads((tmp_path / "lock").read_bytes())["token"] == taken.token


@pytest.mark.parametrize("blocks", [False, True])
def test_no_flock_is_ever_asked_for(tmp_path, monkeypatch, blocks):
    """Where it fails or hangs, as on some shared file systems, nothing is noticed."""
    import fcntl

    def flock(*arguments: object) -> None:
        if blocks:
            time.sleep(600)
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(fcntl, "lockf", flock)
    assert once(tmp_path / "lock", lambda: None, lambda: "made") == "made"
    with (
        held(tmp_path / "lock", "", "busy"),
        pytest.raises(UserError, match="busy"),
        held(tmp_path / "lock", "", "busy"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO, errno.EACCES, errno.EMFILE])
def test_where_no_claim_can_be_made_the_work_goes_on_and_it_is_said_once(tmp_path, monkeypatch, caplog, number):
    def fail(self: Claim) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Claim, "_created", fail)
    monkeypatch.setattr(storage, "_unclaimed", set())
    for _ in range(2):
        assert once(tmp_path / "lock", lambda: None, lambda: "made") == "made"
    assert caplog.text.count("no claims here") == 1
    assert "cannot be written" not in caplog.text


@pytest.mark.parametrize("renames", ["not over", "never"])
def test_a_file_system_that_does_not_rename_over_another_file(tmp_path, monkeypatch, renames):
    rename = os.rename

    def refuse(source: Path, target: Path) -> None:
        if renames == "never" or Path(target).exists():
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "rename", refuse)
    for content in (b"one", b"two"):
        publish(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_claim_keeps_no_file_open_and_leaves_none(tmp_path):
    for _ in range(3):
        with held(tmp_path / "lock", ""):
            assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []
