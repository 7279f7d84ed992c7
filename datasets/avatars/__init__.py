"""Avatars: faces put together from parts that artists drew, with exact attributes, captions and part masks (embedded).

The `avataaars` style of the package dicebear-styles (Pablo Stanley) draws them, in 64x64 pixels by default. Each split
is cached in memory-mapped arrays, whose hashes are checked each time they are loaded. Images of train, val and test are
drawn only where they are read, because their hashes ship with this package (`known.py`). CARD.md has licences and
counts.

The training distribution has a long tail on purpose (`attributes.yaml`). The `balanced-*` splits, for judges, draw
every attribute uniformly and independently.

- train 20,000, val 2,000, test 2,000
- balanced-train 20,000, balanced-val 2,000, balanced-test 4,000
- domains-train: 400 images of each domain, with captions that name the domain
- styles-train, styles-val: 2,500 and 100 images of each domain, with captions that also say what the image shows
"""

import functools
import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count
from t2ibench.core.seeds import derive_seed
from t2ibench.data import image_sets
from t2ibench.data.split import Networks, Split, join
from t2ibench.data.stores import ImageStore
from t2ibench.datasets.avatars import domains, draw, known
from t2ibench.datasets.avatars.grammar import captions
from t2ibench.datasets.avatars.model import Model, read_model

SPLITS = {
    "train": 20_000,
    "val": 2_000,
    "test": 2_000,
    "balanced-train": 20_000,
    "balanced-val": 2_000,
    "balanced-test": 4_000,
}
VERSION = "1"  # of the drawing and the grammar; a test compares the pixels of the first images
DOMAINS_SPLIT = "domains-train"  # 400 images of each domain, in one split
STYLES_SPLITS = {"styles-train": (2500, 0), "styles-val": (100, 1_000_004)}  # images of each domain, seed
PARTS = (
    "background",
    "skin",
    "clothes",
    "mouth",
    "nose",
    "eyes",
    "eyebrows",
    "hair",
    "facial_hair",
    "accessories",
    "headwear",
)

# The parts in which an attribute shows. The colour of the hair is also that of moustache and beard.
PARTS_OF = {
    "hair": ("hair", "headwear"),
    "skin": ("skin",),
    "hair_colour": ("hair", "facial_hair"),
    "facial_hair": ("facial_hair",),
    "eyewear": ("accessories",),
    "mouth": ("mouth",),
    "eyes": ("eyes",),
    "clothing": ("clothes",),
    "clothing_colour": ("clothes",),
    "background": ("background",),
}
# The images whose masks make the regions. Each value of an attribute occurs in some 30 of them or more.
REGIONS_SPLIT, REGIONS_IMAGES = "balanced-val", 400


@dataclass(frozen=True)
class Config:
    size: Count = 64  # pixels a side, 16 to 1024


@dataclass(frozen=True)
class Parts:
    """The exact part masks of a split, made by `masks`. `parts` and `of` are those of `PartMasks`."""

    config: Config
    split: str
    parts: Sequence[str] = PARTS
    of: Mapping[str, Sequence[str]] = field(default_factory=lambda: PARTS_OF)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return masks(self.config, self.split, [int(index) for index in indices])


NETWORKS = Networks(
    judge="attribute-judge-avatars",
    clip="clip-judge-avatars",
    guides=("clip-guide-avatars", "clip-guide-styles-avatars"),
    vqa="vqa-judge-avatars",
)
PRESET = "embedded"


def splits(config: Config) -> list[str]:
    return [*SPLITS, DOMAINS_SPLIT, *STYLES_SPLITS]


def load(config: Config, split: str) -> Split:
    """A split, drawn on first use. Raises UserError for an unknown split or a size outside 16 … 1024."""
    if split == DOMAINS_SPLIT:  # without attributes, because only some domains have them
        return join(
            [replace(domain_images(config, domain, 400), attributes=None, vocabulary=None) for domain in domain_names()]
        )
    if split in STYLES_SPLITS:
        return join([_described(config, domain, *STYLES_SPLITS[split]) for domain in domain_names()])
    if split not in SPLITS:
        raise UserError(f"avatars: no split is called {split!r}{did_you_mean(split, splits(config))}")
    seeds = [derive_seed("avatars", split, index) for index in range(SPLITS[split])]
    return replace(_faces(config, split, seeds, balanced=split.startswith("balanced")), masks=Parts(config, split))


