"""`--offline` refuses whatever leaves this machine; `cache` lists, checks and removes what is kept."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2ibench.core import cache, offline
from t2ibench.core.errors import UserError


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in offline.OF_LIBRARIES:
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv(offline.VARIABLE, "1")
    offline.apply()


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "t2ibench.invalid"])
def test_a_connection_to_another_machine_is_one_line(host: str):
    with pytest.raises(UserError, match=f"--offline: something asks for {host}"):
        socket.create_connection((host, 80), timeout=1)


@pytest.mark.usefixtures("closed")
def test_this_machine_is_open_also_offline():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
        pass
    one, other = socket.socketpair()
    one.close()
    other.close()


def test_the_option_closes_the_command_and_what_it_starts(t2ibench: Any, monkeypatch: pytest.MonkeyPatch):
    for name in (offline.VARIABLE, *offline.OF_LIBRARIES):
        monkeypatch.setenv(name, "")  # so that it is taken back
    assert t2ibench("--offline", "list", "suites").returncode == 0
    assert os.environ[offline.VARIABLE] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    for key in ("a", "b"):
        cache.cached(tmp_path, [key], lambda: np.ones(1000))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/w.safetensors").write_bytes(b"x" * 10)
    return tmp_path


def test_the_cache_is_listed_and_checked(t2ibench: Any, kept: Path):
    answer = json.loads(t2ibench("cache", "--json").stdout)
    assert [(part["name"], part["files"]) for part in answer["parts"]] == [("features", 2), ("mine", 1)]
    assert (answer["damaged"], answer["removed_bytes"]) == ([], 0)
    first = sorted((kept / "features").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-1])
    found = t2ibench("cache", "--verify")
    assert found.returncode == 1
    assert f"damaged: {first}" in found.stdout


def test_what_nobody_used_is_removed_and_weights_stay(t2ibench: Any, kept: Path):
    old, new = sorted((kept / "features").iterdir())
    for path in (old, kept / "mine/w.safetensors"):
        os.utime(path, (time.time() - 10 * 86_400,) * 2)
    answer = t2ibench("cache", "--prune", "5")
    assert answer.returncode == 0
    assert [path.name for path in sorted(kept.rglob("*")) if path.is_file()] == [new.name, "w.safetensors"]
