"""datasets/avatars: captions never lie, options decide every pixel, the long tail is where it should be."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from dicebear import Avatar

from t2ibench.core import cache
from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed
from t2ibench.data import rare_pairs
from t2ibench.datasets import avatars
from t2ibench.datasets.avatars import domains, draw, grammar, known
from t2ibench.datasets.avatars.model import read_model


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Splits of 40 images in a cache of their own."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(avatars, "SPLITS", dict.fromkeys(avatars.SPLITS, 40))
    return avatars.Config()


@pytest.fixture(scope="module")
def table():
    """The attribute table of the whole training split; nothing is drawn."""
    import pandas as pd

    model = read_model()
    rows = [
        model.visible(model.sample(derive_seed("avatars", "train", index))) for index in range(avatars.SPLITS["train"])
    ]
    return pd.DataFrame(rows, dtype=object)


def test_the_first_images_and_words_are_those_of_version_1(small):
    split = avatars.load(small, "train")
    assert avatars.VERSION == "1"
    assert (
        split.captions[0][0]
        == "an avatar of a person with a mustache and wide open eyes, wearing a woolly hat and a hoodie, on a light "
        "blue background"
    )
    digest = hashlib.sha256(np.ascontiguousarray(split.images.read(range(8))).tobytes()).hexdigest()
    assert digest == "14418aa3fc1d61d89e8fba387dead97284bc2dc27e1b4d38aabc53e931ebcdf2", (
        "the drawing has changed: raise VERSION, and say in CHANGELOG that old numbers do not compare"
    )


def test_options_leave_nothing_to_the_generator_of_the_style():
    model = read_model()
    for seed in range(60):
        options = model.options(model.sample(seed, balanced=True), seed)
        first, second = (
            draw.draw({"style": draw.STYLE, "options": {"seed": name, **options}}, 64) for name in ("a", "b")
        )
        assert np.array_equal(first, second)


def test_a_caption_mentions_only_what_the_image_shows():
    model = read_model()
    said = {
        name: {v: {t for _, t in spec.say + spec.also} for v, spec in a.values.items()}
        for a in model.attributes
        for name in [a.name]
    }
    for seed in range(400):
        visible = model.visible(model.sample(seed, balanced=True))
        texts, mentions = grammar.captions(model, visible, seed)
        assert len(texts) == 5
        for text, literals in zip(texts, mentions, strict=True):
            assert 3 <= len(literals) <= 6
            for literal in literals:
                name, value = literal.split("=")
                assert visible[name] == value
            for name in (
                "eyewear",
                "facial_hair",
                "mouth",
                "skin",
            ):  # words of another value of the same attribute never occur
                for value, words in said[name].items():
                    if value != visible[name]:
                        bare = f" {text.replace(',', ' ').replace('dark glasses', 'sunglasses')} "
                        assert not any(f" {word} " in bare for word in words), (text, name, value)


def test_every_mention_can_be_read_off_the_caption():
    model = read_model()
    words = {
        "hair_colour": {
            "black": "black",
            "brown": "brown|brunette",
            "blond": "blond|golden",
            "red": "red|ginger",
            "pink": "pink",
        }
    }
    for seed in range(200):
        visible = model.visible(model.sample(seed))
        for text, literals in zip(*grammar.captions(model, visible, seed), strict=True):
            for literal in literals:
                name, value = literal.split("=")
                if name in words and value in words[name]:
                    assert any(word in text for word in words[name][value].split("|")), (text, literal)


def test_the_long_tail_has_the_pairs_that_the_suite_needs(table):
    found = rare_pairs.find_pairs(table, read_model().vocabulary)
    assert (len(found.rare), len(found.near_unseen), len(found.neutral)) == (20, 10, 10)
    assert sum(pair.control is not None for pair in found.rare) == 20
    assert all(pair.n < 10 for pair in found.near_unseen)


def test_shares_follow_the_network():
    """P(beard | turban, black hair) worked out from the factors, against samples: a factor that is ignored would
    show.
    """
    model = read_model()
    facial = next(attribute for attribute in model.attributes if attribute.name == "facial_hair")
    expected = facial.weights({"hair": "turban", "hair_colour": "black"})[list(facial.values).index("beard")]
    assert expected == pytest.approx(60 / (52 * 0.2 + 18 * 0.05 + 30 * 2))
    given = {"hair": "turban", "hair_colour": "black"}
    drawn = [model.sample(seed, given=given)["facial_hair"] for seed in range(3000)]
    assert drawn.count("beard") / 3000 == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 3000))


def test_a_colour_that_cannot_be_seen_is_no_attribute(table):
    covered = table.hair.isin(["bald", "hijab", "turban", "beanie", "hat"])
    assert table.hair_colour[covered].isna().all()
    assert table.hair_colour[~covered].notna().all()


def test_balanced_splits_are_uniform():
    model = read_model()
    counts = Counter(
        model.sample(derive_seed("avatars", "balanced-train", index), balanced=True)["hair"] for index in range(3000)
    )
    assert len(counts) == 12
    assert all(abs(count - 250) < 4 * np.sqrt(250) for count in counts.values())


def test_two_loads_are_the_same_bytes_and_damage_is_mended(small):
    first = avatars.load(small, "test")
    path = next((cache.home() / "avatars").glob("test-*.npy"))
    before = path.read_bytes()
    path.write_bytes(before[:-100] + bytes(100))
    again = avatars.load(small, "test")
    assert path.read_bytes() == before
    assert again.digest == first.digest


def test_training_images_are_drawn_when_read_and_are_those_that_are_known(monkeypatch, tmp_path):
    """A thousandth of the shipped hashes against pixels; and a split of that size that says so before it is drawn."""
    config, every = avatars.Config(), 1000
    hashes = known.hashes(avatars.image_set_key(config, "train", 20_000).key)
    assert len(hashes) == 20_000
    seeds = [derive_seed("avatars", "train", index) for index in range(0, 20_000, every)]
    model = read_model()
    jobs = [{"style": draw.STYLE, "options": model.options(model.sample(seed), seed)} for seed in seeds]
    assert known.holds(hashes[::every], jobs.__getitem__, config.size)

    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(avatars, "SPLITS", {"train": 40})
    drawn_at_once = avatars.load(config, "train")
    monkeypatch.setattr(known, "hashes", lambda key: list(drawn_at_once.images.digests()))
    for array in tmp_path.rglob("*.npy"):
        array.unlink()
    later = avatars.load(config, "train")
    assert later.digest == drawn_at_once.digest
    assert later.mentions == drawn_at_once.mentions
    assert not list(tmp_path.rglob("*.npy"))
    assert later.images.read([3]).shape == (1, 3, 64, 64)
    assert len(list(tmp_path.rglob("*.npy"))) == 1


def test_images_that_are_not_as_known_are_drawn_at_once_or_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(avatars, "SPLITS", {"train": 40})
    monkeypatch.setattr(known, "hashes", lambda key: ["0" * 64] * 40)
    own = avatars.load(avatars.Config(), "train")
    assert "0" * 64 not in own.images.digests()
    monkeypatch.setattr(
        known, "hashes", lambda key: [*own.images.digests()[:38], "0" * 64, own.images.digests()[39]]
    )  # no probe
    for facts in tmp_path.rglob("*.facts"):
        facts.write_text("damaged")
    other = avatars.load(avatars.Config(), "train")
    with pytest.raises(UserError, match="1 of 40 images were made otherwise than they are known, the first is"):
        other.images.read([0])


@pytest.mark.parametrize("layer", [None, "mouth"])
def test_unchecked_options_draw_what_the_package_draws(layer):
    """`draw` takes the package apart to pass over its schema, which would be found valid here."""
    model, drawing = read_model(), draw.style(draw.STYLE, layer)
    for seed in range(5):
        options = model.options(model.sample(seed, balanced=True), seed)
        checked = Avatar(drawing, {"seed": "", **options}).to_string()
        assert draw.to_svg({"style": draw.STYLE, "layer": layer, "options": options}) == checked


@pytest.mark.parametrize("style", sorted({style for style, _, _ in domains.DOMAINS.values()}))
def test_the_options_of_every_domain_pass_the_check_of_the_package(style):
    options = {**domains.OPTIONS.get(style, {}), "seed": "1", "backgroundColor": domains.background(1)}
    assert draw.to_svg({"style": style, "options": options}) == Avatar(draw.style(style), options).to_string()


def test_drawing_in_processes_equals_drawing_here(monkeypatch):
    monkeypatch.setattr(draw, "CHUNK", 5)
    model = read_model()
    jobs = [{"style": draw.STYLE, "options": model.options(model.sample(seed), seed)} for seed in range(17)]
    here, there = (np.concatenate(list(draw.draw_all(jobs, 32, workers=workers))) for workers in (1, 3))
    assert here.shape == (17, 3, 32, 32)
    assert np.array_equal(here, there)


def test_pair_images_carry_the_pair(small):
    split = avatars.pair_images(small, {"hair": "bob", "facial_hair": "moustache"}, 12, seed=0)
    assert split.attributes is not None
    assert set(split.attributes.hair) == {"bob"}
    assert set(split.attributes.facial_hair) == {"moustache"}
    with pytest.raises(UserError, match="one hides the other"):
        avatars.pair_images(small, {"hair": "bald", "hair_colour": "red"}, 2, seed=0)
    with pytest.raises(UserError, match="hair=green is no attribute value; hair may be short, long"):
        avatars.pair_images(small, {"hair": "green"}, 2, seed=0)


def test_masks_name_the_parts_that_are_drawn(small):
    table = avatars.load(small, "balanced-test").attributes
    assert table is not None
    labels = avatars.masks(small, "balanced-test", range(40))
    part = {name: position for position, name in enumerate(avatars.PARTS)}
    for row, hair, facial, eyewear in zip(labels, table.hair, table.facial_hair, table.eyewear, strict=True):
        shown = set(np.unique(row))
        assert (part["headwear"] in shown) == (hair in ("hijab", "turban", "beanie", "hat"))
        assert (part["hair"] in shown) == (hair not in ("bald", "hijab", "turban", "beanie", "hat"))
        assert (part["facial_hair"] in shown) == (facial != "none")
        assert (part["accessories"] in shown) == (eyewear != "none")
        assert {part["background"], part["skin"]} <= shown


def test_a_region_holds_every_pixel_by_which_an_attribute_shows(small, monkeypatch):
    monkeypatch.setattr(avatars, "REGIONS_IMAGES", 24)
    labels, split = avatars.masks(small, "balanced-val", range(24)), avatars.load(small, "balanced-val")
    table = split.take(range(24)).attributes
    assert table is not None
    glasses = avatars.regions(small, "eyewear", ("glasses",))
    mine = labels[(table.eyewear == "glasses").to_numpy()] == avatars.PARTS.index("accessories")
    assert glasses.shape == (64, 64)
    np.testing.assert_array_equal(glasses, mine.any(axis=0))
    anything = avatars.regions(small, "eyewear", ("glasses", "sunglasses", "eyepatch", "none"))
    assert (glasses <= anything).all()
    assert 0.01 < anything.mean() < 0.15
    assert not avatars.regions(small, "eyewear", ("none",)).any()
    hair, colour = (
        avatars.regions(small, name, tuple(table[name].dropna().unique())) for name in ("hair", "hair_colour")
    )
    beards = avatars.regions(small, "facial_hair", ("beard", "moustache"))
    assert (colour & ~hair).any()  # where the colour shows in beards
    assert ((colour & ~hair) <= beards).all()


def test_the_parts_that_ship_are_those_that_are_drawn(small):
    key = avatars.region_parts_key(small).key
    shipped = known.parts(key, lambda row: avatars.masks(small, avatars.REGIONS_SPLIT, [row])[0])
    assert shipped is not None, "write them anew: python -m t2ibench.datasets.avatars.write_known"
    assert (shipped.shape, shipped.dtype) == ((avatars.REGIONS_IMAGES, 64, 64), np.uint8)
    rows = [7, 133, 399]
    np.testing.assert_array_equal(shipped[rows], avatars.masks(small, avatars.REGIONS_SPLIT, rows))
    assert known.parts(key, lambda row: shipped[row] ^ 1) is None  # of a machine that draws otherwise
    assert known.parts("another", lambda row: shipped[row]) is None
    assert not list(cache.home().rglob("parts-*.npy"))
    assert avatars.regions(small, "eyewear", ("glasses",)).any()
    assert not list(cache.home().rglob("parts-*.npy"))  # nothing was drawn


def test_every_attribute_has_a_region(small, monkeypatch):
    monkeypatch.setattr(avatars, "REGIONS_IMAGES", 12)
    attributes = read_model().attributes
    assert set(avatars.PARTS_OF) == {attribute.name for attribute in attributes}
    assert all(avatars.regions(small, attribute.name, tuple(attribute.values)).any() for attribute in attributes)
    assert len(list(cache.home().rglob("parts-*.npy"))) == 1  # drawn once
    with pytest.raises(UserError, match="did you mean 'eyewear'"):
        avatars.regions(small, "eyewaer", ("glasses",))
    with pytest.raises(UserError, match="eyewear=monocle is no attribute value"):
        avatars.regions(small, "eyewear", ("monocle",))


def test_an_exact_edit_changes_its_region_and_nothing_else(small, monkeypatch):
    monkeypatch.setattr(avatars, "REGIONS_IMAGES", 40)
    seeds = list(range(12))
    before = avatars.edited_images(small, seeds, [{}] * 12).astype(int)
    edits = {"eyewear": "sunglasses", "mouth": "open", "background": "pink", "hair": "long", "facial_hair": "beard"}
    for name, value in edits.items():
        after = avatars.edited_images(small, seeds, [{name: value}] * 12).astype(int)
        values = tuple(next(attribute.values for attribute in read_model().attributes if attribute.name == name))
        region = avatars.regions(small, name, values)
        moved = np.abs(after - before).max(1)  # [B, H, W]
        assert (moved.max((1, 2)) > 30).sum() >= 4  # the others have it already
        assert moved[:, ~region].mean() < 1.5  # edges, and shadows that reach further than the part itself
    kept = model_values(seeds, "mouth", "smiling")
    same = avatars.edited_images(small, kept, [{"mouth": "smiling"}] * len(kept))
    np.testing.assert_array_equal(
        same, avatars.edited_images(small, kept, [{}] * len(kept))
    )  # which smile it is stays, too
    with pytest.raises(UserError, match="did you mean 'eyewear'"):
        avatars.edited_images(small, [0], [{"eyewaer": "glasses"}])


def model_values(seeds, name: str, value: str) -> list[int]:
    """The seeds whose image has a value."""
    return [seed for seed in seeds if read_model().sample(derive_seed("avatars", "edited", seed))[name] == value]


def test_the_background_mask_is_the_background_colour(small):
    images, labels = avatars.load(small, "val").images.read(range(20)), avatars.masks(small, "val", range(20))
    for image, label in zip(images, labels, strict=True):
        pixels = image[:, label == 0]
        assert (np.abs(pixels.T.astype(int) - image[:, 0, 0].astype(int)).max(1) <= 96).mean() > 0.98


@pytest.mark.parametrize("name", sorted(domains.DOMAINS))
def test_every_domain_draws_and_names_itself(small, name):
    split = avatars.domain_images(small, name, 3)
    images = split.images.read(range(3))
    assert images.shape == (3, 3, 64, 64)
    assert images.std() > 10
    assert not np.array_equal(images[0], images[1])
    assert len(split.captions[0]) == 5


def test_captions_of_a_domain_say_its_words_and_what_else_is_seen():
    texts = ("a line art face", "a portrait")
    colour = domains.BACKGROUNDS[domains.background(3)[0][1:]]
    assert domains.background_captions(texts, 3)[0] == f"a line art face on a {colour} background"
    assert domains.background_captions(texts, 3)[2:] == domains.captions(texts, 3)
    assert domains.joined_captions(texts, ["has a hat"], 3)[0] == "a line art face, has a hat"


def test_filters_do_what_they_are_called():
    flat = np.full((1, 3, 64, 64), 200, np.uint8)
    assert domains.pencil(flat).min() >= 250  # no edge, no line
    assert domains.sepia(np.full((1, 3, 2, 2), 100, np.uint8))[0, :, 0, 0].tolist() == [135, 120, 94]
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    assert len(np.unique(domains.pixel_art(noise))) <= 6


def test_unknown_names_are_refused_with_the_nearest(small):
    with pytest.raises(UserError, match="did you mean 'train'"):
        avatars.load(small, "trian")
    with pytest.raises(UserError, match="did you mean 'sepia'"):
        avatars.domain_images(small, "sepai", 3)
    with pytest.raises(UserError, match="size is 8, expected 16 to 1024"):
        avatars.load(avatars.Config(8), "train")