def pair_images(config: Config, conditions: Mapping[str, str], count: int, seed: int) -> Split:
    """`count` real images that all have `conditions` (attribute -> value). Other attributes are as in training.

    Raises UserError if a condition is not an attribute value of avatars, or if one value hides another.
    """
    model = read_model()
    for name, value in conditions.items():
        _check_value(model, name, value)
    literals = " ".join(f"{name}={value}" for name, value in sorted(conditions.items()))
    if any(pair <= set(literals.split()) for pair in model.vocabulary.excluded):
        raise UserError(f"avatars: {literals}: one hides the other, no image can show both")
    seeds: list[int] = []
    for index in itertools.count():  # such a draw is skipped if another attribute hides a condition
        drawn = derive_seed("avatars", "pair", literals, seed, index)
        visible = model.visible(model.sample(drawn, given=conditions))
        if all(visible[name] == value for name, value in conditions.items()):
            seeds.append(drawn)
        if len(seeds) == count:
            return _faces(config, f"pair {literals} {seed}", seeds, given=conditions)
        if index > 50 * count:
            raise UserError(
                f"avatars: {literals}: hidden by other attributes in {index - len(seeds):,} of {index:,} draws"
            )
    raise AssertionError("unreachable")


def edited_images(config: Config, seeds: Sequence[int], changes: Sequence[Mapping[str, str]]) -> np.ndarray:
    """The real images of some seeds, each after a change of some attributes: uint8 [B, 3, size, size].

    seeds: each gives an image with attributes as in training. A row depends on its seed and change alone.
    changes: for each image, attribute -> value. Everything else stays, also what no attribute names (which glasses,
        which smile).

    Raises UserError for an unknown attribute or value.
    """
    model, images = read_model(), np.empty((len(seeds), 3, config.size, config.size), np.uint8)
    for row, (seed, change) in enumerate(zip(seeds, changes, strict=True)):
        drawn = model.sample(derive_seed("avatars", "edited", seed))
        for name, value in change.items():
            _check_value(model, name, value)
        options, after = model.options(drawn, seed), model.options({**drawn, **change}, seed)
        for name, value in change.items():
            [attribute] = [attribute for attribute in model.attributes if attribute.name == name]
            if drawn[name] != value:
                options |= {option: after[option] for option in attribute.values[value].draw}
        options["facialHairColor"] = options["hairColor"]
        images[row] = draw.on_white(draw.draw({"style": draw.STYLE, "options": options}, config.size))
    return images


def domain_names() -> list[str]:
    """The domains that `domain_images` can draw: artists' styles and image filters."""
    return sorted(domains.DOMAINS)


def domain_texts(config: Config) -> dict[str, str]:
    """The text that names each domain. The first domain is that of the data set's own splits."""
    return {domain: texts[0] for domain, (_, _, texts) in domains.DOMAINS.items()}


def domain_images(config: Config, domain: str, count: int, seed: int = 0) -> Split:
    """Real images of another domain, with captions that name it. Filtered avatars also have their attributes.

    Images of seed 0 are also in the splits `domains-train` and `styles-train`. Raises UserError for an unknown domain.
    """
    if domain not in domains.DOMAINS:
        raise UserError(f"avatars: no domain is called {domain!r}{did_you_mean(domain, domains.DOMAINS)}")
    seeds = [derive_seed("avatars", "domain", domain, seed, index) for index in range(count)]
    name = f"domain {domain} {seed}"
    style, image_filter, texts = domains.DOMAINS[domain]
    table, vocabulary = None, None
    if style == draw.STYLE:
        model = read_model()
        drawn = [model.sample(s) for s in seeds]
        jobs = [{"style": style, "options": model.options(row, s)} for row, s in zip(drawn, seeds, strict=True)]
        visible = pd.DataFrame([model.visible(row) for row in drawn], dtype=object)[
            [attribute.name for attribute in model.attributes]
        ]
        table, vocabulary = visible.where(visible.notna(), None), model.vocabulary
    else:
        jobs = [
            {
                "style": style,
                "options": {**domains.OPTIONS.get(style, {}), "seed": str(s), "backgroundColor": domains.background(s)},
            }
            for s in seeds
        ]

    def make(path: Path) -> dict[str, Any]:
        image_sets.write_images(
            path, _drawn(jobs, config.size, f"draw {name}", image_filter), (count, 3, config.size, config.size)
        )
        return {}

    images, _ = image_sets.images(image_set_key(config, name, count), make)
    return Split(
        "avatars",
        name,
        [str(i) for i in range(count)],
        images,
        [domains.captions(texts, s) for s in seeds],
        table,
        vocabulary,
    )


