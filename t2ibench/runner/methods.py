"""Methods of a suite: which tracks they take part in, and how one is made ready to make images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data.dataset import Dataset
from t2ibench.networks.models import Models
from t2ibench.runner.suite import Suite
from t2ibench.tracks.contract import TRACKS, Sample, Track, load_track


@dataclass(frozen=True)
class Method:
    """A method's images: it is given what the track's requests hold, and nothing else of the prompt."""

    method: Any
    track: Track
    identity: Mapping[str, Any]
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    data: "Dataset | None" = None

    @property
    def cost(self) -> Mapping[str, float]:
        return getattr(self.method, "cost", {})

    def source(self, sample: Sample) -> str:
        return self.track.source(sample.prompt)

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return self.track.make(self.method, samples, self.data)


def takes_part(entry: Entry, track: str) -> bool:
    """Whether a method is to run in a track: it has the functions, and is not kept to other tracks."""
    return has_functions(entry, track) and (not entry.tracks or track in entry.tracks)


def has_functions(entry: Entry, track: str) -> bool:
    """Whether a method has the functions of a track."""
    method = plugins.load("methods", entry.name).Method
    return all(hasattr(method, function) for function in TRACKS[track].functions)


def needed(track: str) -> str:
    """The functions of a track, as text."""
    return " and ".join(TRACKS[track].functions)


def entry_of(suite: Suite, id: str) -> Entry:
    """A method by its name in the suite, or as it was published where it stands in no list of the suite."""
    known = {entry.id: entry for entry in suite.methods}
    return known[id] if id in known else Entry(id, *plugins.method_ids()[id], "method")


def configured(entry: Entry, where: str) -> tuple[Any, Any]:
    """A method's module and its settings, checked; nothing is loaded yet."""
    module = plugins.load("methods", entry.name)
    return module, settings.configure(module.Config, entry.settings, f"{where}: {entry.id}")


def method_maker(entry: Entry, track: str, where: str, device: str, data: Dataset | None = None) -> Method:
    """A method, ready to make images; the networks it takes are its own, and are noted."""
    module, config = configured(entry, where)
    if not has_functions(entry, track):
        raise UserError(f"{where}: {entry.id} has no {needed(track)}, so it cannot take part in the track {track}")
    models = Models(device)
    method = module.Method(config, models)
    trained_on = getattr(method, "trained_on", ())
    identity = {
        "name": entry.name,
        "config": asdict(config),
        "weights": {name: used["sha256"] for name, used in models.used.items()},
    }
    seen = [trained_on] if isinstance(trained_on, str) else list(trained_on)
    return Method(method, load_track(track), identity, models.used, seen, data)
