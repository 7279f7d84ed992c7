"""`t2ibench view`: what is served to whom, and that pages follow the records."""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from made_site import COUNT, made

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report.gallery import cell_folder
from t2ibench.report.site import serve
from t2ibench.report.site.contents import Contents
from t2ibench.report.site.write import write


@contextmanager
def served(source: serve.Source) -> Iterator[tuple[int, serve.Keeper]]:
    """A server of a source on a free port, with its keeper, which looks when it is told to."""
    keeper = serve.Keeper(source, lambda rows, audits, folder: write(Contents(rows, audits, [source.work]), folder))
    server = serve.server_of(keeper, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], keeper
    server.shutdown()
    server.server_close()
    thread.join()


def get(port: int, path: str, host: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection(serve.HOST, port, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


def run_of(folder: Path) -> Sequence[Mapping[str, Any]]:
    """A run that is going on: all images are there, and no record yet."""
    return made(folder).records


def test_pages_appear_with_the_first_record_and_the_progress_is_that_of_the_journals(tmp_path):
    rows = run_of(tmp_path)
    source = serve.source_of(tmp_path / "s")
    assert (source.pages, source.suite) == (tmp_path / "s" / "report", "s")
    with served(source) as (port, keeper):
        keeper.look()
        assert get(port, "/report/index.html")[0] == 302
        assert "Looking at the journals" in get(port, "/report/progress.html")[1]
        status, text = get(port, "/report/progress.js?1")
        cells = json.loads(text[9:-3])["cells"]
        assert (status, len(cells)) == (200, 4)
        assert {(cell["done"], cell["recorded"], cell["asked"]) for cell in cells} == {(COUNT + 8, False, 0)}
        records.write(rows[0], records.path_of(tmp_path, "s", "text_to_image", "plain", 0))
        keeper.look()
        assert keeper.error == ""
        assert get(port, "/report/index.html")[0] == 200
        cells = json.loads(get(port, "/report/progress.js")[1][9:-3])["cells"]
        assert sorted(cell["recorded"] for cell in cells) == [False, False, False, True]
        assert {cell["asked"] for cell in cells} == {COUNT + 8}
        images = f"/text_to_image/plain/{cell_folder(Path(), rows[0]).name}/images"
        assert get(port, f"{images}/{0:020x}.png")[0] == 200  # the image as it was made


def test_only_this_machine_is_answered_and_only_from_the_folder(tmp_path):
    run_of(tmp_path)
    (tmp_path / "secret.txt").write_text("no")
    with served(serve.source_of(tmp_path / "s")) as (port, _):
        assert get(port, "/report/progress.js", f"evil.example:{port}")[0] == 403
        assert get(port, "/report/progress.js", f"localhost:{port}")[0] == 200
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/report/../../secret.txt"):
            assert get(port, path)[0] == 404
        with pytest.raises(UserError, match=rf"port {port} cannot be had .*choose another with --port"):
            serve.server_of(serve.Keeper(serve.source_of(tmp_path / "s"), lambda *_: tmp_path), port)


def test_a_record_that_is_damaged_is_said_and_the_pages_stay(tmp_path):
    rows = run_of(tmp_path)
    path = records.path_of(tmp_path, "s", "text_to_image", "plain", 0)
    records.write(rows[0], path)
    source = serve.source_of(tmp_path / "s")
    keeper = serve.Keeper(source, lambda rows, audits, folder: write(Contents(rows, audits), folder))
    keeper.look()
    path.write_text("{")
    keeper.look()
    assert "not a sound record" in keeper.error
    assert (source.pages / "index.html").exists()


def test_what_is_served_is_told_by_what_lies_in_the_folder(tmp_path):
    with pytest.raises(UserError, match=r"view: .*nowhere is no folder: give a run's folder, such as runs/quick"):
        serve.source_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds neither pages, records nor images"):
        serve.source_of(tmp_path)
    rows = run_of(tmp_path / "runs")
    records.write(rows[0], records.path_of(tmp_path / "runs", "s", "text_to_image", "plain", 0))
    whole = serve.source_of(tmp_path / "runs")
    assert (whole.suite, whole.records) == (None, tmp_path / "runs")
    assert tmp_path not in whole.pages.parents  # records of others get no pages among them
    pages = write(Contents(rows), tmp_path / "pages").parent
    assert serve.source_of(pages).records is None
    own = write(Contents(rows), tmp_path / "runs" / "s" / "report").parent
    assert serve.source_of(own) == serve.source_of(tmp_path / "runs" / "s")