def _described(config: Config, domain: str, count: int, seed: int) -> Split:
    """A domain's images with captions that also say what is seen.

    For filtered avatars these are attributes, for other domains the background.
    """
    split, model, (_, _, texts) = domain_images(config, domain, count, seed), read_model(), domains.DOMAINS[domain]
    seeds = [derive_seed("avatars", "domain", domain, seed, index) for index in range(count)]
    if split.attributes is None:
        described = [domains.background_captions(texts, s) for s in seeds]
    else:
        rows = [{str(name): value for name, value in row.items()} for row in split.attributes.to_dict("records")]
        described = [
            domains.joined_captions(texts, captions(model, row, s)[0], s) for row, s in zip(rows, seeds, strict=True)
        ]
    return replace(split, captions=described)


def masks(config: Config, split: str, indices: Sequence[int]) -> np.ndarray:
    """Which part each pixel shows: uint8 [B, size, size], positions in PARTS.

    Every layer is drawn alone. A pixel belongs to the layer that contributes most to its colour, which is the layer's
    coverage times what the layers above it let through.
    """
    model, labels = read_model(), np.empty((len(indices), config.size, config.size), np.uint8)
    headwear = {"hijab", "turban", "beanie", "hat"}
    for row, index in enumerate(indices):
        seed = derive_seed("avatars", split, int(index))
        drawn = model.sample(seed, balanced=split.startswith("balanced"))
        options: dict[str, Any] = {**model.options(drawn, seed), "backgroundColor": []}
        alphas = [
            draw.draw({"style": draw.STYLE, "layer": layer, "options": options}, config.size)[..., 3] / 255
            for layer in draw.LAYERS
        ]
        through = np.ones_like(alphas[0])
        shares = []
        for alpha in reversed(alphas):
            shares.append(alpha * through)
            through = through * (1 - alpha)
        label = np.stack([through, *reversed(shares)]).argmax(0).astype(np.uint8)
        top = PARTS.index("hair")
        labels[row] = np.where((label == top) & (drawn["hair"] in headwear), PARTS.index("headwear"), label)
    return labels


def regions(config: Config, attribute: str, values: Sequence[str]) -> np.ndarray:
    """The pixels that show an attribute in at least one image in which it has one of `values`: bool [size, size].

    This is the union of the exact masks of its parts (PARTS_OF) over the first images of a balanced split. The masks
    are drawn once. Raises UserError for an unknown attribute or value.
    """
    model, rows = read_model(), range(REGIONS_IMAGES)
    for value in values:
        _check_value(model, attribute, value)
    drawn = [model.sample(derive_seed("avatars", REGIONS_SPLIT, index), balanced=True) for index in rows]

    def make(path: Path) -> dict[str, Any]:
        from t2ibench.core.progress import track

        chunks = (
            masks(config, REGIONS_SPLIT, [index])
            for index in track(rows, f"draw the parts of {len(rows)} avatars", len(rows))
        )
        image_sets.write_images(path, chunks, (len(rows), config.size, config.size))
        return {}

    key = region_parts_key(config)
    labels = _known_parts(config, key.key)
    shown = [index for index in rows if model.visible(drawn[index])[attribute] in values]
    of_shown = image_sets.images(key, make)[0].read(shown) if labels is None else labels[shown]
    return np.asarray(np.isin(of_shown, [PARTS.index(part) for part in PARTS_OF[attribute]]).any(axis=0))


