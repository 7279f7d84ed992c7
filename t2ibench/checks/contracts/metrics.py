"""Holds a metric to its contract (`t2ibench.scoring.contract`)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.checks.contracts.asking import asked_of, data_of, groups_of
from t2ibench.checks.contracts.findings import (
    NAME,
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
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.core.plugins import Entry
from t2ibench.core.records import Estimate, digest
from t2ibench.data.dataset import Dataset
from t2ibench.data.stores import ArrayImages, ImageStore, Subset
from t2ibench.networks.models import Models
from t2ibench.scoring.contract import MetricPlugin
from t2ibench.scoring.default_networks import settled, trained_for
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.score import Metric, metrics_of
from t2ibench.tracks.contract import SOURCES, Asked, Maker, Prompt, Sample, load_track, track_names

CLOSE = 1e-5  # by which a value may move, relative to it or to 1, where sums are added in another order
Values = Mapping[str, Estimate]
GROUP = "captions"  # the group whose texts come with the images


def check_metric(
    metric: str | ModuleType,
    settings: Mapping[str, Any] | None = None,
    *,
    dataset: str | Mapping[str, Any] | None = None,
    asked: Mapping[str, Mapping[str, Any]] | None = None,
    wrong: Sequence[Mapping[str, Any]] = (),
    models: Callable[[], Models] = Models,
    beside: Mapping[str, Mapping[str, Any]] | None = None,
    ordered: bool = False,
) -> None:
    """Hold a metric to its contract, in every track that it can score.

    metric: its name, or its module.
    settings: of its `Config`, those that fit a few images: `fewest: 10`.
    dataset: what the images are of: a name, or as a suite names it. None: made-up squares, which no network knows.
    asked: settings of tracks in place of the small ones, as in a suite: {"prompts": {"captions": 100}}.
    wrong: settings that the metric must refuse with one line, each beside `settings`.
    models: makes the networks that the metric is given.
    beside: other metrics, with their settings, whose prompts it scores.
    ordered: whether its values may depend on the order of the samples.

    The rules:

    - every value has an id with a question, an ordered finite interval around it, n, and a protocol that does not
      depend on the images;
    - the same images give the same values, in any order; the global random state is neither used nor changed;
    - what it was given stays as it was: images, features, tables;
    - no image of a failed sample is read, and texts only with READS_TEXTS;
    - its own prompts have unique ids and a group, and are the same each time;
    - every other setting is used, or refused in one line (UserError or ValueError). This is tried with absurd values,
      and with `wrong`.

    Raises ContractBroken with a line for each broken rule, and UserError if it cannot be tried with these settings.
    """
    findings, plugin = plugin_of("metrics", MetricPlugin, metric)
    check_facts(findings, plugin, metric if isinstance(metric, str) else None)
    config, data = configured(findings, plugin.Config, settings or {}), data_of(dataset)
    networks = trained_for(data.networks, data.train.dataset)
    [found] = settled([Metric(findings.plugin, plugin, config)], networks, data.train.dataset, "contract")
    data = replace(data, networks=networks)
    others = metrics_of([Entry(name, name, its, "metric") for name, its in (beside or {}).items()], "beside")
    with random_state_kept():
        made = models()
        for track in [track for track in plugin.TRACKS if track in track_names()]:
            case = Case(findings, plugin, track, data, asked_of(track, data, asked), made, others)
            check_track(case, found.config, ordered)
            given = {**found.settings, **(settings or {})}
            check_settings(findings, plugin.Config, given, wrong, case.used, (UserError, ValueError))
    findings.close()


def check_facts(findings: Findings, plugin: MetricPlugin, name: str | None) -> None:
    """What the module says about itself. name: None for a module, whose file is not looked for."""
    some = bool(plugin.TRACKS) and {*plugin.TRACKS} <= {*track_names()}
    findings.expect(some, f"TRACKS is {plugin.TRACKS!r}, expected some of {', '.join(track_names())}")
    findings.expect(isinstance(plugin.READS_TEXTS, bool), f"READS_TEXTS is {plugin.READS_TEXTS!r}, expected a bool")
    if name is not None:
        with findings.calling("reading QUESTIONS without importing the module: it stands there as a literal, or"):
            literal = plugins.questions(name) == dict(plugin.QUESTIONS)
            findings.expect(literal, "QUESTIONS cannot be read without importing it: write it as a literal")


class WatchedEvidence(Evidence):
    """Evidence that remembers what it handed out, so that a change of it is found."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._as_made: dict[tuple[Any, ...], Tensor] = {}
        self._digests = [split.digest for split in (self.train, self.reference)]

    def _once(self, what: str, kind: str, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> Tensor:
        made = super()._once(what, kind, key, make)
        self._as_made.setdefault(key, made.clone())
        return made

    def changed(self) -> list[str]:
        """What is no longer as it was handed out."""
        changed = [
            f"the images of {group!r}"
            for group, samples in self._samples.items()
            if "images" in vars(samples) and (samples.images != samples.store.read(samples.rows)).any()
        ]
        if any(not torch.equal(self._held[key], made) for key, made in self._as_made.items()):
            changed.append("features or embeddings")
        if [replace(split).digest for split in (self.train, self.reference)] != self._digests:
            changed.append("a table or the captions of real images")
        return changed


@dataclass(frozen=True)
class Guarded:
    """Images of samples, of which those that failed cannot be read."""

    store: ImageStore
    ok: np.ndarray

    def __len__(self) -> int:
        return len(self.store)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        if not self.ok[np.asarray(indices, int)].all():
            raise AssertionError("an image of a failed sample was read: `rows` are those with an image")
        return self.store.read(indices)

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        return self.store.digests(rows)


@dataclass(frozen=True)
class Case:
    """A metric in one track, and the images that it scores."""

    findings: Findings
    plugin: MetricPlugin
    track: str
    data: Dataset
    asked: Asked
    models: Models
    beside: Sequence[Metric]
    drawn: dict[tuple[str, int, str], np.ndarray] = field(default_factory=dict)

    def evidence(self, config: Any, images: int = 0, **changes: Any) -> WatchedEvidence:
        """Evidence of a run. images: which images of many; changes: see `changed`."""
        track, train, reference = load_track(self.track), self.data.train, self.data.reference
        own = [prompt for metric in self.beside for prompt in metric.prompts(train, reference)]
        own += self.plugin.prompts(train, reference, config)
        prompts = track.prompts(replace(self.asked, prompts=own))
        asked = replace(self.asked, prompts=prompts)
        assert track.baseline is not None
        baseline = next(name for name, of in track.baselines.items() if of == "nothing")
        maker = track.baseline(baseline, None, asked, images)
        groups, of_all = {}, digest([prompt.id for prompt in prompts])
        for group, samples in groups_of(track.samples(prompts, images)).items():
            pixels = self._drawn(maker, samples, (of_all, images, group))
            hashes = [pixel_hash(image) for image in pixels]
            asked_for, k = [sample.prompt for sample in samples], [sample.k for sample in samples]
            made = Samples(asked_for, k, np.ones(len(pixels), bool), hashes, ArrayImages(pixels, hashes))
            groups[group] = changed(made, group, self.track, **changes)
        return WatchedEvidence(
            train=train,
            reference=reference,
            prompts=prompts,
            samples=groups,
            models=self.models,
            judge=self.data.networks.judge,
            render=self.data.render,
            regions=self.data.regions,
            targets=track.targets(asked),
        )

    def _drawn(self, maker: Maker, samples: Sequence[Sample], key: tuple[str, int, str]) -> np.ndarray:
        """The images of samples, uint8 [B, 3, H, W], some darker than they were: not all right and not all wrong.

        They are those of a baseline; any real images, where it has none for a prompt.
        """
        if key not in self.drawn:
            try:
                pixels = maker.make(samples).numpy()
            except ValueError:
                real = self.data.reference
                pixels = real.images.read([row % len(real) for row in range(len(samples))])
            self.drawn[key] = np.stack([p // (1 + s.seed % 3) for p, s in zip(pixels, samples, strict=True)])
        return self.drawn[key]

    def score(self, evidence: WatchedEvidence, config: Any, what: str, refuses: bool = False) -> Values | None:
        """The values, or None where there are none. refuses: whether it may refuse to score such evidence."""
        values, line = None, f"{self.track}: score, {what},"
        with global_state_watched(self.findings, f"{self.track}: score"), self.findings.calling(line):
            try:
                values = self.plugin.score(evidence, config)
            except (UserError, ValueError) as error:
                self.findings.expect("\n" not in str(error), f"{line} raised an error of several lines, expected one")
                if not refuses:
                    raise
        for what_changed in evidence.changed():
            self.findings.expect(False, f"{self.track}: score changed {what_changed}: work on a copy, others use them")
        return values

    def used(self, config: Any) -> Values:
        """The values with another setting. Raises what the metric raises."""
        [found] = settled([Metric("contract", self.plugin, config)], self.data.networks, self.data.name, "contract")
        return self.plugin.score(self.evidence(found.config), found.config)

    def same(self, values: Values | None, others: Values | None, close: float, line: str) -> None:
        """Note values that differ. {} in the line is the first id that does."""
        if values is None or others is None:
            return
        for id in {**values, **others}:
            alike = (
                id in values
                and id in others
                and values[id].n == others[id].n
                and abs(values[id].value - others[id].value) <= close * max(1.0, abs(values[id].value))
                and (close > 0 or values[id].ci == others[id].ci)
            )
            if not self.findings.expect(alike, f"{self.track}: {line.format(id)}"):
                return


def changed(
    samples: Samples, group: str, track: str, *, turned: bool = False, failed: bool = False, untold: bool = False
) -> Samples:
    """The same samples after a change.

    turned: from last to first. Not the sources of compositions, whose order is theirs.
    failed: the first one has no image; not the image that an edit or an adaptation starts from.
    untold: without texts, where these came with the images.
    """
    if turned and (track, group) != ("compose", SOURCES):
        rows = list(range(len(samples)))[::-1]
        prompts, k = [samples.prompts[row] for row in rows], [samples.k[row] for row in rows]
        hashes, store = [samples.hashes[row] for row in rows], Subset(samples.store, rows)
        return Samples(prompts, k, samples.ok[rows], hashes, store)
    if failed and group != SOURCES:
        ok = samples.ok.copy()
        ok[0] = False
        return replace(samples, ok=ok, hashes=["", *samples.hashes[1:]], store=Guarded(samples.store, ok))
    if untold and group == GROUP:
        return replace(samples, prompts=[replace(prompt, text="") for prompt in samples.prompts])
    return samples


def check_track(case: Case, config: Any, ordered: bool) -> None:
    """Hold a metric to its contract in one track."""
    if not check_prompts(case, config):
        return
    seed_everything(3)
    evidence = case.evidence(config)
    values = case.score(evidence, config, "of a plain run")
    if values is None:
        return
    if not check_values(case, values):
        return
    seed_everything(4)
    again = "{} is another when the same images are scored again: it may depend on nothing but the evidence, never on "
    again += "a global random state"
    case.same(values, case.score(evidence, config, "again"), 0, again)
    case.same(values, case.score(case.evidence(config), config, "of the same run"), 0, again)
    if not ordered:
        turned = case.score(case.evidence(config, turned=True), config, "of the samples in another order")
        case.same(values, turned, CLOSE, "{} depends on the order of the samples; if that is meant, say ordered=True")
    case.score(case.evidence(config, failed=True), config, "with a sample that failed", refuses=True)
    others = case.score(case.evidence(config, images=1), config, "of other images", refuses=True) or {}
    for id in [id for id in values if id in others]:
        equal = values[id].to_json("")["protocol"] == others[id].to_json("")["protocol"]
        line = (
            f"{case.track}: the protocol of {id} depends on the images: it names what decides the number besides them"
        )
        case.findings.expect(equal, line)
    if case.track == "text_to_image" and not case.plugin.READS_TEXTS:
        findings = Findings("")
        untold = replace(case, findings=findings).score(case.evidence(config, untold=True), config, "without texts")
        replace(case, findings=findings).same(values, untold, CLOSE, "{}")
        line = "reads the texts of the images (without them it raises, or gives other values): write READS_TEXTS = True"
        case.findings.expect(not findings.lines, f"{case.track}: {line}")


def check_prompts(case: Case, config: Any) -> bool:
    """The prompts that a metric asks for itself. Returns whether they can be asked for."""
    findings, made, before = case.findings, list[list[Prompt]](), len(case.findings.lines)
    for seed in (1, 2):
        seed_everything(seed)
        with global_state_watched(findings, "prompts"), findings.calling("prompts"):
            made.append(list(case.plugin.prompts(case.data.train, case.data.reference, config)))
    if len(made) < 2:
        return False
    prompts = made[0]
    findings.expect(made[0] == made[1], "prompts gave other prompts when they were asked for again")
    ids = [prompt.id for prompt in prompts]
    findings.expect(len(set(ids)) == len(ids), "prompts gave two prompts one id")
    for prompt in prompts:
        findings.expect(bool(prompt.text.strip()), f"prompts: {prompt.id!r} has no text")
        findings.expect(prompt.images >= 1, f"prompts: {prompt.id!r} asks for {prompt.images} images")
        findings.expect(as_json(prompt.tags), f"prompts: the tags of {prompt.id!r} are no JSON values")
        own = prompt.group != GROUP
        findings.expect(own, f"prompts: {prompt.id!r} is of the group {GROUP!r}, which is that of the suite's captions")
    return len(findings.lines) == before


def check_values(case: Case, values: Any) -> bool:
    """Note what is wrong with values. Returns whether they can be compared at all."""
    findings, questions = case.findings, case.plugin.QUESTIONS
    sound = isinstance(values, Mapping) and bool(values) and all(isinstance(v, Estimate) for v in values.values())
    if not findings.expect(sound, f"{case.track}: score returned {values!r:.100}, expected {{id: Estimate}}"):
        return False
    for id, estimate in values.items():
        low, high = estimate.ci
        findings.expect(re.fullmatch(NAME, id) is not None, f"{id!r} is no id: use letters, digits and ._+-")
        asked = any(fnmatchcase(id, pattern) for pattern in questions)
        findings.expect(asked, f"QUESTIONS says nothing about {id}: which question does it answer?")
        within = low <= estimate.value <= high
        findings.expect(
            within, f"{case.track}: {id} is {estimate.value:g}, outside of its interval {low:g} to {high:g}"
        )
        better = estimate.better in ("higher", "lower", "none")
        findings.expect(better, f"{id}: better is {estimate.better!r}, expected higher, lower or none")
        findings.expect(bool(estimate.interval), f"{id} does not say how its interval was made")
        findings.expect(as_json(estimate.protocol), f"{id}: its protocol holds what is no JSON")
        findings.expect(as_json(estimate.details), f"{id}: its details hold what is no JSON")
    return all(as_json(estimate.protocol) for estimate in values.values())
