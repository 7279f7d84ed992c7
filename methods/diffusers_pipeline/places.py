"""Where a model lies: a folder, or a snapshot of the hub in its cache; and the hash of the files that are read of
it.
"""

import functools
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.core.records import digest

HUB, INDEX = "hub:", "model_index.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".onnx", ".pb")
INSTALL = "pip install 't2ibench[diffusers]'"


@dataclass(frozen=True)
class Place:
    """A model on disk. revision: the commit of the hub, empty for a folder."""

    name: str
    path: Path
    revision: str = ""

    def used(self, sha256: str, trained_on: str) -> dict[str, Any]:
        """What a record keeps of it."""
        return {
            "sha256": sha256,
            "data": trained_on,
            "optimised_for": None,
            **({"revision": self.revision} if self.revision else {}),
        }


def find_pipeline(address: str, variant: str, trust_code: bool) -> Place:
    """A pipeline, fetched if the hub is asked.

    Raises UserError where there is none, or where it must not or cannot be read.
    """
    if address.startswith(HUB):
        from diffusers import DiffusionPipeline

        name, revision = of_hub(address)
        options = {"variant": variant or None, "trust_remote_code": trust_code}
        path = fetched(address, lambda: DiffusionPipeline.download(name, revision=revision or None, **options))
        place = Place(name, path, path.name)  # the cache names a snapshot's folder by its commit
    else:
        place = Place(Path(address).resolve().name, Path(address))
    check(place.path, address, trust_code)
    return place


def find(address: str, what: str) -> Place:
    """Weights that belong to a pipeline: a folder, a file, or a snapshot of the hub.

    Raises UserError where there are none.
    """
    if address.startswith(HUB):
        from huggingface_hub import snapshot_download

        name, revision = of_hub(address)
        path = fetched(
            address,
            lambda: snapshot_download(name, revision=revision or None, allow_patterns=["*.json", "*.safetensors"]),
        )
        return Place(name, path, path.name)
    if not Path(address).exists():
        raise UserError(
            f"diffusers_pipeline: {what}: {address} is missing, expected a folder, a file, or {HUB}owner/name"
        )
    return Place(Path(address).resolve().name, Path(address))


def of_hub(address: str) -> tuple[str, str]:
    """The repository and the revision of `hub:owner/name@revision`; an empty one is the newest."""
    name, _, revision = address.removeprefix(HUB).partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(f"diffusers_pipeline: {address!r}: expected {HUB}owner/name or {HUB}owner/name@revision")
    return name, revision


def fetched(address: str, fetch: Any) -> Path:
    """A snapshot's folder.

    Raises UserError where the hub cannot be reached, has no such model, or does not hand it out.
    """
    try:
        return Path(fetch())
    except (OSError, ValueError) as error:
        said = " ".join(str(error.__cause__ or error).split())[:200]
        raise UserError(
            f"diffusers_pipeline: {address} can neither be fetched nor is it in the hub's cache ({said}): "
            "correct the name, log in, go online, or give a folder"
        ) from error


def check(folder: Path, address: str, trust_code: bool) -> None:
    """Raises UserError where a folder is no pipeline, holds code that nobody allowed, or needs packages that are not
    installed.
    """
    if not (folder / INDEX).is_file():
        there = "is missing" if not folder.exists() else f"has no {INDEX}"
        raise UserError(
            f"diffusers_pipeline: {address} {there}, expected a folder that save_pretrained wrote, or {HUB}owner/name"
        )
    index = read_index(folder)
    parts = components(index)
    libraries = {
        name: library for name, (library, _) in parts.items() if not (folder / name / f"{library}.py").is_file()
    }
    if not trust_code and (not isinstance(index["_class_name"], str) or len(libraries) < len(parts)):
        raise UserError(
            f"diffusers_pipeline: {address} brings its own code: read it, and set trust_code: true if it may be run"
        )
    for name, library in libraries.items():
        if not known(library):
            install = INSTALL if library == "transformers" else f"pip install {library}"
            raise UserError(
                f"diffusers_pipeline: {name} of {address} needs the package {library}, which is not installed: "
                f"{install}"
            )


def known(library: str) -> bool:
    """Whether the library of a component is installed; some are modules of diffusers' own pipelines."""
    return (
        importlib.util.find_spec(library) is not None
        or importlib.util.find_spec(f"diffusers.pipelines.{library}") is not None
    )


def read_index(folder: Path) -> dict[str, Any]:
    """The pipeline's table of contents. Raises UserError where it is none."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text("utf-8"))
        if not isinstance(index, dict) or "_class_name" not in index:
            raise ValueError("no _class_name in it")
    except (OSError, ValueError) as error:
        raise UserError(
            f"diffusers_pipeline: {path} cannot be read ({error}): write the folder again with save_pretrained"
        ) from error
    return index


def components(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The library and class of each part of a pipeline that is there."""
    pairs = {
        name: value
        for name, value in index.items()
        if not name.startswith("_") and isinstance(value, list) and len(value) == 2
    }
    return {name: (value[0], value[1]) for name, value in pairs.items() if value[0] is not None}


def pipeline_digest(place: Place, variant: str) -> str:
    """Hash of everything that is read of a pipeline: names and content, not the folder's own name."""
    index = read_index(place.path)
    code = [] if isinstance(index["_class_name"], str) else [place.path / f"{index['_class_name'][0]}.py"]
    parts = [path for name in components(index) for path in files(place.path / name, variant)]
    return files_digest(place.path, [place.path / INDEX, *code, *parts])


def digest_of(place: Place) -> str:
    """Hash of weights that are one file, or a folder of them."""
    if place.path.is_file():
        return files_digest(place.path.parent, [place.path])
    return files_digest(place.path, files(place.path, ""))


def files(folder: Path, variant: str) -> list[Path]:
    """What is read of a component's folder, sorted: of its weights the variant's before the plain, and safetensors
    before others.
    """
    there = sorted(path for path in folder.rglob("*") if path.is_file() and ".index." not in path.name)
    weights = [path for path in there if path.suffix in WEIGHTS]
    marked = [path for path in weights if variant and f".{variant}" in path.stem]
    chosen = marked or [path for path in weights if "." not in path.stem] or weights
    safe = [path for path in chosen if path.suffix == ".safetensors"] or chosen
    return [path for path in there if path not in weights or path in safe]


def files_digest(root: Path, paths: list[Path]) -> str:
    """Hash of files by their names under `root`; each is read once in a process while it stays as it is."""
    stats = [(path, path.stat()) for path in paths]
    return digest(
        {path.relative_to(root).as_posix(): file_hash(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats}
    )


@functools.cache
def file_hash(path: Path, size: int, changed: int) -> str:
    """sha256 of a file of this size and time of change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
