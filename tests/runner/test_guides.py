"""A method is guided by the networks of its data set, by those that it names, or by the published ones; or one line."""

import json
from pathlib import Path

import pytest

from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data.split import Networks
from t2ibench.networks.clip import published
from t2ibench.runner.methods import configured, guided
from t2ibench.scoring.default_networks import networks_of

BIRDS = Networks(judge="attribute-judge-birds", guides=("clip-guide-birds", "clip-guide-styles-birds"))
PUBLISHED = "ViT-B-32-quickgelu:openai"


def entry(name: str, **settings: object) -> Entry:
    return Entry(name, name, settings, "method")


def config_of(wanted: Entry, networks: Networks):
    return configured(guided(wanted, networks, "here"), "here")[1]


@pytest.mark.parametrize(
    ("given", "clips", "weights"),
    [
        ({}, BIRDS.guides, (1.0, 1.0)),
        ({"clip_weights": [1, 0.5]}, BIRDS.guides, (1.0, 0.5)),
        ({"clips": ["auto"]}, BIRDS.guides, (1.0, 1.0)),
        ({"clips": ["mine", "auto"]}, ("mine", *BIRDS.guides), (1.0, 1.0, 1.0)),
        ({"clips": ["mine"]}, ("mine",), (1.0,)),
    ],
)
def test_several_guides_are_all_of_the_data_set(given, clips, weights):
    config = config_of(entry("stylegan_nada", **given), BIRDS)
    assert (config.clips, config.clip_weights) == (clips, weights)


def test_one_guide_is_the_first_of_the_data_set_unless_it_is_named():
    assert config_of(entry("styleclip"), BIRDS).clip == "clip-guide-birds"
    assert config_of(entry("styleclip", clip="mine"), BIRDS).clip == "mine"


def test_what_ships_is_guided_as_it_was():
    own = networks_of("avatars")
    assert config_of(entry("styleclip"), own).clip == "clip-guide-avatars"
    assert config_of(entry("stylegan_nada"), own).clips == ("clip-guide-avatars", "clip-guide-styles-avatars")


def test_a_method_without_such_a_setting_stays_as_it_is():
    painter = entry("image_folder", folder="somewhere")
    assert guided(painter, Networks(), "here") == painter


def test_without_guides_the_published_one_is_taken_where_it_is_on_disk(monkeypatch):
    monkeypatch.setattr(published, "on_disk", lambda name: Path(name))
    assert config_of(entry("styleclip"), Networks()).clip == PUBLISHED


@pytest.mark.parametrize(("name", "setting"), [("styleclip", "clip"), ("stylegan_nada", "clips")])
def test_a_guide_that_never_saw_the_generators_images_must_be_named(name, setting, tmp_path):
    foreign = tmp_path / "ffhq.pt"
    foreign.write_bytes(b"PK")  # what it was trained on would stand in a card
    own, guide = networks_of("avatars"), "clip-guide-avatars"
    with pytest.raises(UserError) as error:
        guided(entry(name, generator=str(foreign)), own, "here")
    assert str(error.value).startswith(f"here: {name}: the default guide {guide} has seen avatars only, and {foreign}")
    assert f"name the CLIP with `{setting}`" in str(error.value)
    assert "\n" not in str(error.value)
    named = {setting: guide if setting == "clip" else [guide]}
    assert config_of(entry(name, generator=str(foreign), **named), own).generator == str(foreign)


def test_a_generator_whose_card_names_the_data_set_has_its_guide(tmp_path):
    for dataset in ("avatars", "birds"):
        card = {"data": {"dataset": dataset}, "optimised_for": []}
        (tmp_path / f"{dataset}.json").write_text(json.dumps(card))
        (tmp_path / f"{dataset}.safetensors").write_bytes(b"")
    own = networks_of("avatars")
    assert config_of(entry("styleclip", generator=str(tmp_path / "avatars.safetensors")), own).clip == own.guides[0]
    with pytest.raises(UserError, match="is a generator of birds: name the CLIP"):
        guided(entry("styleclip", generator=str(tmp_path / "birds.safetensors")), own, "here")


def test_a_published_guide_may_guide_any_generator(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "on_disk", lambda name: Path(name))
    foreign = tmp_path / "ffhq.pt"
    foreign.write_bytes(b"PK")
    assert config_of(entry("styleclip", generator=str(foreign)), Networks()).clip == PUBLISHED


def test_without_any_it_is_one_line(monkeypatch):
    monkeypatch.setattr(published, "on_disk", lambda name: None)
    with pytest.raises(UserError) as error:
        guided(entry("styleclip"), Networks(), "here")
    assert str(error.value).startswith("here: styleclip: the data set brings no CLIP to guide it, and the published")
    assert PUBLISHED in str(error.value)
    assert "\n" not in str(error.value)
