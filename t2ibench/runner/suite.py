"""A suite: one flat YAML file that names a data set, methods, baselines, seeds, prompts and metrics, and so decides
every number.

The first line of the file says what the suite makes and how long that takes. An unknown key is an error, which names
the nearest known key. An entry of `methods`, `baselines` or `metrics` is a name, or a mapping `{name: …, setting: value
…}`. An entry of `methods` may have two more keys:

- `as:` is its name on the board. Two entries of one method need different names.
- `tracks:` lists the tracks it runs in. Without it, it runs in every track of the suite that it can run in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.core.settings import configure
from t2ibench.tracks.contract import TRACKS

if TYPE_CHECKING:
    from t2ibench.tracks.adapt import AdaptPlan
    from t2ibench.tracks.compose import ComposePlan
    from t2ibench.tracks.edit import EditPlan
    from t2ibench.tracks.text_to_image import PromptPlan

SHIPPED = Path(__file__).parent / "suites"
BASELINES = {name: of for contract in TRACKS.values() for name, of in contract.baselines.items()}


@dataclass(frozen=True)
class Reference:
    """The real images that generated images are compared with."""

    split: str = "test"
    limit: int | None = None  # only the first images, this many; None: all of them


@dataclass(frozen=True)
class File:
    """The keys of the YAML file."""

    dataset: dict[str, Any]
    methods: list[Any]
    metrics: list[Any]
    tracks: list[str] = field(default_factory=lambda: ["text_to_image"])
    baselines: list[Any] | None = None  # None: the default baselines of the tracks
    seeds: list[int] = field(default_factory=lambda: [0])
    reference: dict[str, Any] = field(default_factory=dict)
    prompts: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Any] = field(default_factory=dict)
    adapt: dict[str, Any] = field(default_factory=dict)
    compose: dict[str, Any] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)  # the metric ids on the boards of all tracks, in order; empty: all


@dataclass(frozen=True)
class Suite:
    """A suite, parsed and checked. The fields are the keys of the file, except for `name` and `title`."""

    name: str
    title: str  # the first line of the file
    dataset: Entry
    tracks: tuple[str, ...]
    methods: tuple[Entry, ...]
    baselines: tuple[Entry, ...]
    metrics: tuple[Entry, ...]
    seeds: tuple[int, ...]
    reference: Reference
    prompts: PromptPlan
    edits: EditPlan
    adapt: AdaptPlan
    compose: ComposePlan
    columns: tuple[str, ...]


def available() -> dict[str, Path]:
    """The suites that ship in the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def title(path: Path) -> str:
    """The first line of a suite file: what it makes and how long it takes."""
    first = path.read_text("utf-8").split("\n", 1)[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def load(suite: str) -> Suite:
    """A shipped suite by name, or any YAML file by path.

    Raises UserError for an unknown name, for a file that cannot be read or is not YAML, and for a wrong key or value.
    """
    shipped, path = available(), Path(suite)
    if suite in shipped:
        path = shipped[suite]
    elif path.suffix not in (".yaml", ".yml"):
        raise UserError(f"no suite is called {suite!r}{did_you_mean(suite, shipped)}; or give the path of a .yaml file")
    try:
        text = path.read_text("utf-8")
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected the keys dataset, methods, metrics …")
    return parse(content, path.stem, title(path), path.name)


def parse(content: Mapping[str, Any], name: str, title: str, where: str) -> Suite:
    """A suite from the content of its file. where: the beginning of error lines."""
    from t2ibench.tracks.adapt import AdaptPlan
    from t2ibench.tracks.compose import ComposePlan
    from t2ibench.tracks.edit import EditPlan
    from t2ibench.tracks.text_to_image import PromptPlan

    file = configure(File, {key: value for key, value in content.items() if value is not None}, where)
    known = plugins.method_ids()
    methods = tuple(_method(entry, known, f"{where}: methods") for entry in file.methods)
    ids = [*known, *(entry.id for entry in methods)]
    baselines = _default_baselines(file.tracks) if file.baselines is None else file.baselines
    suite = Suite(
        name=name,
        title=title,
        dataset=_plugin(file.dataset, "datasets", f"{where}: dataset"),
        tracks=tuple(file.tracks),
        methods=methods,
        baselines=tuple(_baseline(entry, ids, f"{where}: baselines") for entry in baselines),
        metrics=tuple(_plugin(entry, "metrics", f"{where}: metrics") for entry in file.metrics),
        seeds=tuple(file.seeds),
        reference=configure(Reference, file.reference, f"{where}: reference"),
        prompts=configure(PromptPlan, file.prompts, f"{where}: prompts"),
        edits=configure(EditPlan, file.edits, f"{where}: edits"),
        adapt=configure(AdaptPlan, file.adapt, f"{where}: adapt"),
        compose=configure(ComposePlan, file.compose, f"{where}: compose"),
        columns=tuple(file.columns),
    )
    _check(suite, where)
    for track, contract in TRACKS.items():
        if getattr(file, contract.key) and track not in suite.tracks:
            raise UserError(
                f"{where}: {contract.key}: is of the track {track}, which is not in the suite: add it to `tracks`"
            )
    return suite


def _default_baselines(tracks: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for track in tracks if track in TRACKS for name in TRACKS[track].default))


