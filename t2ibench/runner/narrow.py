"""A part of a suite: some of its methods or tracks, or a trial of its first few images.

Fewer methods or tracks leave every cell what it is, so its records stand beside the others of the suite. A trial asks
for other prompts, so it is a suite of its own name, whose numbers compare with none of the whole one.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.plugins import Entry
from t2ibench.runner.methods import takes_part
from t2ibench.runner.suite import Suite
from t2ibench.scoring.contract import load_metric
from t2ibench.tracks.contract import load_track

NO_COUNTS = ("draws", "seed")  # whole numbers of metrics that count no images, texts or pairs
LEAST = 4  # a trial has so many images at least: one for each template of a pair


def narrowed(suite: Suite, methods: Sequence[str] = (), tracks: Sequence[str] = (), limit: int | None = None) -> Suite:
    """A part of a suite.

    methods: the methods and baselines that run, by their names in the suite; empty: all.
    tracks: the tracks that run; empty: all.
    limit: no more texts, images, pairs or reference images than this, where the suite asks for more; None: all.

    Raises UserError for a name that the suite does not have, and for methods of which none runs in the tracks.
    """
    known = [entry.id for entry in (*suite.methods, *suite.baselines)]
    for option, names, there in (("--methods", methods, known), ("--tracks", tracks, suite.tracks)):
        for name in names:
            if name not in there:
                raise UserError(f"{option}: {suite.name} has no {name!r}{did_you_mean(name, there)}")
    if tracks:
        suite = _of_tracks(suite, [track for track in suite.tracks if track in tracks])
    if methods:
        suite = replace(suite, only=tuple(methods), whole=False)
    return suite if limit is None else _trial(suite, max(limit, LEAST))


def _of_tracks(suite: Suite, tracks: Sequence[str]) -> Suite:
    """The suite with these tracks alone, and with the methods, baselines and metrics that run in them."""
    baselines = {name for track in tracks for name in load_track(track).baselines}
    return replace(
        suite,
        tracks=tuple(tracks),
        methods=tuple(entry for entry in suite.methods if any(takes_part(entry, track) for track in tracks)),
        baselines=tuple(entry for entry in suite.baselines if entry.name in baselines),
        metrics=tuple(entry for entry in suite.metrics if set(load_metric(entry.name).TRACKS) & set(tracks)),
        settings={track: suite.settings[track] for track in tracks},
        whole=False,
    )


def _trial(suite: Suite, limit: int) -> Suite:
    """The suite with every count brought down to `limit`, under a name of its own."""
    reference = replace(suite.reference, limit=min(suite.reference.limit or limit, limit))
    return replace(
        suite,
        name=f"{suite.name}-first-{limit}",
        reference=reference,
        settings={track: replace(given, **_lower(given, limit)) for track, given in suite.settings.items()},
        metrics=tuple(_of_metric(entry, limit) for entry in suite.metrics),
        whole=False,
    )


def _of_metric(entry: Entry, limit: int) -> Entry:
    """A metric with its counts brought down to a multiple of four."""
    config = load_metric(entry.name).Config
    defaults: dict[str, Any] = {field.name: field.default for field in fields(config)} | dict(entry.settings)
    lower = {name: limit - limit % LEAST for name, value in defaults.items() if _count(name, value) and value > limit}
    return replace(entry, settings={**entry.settings, **lower})


def _lower(settings: Any, limit: int) -> dict[str, int]:
    return {name: limit for name, value in vars(settings).items() if _count(name, value) and value > limit}


def _count(name: str, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and name not in NO_COUNTS
