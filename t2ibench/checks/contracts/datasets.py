"""Holds a data set to its contract (`t2ibench.data.contract`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.checks.contracts.findings import (
    Findings,
    check_settings,
    configured,
    global_state_watched,
    plugin_of,
    random_state_kept,
    seed_everything,
)
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.data.attributes import attribute_of, literal_set
from t2ibench.data.contract import DatasetPlugin
from t2ibench.data.split import Networks, Split, Vocabulary

FEW = 8  # images of a split whose pixels are looked at
NOWHERE = "no-such-split"


def check_dataset(
    dataset: str | ModuleType,
    settings: Mapping[str, Any] | None = None,
    *,
    splits: Sequence[str] | None = None,
    wrong: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Hold a data set to its contract.

    dataset: its name, or its module.
    settings: of its `Config`: those that make it small, and the folder where it lies.
    splits: which ones are looked at; None: all that it names, or train and test if it names none.
    wrong: settings that the data set must refuse with a UserError, each beside `settings`.

    The rules:

    - a split has as many images, captions and rows of attributes as ids; ids are unique, captions are texts;
    - images are uint8 [B, 3, H, W]; which are read together changes none of them; what is read can be written on;
    - digests are those of the pixels;
    - where it says that it has no images (IMAGES), reading one is a UserError;
    - loading again gives the same images in the same order, and the global random state is neither used nor changed;
    - the vocabulary and the mentions speak of attributes and values that are in the table;
    - an unknown split, and every wrong setting, is a UserError of one line;
    - what the data set can do besides, such as real images of chosen values, keeps what its contract says.

    Raises ContractBroken with a line for each broken rule, and UserError if it cannot be tried with these settings.
    """
    findings, plugin = plugin_of("datasets", DatasetPlugin, dataset)
    networks = isinstance(plugin.NETWORKS, Networks)
    findings.expect(networks, f"NETWORKS is {plugin.NETWORKS!r}, expected t2ibench.data.split.Networks(…)")
    config = configured(findings, plugin.Config, settings or {})
    with random_state_kept():
        named = splits or ("train", "test")
        if plugin.splits is not None:
            with findings.calling("splits"):
                has = list(plugin.splits(config))
                named = splits or has or named
                findings.expect(all(isinstance(name, str) for name in has), f"splits gave {has}, expected names")
                findings.expect(len(set(has)) == len(has), "splits names one twice")
        loaded = [check_loading(findings, plugin, config, name) for name in named]
        check_abilities(findings, plugin, config, next((split for split in loaded if split is not None), None))
        check_unknown_split(findings, plugin, config)
        check_settings(findings, plugin.Config, settings or {}, wrong, lambda other: plugin.load(other, named[0]))
    findings.close()


def check_loading(findings: Findings, plugin: DatasetPlugin, config: Any, name: str) -> Split | None:
    """Load a split twice and look at it. None where it cannot be loaded."""
    loaded = list[Split]()
    for seed in (1, 2):
        seed_everything(seed)
        with global_state_watched(findings, f"load {name}"), findings.calling(f"load {name}"):
            loaded.append(plugin.load(config, name))
    if len(loaded) < 2 or not findings.expect(
        all(isinstance(split, Split) for split in loaded), f"load {name} returned no Split"
    ):
        return None
    split = loaded[0]
    with findings.calling(f"looking at the split {name}"):
        if not check_lengths(findings, split, name):
            return None
        check_words(findings, split, name)
        check_images(findings, split, name) if plugin.IMAGES else check_no_images(findings, split, name)
        check_masks(findings, split, name)
        same = list(split.ids) == list(loaded[1].ids) and split.digest == loaded[1].digest
        findings.expect(same, f"{name}: loading it again gave other images, another order or other words")
    return split


def check_lengths(findings: Findings, split: Split, name: str) -> bool:
    """Whether every field of a split describes the same images, and at least one."""
    ids = list(split.ids)
    counts = {"images": len(split.images), "digests": len(split.images.digests()), "captions": len(split.captions)}
    if split.attributes is not None:
        frame = isinstance(split.attributes, pd.DataFrame)
        findings.expect(frame, f"{name}: attributes are {type(split.attributes).__name__}, expected a DataFrame")
        counts["attributes"] = len(split.attributes)
    if split.mentions is not None:
        counts["mentions"] = len(split.mentions)
    findings.expect(bool(split.dataset and split.name), f"{name}: the split does not say its names")
    findings.expect(bool(ids), f"{name}: the split has no image")
    findings.expect(all(isinstance(id, str) and id for id in ids), f"{name}: an id is no text")
    findings.expect(len(set(ids)) == len(ids), f"{name}: {len(ids) - len(set(ids)):,} ids stand there twice")
    lines = [f"{name}: {len(ids):,} ids, but {count:,} {what}" for what, count in counts.items() if count != len(ids)]
    for line in lines:
        findings.expect(False, line)
    return bool(ids) and not lines


