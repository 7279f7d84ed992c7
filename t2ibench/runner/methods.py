"""The methods of a suite: which tracks they take part in, and how a method is prepared to make images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.core.settings import with_preset
from t2ibench.data.dataset import Dataset
from t2ibench.data.split import AUTO, Networks
from t2ibench.networks.models import Models
from t2ibench.runner.generate import BrokenContract, reason_of
from t2ibench.runner.isolation import isolated
from t2ibench.runner.suite import Suite
from t2ibench.tracks import contract
from t2ibench.tracks.contract import MethodPlugin, Sample, Track, load_method, load_track


@dataclass(frozen=True)
class Method:
    """A method that is ready to make images in one track. Of a prompt it sees only what the track's requests hold.

    method: an object of the plug-in's class.
    track: the track, which turns samples into requests.
    identity: the name, revision and settings of the method and the hashes of its weights, as its records hold them.
    weights: the networks that the method uses, by name, with what their cards say.
    trained_on: the data sets that the method says it was trained on.
    data: the data set of the suite, or None where the images do not depend on it.
    """

    method: Any
    track: Track
    identity: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    data: "Dataset | None" = None

    @property
    def cost(self) -> Mapping[str, float]:
        return self.method.cost

    def cut_texts(self, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """How many of these texts each network of the method cuts, by its name; only networks that cut some."""
        counts = {name: (sum(network.cut(texts)), network.context) for name, network in self.method.reads.items()}
        return {
            name: {"cut": cut, "of": len(texts), "context": context} for name, (cut, context) in counts.items() if cut
        }

    def source(self, sample: Sample) -> str:
        return self.track.source(sample.prompt)

    def make(self, samples: Sequence[Sample]) -> Tensor:
        with isolated(str(self.identity.get("name", "a method"))):
            return self.track.make(self.method, samples, self.data)


@dataclass(frozen=True)
class Broken:
    """In place of a method that could not be prepared: every sample fails, with the reason.

    identity: the name, revision and settings of the method. reason: the exception that it raised.
    """

    identity: Mapping[str, Any]
    reason: str
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = field(default_factory=dict)

    def source(self, sample: Sample) -> str:
        return sample.prompt.text

    def make(self, samples: Sequence[Sample]) -> Tensor:
        raise BrokenContract(f"the method could not be prepared: {self.reason}")


def broken(entry: Entry, where: str, error: BaseException) -> Broken:
    """What stands for a method whose preparation raised an exception that is no UserError."""
    module, config = configured(entry, where)
    known = {"name": entry.name, "revision": module.REVISION, "config": settings.recorded(config)}
    return Broken({**known, "broken": reason_of(error)}, reason_of(error))


def takes_part(entry: Entry, track: str) -> bool:
    """Whether a method runs in a track: it has the functions, and its entry does not restrict it to other tracks."""
    return has_functions(entry, track) and (not entry.tracks or track in entry.tracks)


def has_functions(entry: Entry, track: str) -> bool:
    """Whether a method has the functions of a track."""
    return plugins.has(load_method(entry.name).Method, load_track(track).functions)


def needed(track: str) -> str:
    """The functions of a track, as text."""
    return " and ".join(load_track(track).functions)


def entry_of(suite: Suite, id: str) -> Entry:
    """The entry of a method by its name in the suite. One that the suite does not list has its published settings."""
    known = {entry.id: entry for entry in suite.methods}
    return known[id] if id in known else Entry(id, *plugins.method_ids()[id], "method")


def configured(entry: Entry, where: str) -> tuple[MethodPlugin, Any]:
    """The module of a method and its checked settings, in which `auto` may still stand. No weights are loaded."""
    module, where = load_method(entry.name), f"{where}: {entry.id}"
    return module, settings.configure(module.Config, with_preset(module.PRESETS, entry.settings, where), where)


def guided(entry: Entry, networks: Networks, where: str) -> Entry:
    """The entry of a method with `auto`, in the settings `clip` and `clips`, replaced by the names of networks.

    They are the guides of the data set, or else the published ones if their files are on this disk. Raises UserError if
    there are neither; `where` begins the line.
    """
    return replace(
        entry, settings=with_guides(load_method(entry.name), entry.settings, networks, f"{where}: {entry.id}")
    )


def with_guides(plugin: MethodPlugin, given: Mapping[str, Any], networks: Networks, where: str) -> dict[str, Any]:
    """The settings of a method with those of its preset, and with `auto` replaced as in `guided`.

    Raises UserError also for guides of the data set beside a generator of something else.
    """
    given = with_preset(plugin.PRESETS, given, where)
    settings = {field.name: field.default for field in fields(plugin.Config)} | given
    chosen: dict[str, Any] = {}
    if settings.get("clip") == AUTO:
        chosen["clip"] = _guides(plugin, networks, where)[0]
    if isinstance(clips := settings.get("clips"), tuple | list) and AUTO in clips:
        guides = _guides(plugin, networks, where)
        chosen["clips"] = [name for clip in clips for name in (guides if clip == AUTO else [clip])]
    if chosen and isinstance(generator := settings.get("generator"), str):
        from t2ibench.networks.guides import check_domain

        check_domain(generator, _guides(plugin, networks, where), where, setting=next(iter(chosen)))
    return {**given, **chosen}


def _guides(plugin: MethodPlugin, networks: Networks, where: str) -> Sequence[str]:
    if networks.guides:
        return networks.guides
    from t2ibench.networks.clip import published

    for name in plugin.PUBLISHED:
        if published.on_disk(name) is None:
            raise UserError(
                f"{where}: the data set brings no CLIP to guide it, and the published {name} is not on disk: "
                f"{published.advice(name)}; or name another with `clip`"
            )
    return plugin.PUBLISHED


def method_maker(
    entry: Entry, track: str, where: str, device: str, data: Dataset | None = None, cache: Path | None = None
) -> Method:
    """Prepare a method to make images in a track. It loads its own networks, and their hashes enter its identity.

    entry: as `guided` returns it.
    cache: the folder of what it computes once and keeps; None: the user's.

    Raises UserError for a wrong setting, and for a method without the functions of the
    track.
    """
    module, config = configured(entry, where)
    if not has_functions(entry, track):
        raise UserError(f"{where}: {entry.id} has no {needed(track)}, so it cannot take part in the track {track}")
    models = Models(device, cache)
    with isolated(entry.name):
        method = plugins.complete(contract.Method, module.Method(config, models))
    identity = {
        "name": entry.name,
        "revision": module.REVISION,
        "config": settings.recorded(config),
        "weights": sorted(used["sha256"] for used in models.used.values()),
    }
    names = [method.trained_on] if isinstance(method.trained_on, str) else list(method.trained_on)
    return Method(method, load_track(track), identity, models.used, names, data)
