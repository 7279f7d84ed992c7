"""Files that `t2ibench fetch` may download: addresses, sizes, hashes and licences stand in `assets.yaml`.

A download that was cut goes on where it stopped. Nothing is used before its size and hash are those of the list, and no
file of an archive leaves the folder into which it is unpacked.
"""

import functools
import hashlib
import http.client
import os
import shutil
import stat
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from t2ibench.core.errors import UserError, did_you_mean

LIST = Path(__file__).parent / "assets.yaml"
CHUNK = 2**20
TRIES = 5  # of one download that is cut
TIMEOUT = 60  # seconds without a byte
FAULTS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Asset:
    """One entry of `assets.yaml`; its keys are explained there. name: of the entry."""

    name: str
    about: str
    licence: str
    homepage: str
    into: str
    address: str = ""
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    unpack: tuple[str, ...] = ()
    click: str = ""
    check: str = ""
    opens: Mapping[str, Any] = field(default_factory=dict)
    suites: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return PurePosixPath(urllib.parse.urlsplit(self.address).path).name

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the data set `check`, with which it is opened where it lies."""
        if not self.opens:
            return {"root": str(self.folder)}
        return {key: str(self.folder / value) if key == "file" else value for key, value in self.opens.items()}

    @property
    def folder(self) -> Path:
        """Where it is put: below T2IBENCH_DATA, else below the current folder."""
        return Path(os.environ.get("T2IBENCH_DATA", ".")) / self.into.removeprefix("data/")


@functools.cache
def assets() -> dict[str, Asset]:
    """Every asset by its name."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load(LIST.read_text("utf-8"))
    lists = ("unpack", "suites")
    known = dict[str, Asset]()
    for name, entry in entries.items():
        content: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in entry.items()}
        known[name] = Asset(name, **content)
    return known


def named(name: str) -> list[Asset]:
    """The asset of a name, or all assets of a suite. Raises UserError for a name that is neither."""
    known = assets()
    if name in known:
        return [known[name]]
    if found := [asset for asset in known.values() if name in asset.suites]:
        return found
    suites = {suite for asset in known.values() for suite in asset.suites}
    raise UserError(
        f"fetch: no asset and no suite with assets is called {name!r}{did_you_mean(name, [*known, *suites])}"
    )


def fetch(asset: Asset, say: Callable[[str], None] = lambda line: None) -> Path:
    """Download an asset, check it and unpack it. Returns where it lies. One that is there is only checked.

    Raises UserError for an asset that a person has to get, for an address that cannot be read, and for a file that is
    not the one of the list, which is deleted.
    """
    if asset.click:
        raise UserError(f"fetch: {asset.name} ({asset.licence}) is never downloaded: {asset.homepage}: {asset.click}")
    target = asset.folder / asset.file
    if not target.is_file():
        part = target.with_name(f"{target.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        _download(asset, part, say)
        check(asset, part)
        os.replace(part, target)
    check(asset, target)
    for folder in asset.unpack:
        unpack(target, asset.folder, folder)
    return asset.folder / asset.unpack[0] if asset.unpack else target


def check(asset: Asset, path: Path) -> None:
    """Raises UserError, and deletes the file, if its size or hash is not that of the list."""
    size = path.stat().st_size
    kind, expected = ("sha256", asset.sha256) if asset.sha256 else ("md5", asset.md5)
    if size == asset.bytes:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found == expected:
            return
        problem = f"{kind} {found[:12]}…, expected {expected[:12]}…"
    else:
        problem = f"{size:,} bytes, expected {asset.bytes:,}"
    path.unlink()
    raise UserError(
        f"fetch: {asset.name}: {asset.file} has {problem}: it was deleted; the address may hold another file"
    )


def _download(asset: Asset, part: Path, say: Callable[[str], None]) -> None:
    """Bring a file to its full size; what is there already is kept."""
    for _ in range(TRIES):
        have = part.stat().st_size if part.exists() else 0
        if have >= asset.bytes:
            return
        if have:
            say(f"{asset.name}: goes on at {have:,} of {asset.bytes:,} bytes")
        problem = _stream(asset, part, have)
    have = part.stat().st_size if part.exists() else 0
    if have < asset.bytes:
        raise UserError(
            f"fetch: {asset.name}: {have:,} of {asset.bytes:,} bytes came from {asset.address} ({problem}): the same "
            f"command goes on"
        )


def _stream(asset: Asset, part: Path, have: int) -> str:
    """Append what the server sends from byte `have` on. Returns why it stopped early; "" if it did not."""
    headers = {"User-Agent": "t2ibench", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(asset.address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            left = asset.bytes - (have if goes_on else 0)
            with part.open("ab" if goes_on else "wb") as file:
                while chunk := answer.read(min(CHUNK, left + 1)):
                    file.write(chunk)
                    left -= len(chunk)
                    if left < 0:
                        return ""  # longer than the list says: the check names it
        return "" if left == 0 else "the connection ended early"
    except urllib.error.HTTPError as error:
        raise UserError(
            f"fetch: {asset.name}: {asset.address} answers {error.code} {error.reason}: look at {asset.homepage}"
        ) from error
    except FAULTS as error:
        return " ".join(str(error).split()) or type(error).__name__


def unpack(archive: Path, into: Path, folder: str) -> list[Path]:
    """Unpack one folder of a .zip. Raises UserError, before anything is written, for a name that leaves `into`, a link,
    and an archive that is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [one for one in file.infolist() if not one.is_dir()]
            for one in members:
                parts = PurePosixPath(one.filename.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0] or _is_link(one):
                    raise UserError(f"{archive}: {one.filename!r} would leave the folder: the archive is not used")
            wanted = [one for one in members if PurePosixPath(one.filename).parts[0] == folder]
            if not wanted:
                raise UserError(f"{archive}: holds no folder {folder!r}: it is not the archive that was expected")
            paths = []
            for one in wanted:
                path = into / one.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                if not (path.is_file() and path.stat().st_size == one.file_size):
                    part = path.with_name(f"{path.name}.part")
                    with file.open(one) as source, part.open("wb") as target:
                        shutil.copyfileobj(source, target, CHUNK)
                    os.replace(part, path)
                paths.append(path)
            return paths
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{archive} is no whole .zip ({error}): delete it and fetch it again") from error


def _is_link(member: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)


def lock(chosen: list[Asset]) -> dict[str, Any]:
    """What a suite needs, with every address, size and hash (JSON)."""
    return {
        asset.name: (
            {"click": asset.homepage, "licence": asset.licence}
            if asset.click
            else {
                "address": asset.address,
                "bytes": asset.bytes,
                **({"sha256": asset.sha256} if asset.sha256 else {"md5": asset.md5}),
                "licence": asset.licence,
            }
        )
        for asset in chosen
    }