def check_words(findings: Findings, split: Split, name: str) -> None:
    """Captions, attributes, and what the vocabulary and the mentions say about them."""
    for id, captions in zip(split.ids, split.captions, strict=True):
        texts = isinstance(captions, tuple) and all(isinstance(text, str) and text.strip() for text in captions)
        if not findings.expect(texts, f"{name}: {id} has the captions {captions!r:.100}, expected a tuple of texts"):
            break
    table, vocabulary = split.attributes, split.vocabulary
    if table is None:
        findings.expect(vocabulary is None, f"{name}: it has a vocabulary, but no attributes")
        findings.expect(not any(map(any, split.mentions or ())), f"{name}: it has mentions, but no attributes")
        return
    for column in table:
        odd = [value for value in table[column] if not (value is None or isinstance(value, str))]
        line = f"{name}: attribute {column!r} holds {odd[:1]}, expected texts, or None where nothing can be seen"
        findings.expect(not odd, line)
    if vocabulary is not None:
        check_vocabulary(findings, vocabulary, table, name)
    columns = set(map(str, table.columns))
    for id, captions, mentions in zip(
        split.ids, split.captions, split.mentions or (), strict=split.mentions is not None
    ):
        each = len(mentions) == len(captions)
        known = all(attribute_of(literal) in columns for literals in mentions for literal in literals)
        line = f"{name}: {id} has the mentions {mentions!r:.100}, expected known attribute=value for each caption"
        if not findings.expect(each and known, line):
            break


def check_vocabulary(findings: Findings, vocabulary: Vocabulary, table: pd.DataFrame, name: str) -> None:
    """A vocabulary says attributes of the table, each value in words."""
    said = {attribute_of(literal) for literal in literal_set(vocabulary)} - set(table.columns)
    findings.expect(not said, f"{name}: the vocabulary says {sorted(said)}, which are no attributes of the table")
    for attribute, values in vocabulary.phrases.items():
        for value, phrases in values.items():
            words = all(kind in ("is", "has", "wears") and text.strip() for kind, text in phrases)
            line = (
                f"{name}: the vocabulary says {attribute}={value} as {phrases!r}, expected pairs (is|has|wears, text)"
            )
            findings.expect(bool(phrases) and words, line)
    literals = {literal for pair in vocabulary.excluded for literal in pair} | {*vocabulary.complements}
    odd = sorted(literal for literal in literals if attribute_of(literal) not in table)
    findings.expect(not odd, f"{name}: the vocabulary excludes or opposes {odd}, expected attribute=value of the table")


def check_images(findings: Findings, split: Split, name: str) -> None:
    """Pixels of the first images, and the digests of all."""
    rows = list(range(min(FEW, len(split))))
    first = split.images.read(rows)
    found = f"{first.dtype} {list(first.shape)}" if isinstance(first, np.ndarray) else type(first).__name__
    expected = f"{name}: images are read as {found}, expected uint8 [{len(rows)}, 3, H, W]"
    shaped = isinstance(first, np.ndarray) and first.ndim == 4 and first.shape[:2] == (len(rows), 3)
    if not findings.expect(shaped and first.dtype == np.uint8, expected):
        return
    before = first.copy()
    turned = split.images.read(np.array(rows[::-1]))[::-1]
    alone = np.concatenate([split.images.read([row]) for row in rows])
    together = (turned == before).all() and (alone == before).all()
    findings.expect(bool(together), f"{name}: an image is another when other images are read beside it")
    taken = split.take(rows[::-1])
    findings.expect(bool((taken.images.read(rows)[::-1] == before).all()), f"{name}: take gave other images")
    with findings.calling(f"{name}: writing on images that were read"):
        first[:] = 255 - first
        kept = bool((split.images.read(rows) == before).all())
        findings.expect(kept, f"{name}: who writes on images that were read changes the data set: hand out a copy")
    digests, pixels = list(split.images.digests()), [pixel_hash(image) for image in before]
    for id, digest, image in zip(split.ids, digests, pixels, strict=False):  # those of the images that were read
        right = isinstance(digest, str) and (digest == image or re.fullmatch("[0-9a-f]{64}@.+", digest) is not None)
        line = f"{name}: the digest of {id} is {digest!r:.20}, expected that of its pixels (core.images.pixel_hash)"
        if not findings.expect(right, line):
            break
    some = list(split.images.digests(rows[::-1])) == [digests[row] for row in rows[::-1]]
    findings.expect(some, f"{name}: digests of some rows are others than those of all")
    shown = dict(zip(digests, pixels, strict=False))
    apart = all(shown[digest] == image for digest, image in zip(digests, pixels, strict=False))
    findings.expect(apart, f"{name}: two images that differ have one digest")


def check_no_images(findings: Findings, split: Split, name: str) -> None:
    """Reading an image of a data set without images is an error, and none of them has masks."""
    findings.expect(split.masks is None, f"{name}: it has masks, but no images")
    try:
        split.images.read([0])
    except UserError as error:
        findings.expect("\n" not in str(error), f"{name}: the error for reading an image has several lines")
    else:
        findings.expect(False, f"{name}: IMAGES is False, but an image was read: expected a UserError")


