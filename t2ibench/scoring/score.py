"""From evidence to the values of a record: every metric is called once, and every value carries its protocol."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from t2ibench.core import settings
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.core.progress import track
from t2ibench.core.records import Estimate, canonical
from t2ibench.data.split import Split
from t2ibench.scoring.contract import MetricPlugin, load_metric
from t2ibench.scoring.evidence import Evidence
from t2ibench.tracks.contract import Prompt


@dataclass(frozen=True)
class Metric:
    """A metric with its settings.

    name: name of the plug-in.
    plugin: the plug-in.
    config: its settings, an instance of `plugin.Config`.
    label: the name that the suite gives it with `as:`, which stands behind the ids of its values (`clip_score@b16`);
        "" for none.
    """

    name: str
    plugin: MetricPlugin
    config: Any
    label: str = ""

    @property
    def tracks(self) -> Sequence[str]:
        """The tracks whose samples it can score."""
        return self.plugin.TRACKS

    @property
    def settings(self) -> dict[str, Any]:
        return settings.recorded(self.config)

    @property
    def identity(self) -> dict[str, Any]:
        named = {"as": self.label} if self.label else {}
        return {"name": self.name, "revision": self.plugin.REVISION, **self.settings, **named}

    @property
    def title(self) -> str:
        """What it is called where each metric of a suite has one entry."""
        return self.label or self.name

    def value_id(self, id: str) -> str:
        """The id of one of its values in a record."""
        return f"{id}@{self.label}" if self.label else id

    def prompts(self, train: Split, reference: Split) -> list[Prompt]:
        """The prompts that this metric needs in addition to the captions of the suite."""
        return self.plugin.prompts(train, reference, self.config)


def metrics_of(entries: Sequence[Entry], where: str) -> list[Metric]:
    """Import and configure metrics; `where` begins the line of an error in their settings."""
    metrics = []
    for entry in entries:
        plugin = load_metric(entry.name)
        config = settings.configure(plugin.Config, entry.settings, f"{where}: {entry.id}")
        metrics.append(Metric(entry.name, plugin, config, entry.id if entry.id != entry.name else ""))
    return metrics


@dataclass
class Scores:
    """What the metrics gave for a cell.

    values: the values by metric id, as a record holds them.
    unscored: why a metric has no value, by name of the metric.
    seconds: how long each metric took, by name of the metric.
    """

    values: dict[str, dict[str, Any]]
    unscored: dict[str, str]
    seconds: dict[str, float]


def estimates_of(metric: Metric, evidence: Evidence) -> dict[str, Estimate]:
    """The values of one metric. How the scored images were read stands in each protocol, where it changed them."""
    estimates: Mapping[str, Estimate] = metric.plugin.score(evidence, metric.config)
    read = {"read": dict(evidence.reading)} if evidence.reading else {}
    return {id: replace(estimate, protocol={**estimate.protocol, **read}) for id, estimate in estimates.items()}


def score(evidence: Evidence, metrics: Sequence[Metric], *, partial: bool) -> Scores:
    """Compute every metric.

    Raises UserError for a metric that cannot be computed, because then the suite asks for too few images. If samples
    are missing (`partial`), the method may be the reason, and `unscored` holds the error instead.
    """
    scores = Scores({}, {}, {})
    for metric in track(metrics, "score with each metric"):
        started = time.perf_counter()
        try:
            estimates = estimates_of(metric, evidence)
        except (UserError, ValueError) as error:
            if not partial:
                raise UserError(f"{metric.title}: {error}") from error
            scores.unscored[metric.title] = str(error)
            continue
        values = {metric.value_id(id): estimate.to_json(metric.name) for id, estimate in estimates.items()}
        if twice := sorted(set(values) & set(scores.values)):
            raise UserError(
                f"{metric.title}: another metric of the suite also makes {twice[0]!r}: give one of them another name "
                f"with `as:`"
            )
        scores.values |= values
        scores.seconds[metric.title] = round(time.perf_counter() - started, 3)
    return scores


def judge_overlap(
    values: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, Mapping[str, Any]],
    judges: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[str]]:
    """The values for which a method may have an advantage: metric id -> judges that it used or was optimised for.

    values: the values of a record, by metric id.
    weights: the networks of the method.
    judges: the networks of the metrics, by name.
    """
    guides = {name for entry in weights.values() for name in _names(entry.get("optimised_for"))} | set(weights)
    hashes = {entry["sha256"] for entry in weights.values()}
    shared = {
        name: entry["sha256"] for name, entry in judges.items() if name in guides or entry["sha256"] in guides | hashes
    }
    overlaps = {
        id: sorted(name for name, sha in shared.items() if sha in canonical(value["protocol"]))
        for id, value in values.items()
    }
    return {id: names for id, names in overlaps.items() if names}


def _names(entry: Any) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry or ())
