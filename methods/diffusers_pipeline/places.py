"""Where a model is, as a folder or in the cache of the hub, and the hash of the files that are read from it."""

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
INSTALL = "pip install 't2ibench[pipelines]'"


@dataclass(frozen=True)
class Place:
    """A model on disk.

    name: its name in records.
    path: its folder or file.
    revision: its commit on the hub; "" for a folder.
    """

    name: str
    path: Path
    revision: str = ""

    def used(self, sha256: str, trained_on: str) -> dict[str, Any]:
        """What a record says about it."""
        return {
            "sha256": sha256,
            "data": trained_on,
            "optimised_for": None,
            **({"revision": self.revision} if self.revision else {}),
        }


def find_pipeline(address: str, variant: str, trust_code: bool) -> Place:
    """The place of a pipeline; it is fetched if the address begins with `hub:`.

    Raises UserError if there is no pipeline, if it has code that is not allowed, or if a package is missing.
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
    """The place of weights for a pipeline: a folder, a file, or a snapshot of the hub.

    what: the setting, for the error line. Raises UserError if there are none.
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
    """The repository and the revision in `hub:owner/name@revision`. Without a revision, "" stands for the newest."""
    name, _, revision = address.removeprefix(HUB).partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(f"diffusers_pipeline: {address!r}: expected {HUB}owner/name or {HUB}owner/name@revision")
    return name, revision


def fetched(address: str, fetch: Any) -> Path:
    """The folder of a snapshot.

    Raises UserError if the hub cannot be reached, does not have the model, or does not give access to it.
    """
    try:
        return Path(fetch())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise UserError(
            f"diffusers_pipeline: {address} can neither be fetched nor is it in the hub's cache ({reason}): "
            "correct the name, log in, go online, or give a folder"
        ) from error


def check(folder: Path, address: str, trust_code: bool) -> None:
    """Raises UserError if a folder is no pipeline, has code of its own without `trust_code`, or needs a package that
    is not installed.
    """
    if not (folder / INDEX).is_file():
        fault = "is missing" if not folder.exists() else f"has no {INDEX}"
        raise UserError(
            f"diffusers_pipeline: {address} {fault}, expected a folder that save_pretrained wrote, or {HUB}owner/name"
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
    """Whether the library of a component is installed; some libraries are modules of diffusers' pipelines."""
    return (
        importlib.util.find_spec(library) is not None
        or importlib.util.find_spec(f"diffusers.pipelines.{library}") is not None
    )


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a pipeline's components. Raises UserError if the file is not one."""
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
    """The library and class of each component that a pipeline has."""
    values = {
        name: value
        for name, value in index.items()
        if not name.startswith("_") and isinstance(value, list) and len(value) == 2
    }
    return {name: (value[0], value[1]) for name, value in values.items() if value[0] is not None}


def pipeline_digest(place: Place, variant: str) -> str:
    """Hash of all files that are read of a pipeline: their names and contents, but not the folder's name."""
    index = read_index(place.path)
    code = [] if isinstance(index["_class_name"], str) else [place.path / f"{index['_class_name'][0]}.py"]
    paths = [path for name in components(index) for path in files(place.path / name, variant)]
    return files_digest(place.path, [place.path / INDEX, *code, *paths])


def digest_of(place: Place) -> str:
    """Hash of weights in one file, or in a folder."""
    if place.path.is_file():
        return files_digest(place.path.parent, [place.path])
    return files_digest(place.path, files(place.path, ""))


def files(folder: Path, variant: str) -> list[Path]:
    """The files of a component's folder that are read, sorted.

    Of its weights only one kind is read: the variant's if there are such, otherwise the plain ones, and of these
    safetensors if there are such.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and ".index." not in path.name)
    weights = [path for path in paths if path.suffix in WEIGHTS]
    marked = [path for path in weights if variant and f".{variant}" in path.stem]
    chosen = marked or [path for path in weights if "." not in path.stem] or weights
    safe = [path for path in chosen if path.suffix == ".safetensors"] or chosen
    return [path for path in paths if path not in weights or path in safe]


def files_digest(root: Path, paths: list[Path]) -> str:
    """Hash of files by their names under `root`. A process reads each file once, as long as it does not change."""
    stats = [(path, path.stat()) for path in paths]
    return digest(
        {path.relative_to(root).as_posix(): file_hash(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats}
    )


@functools.cache
def file_hash(path: Path, size: int, changed: int) -> str:
    """sha256 of a file. size, changed: its size and time of change, so that the result is kept until these differ."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
