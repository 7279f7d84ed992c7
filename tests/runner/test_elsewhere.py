"""A run whose folders are on another file system: an object store, one without exclusive create, one in memory."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2ibench.core import mirrors, records, storage
from t2ibench.core.claims import Claim
from t2ibench.core.errors import UserError
from t2ibench.core.storage import publish
from t2ibench.runner import run as runner
from t2ibench.runner import status, suite
from t2ibench.runner.generate import locked

ONE = (
    ("[painter, {name: painter, as: blind, colour_blind: true}]", "[painter]"),
    ("[real, shuffled, {name: unconditional, of: painter}]", "[shuffled]"),
)
S3 = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "bbbbbbbb",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No mirror of another test; caches of its own."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setattr(mirrors, "_mirrors", {})
    monkeypatch.setattr(storage, "_unclaimed", set())


def forgotten(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As on another machine: nothing is known here, and nothing lies here."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(folder))
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setattr(mirrors, "_mirrors", {})


def run(path: Path, place: str, **options) -> list[dict]:
    folder = mirrors.folder_of(place)
    wanted = runner.RunOptions(folder, folder, 8, **options)
    return [records.comparable(cell.record) for cell in runner.run(suite.load(str(path)), wanted)]


def by_method(found: list[dict]) -> dict[str, dict]:
    return {record["method"]: record for record in found}


def server(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command[0]} ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    needed("moto", "s3fs")
    port = free_port()
    yield from served(server([sys.executable, "-m", "moto.server", "-p", str(port)], port), monkeypatch)


@pytest.fixture
def nanio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    needed("nanio", "s3fs")
    port = free_port()
    monkeypatch.setenv("NANIO_ACCESS_KEY", S3["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("NANIO_SECRET_KEY", S3["AWS_SECRET_ACCESS_KEY"])
    command = [
        str(Path(sys.executable).parent / "nanio"),
        "serve",
        "--port",
        str(port),
        "--data-dir",
        str(tmp_path / "n"),
    ]
    yield from served(server(command, port), monkeypatch)


def needed(*modules: str) -> None:
    for module in modules:
        if "T2IBENCH_NEED_CHROMIUM" not in os.environ:  # where all tools have to be there, a test fails without them
            pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[dev-all]'")


def served(addresses: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import fsspec

    for address in addresses:
        for name, value in {**S3, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket/runs"
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_run_in_an_object_store_is_that_of_a_folder_and_other_machines_go_on_with_it(
    moto, squares, monkeypatch, tmp_path
):
    import fsspec

    path = squares(*ONE)
    wanted = runner.RunOptions(Path("here"), Path("here"), 8)
    here = by_method([records.comparable(cell.record) for cell in runner.run(suite.load(str(path)), wanted)])
    for machine, shard in (("a", (1, 3)), ("b", (0, 3)), ("c", (2, 3))):
        forgotten(monkeypatch, tmp_path / machine)
        assert run(path, moto, shard=shard) == []
    forgotten(monkeypatch, tmp_path / "looks")
    folder = mirrors.folder_of(moto)
    cells = status.status("squares", folder, folder)
    assert [cell.made for cell in cells] == [cell.images for cell in cells]
    assert len({name for cell in cells for name in cell.at_work}) == 3
    monkeypatch.setenv("PAINTER_LOG", str(log := tmp_path / "log"))
    forgotten(monkeypatch, tmp_path / "scores")
    assert by_method(run(path, moto)) == here
    assert not log.exists()  # every image was there
    forgotten(monkeypatch, tmp_path / "reads")
    assert by_method([records.comparable(record) for record in records.load(mirrors.folder_of(moto))]) == here
    names = [name.removeprefix("bucket/runs/") for name in fsspec.filesystem("s3").find("bucket/runs")]
    assert not [name for name in names if "lock" in name or ".part" in name or ".probe" in name or ".writable" in name]
    assert {Path(name).name for name in names if "journal" in name} == {"journal.jsonl"}
    assert sum(name.endswith(".png") for name in names) == 2 * 32


@pytest.mark.slow
def test_commands_take_addresses(moto, squares, t2ibench, monkeypatch, tmp_path):
    path = squares(*ONE)
    answer = t2ibench("run", str(path), "--out", moto, "--work", moto, "--batch", "8", "--jobs", "2")
    assert answer.returncode == 0, answer.stderr
    forgotten(monkeypatch, tmp_path / "other")
    assert t2ibench("status", str(path), "--out", moto, "--work", moto).stdout.count("recorded") >= 2
    assert "painter" in t2ibench("table", moto).stdout
    assert t2ibench("report", moto, "--out", "site").returncode == 0
    assert any(Path("site").rglob("*.webp"))


def test_a_server_that_lets_everybody_create_is_found_out_and_used_without_claims(nanio, squares, caplog):
    path = squares(*ONE)
    found = by_method(run(path, nanio))
    assert found["painter"]["counts"]["ok"] == 32
    assert "no exclusive create here; what runs at once may be done twice" in caplog.text


def test_a_claim_in_an_object_store(moto, monkeypatch):
    """One of several gets it; that of a process that is no more is taken over."""
    folder = mirrors.folder_of(moto)
    with locked(folder / "cell"):
        with pytest.raises(UserError, match="another run is at work on this cell"), locked(folder / "cell"):
            pass
        forgotten(monkeypatch, folder.parent / "another")  # machine
        with pytest.raises(UserError, match="another run is at work"), locked(mirrors.folder_of(moto) / "cell"):
            pass
    owner = mirrors.mirror_of(mirrors.folder_of(moto))
    assert owner is not None
    assert owner.exclusive
    claim = Claim(owner.folder / "cell" / "lock")
    owner.create(owner.there(claim.path), claim._content().replace(b'"started": "', b'"started": "9'))
    with locked(owner.folder / "cell"):
        pass


def test_any_file_system_of_fsspec(squares, monkeypatch, tmp_path):
    path = squares(*ONE)
    here = by_method(run(path, "here"))
    assert by_method(run(path, "memory://runs")) == here
    forgotten(monkeypatch, tmp_path / "other")
    again = run(path, "memory://runs")
    assert by_method(again) == here


def test_what_was_removed_elsewhere_is_not_here_either(monkeypatch, tmp_path):
    import fsspec

    folder = mirrors.folder_of("memory://gone")
    publish(folder / "a" / "x.json", b"1")
    publish(folder / "a" / "y.json", b"2")
    system = fsspec.filesystem("memory")
    system.rm("/gone/a/x.json")
    os.utime(folder / "a" / "x.json", (1, 1))
    system.pipe_file("/gone/a/y.json", b"3")
    assert mirrors.folder_of("memory://gone") == folder
    assert [path.name for path in folder.rglob("*.json")] == ["y.json"]
    assert (folder / "a" / "y.json").read_bytes() == b"3"


def test_an_address_that_leads_nowhere_is_one_line(tmp_path):
    for address, said in (("s4://x/y", "cannot be opened"), ("sftp://127.0.0.1:1/x", "cannot be")):
        with pytest.raises(UserError, match=said):
            mirrors.folder_of(address)
