"""Every key of a suite file: as a JSON schema for editors, and as a page for people. Both come from the dataclasses."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from t2ibench.core import plugins
from t2ibench.core.documented import Setting, schema_of, settings_of_class
from t2ibench.core.version import __version__
from t2ibench.data import held_out
from t2ibench.data.contract import load_dataset
from t2ibench.runner.suite import File, Reference
from t2ibench.scoring.contract import load_metric
from t2ibench.tracks.contract import load_method, load_track, track_names

TAKES = {"nothing": "images of its own", "anything": "real images, or `of: METHOD`", "method": "`of: METHOD`"}
HELD_OUT = {held_out.KEY: schema_of(held_out.Settings)}


def suite_schema() -> dict[str, Any]:
    """The JSON schema of suite files, with the settings of every plug-in that is installed."""
    whole = schema_of(File)
    tracks = {load_track(name).key: load_track(name).settings for name in track_names()}
    properties = whole["properties"]
    datasets = {name: load_dataset(name).Config for name in plugins.find("datasets")}
    properties["dataset"] = {"anyOf": [_entry(name, config, HELD_OUT) for name, config in datasets.items()]}
    label = {"as": {"type": "string", "description": "its name on the board"}}
    in_tracks = {"tracks": {"type": "array", "items": {"enum": track_names()}}}
    of_id = {id: load_method(name) for id, (name, _) in plugins.method_ids().items()}
    methods = [_entry(id, of.Config, {**label, **in_tracks, **_preset(of.PRESETS)}) for id, of in of_id.items()]
    metrics = [_entry(name, load_metric(name).Config, label) for name in plugins.find("metrics")]
    properties["methods"] = _list([*plugins.method_ids()], methods)
    properties["metrics"] = _list([*plugins.find("metrics")], metrics)
    baselines = sorted({name for track in track_names() for name in load_track(track).baselines})
    of = {"type": "string", "description": "the method whose images it takes; `real`: real images"}
    entry = {"type": "object", "properties": {"name": {"enum": baselines}, "of": of}, "required": ["name"]}
    properties["baselines"] = _list(baselines, [entry])
    properties["tracks"] = {"type": "array", "items": {"enum": track_names()}}
    properties["reference"] = schema_of(Reference)
    properties |= {key: schema_of(settings) for key, settings in tracks.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A suite of t2ibench {__version__}",
        **whole,
    }


def keys_page() -> str:
    """The keys of a suite file as Markdown: a table each for the file, the reference and every track."""
    parts = ["## The file", "", *_table(settings_of_class(File))]
    parts += ["", "## `reference`", "", *_table(settings_of_class(Reference))]
    for name in track_names():
        track = load_track(name)
        parts += ["", f"## `{track.key}`: the track {name}", "", *_table(settings_of_class(track.settings))]
        if track.baselines:
            rows = [f"`{baseline}` ({TAKES[of]})" for baseline, of in track.baselines.items()]
            parts += ["", f"Baselines: {', '.join(rows)}."]
    return "\n".join(parts) + "\n"


def _entry(name: str, config: type[Any], more: dict[str, Any]) -> dict[str, Any]:
    """The schema of an entry `{name: …, setting: …}`."""
    settings = schema_of(config)
    return {
        **settings,
        "properties": {"name": {"const": name}, **more, **settings["properties"]},
        "required": ["name", *settings.get("required", ())],
    }


def _preset(presets: Mapping[str, Any]) -> dict[str, Any]:
    """The key that stands for many settings of a method; none where it has no presets."""
    about = "settings under one word: see docs/methods.md"
    return {"preset": {"enum": [*presets], "description": about}} if presets else {}


def _list(names: list[str], entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "items": {"anyOf": [{"enum": names}, *entries]}}


def _table(settings: list[Setting]) -> list[str]:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for one in settings:
        default = "must be given" if one.required else f"`{written(one.default)}`"
        meaning = one.meaning.replace("|", " or ").replace("None:", "null:")
        rows.append(f"| `{one.name}` | {one.type} | {default} | {meaning} |")
    return rows


def written(value: Any) -> str:
    """A default as it is written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(written, value))}]"
    if dataclasses.is_dataclass(value):
        return type(value).__name__
    return '""' if value == "" else f"{value:g}" if isinstance(value, float) else str(value)
