"""A suite: one flat YAML file that names a data set, methods, baselines, seeds, prompts and metrics, and so decides
every number.

The first line of the file says what the suite makes and how long that takes. An unknown key is an error, which names
the nearest known key. An entry of `methods`, `baselines` or `metrics` is a name, or a mapping `{name: …, setting: value
…}`. An entry of `methods` may have two more keys:

- `as:` is its name on the board. Two entries of one method need different names.
- `tracks:` lists the tracks it runs in. Without it, it runs in every track of the suite that it can run in.

An entry of `metrics` may have `as:`, too, so that one metric stands on a board with two settings. The name stands
behind the ids of its values: `{name: clip_score, as: b16, clip: …}` makes `clip_score@b16`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any

from t2ibench.core import plain_yaml, plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.core.ranges import Count
from t2ibench.core.settings import configure
from t2ibench.tracks.contract import Of, Track, load_track, track_names

MOST = 10_000_000  # of anything that a suite counts
SHIPPED = Path(__file__).parent / "suites"


@dataclass(frozen=True)
class Reference:
    """The real images that generated images are compared with."""

    split: str = "test"  # the split that they are taken from
    limit: Count | None = None  # only the first images, this many; None: all of them
    # who reads the files as they are, and not what the data set makes of them; null: the networks that were published
    # with a protocol for files, such as clean-FID's; true: all; false: none
    original: bool | None = None


@dataclass(frozen=True)
class File:
    """The keys of the YAML file, besides one for each track: its `key`, with the settings of the track.

    dataset: the data set, `{name: …, setting: value}`.
    methods: names of methods, or `{name: …, as: name on the board, tracks: [...], setting: value}`.
    metrics: names of metrics, or `{name: …, as: …, setting: value}`.
    tracks: what the methods are asked for.
    baselines: names, or `{name: …, of: METHOD}`; None: the default baselines of the tracks.
    seeds: run seeds; every method makes all images once for each.
    reference: the real images that images are compared with; see below.
    columns: the values on the boards of all tracks, in order; empty: all.
    """

    dataset: dict[str, Any]
    methods: list[Any]
    metrics: list[Any]
    tracks: list[str] = field(default_factory=lambda: ["text_to_image"])
    baselines: list[Any] | None = None
    seeds: list[int] = field(default_factory=lambda: [0])
    reference: dict[str, Any] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Suite:
    """A suite, parsed and checked. The fields are the keys of the file, except for these:

    title: the first line of the file.
    settings: by the name of each track of the suite, an instance of the track's settings.
    only: the methods and baselines that run; empty: all. Baselines may take images of the others.
    whole: whether every cell of the file runs, as it says.
    """

    name: str
    title: str
    dataset: Entry
    tracks: tuple[str, ...]
    methods: tuple[Entry, ...]
    baselines: tuple[Entry, ...]
    metrics: tuple[Entry, ...]
    seeds: tuple[int, ...]
    reference: Reference
    settings: Mapping[str, Any]
    columns: tuple[str, ...]
    only: tuple[str, ...] = ()
    whole: bool = True

    @property
    def must_make(self) -> set[str]:
        """The columns of which some cell must have a value: of a part of a suite, none."""
        return set(self.columns) if self.whole else set()


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
    path = file_of(suite)
    return parse(read(path), path.stem, title(path), path.name)


def file_of(suite: str) -> Path:
    """The file of a shipped suite by its name, or the path that is given. Raises UserError for an unknown name."""
    shipped, path = available(), Path(suite).expanduser()
    if suite in shipped:
        path = shipped[suite]
    elif path.suffix not in (".yaml", ".yml"):
        raise UserError(f"no suite is called {suite!r}{did_you_mean(suite, shipped)}; or give the path of a .yaml file")
    return path


def read(path: Path) -> dict[str, Any]:
    """The content of a suite's file. Raises UserError for one that cannot be read or is no YAML mapping."""
    content = plain_yaml.read(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected the keys dataset, methods, metrics …")
    return content


def parse(content: Mapping[str, Any], name: str, title: str, where: str, *, makers: bool = True) -> Suite:
    """A suite from the content of its file.

    where: the beginning of error lines.
    makers: whether the suite has its methods and baselines. Images that are there can be scored without them, and they
        need not be installed.
    """
    tracks = {track: load_track(track) for track in track_names()}
    stated = {key: value for key, value in content.items() if value is not None}
    given = configure(_keys(tracks), stated if makers else {**stated, "methods": [], "baselines": []}, where)
    known = plugins.method_ids()
    methods = tuple(_method(entry, known, f"{where}: methods") for entry in given.methods)
    ids = [*known, *(entry.id for entry in methods)]
    for track in given.tracks:
        if track not in tracks:
            raise UserError(f"{where}: no track is called {track!r}{did_you_mean(track, tracks)}")
    wanted = {track: tracks[track] for track in given.tracks}
    of = {name: of for track in {**tracks, **wanted}.values() for name, of in track.baselines.items()}
    dataset = _plugin(given.dataset, "datasets", f"{where}: dataset")
    baselines = _default_baselines(wanted, dataset.name) if given.baselines is None else given.baselines
    suite = Suite(
        name=name,
        title=title,
        dataset=dataset,
        tracks=tuple(given.tracks),
        methods=methods,
        baselines=tuple(_baseline(entry, of, ids, f"{where}: baselines") for entry in baselines),
        metrics=tuple(_metric(entry, f"{where}: metrics") for entry in given.metrics),
        seeds=tuple(given.seeds),
        reference=configure(Reference, given.reference, f"{where}: reference"),
        settings={
            name: configure(track.settings, content.get(track.key) or {}, f"{where}: {track.key}")
            for name, track in wanted.items()
        },
        columns=tuple(given.columns),
    )
    _check(suite, tracks, where, makers)
    for name, track in wanted.items():
        _check_settings(suite.settings[name], f"{where}: {track.key}")
    _check_settings(suite.reference, f"{where}: reference")
    for name, track in tracks.items():
        if content.get(track.key) and name not in wanted:
            raise UserError(
                f"{where}: {track.key}: is of the track {name}, which is not in the suite: add it to `tracks`"
            )
    return suite


def _keys(tracks: Mapping[str, Track]) -> type[Any]:
    """The class of all keys of a file: those of `File`, and one for each track."""
    keys = [*(one.name for one in fields(File)), *(track.key for track in tracks.values())]
    if twice := sorted(key for key in set(keys) if keys.count(key) > 1):
        raise UserError(f"tracks: {twice[0]!r} is the key of two of them in a suite: rename it, or uninstall one")
    settings: list[Any] = [(track.key, dict[str, Any], field(default_factory=dict)) for track in tracks.values()]
    return make_dataclass("Keys", settings, bases=(File,), frozen=True)


def _default_baselines(tracks: Mapping[str, Track], dataset: str) -> list[str]:
    """Those of the tracks; without real images only those that take images of a method."""
    of = {name: track.baselines[name] for track in tracks.values() for name in track.default_baselines}
    from t2ibench.data.contract import load_dataset  # the lists of the command line read suites without it

    return [name for name in of if of[name] == "method" or load_dataset(dataset).IMAGES]


def _check_settings(settings: Any, where: str) -> None:
    """Raises UserError for a count below 1 or above all bounds, and for a list that names something twice."""
    for key in (one.name for one in fields(settings)):
        value = vars(settings)[key]
        if isinstance(value, tuple) and len(set(value)) < len(value):
            raise UserError(f"{where}: {key} names one twice: {list(value)}")
        if isinstance(value, int) and not isinstance(value, bool) and not 1 <= value <= MOST:
            bound = "at least 1" if value < 1 else f"at most {MOST:,}"
            raise UserError(f"{where}: {key} is {value}, expected {bound}")


def _check(suite: Suite, tracks: Mapping[str, Track], where: str, makers: bool) -> None:
    for entry in suite.methods:
        for track in entry.tracks:
            if track not in suite.tracks:
                raise UserError(
                    f"{where}: methods: {entry.id}: {track!r} is no track of the "
                    f"suite{did_you_mean(track, suite.tracks)}"
                )
    for entry in suite.baselines:
        having = [name for name, track in tracks.items() if entry.name in track.baselines]
        if not set(having) & set(suite.tracks):
            raise UserError(
                f"{where}: baselines: {entry.name} is of the track {' or '.join(having)}, which is not in the suite: "
                f"take it out"
            )
    for key, entries in (("methods", suite.methods + suite.baselines), ("metrics", suite.metrics)):
        ids = [entry.id for entry in entries]
        if twice := {id for id in ids if ids.count(id) > 1}:
            raise UserError(
                f"{where}: {key}: {min(twice)!r} stands there twice: give one of them another name with `as:`"
            )
    for key, items in (("seeds", suite.seeds), ("tracks", suite.tracks), ("methods", suite.methods + suite.baselines)):
        if not items and (makers or key != "methods"):
            raise UserError(f"{where}: {key} is empty, expected at least one")
        if key != "methods" and len(set(items)) < len(items):
            raise UserError(f"{where}: {key} names one twice: {list(items)}")


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


def _metric(entry: Any, where: str) -> Entry:
    plugin = _plugin(entry, "metrics", where)
    label, settings = _label(plugin.settings, plugin.name, where)
    return replace(plugin, id=label, settings=settings)


def _label(settings: Mapping[str, Any], name: str, where: str) -> tuple[str, dict[str, Any]]:
    """The name that `as:` gives, or else `name`, and the other settings."""
    label = str(settings.get("as", name))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", label):
        raise UserError(f"{where}: as: {label!r} cannot be a file name, use letters, digits, '.', '_', '+' and '-'")
    return label, {key: value for key, value in settings.items() if key != "as"}


def _method(entry: Any, known: Mapping[str, tuple[str, Mapping[str, Any]]], where: str) -> Entry:
    id, settings = _split(entry, where)
    if id not in known:
        raise UserError(f"{where}: no method is called {id!r}{did_you_mean(id, known)}")
    plugin, variant = known[id]
    label, settings = _label(settings, id, where)
    tracks = settings.pop("tracks", [])
    if not isinstance(tracks, list) or not all(isinstance(track, str) for track in tracks):
        raise UserError(f"{where}: {label}: tracks is {tracks!r}, expected a list of tracks")
    return Entry(label, plugin, {**variant, **settings}, "method", tuple(tracks))


def _baseline(entry: Any, known: Mapping[str, Of], methods: Sequence[str], where: str) -> Entry:
    """known: for each baseline, which images it takes. methods: the names of those that there are."""
    name, settings = _split(entry, where)
    if name not in known:
        raise UserError(f"{where}: no baseline is called {name!r}{did_you_mean(name, known)}")
    if known[name] == "nothing":
        if settings:
            raise UserError(f"{where}: {name}: unknown key {next(iter(settings))!r}, it has no settings")
        return Entry(name, name, {}, "baseline")
    of_method = known[name] == "method"
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