def region_parts_key(config: Config) -> image_sets.ImageSetKey:
    """The key of the parts of the images behind the regions."""
    return image_set_key(config, f"parts {REGIONS_SPLIT}", REGIONS_IMAGES)


@functools.cache
def _known_parts(config: Config, key: str) -> np.ndarray | None:
    return known.parts(key, lambda row: masks(config, REGIONS_SPLIT, [row])[0])


def _check_value(model: Model, name: str, value: str) -> None:
    """Raise UserError for an unknown attribute or value."""
    values = next((list(attribute.values) for attribute in model.attributes if attribute.name == name), None)
    if values is None:
        raise UserError(
            f"avatars: no attribute is called {name!r}{did_you_mean(name, [a.name for a in model.attributes])}"
        )
    if value not in values:
        raise UserError(f"avatars: {name}={value} is no attribute value; {name} may be {', '.join(values)}")


def _faces(
    config: Config, name: str, seeds: Sequence[int], *, balanced: bool = False, given: Mapping[str, str] | None = None
) -> Split:
    model = read_model()
    if not 16 <= config.size <= 1024:
        raise UserError(f"avatars: size is {config.size}, expected 16 to 1024 pixels")

    @functools.cache
    def drawn() -> list[dict[str, str]]:
        return [model.sample(seed, balanced=balanced, given=given) for seed in seeds]

    def job(row: int) -> draw.Job:
        return {"style": draw.STYLE, "options": model.options(drawn()[row], seeds[row])}

    def words() -> dict[str, Any]:
        visible = [model.visible(row) for row in drawn()]
        described = [captions(model, row, seed) for row, seed in zip(visible, seeds, strict=True)]
        return {
            "attributes": {attribute.name: [row[attribute.name] for row in visible] for attribute in model.attributes},
            "captions": [texts for texts, _ in described],
            "mentions": [mentions for _, mentions in described],
        }

    shape = (3, config.size, config.size)

    def drawings(rows: Sequence[int]) -> Iterator[np.ndarray]:
        return _drawn([job(row) for row in rows], config.size, f"draw avatars {name}")

    def make(path: Path) -> dict[str, Any]:
        image_sets.write_images(path, drawings(range(len(seeds))), (len(seeds), *shape))
        return words()

    key = image_set_key(config, name, len(seeds))
    images: ImageStore | None = None
    if hashes := known.hashes(key.key):
        facts = image_sets.facts(key, lambda: {**words(), "as_known": known.holds(hashes, job, config.size)})
        images = image_sets.ImagesToMake(key, drawings, shape, hashes) if facts["as_known"] else None
    if images is None:
        images, facts = image_sets.images(key, make)
    table = pd.DataFrame(facts["attributes"], dtype=object)
    texts = [tuple(texts) for texts in facts["captions"]]
    ids = [f"{name.replace(' ', '-')}-{index:05d}" for index in range(len(seeds))]
    return Split(
        "avatars", name, ids, images, texts, table.where(table.notna(), None), model.vocabulary, facts["mentions"]
    )


def _drawn(jobs: Sequence[draw.Job], size: int, what: str, image_filter: str | None = None) -> Iterator[np.ndarray]:
    from t2ibench.core.progress import track

    change = domains.FILTERS[image_filter] if image_filter is not None else np.asarray
    yield from map(
        change, track(draw.draw_all(jobs, size), f"{what} ({len(jobs):,} images)", -(-len(jobs) // draw.CHUNK))
    )


@functools.cache
def _version() -> list[str]:
    """Everything that decides a pixel or a word: the version of this code, `attributes.yaml`, and the versions of the
    drawing packages.
    """
    packages = [importlib.metadata.version(package) for package in ("dicebear-core", "dicebear-styles", "resvg-py")]
    return [VERSION, files(__package__).joinpath("attributes.yaml").read_text("utf-8"), *packages]


def image_set_key(config: Config, name: str, count: int) -> image_sets.ImageSetKey:
    """The key of an image set in the cache. It holds everything that decides the pixels and the words."""
    key = hashlib.sha256(json.dumps([_version(), name, count, config.size]).encode()).hexdigest()
    return image_sets.ImageSetKey("avatars", f"{name} {config.size}", key)