def _check(suite: Suite, where: str) -> None:
    for track in suite.tracks:
        if track not in TRACKS:
            raise UserError(f"{where}: no track is called {track!r}{did_you_mean(track, TRACKS)}")
    for entry in suite.methods:
        for track in entry.tracks:
            if track not in suite.tracks:
                raise UserError(
                    f"{where}: methods: {entry.id}: {track!r} is no track of the "
                    f"suite{did_you_mean(track, suite.tracks)}"
                )
    for entry in suite.baselines:
        if not any(entry.name in TRACKS[track].baselines for track in suite.tracks):
            track = " or ".join(track for track, contract in TRACKS.items() if entry.name in contract.baselines)
            raise UserError(
                f"{where}: baselines: {entry.name} is of the track {track}, which is not in the suite: take it out"
            )
    for key, entries in (("methods", suite.methods + suite.baselines), ("metrics", suite.metrics)):
        ids = [entry.id for entry in entries]
        if twice := {id for id in ids if ids.count(id) > 1}:
            raise UserError(
                f"{where}: {key}: {min(twice)!r} stands there twice: give one of them another name with `as:`"
            )
    for key, items in (("seeds", suite.seeds), ("tracks", suite.tracks), ("methods", suite.methods + suite.baselines)):
        if not items:
            raise UserError(f"{where}: {key} is empty, expected at least one")
        if key != "methods" and len(set(items)) < len(items):
            raise UserError(f"{where}: {key} names one twice: {list(items)}")
    lists = (
        ("edits: literals", suite.edits.literals),
        ("adapt: targets", suite.adapt.targets),
        ("compose: tasks", suite.compose.tasks),
    )
    for key, values in lists:
        if len(set(values)) < len(values):
            raise UserError(f"{where}: {key} names one twice: {list(values)}")
    counts = (
        ("prompts: captions", suite.prompts.captions),
        ("edits: images", suite.edits.images),
        ("adapt: images", suite.adapt.images),
        ("adapt: reference", suite.adapt.reference),
        ("compose: inputs", suite.compose.inputs),
        ("compose: images", suite.compose.images),
    )
    for key, number in (*counts, ("reference: limit", suite.reference.limit)):
        if number is not None and number < 1:
            raise UserError(f"{where}: {key} is {number}, expected at least 1")


def _split(entry: Any, where: str) -> tuple[str, dict[str, Any]]:
    """An entry's name and its settings."""
    if isinstance(entry, str):
        return entry, {}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise UserError(f"{where}: found {entry!r}, expected a name or {{name: …, setting: value}}")
    return entry["name"], {str(key): value for key, value in entry.items() if key != "name"}


def _plugin(entry: Any, kind: str, where: str) -> Entry:
    name, settings = _split(entry, where)
    known = plugins.find(kind)
    if name not in known:
        raise UserError(f"{where}: no {kind.removesuffix('s')} is called {name!r}{did_you_mean(name, known)}")
    return Entry(name, name, settings, "metric" if kind == "metrics" else "dataset")


def _method(entry: Any, known: Mapping[str, tuple[str, Mapping[str, Any]]], where: str) -> Entry:
    id, settings = _split(entry, where)
    if id not in known:
        raise UserError(f"{where}: no method is called {id!r}{did_you_mean(id, known)}")
    plugin, variant = known[id]
    label = str(settings.pop("as", id))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", label):
        raise UserError(f"{where}: as: {label!r} cannot be a file name, use letters, digits, '.', '_', '+' and '-'")
    tracks = settings.pop("tracks", [])
    if not isinstance(tracks, list) or not all(isinstance(track, str) for track in tracks):
        raise UserError(f"{where}: {label}: tracks is {tracks!r}, expected a list of tracks")
    return Entry(label, plugin, {**variant, **settings}, "method", tuple(tracks))


def _baseline(entry: Any, methods: Sequence[str], where: str) -> Entry:
    name, settings = _split(entry, where)
    if name not in BASELINES:
        raise UserError(f"{where}: no baseline is called {name!r}{did_you_mean(name, BASELINES)}")
    if BASELINES[name] == "nothing":
        if settings:
            raise UserError(f"{where}: {name}: unknown key {next(iter(settings))!r}, it has no settings")
        return Entry(name, name, {}, "baseline")
    of_method = BASELINES[name] == "method"
    allowed = [*methods] if of_method else ["real", *methods]
    content: Any = configure(_OfMethod if of_method else _OfAnything, settings, f"{where}: {name}")
    if content.of not in allowed:
        raise UserError(f"{where}: {name}: no method is called {content.of!r}{did_you_mean(content.of, allowed)}")
    return Entry(f"{name}-{content.of}", name, {"of": content.of}, "baseline")


@dataclass(frozen=True)
class _OfMethod:
    of: str  # the method whose images the baseline takes


@dataclass(frozen=True)
class _OfAnything:
    of: str = "real"  # the method whose images the baseline takes; "real": real images