def check_masks(findings: Findings, split: Split, name: str) -> None:
    """The parts of the first images."""
    if split.masks is None:
        return
    rows = list(range(min(2, len(split))))
    labels, side = split.masks.read(rows), split.images.read(rows[:1]).shape[2:]
    whole = labels.dtype == np.uint8 and labels.shape == (len(rows), *side) and labels.max() < len(split.masks.parts)
    found = f"{labels.dtype} {list(labels.shape)} up to {labels.max()}"
    findings.expect(bool(whole), f"{name}: masks are {found}, expected uint8 [B, H, W], positions in `parts`")
    parts = {part for parts in split.masks.of.values() for part in parts} - set(split.masks.parts)
    findings.expect(not parts, f"{name}: masks.of names {sorted(parts)}, which are no parts")


def check_unknown_split(findings: Findings, plugin: DatasetPlugin, config: Any) -> None:
    """A split that the data set does not have. One that has a single split may return it for every name."""
    with findings.calling(f"load of a split {NOWHERE!r}, which should be a UserError,"):
        try:
            plugin.load(config, NOWHERE)
        except UserError as error:
            findings.expect("\n" not in str(error), "load: the error for an unknown split has several lines")


def check_abilities(findings: Findings, plugin: DatasetPlugin, config: Any, split: Split | None) -> None:
    """What only some data sets can do. split: one of its splits, whose attributes are asked for."""
    vocabulary = None if split is None else split.vocabulary
    literals = () if vocabulary is None else literal_set(vocabulary)
    if plugin.pair_images is not None and literals:
        attribute, _, value = literals[0].partition("=")
        with findings.calling("pair_images"):
            made = [plugin.pair_images(config, {attribute: value}, 3, seed) for seed in (5, 5, 6)]
            check_drawn(findings, made, "pair_images")
            table = made[0].attributes
            shown = table is not None and (table[attribute] == value).all()
            findings.expect(bool(shown), f"pair_images: asked for {literals[0]}, the attributes say something else")
    if plugin.regions is not None and split is not None and literals:
        attribute, _, value = literals[0].partition("=")
        with findings.calling("regions"):
            region, side = plugin.regions(config, attribute, (value,)), split.images.read([0]).shape[2:]
            right = region.dtype == bool and region.shape == side
            findings.expect(right, f"regions: {region.dtype} {list(region.shape)}, expected bool {list(side)}")
    if plugin.edited_images is not None and literals:
        check_edited(findings, plugin, config, literals[0])
    both = (plugin.domain_images is None) == (plugin.domain_texts is None)
    findings.expect(both, "domain_images and domain_texts: it has only one of them")
    if plugin.domain_images is not None and plugin.domain_texts is not None:
        with findings.calling("domain_texts"):
            texts = plugin.domain_texts(config)
            worded = bool(texts) and all(isinstance(text, str) and text.strip() for text in texts.values())
            findings.expect(worded, f"domain_texts: {texts!r:.100}, expected a text for each domain")
        with findings.calling("domain_images"):
            domain = list(texts)[-1]
            made = [plugin.domain_images(config, domain, 3, seed) for seed in (5, 5, 6)]
            check_drawn(findings, made, "domain_images")


def check_drawn(findings: Findings, made: Sequence[Split], what: str) -> None:
    """Three images each of two equal seeds and of another one."""
    first, again, other = made
    if not findings.expect(len(first) == 3, f"{what}: asked for 3 images, it gave {len(first)}"):
        return
    check_lengths(findings, first, what)
    check_images(findings, first, what)
    findings.expect(replace(first).digest == replace(again).digest, f"{what}: the same seed gave other images")
    drawn = list(first.images.digests()) != list(other.images.digests())
    findings.expect(drawn, f"{what}: another seed gave the same images")


def check_edited(findings: Findings, plugin: DatasetPlugin, config: Any, literal: str) -> None:
    """Images before and after a change of one attribute."""
    assert plugin.edited_images is not None
    attribute, _, value = literal.partition("=")
    with findings.calling("edited_images"):
        change = {attribute: value}
        before = plugin.edited_images(config, [5, 6, 7], [{}, {}, {}])
        after = plugin.edited_images(config, [7, 5, 6], [change, {}, change])
        right = before.dtype == np.uint8 and before.ndim == 4 and before.shape[:2] == (3, 3)
        found = f"{before.dtype} {list(before.shape)}"
        if findings.expect(right, f"edited_images: {found}, expected uint8 [3, 3, H, W]"):
            same = (after[1] == before[0]).all()
            findings.expect(bool(same), "edited_images: a row depends on other rows, not on its seed and change alone")
            differ = (before[0] != before[1]).any() or (before[1] != before[2]).any()
            findings.expect(bool(differ), "edited_images: other seeds gave the same image")
