"""data/downloads.py and `fetch`, against a server on this machine."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from release_files import write_celeba_hq

from t2ibench.core.errors import UserError
from t2ibench.data import downloads
from t2ibench.data.downloads import Asset, assets, fetch, unpack
from t2ibench.runner import suite

CONTENT = bytes(range(256)) * 40


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT. /cut ends after 1,000 bytes of every answer, /whole knows no ranges, /moved redirects."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    content = CONTENT

    def do_GET(self):
        span = self.headers.get("Range")
        self.asked.append((self.path, span))
        if self.path == "/gone":
            self.send_error(404)
            return
        if self.path == "/moved/list.csv":
            self.send_response(302)
            self.send_header("Location", "/list.csv")
            self.end_headers()
            return
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and self.path != "/whole" else 0
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        self.wfile.write(body[:3000] if self.path in ("/cut", "/whole") and len(self.asked) < 4 else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(Server, "asked", [])
    monkeypatch.setattr(Server, "content", CONTENT)
    one = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{one.server_port}"
    one.shutdown()
    one.server_close()


def asset(address, content=CONTENT, **more):
    sha256 = hashlib.sha256(content).hexdigest()
    return Asset("list", "a list", "MIT", "home.page", "data/set", address, len(content), **{"sha256": sha256, **more})


def test_a_file_is_fetched_once_and_then_only_checked(server, tmp_path):
    one = asset(f"{server}/list.csv")
    assert fetch(one) == tmp_path / "data/set/list.csv"
    assert fetch(one).read_bytes() == CONTENT
    assert len(Server.asked) == 1


def test_a_cut_download_goes_on_where_it_stopped(server):
    said: list[str] = []
    assert fetch(asset(f"{server}/cut"), said.append).read_bytes() == CONTENT
    assert [span for _, span in Server.asked] == [None, "bytes=3000-", "bytes=6000-", "bytes=9000-"]
    assert said[0] == "list: goes on at 3,000 of 10,240 bytes"


def test_what_an_earlier_command_left_is_used(server, tmp_path):
    part = tmp_path / "data/set/list.csv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:5000])
    fetch(asset(f"{server}/list.csv"))
    assert Server.asked == [("/list.csv", "bytes=5000-")]


def test_a_server_that_knows_no_ranges_sends_all_again(server):
    assert fetch(asset(f"{server}/whole")).read_bytes() == CONTENT


def test_a_redirect_is_followed(server):
    assert fetch(asset(f"{server}/moved/list.csv")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("more", "content", "message"),
    [
        ({"sha256": "0" * 64}, CONTENT, r"list\.csv has sha256 .*, expected 000000000000….*deleted"),
        ({"sha256": "", "md5": "0" * 32}, CONTENT, r"list\.csv has md5 .*, expected 000000000000"),
        ({}, CONTENT + b"more", "has 10,241 bytes, expected 10,240"),
        ({}, CONTENT[:-1], "10,239 of 10,240 bytes came from .*the same command goes on"),
    ],
)
def test_a_file_that_is_not_that_of_the_list_is_never_used(server, tmp_path, monkeypatch, more, content, message):
    monkeypatch.setattr(Server, "content", content)
    with pytest.raises(UserError, match=message) as error:
        fetch(asset(f"{server}/list.csv", **more))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data/set/list.csv").exists()


def test_an_address_without_a_file_or_a_server_is_one_line(server):
    with pytest.raises(UserError, match=r"/gone answers 404 Not Found: look at home\.page"):
        fetch(asset(f"{server}/gone"))
    with pytest.raises(UserError, match="0 of 10,240 bytes came from"):
        fetch(asset("http://127.0.0.1:9/list.csv"))


def archive(*names, link=False):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            writer.writestr(info, f"content of {name}")
    return file.getvalue()


def test_the_wanted_folder_of_an_archive_is_unpacked(server, tmp_path, monkeypatch):
    content = archive("annotations/a.json", "other/b.json")
    monkeypatch.setattr(Server, "content", content)
    folder = fetch(asset(f"{server}/some.zip", content, unpack=("annotations",)))
    assert (folder / "a.json").read_text() == "content of annotations/a.json"
    assert not (tmp_path / "data/set/other").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive("a/fine", "../evil"), "'../evil' would leave the folder"),
        (archive("a/fine", "/evil"), "'/evil' would leave the folder"),
        (archive("a/fine", "a/../../evil"), "would leave the folder"),
        (archive("a/fine", "C:/evil"), "would leave the folder"),
        (archive("a/fine", link=True), "would leave the folder"),
        (archive("b/fine"), "holds no folder 'a'"),
        (archive("a/fine")[:-10], "is no whole .zip"),
    ],
)
def test_no_file_of_an_archive_leaves_the_folder(tmp_path, content, message):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UserError, match=message):
        unpack(tmp_path / "x.zip", tmp_path / "into", "a")
    assert not (tmp_path / "into").exists()


def test_the_list_is_whole_and_its_suites_exist():
    for one in assets().values():
        assert bool(one.click) != bool(one.address and one.bytes and (one.sha256 or one.md5)), one.name
        assert one.licence
        assert one.homepage.startswith("https://")
        assert set(one.suites) <= set(suite.available())
        assert one.into.startswith("data/")


def test_what_needs_a_click_says_where_and_is_checked_once_it_is_there(t2ibench, tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_DATA", str(tmp_path))
    answer = t2ibench("fetch", "celeba_hq")
    assert answer.returncode == 2
    assert "switchablenorms/CelebAMask-HQ" in answer.stderr
    assert "accept the agreement" in answer.stderr
    write_celeba_hq(tmp_path / "celeba_hq")
    assert "6 images in" in t2ibench("fetch", "celeba_hq").stderr
    monkeypatch.setattr("t2ibench.datasets.celeba_hq.IMAGES", 6)
    monkeypatch.setattr("t2ibench.datasets.celeba_hq.ATTRIBUTES", 5)
    assert "train 5, test 1" in t2ibench("fetch", "celeba_hq").stdout


def test_a_lock_names_everything_that_a_suite_needs(t2ibench, tmp_path):
    t2ibench("fetch", "coco30k", "--lock", str(tmp_path / "lock.json"))
    [name] = content = json.loads((tmp_path / "lock.json").read_text())
    assert content[name]["sha256"] == assets()[name].sha256
    assert t2ibench("fetch", "coco31k").stderr.count("did you mean") == 1


def test_no_download_asks_for_more_than_its_size(server, monkeypatch):
    monkeypatch.setattr(Server, "content", b"x" * 10**6)
    monkeypatch.setattr(downloads, "CHUNK", 1000)
    with pytest.raises(UserError, match="has 10,241 bytes, expected 10,240"):
        fetch(asset(f"{server}/list.csv"))
