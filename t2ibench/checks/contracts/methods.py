"""Holds a method to its contract (`t2ibench.tracks.contract`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.checks.contracts.asking import asked_of, data_of, few_samples
from t2ibench.checks.contracts.findings import (
    Findings,
    as_json,
    check_settings,
    configured,
    global_state_watched,
    plugin_of,
    random_state_kept,
    seed_everything,
)
from t2ibench.core import plugins
from t2ibench.core.records import digest
from t2ibench.core.settings import with_preset
from t2ibench.data.dataset import Dataset
from t2ibench.networks.models import Models
from t2ibench.runner.methods import with_guides
from t2ibench.scoring.default_networks import trained_for
from t2ibench.tracks import contract
from t2ibench.tracks.contract import SOURCES, MethodPlugin, Sample, load_track, track_names

ROUNDING = 1  # grey levels by which the other requests of a batch may move a pixel


def check_method(
    method: str | ModuleType,
    settings: Mapping[str, Any] | None = None,
    *,
    dataset: str | Mapping[str, Any] | None = None,
    asked: Mapping[str, Mapping[str, Any]] | None = None,
    wrong: Sequence[Mapping[str, Any]] = (),
    models: Callable[[], Models] = Models,
) -> None:
    """Hold a method to its contract, in every track for which it has the functions.

    method: its name, or that of a variant; or its module.
    settings: of its `Config`, those that make it fast.
    dataset: where texts and sources come from: a name, or as a suite names it. None: made-up squares.
    asked: settings of tracks in place of the small ones, as in a suite: {"compose": {"tasks": ["T"]}}.
    wrong: settings that the method must refuse with a UserError, each beside `settings`.
    models: makes the networks that the method is given.

    The rules:

    - images are uint8 [B, 3, H, W], of one size;
    - image i depends on request i alone, but for one grey level of rounding;
    - the same requests give the same images, bit for bit, also of a method that was built anew;
    - another seed gives another image;
    - the image before an edit or an adaptation depends on no text;
    - requests stay as they are, and so does the global random state;
    - every other setting is used, or refused with a UserError of one line. This is tried with absurd values when the
      method is built, and with `wrong`.

    Raises ContractBroken with a line for each broken rule, and UserError if it cannot be tried with these settings.
    """
    variant = plugins.method_ids().get(method) if isinstance(method, str) else None
    findings, plugin = plugin_of("methods", MethodPlugin, variant[0] if variant else method)
    given = {**(variant[1] if variant else {}), **(settings or {})}
    given = with_preset(plugin.PRESETS, given, findings.plugin)
    data, tracks = data_of(dataset), tracks_of(findings, plugin.Method)
    configured(findings, plugin.Config, given)
    given = with_guides(plugin, given, trained_for(data.networks, data.train.dataset), findings.plugin)
    config = configured(findings, plugin.Config, given)

    def build(config: Any) -> Any:
        return plugins.complete(contract.Method, plugin.Method(config, models()))

    built = []
    with random_state_kept():
        for seed in (1, 2):
            seed_everything(seed)
            with findings.calling("Method(config, models)"):
                built.append(build(config))
        if len(built) == 2:
            with findings.calling("trained_on, needs_parts or cost"):
                check_facts(findings, built[0])
            for track in tracks:
                check_track(findings, track, built, data, asked)
        check_settings(findings, plugin.Config, given, wrong, build)
    findings.close()


def tracks_of(findings: Findings, cls: Any) -> list[str]:
    """The tracks for which a class has the functions. Having none, or only some of a track, is noted."""
    needed = {track: load_track(track).functions for track in track_names()}
    tracks = [track for track, functions in needed.items() if plugins.has(cls, functions)]
    for track, functions in needed.items():
        some = [name for name in functions if plugins.has(cls, [name])]
        if some and track not in tracks:
            findings.expect(False, f"{track}: Method has {some[0]} without {' and '.join({*functions} - {*some})}")
    known = "; ".join(" and ".join(functions) for functions in needed.values())
    findings.expect(bool(tracks), f"Method has the functions of no track: {known}")
    return tracks


def check_facts(findings: Findings, method: Any) -> None:
    """What the record says about a method."""
    names = [method.trained_on] if isinstance(method.trained_on, str) else method.trained_on
    texts = isinstance(names, Sequence) and all(isinstance(name, str) for name in names)
    findings.expect(texts, f"trained_on is {method.trained_on!r}, expected the names of data sets")
    findings.expect(isinstance(method.needs_parts, bool), f"needs_parts is {method.needs_parts!r}, expected a bool")
    cost = method.cost
    seconds = isinstance(cost, Mapping) and all(
        isinstance(value, int | float) and value >= 0 for value in cost.values()
    )
    findings.expect(seconds and as_json(cost), f"cost is {cost!r}, expected seconds by name")


class Watched:
    """A method that notes whether it was called, and whether a call changed its requests."""

    def __init__(self, method: Any, functions: Sequence[str]) -> None:
        self.called, self.changed = False, False
        for name, function in plugins.functions(method, functions).items():
            setattr(self, name, self._watching(function))

    def _watching(self, function: Callable[..., Tensor]) -> Callable[[Sequence[Any]], Tensor]:
        def call(requests: Sequence[Any]) -> Tensor:
            given, before = list(requests), digest([asdict(request) for request in requests])
            self.called = True
            try:
                return function(given)
            finally:
                same = len(given) == len(requests) and all(a is b for a, b in zip(given, requests, strict=True))
                self.changed |= not same or digest([asdict(request) for request in requests]) != before

        return call


@dataclass(frozen=True)
class Question:
    """Asks a method for the images of samples, and notes what is wrong with the answer.

    what: the track and the group of the samples, for the lines of findings.
    """

    findings: Findings
    track: str
    what: str
    data: Dataset

    def ask(self, method: Any, samples: Sequence[Sample]) -> np.ndarray | None:
        """Images as int [B, 3, H, W], or None without a sound answer."""
        watched, answer = Watched(method, load_track(self.track).functions), None
        with global_state_watched(self.findings, self.what), self.findings.calling(f"{self.what}: a plain request"):
            answer = load_track(self.track).make(watched, samples, self.data)
        self.findings.expect(
            not watched.changed, f"{self.what}: a call changed its requests: work on a copy, others still use them"
        )
        if answer is None or not watched.called:
            return None
        tensor = isinstance(answer, Tensor)
        found = f"{answer.dtype} {list(answer.shape)}" if tensor else type(answer).__name__
        shaped = tensor and answer.dim() == 4 and answer.shape[:2] == (len(samples), 3) and answer.numel() > 0
        if not self.findings.expect(
            shaped and answer.dtype == torch.uint8,
            f"{self.what}: returned {found}, expected uint8 [{len(samples)}, 3, H, W] (t2ibench.core.images.to_uint8)",
        ):
            return None
        return answer.cpu().numpy().astype(int)

    def same(self, images: np.ndarray | None, others: np.ndarray | None, allowed: int, line: str) -> None:
        """Note images that differ by more grey levels than allowed; {} in the line is the number of levels."""
        if images is not None and others is not None:
            sized = images.shape == others.shape
            levels = int(np.abs(images - others).max()) if sized else 255
            self.findings.expect(levels <= allowed, f"{self.what}: {line.format(levels)}")


def check_track(
    findings: Findings,
    track: str,
    built: Sequence[Any],
    data: Dataset,
    asked: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    """Hold a method, which was built twice, to its contract in one track."""
    groups, sizes = few_samples(track, asked_of(track, data, asked)), set()
    for group, samples in groups.items():
        question = Question(findings, track, track if group != SOURCES else f"{track} ({group})", data)
        images = check_group(question, built, samples)
        if images is None:
            continue
        sizes.add(images.shape[2:])
        other = next((some[0].prompt.text for name, some in groups.items() if name != group), None)
        if group == SOURCES and other is not None:
            retold = [replace(sample, prompt=replace(sample.prompt, text=other)) for sample in samples]
            line = "the image before depends on a text, by {} grey levels: it may depend on the seed alone"
            question.same(images, question.ask(built[0], retold), ROUNDING, line)
    spelled = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
    findings.expect(len(sizes) <= 1, f"{track}: images are {spelled}, expected one size")


def check_group(question: Question, built: Sequence[Any], samples: Sequence[Sample]) -> np.ndarray | None:
    """Ask for the same samples in several ways. Returns the images, or None without a sound answer."""
    first, anew = built
    seed_everything(3)
    images = question.ask(first, samples)
    if images is None:
        return None
    seed_everything(4)
    again = "the same requests gave other images when they were asked again (by {} grey levels): an image depends on "
    again += "its request alone, never on earlier calls or on a global random state"
    question.same(images, question.ask(first, samples), 0, again)
    built_anew = "a method that was built anew gave other images for the same requests (by {} grey levels)"
    question.same(images, question.ask(anew, samples), 0, built_anew)
    alone = "row {} depends on the other requests of its batch, by {} grey levels: row i depends on request i alone"
    for row in sorted({0, len(samples) - 1}):
        line = alone.replace("{}", str(row), 1)
        question.same(images[row : row + 1], question.ask(first, [samples[row]]), ROUNDING, line)
    turned = question.ask(first, samples[::-1])
    order = "in another order the requests gave other images, by {} grey levels: row i depends on request i alone"
    question.same(images, None if turned is None else turned[::-1], ROUNDING, order)
    for prompt in {sample.prompt.id: sample.prompt for sample in samples}.values():
        rows = [row for row, sample in enumerate(samples) if sample.prompt.id == prompt.id]
        equal = len(rows) > 1 and all((images[row] == images[rows[0]]).all() for row in rows)
        line = f"other seeds gave the same image for {prompt.text!r}: the seed is what an image is drawn from"
        question.findings.expect(not equal, f"{question.what}: {line}")
    return images
