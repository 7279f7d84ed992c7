"""Writes the pages of a site into a folder."""

import json
import shutil
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from t2ibench.core.errors import UserError
from t2ibench.core.storage import OUT, cannot_be_written, publish, removed
from t2ibench.core.version import __version__
from t2ibench.report import elsewhere
from t2ibench.report.site import addresses, pages, protocols, samples
from t2ibench.report.site.contents import BoardContents, Contents
from t2ibench.report.site.pages import File
from t2ibench.report.site.render import environment, question_of, render
from t2ibench.report.site.samples import Cell

ASSETS = ("icon.svg", "style.css", "theme.js", "site.js")
LISTED = "site.json"  # the list of files that a site consists of


def write(contents: Contents, folder: Path) -> Path:
    """Write the site of some records, and return the path of its first page.

    Files that an earlier site left in the folder and this one does not have are removed. Raises UserError where there
    are no records.
    """
    if not contents.records:
        raise UserError(f"{folder}: there is no record to show: run a suite first, `t2ibench run`")
    written = []
    for name, content in files(contents, folder):
        put(folder / name, content)
        written.append(name)
    thumbnails = {samples.thumbnail_folder(addresses.stem(*one.names), cell): cell for one, cell in _shown(contents)}
    for name, cell in thumbnails.items():
        samples.write_thumbnails(folder / name, cell)
    _forget(folder, written, list(thumbnails))
    return folder / "index.html"


def _shown(contents: Contents) -> Iterator[tuple[BoardContents, Cell]]:
    """Every cell that has images, with its board."""
    for one in contents.boards:
        yield from ((one, cell) for cell in one.cells if not cell.why)


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, unless it has this content already. A site can be made again, so nothing waits
    for the disk. Raises UserError where the folder cannot be written.
    """
    try:
        if path.exists() and path.read_bytes() == content:
            return
    except OSError as error:
        raise cannot_be_written(path, error, OUT) from error
    publish(path, content, wait=False)


def _forget(folder: Path, written: Sequence[str], thumbnails: Sequence[str]) -> None:
    """Remove what an earlier site wrote and this one did not, and note what this one wrote."""
    listed, top = folder / LISTED, folder.resolve()
    try:
        earlier = json.loads(listed.read_text("utf-8"))
        names = {str(name) for name in earlier["files"]} - set(written)
        folders = {str(name) for name in earlier["thumbnails"]} - set(thumbnails)
    except (OSError, ValueError, KeyError, TypeError):
        names, folders = set(), set()
    for name in names:
        if top in (path := (folder / name).resolve()).parents:
            removed(path)
    for name in folders:
        if top / "images" in (path := (folder / name).resolve()).parents:
            shutil.rmtree(path, ignore_errors=True)
    content = {"t2ibench": __version__, "files": sorted(written), "thumbnails": sorted(thumbnails)}
    put(listed, (json.dumps(content, indent=1) + "\n").encode())


def files(contents: Contents, folder: Path) -> Iterator[File]:
    """Every file of a site but thumbnails, by its name in the folder."""
    yield from assets()
    templates = environment(contents)
    yield pages.first_page(templates, contents)
    for one in contents.boards:
        yield from pages.board_files(templates, one)
        yield from pages.comparison_files(templates, one)
        yield from pages.sample_files(templates, one, folder)
    for (suite, _), facts in contents.facts.items():
        yield from pages.method_files(templates, contents, suite, facts)
    found = protocols.protocols(contents.records)
    ask = {protocol.value: question_of(protocol.value, protocol.metric) for protocol in found}
    yield "protocols.html", render(templates, "protocols", None, protocols=found, ask=ask)
    if contents.elsewhere:
        equal = elsewhere.equal_protocols(contents.elsewhere, contents.records)
        yield "elsewhere.html", render(templates, "elsewhere", None, numbers=contents.elsewhere, equal=equal)
    versions = protocols.history(contents.records)
    yield "history.html", render(templates, "history", None, versions=versions, by_board=pages.by_board)


def assets() -> Iterator[File]:
    """The style, the scripts, and the libraries of other authors with their licences."""
    folder = resources.files("t2ibench.report.site") / "assets"
    for name in ASSETS:
        yield f"assets/{name}", (folder / name).read_bytes()
    for path in sorted((folder / "vendor").iterdir(), key=lambda path: path.name):
        yield f"assets/vendor/{path.name}", path.read_bytes()
