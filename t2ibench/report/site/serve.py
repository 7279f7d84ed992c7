"""Serves the pages of a run on this machine alone, makes them again when records are added, and shows the progress of
a run that is still going.

The progress is read from the journals; the run that writes them is not asked and does not wait.
"""

import http.server
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from t2ibench.core.errors import UserError
from t2ibench.report.site import contents
from t2ibench.report.site.data import script
from t2ibench.report.site.render import loose_page
from t2ibench.report.site.write import LISTED, assets, put
from t2ibench.runner.journal import journals

EVERY = 5.0  # seconds between two looks at the records
HOST = "127.0.0.1"
Write = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], Path], Path]


@dataclass(frozen=True)
class Source:
    """What is served.

    top: the folder that is served.
    pages: the folder of the pages, which is `top` or below it.
    records: the folder of the records; None where ready pages are served.
    work: the folder of the images.
    suite: the suite of the run; None: every suite of the records.
    """

    top: Path
    pages: Path
    records: Path | None
    work: Path
    suite: str | None


def source_of(run: Path, out: Path | None = None) -> Source:
    """What to serve for a folder that the user names.

    run: the folder of a run (`<work>/<suite>`), of pages, or of records.
    out: the folder of the run's records; None: the folder above the run's.

    Raises UserError for a folder that is none of these.
    """
    if not run.is_dir():
        raise UserError(f"view: {run} is no folder: give a run's folder, such as runs/quick, or a folder of pages")
    run = run.resolve()
    if (run / LISTED).exists() and run.name == "report" and out is None and (run.parent.parent / "records").is_dir():
        run = run.parent
    elif (run / LISTED).exists():
        return Source(run, run, None, run, None)
    records = run.parent if out is None else out.resolve()
    if (records / "records" / run.name).is_dir() or next(run.glob("*/*/*/journal*.jsonl"), None) is not None:
        return Source(run, run / "report", records, run.parent, run.name)
    if (run / "records").is_dir():
        pages = Path(tempfile.mkdtemp(prefix="t2ibench-view-"))  # the folder holds records, and no pages are put there
        return Source(pages, pages, run, run, None)
    raise UserError(f"view: {run} holds neither pages, records nor images: give a run's folder, such as runs/quick")


def records_in(source: Source) -> dict[Path, int]:
    """The records of a source, with the time of their last change in nanoseconds."""
    if source.records is None:
        return {}
    folder = source.records / "records"
    folder = folder / source.suite if source.suite is not None else folder
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")} if folder.is_dir() else {}


def progress(source: Source) -> list[dict[str, Any]]:
    """Every cell whose images are being made or are there: how many samples it has, and whether it is recorded.

    `asked` is how many samples a cell of its track has, where a recorded cell of the track says it; else 0.
    """
    suites = [source.work / source.suite] if source.suite is not None else sorted(source.work.glob("*"))
    known = {(*path.parts[-4:-1], path.stem) for path in records_in(source)}
    cells = []
    for suite in suites:
        for folder in sorted({path.parent for path in suite.glob("*/*/*/journal*.jsonl")}):
            track, method, seed = folder.parts[-3], folder.parts[-2], folder.name.partition("-")[0]
            recorded = (suite.name, track, method, seed) in known
            done = sum(lines_in(path) for path in journals(folder))
            cells.append(
                {
                    "suite": suite.name,
                    "track": track,
                    "method": method,
                    "seed": seed,
                    "done": done,
                    "recorded": recorded,
                }
            )
    asked = {(c["suite"], c["track"]): c["done"] for c in cells if c["recorded"]}
    return [{**cell, "asked": asked.get((cell["suite"], cell["track"]), 0)} for cell in cells]


def lines_in(path: Path) -> int:
    """How many lines a file has."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


class Keeper:
    """Makes the pages again when the records have changed."""

    def __init__(self, source: Source, write: Write) -> None:
        self.source, self.write, self.error = source, write, ""
        self.seen: dict[Path, int] = {}

    def look(self) -> None:
        """Make the pages anew if a record was added or changed since the last look."""
        now = records_in(self.source)
        if self.source.records is None or not now or now == self.seen:
            return
        self.seen = now
        try:
            rows, audits = contents.read([self.source.records], self.source.suite)
            self.write(rows, audits, self.source.pages)
            self.error = ""
        except UserError as error:
            self.error = str(error)

    def keep(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        self.look()
        while not stop.wait(EVERY):
            self.look()


def handler(keeper: Keeper, port: Callable[[], int]) -> type[http.server.SimpleHTTPRequestHandler]:
    """What answers requests: files of the source, and the page and the numbers of its progress."""
    source = keeper.source

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(source.top))

        def do_GET(self) -> None:
            if self.headers.get("Host", "") not in (f"{HOST}:{port()}", f"localhost:{port()}"):
                self.send_error(
                    403, "this server answers on 127.0.0.1 alone"
                )  # a page elsewhere may point its name here
                return
            name = urlsplit(self.path).path.rpartition("/")[2]
            if name == "progress.js":
                started = source.records is not None
                content = script(
                    "progress", cells=progress(source) if started else [], error=keeper.error, at=time.time()
                )
                self._answer(content, "text/javascript")
            elif name == "progress.html":
                self._answer(loose_page("progress"), "text/html; charset=utf-8")
            elif name in ("", "index.html") and not (source.pages / "index.html").exists():
                self.send_response(302)
                self.send_header("Location", "progress.html")
                self.end_headers()
            else:
                super().do_GET()

        def end_headers(self) -> None:
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            super().end_headers()

        def _answer(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def server_of(keeper: Keeper, port: int) -> http.server.ThreadingHTTPServer:
    """A server that listens on a port of this machine alone; 0: any that is free. Raises UserError for a taken one."""
    bound = [port]
    try:
        server = http.server.ThreadingHTTPServer((HOST, port), handler(keeper, lambda: bound[0]))
    except OSError as error:
        raise UserError(
            f"view: port {port} cannot be had ({error.strerror}): choose another with --port, or 0"
        ) from error
    bound[0] = server.server_address[1]
    return server


def serve(source: Source, port: int, write: Write) -> Iterator[str]:
    """Serve until Ctrl-C. Yields the lines to print: the addresses."""
    keeper, stop = Keeper(source, write), threading.Event()
    server = server_of(keeper, port)
    if source.records is not None:
        for name, content in assets():  # the page of the progress may be there before any other
            put(source.pages / name, content)
    below = f"{source.pages.relative_to(source.top).as_posix()}/" if source.pages != source.top else ""
    address = f"http://{HOST}:{server.server_address[1]}/{quote(below)}"
    yield f"{address}index.html"
    if source.records is not None:
        yield f"{address}progress.html: how far the run is"
    threading.Thread(target=keeper.keep, args=(stop,), daemon=True).start()
    try:
        server.serve_forever()
    finally:
        stop.set()
        server.server_close()
