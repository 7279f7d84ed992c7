"""Reconstruction: how far is a composed image from the image A that its conditions come from? Lower is better.

`reconstruction_error`: the distance of the two images' features (attribute judge), divided by the mean distance of two
sources. 0 is A itself; 1 is as far as another image. It is the mean over the tasks that draw a new image from A alone.

`error_per_condition`: by how much one more condition changes the error; negative if conditions help. It is the mean
over all pairs of these tasks in which one task has all conditions of the other and more.

Both depend on which tasks are run, so compare methods on the same tasks only.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.scoring.compositions import TaskImages, compositions, detail, only_of_a
from t2ibench.scoring.edits import per_source
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats.finite import finite
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.tracks.contract import SOURCES

TRACKS = ("compose",)
QUESTIONS = {
    "reconstruction_error": "how far is an image from the one that all its conditions were taken from?",
    "error_per_condition": "how much nearer does one more condition bring an image to the one that they were taken "
    "from?",
}


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`reconstruction_error`, and `error_per_condition` if two tasks are nested.

    Raises UserError if no task draws from A alone.
    """
    made = compositions(evidence)
    tasks = [one for one in made.tasks if only_of_a(one.task) and len(set(one.a.tolist())) > 1]
    if not tasks:
        raise UserError(
            "none of the tasks draws anew of A alone: ask for letters, such as E and EPSD, or leave reconstruction out"
        )
    sources = evidence.fake_features(evidence.judge, SOURCES).double().numpy()
    unit = float(np.linalg.norm(sources - np.roll(sources, 1, 0), axis=1).mean())
    finite("reconstruction", features_of_the_sources=sources)
    if unit == 0:
        raise UserError("reconstruction: the sources are all the same, so no distance can be put beside theirs")
    features = {one.name: evidence.fake_features(evidence.judge, one.group).double().numpy() for one in tasks}
    finite("reconstruction", features=np.concatenate(list(features.values())))
    errors = {one.name: np.linalg.norm(features[one.name] - sources[one.a], axis=1) / unit for one in tasks}
    values, inputs = np.concatenate(list(errors.values())), np.concatenate([one.a for one in tasks])
    protocol = {
        **evidence.extractor_protocol(evidence.judge),
        **made.protocol,
        "estimator": "distance of features over that of neighbouring sources",
        "of": sorted(errors),
    }
    estimates = {
        "reconstruction_error": Estimate(
            value=float(values.mean()),
            ci=cluster_mean_interval(values, inputs, derive_seed("reconstruction")),
            n=len(values),
            better="lower",
            protocol=protocol,
            interval="BCa bootstrap over inputs",
            details={
                "tasks": {one.name: detail(errors[one.name], one.a, "reconstruction", one.name) for one in tasks},
                "failed": made.failed,
                "per_sample": per_source(
                    values, inputs, [(prompt, i) for prompt, i in made.asked if prompt.tags["name"] in errors]
                ),
            },
        )
    }
    by_pair = nested(tasks, errors)
    if by_pair:
        gains, which = (np.concatenate(parts) for parts in zip(*by_pair.values(), strict=True))
        estimates["error_per_condition"] = Estimate(
            value=float(gains.mean()),
            ci=cluster_mean_interval(gains, which, derive_seed("reconstruction", "nested")),
            n=len(gains),
            better="lower",
            protocol={**protocol, "pairs": sorted(by_pair)},
            interval="BCa bootstrap over inputs",
            details={
                "pairs": {name: detail(*task_pair, "reconstruction", name) for name, task_pair in by_pair.items()}
            },
        )
    return estimates


def nested(tasks: list[TaskImages], errors: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each pair of nested tasks: the change of the error per added condition, and the inputs that it is for.

    Two tasks are nested if one has all conditions of the other and more. If an input has several images in a task,
    their mean error counts.
    """
    finite("reconstruction", errors=np.concatenate([*errors.values(), np.zeros(1)]))
    changes = {}
    for less, more in itertools.permutations(tasks, 2):
        few, many = set(less.task.given), set(more.task.given)
        if few < many:
            means = [{int(i): errors[one.name][one.a == i].mean() for i in np.unique(one.a)} for one in (less, more)]
            both = sorted(set(means[0]) & set(means[1]))
            if both:
                differences = np.array([means[1][i] - means[0][i] for i in both]) / (len(many) - len(few))
                changes[f"{less.name} to {more.name}"] = differences, np.array(both)
    return changes
