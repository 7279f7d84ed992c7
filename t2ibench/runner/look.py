"""A part of what networks say of a cell's images, made by one of several processes before one of them scores it."""

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.runner.cell import PIECES, Cell, evidence_for
from t2ibench.runner.generate import samples_by_group
from t2ibench.runner.journal import Store
from t2ibench.runner.plan import Plan
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import extractor_of
from t2ibench.scoring.part import NotShared, Part
from t2ibench.scoring.score import estimates_of

log = logging.getLogger(__name__)
CAPTIONS = "captions"  # the group of prompts of a metric that names none


def look_at_part(cell: Cell, part: int, of: int) -> None:
    """Have a part of what networks say of a cell's images made, and put it into its folder.

    These are features of the extractors that the metrics name, and what metrics with slow networks of their own make
    `IN_PARTS`. What else a metric computes is left to the one that scores, and so is an image that is damaged.
    """
    plan, store = cell.plan, Store(cell.folder, "reader")
    held = store.outcomes()
    if any(sample.id not in held for sample in cell.samples):
        return
    samples = samples_by_group(cell.samples, [held[sample.id] for sample in cell.samples], store, check=True)
    evidence = Part(part, of, **evidence_for(plan, samples, cell.folder / PIECES))
    works: list[Callable[[], Any]] = [
        functools.partial(evidence.features_of_part, name, group)
        for name, group in extractors_of(plan, evidence)
        if group in samples and samples[group].ok.any()
    ]
    works += [functools.partial(estimates_of, metric, evidence) for metric in plan.metrics if metric.plugin.IN_PARTS]
    for work in works:
        with suppress(NotShared):
            try:
                work()
            except (UserError, ValueError) as error:  # the one that scores meets it too, and says it
                log.info("%s", error)


def extractors_of(plan: Plan, evidence: Evidence) -> list[tuple[str, str]]:
    """The extractors that the metrics of a track name in their settings, each with the group that it will look at."""
    found = []
    for metric in plan.metrics:
        group = str(metric.settings.get("group", CAPTIONS))
        for key in ("extractor", "clip"):
            name = metric.settings.get(key)
            if isinstance(name, str):
                try:
                    found.append((extractor_of(evidence, name), group))
                except UserError:  # the metric says it
                    continue
    return list(dict.fromkeys(found))
