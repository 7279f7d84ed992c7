"""From evidence to the values of a record: every metric is asked once, and what it says carries its protocol."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.core.progress import track
from t2ibench.core.records import Estimate, canonical
from t2ibench.data.split import Split
from t2ibench.scoring.evidence import Evidence
from t2ibench.tracks.contract import Prompt


@dataclass(frozen=True)
class Metric:
    """A metric with its settings, ready to be asked."""

    name: str
    module: Any
    config: Any

    @property
    def tracks(self) -> Sequence[str]:
        """The tracks whose samples it can score."""
        return getattr(self.module, "TRACKS", ("text_to_image",))

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self.config)}

    def prompts(self, train: Split, reference: Split) -> list[Prompt]:
        """The prompts this metric needs beside the suite's captions."""
        return self.module.prompts(train, reference, self.config) if hasattr(self.module, "prompts") else []


def metrics_of(entries: Sequence[Entry], where: str) -> list[Metric]:
    """Import and configure metrics; `where` begins the line of an error in their settings."""
    metrics = []
    for entry in entries:
        module = plugins.load("metrics", entry.name)
        metrics.append(
            Metric(entry.name, module, settings.configure(module.Config, entry.settings, f"{where}: {entry.name}"))
        )
    return metrics


@dataclass
class Scores:
    """values: by metric id, as they stand in a record. unscored: why a metric has none. seconds: by metric."""

    values: dict[str, dict[str, Any]]
    unscored: dict[str, str]
    seconds: dict[str, float]


def score(evidence: Evidence, metrics: Sequence[Metric], *, partial: bool) -> Scores:
    """Ask every metric.

    A metric that cannot be computed is a UserError, since the suite asks too little of it; but where samples are
    missing (`partial`) the method may be the reason, and the record says so in `unscored`.
    """
    scores = Scores({}, {}, {})
    for metric in track(metrics, "score with each metric"):
        started = time.perf_counter()
        try:
            estimates: Mapping[str, Estimate] = metric.module.score(evidence, metric.config)
        except (UserError, ValueError) as error:
            if not partial:
                raise UserError(f"{metric.name}: {error}") from error
            scores.unscored[metric.name] = str(error)
            continue
        if twice := sorted(set(estimates) & set(scores.values)):
            raise UserError(f"{metric.name}: another metric of the suite also makes {twice[0]!r}: take one of them out")
        scores.values |= {name: estimate.to_json(metric.name) for name, estimate in estimates.items()}
        scores.seconds[metric.name] = round(time.perf_counter() - started, 3)
    return scores


def judge_overlap(
    values: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, Mapping[str, Any]],
    judges: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[str]]:
    """The values that a method could have been made for: metric id -> judges that it used, or was optimised for."""
    guides = {name for entry in weights.values() for name in _names(entry.get("optimised_for"))} | set(weights)
    hashes = {entry["sha256"] for entry in weights.values()}
    shared = {
        name: entry["sha256"] for name, entry in judges.items() if name in guides or entry["sha256"] in guides | hashes
    }
    found = {
        id: sorted(name for name, sha in shared.items() if sha in canonical(value["protocol"]))
        for id, value in values.items()
    }
    return {id: names for id, names in found.items() if names}


def _names(entry: Any) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry or ())
