"""What there is to know about a method, a metric, a data set or a suite before it is run."""

import ast
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2ibench.core import plugins
from t2ibench.core.documented import Setting, settings_of_class
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.contract import load_dataset
from t2ibench.networks import zoo
from t2ibench.runner import suite
from t2ibench.scoring.contract import load_metric
from t2ibench.tracks.contract import load_method, load_track, track_names


@dataclasses.dataclass(frozen=True)
class Description:
    """One thing that has a name.

    kind: method, metric, dataset or suite.
    about: the docstring of its module, or the first line of a suite's file.
    facts: what else is known, by name: tracks, paper, weights, …; empty values are left out.
    settings: its settings, with the defaults that hold under this name.
    """

    kind: str
    name: str
    about: str
    facts: Mapping[str, str]
    settings: tuple[Setting, ...] = ()


def described(name: str) -> list[Description]:
    """Everything that has this name: it may be a data set and a suite.

    Raises UserError if nothing has it, with the nearest name.
    """
    methods = plugins.method_ids()
    plain: dict[str, tuple[str, dict[str, Any]]] = {
        plugin: (plugin, {}) for plugin in plugins.find("methods")
    }  # gan_cls, of which gan-cls is a variant
    known = {**plain, **methods}
    found = [_method(name, *known[name])] if name in known else []
    found += [_metric(name)] if name in plugins.find("metrics") else []
    found += [_dataset(name)] if name in plugins.find("datasets") else []
    if name in suite.available() or Path(name).suffix in (".yaml", ".yml"):
        found.append(_suite(name))
    if not found:
        names = [*known, *plugins.find("metrics"), *plugins.find("datasets"), *suite.available()]
        raise UserError(f"no method, metric, data set or suite is called {name!r}{did_you_mean(name, names)}")
    return found


def _method(id: str, plugin: str, variant: Mapping[str, Any]) -> Description:
    module = load_method(plugin)
    settings = [
        dataclasses.replace(one, default=variant.get(one.name, one.default)) for one in settings_of_class(module.Config)
    ]
    names = {id, *(str(one.default) for one in settings)}
    paths = {name: path for name, path in zoo.available().items() if names & {name, name.rpartition("-")[0]}}
    citation, known = plugins.paper(plugin).get("citation", {}), plugins.method_ids()
    facts = {
        "plug-in": plugin,
        "tracks": ", ".join(name for name in track_names() if plugins.has(module.Method, load_track(name).functions)),
        "paper": ", ".join(str(citation[key]) for key in ("title", "venue") if key in citation),
        "arXiv": str(citation.get("arxiv", "")),
        "code": str(citation.get("code", "")),
        "presets": ", ".join(module.PRESETS),
        "other names": ", ".join(other for other, (of, _) in known.items() if of == plugin and other != id),
        **{f"weights {name}": _card(path) for name, path in paths.items()},
    }
    return Description("method", id, _about("methods", plugin), _filled(facts), tuple(settings))


def _card(path: Path) -> str:
    """What the card of weights says, in a line. Those of the package have its licence."""
    card = zoo.card(path)
    data = card.get("data")
    if isinstance(data, dict):
        data = " ".join(str(data[key]) for key in ("dataset", "train") if key in data)
    size = f"{card['parameters']:,} parameters, " if "parameters" in card else ""
    licence = card.get("licence", "MIT, as the package" if path.parent == zoo.SHIPPED else "unknown")
    return f"{size}trained on {data or 'unknown data'}; licence: {licence}"


def _metric(name: str) -> Description:
    module = load_metric(name)
    facts = {
        "tracks": ", ".join(module.TRACKS),
        "reads texts": "yes" if module.READS_TEXTS else "no",
        **{f"value {id}": question for id, question in module.QUESTIONS.items()},
    }
    return Description("metric", name, _about("metrics", name), _filled(facts), tuple(settings_of_class(module.Config)))


def _dataset(name: str) -> Description:
    module = load_dataset(name)
    networks = module.NETWORKS
    path = plugins.find("datasets")[name]
    card = None if path is None else path.parent / "CARD.md"
    facts = {
        "judge": networks.judge or "",
        "clip": networks.clip or "",
        "guides": ", ".join(networks.guides),
        "card, with licences": str(card) if card is not None and card.is_file() else "",
    }
    settings = tuple(settings_of_class(module.Config))
    return Description("dataset", name, _about("datasets", name), _filled(facts), settings)


def _suite(name: str) -> Description:
    loaded = suite.load(name)
    facts = {
        "file": str(suite.available().get(name, name)),
        "data set": ", ".join([loaded.dataset.name, *(f"{k}: {v}" for k, v in loaded.dataset.settings.items())]),
        "tracks": ", ".join(loaded.tracks),
        "methods": ", ".join(entry.id for entry in loaded.methods),
        "baselines": ", ".join(entry.id for entry in loaded.baselines),
        "metrics": ", ".join(entry.id for entry in loaded.metrics),
        "seeds": ", ".join(map(str, loaded.seeds)),
        "columns": ", ".join(loaded.columns),
    }
    return Description("suite", name, loaded.title, _filled(facts))


def _about(kind: str, name: str) -> str:
    path = plugins.find(kind)[name]
    if path is None:
        return plugins.describe(kind, name)
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def _filled(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in facts.items() if value}
