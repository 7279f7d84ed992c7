"""Latents of a file are sources of edits and codes to train a mapper on; what is no such file is one line."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from styleclip_models import TEXTS, tiny_models
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.settings import recorded
from t2ibench.methods.styleclip import Method
from t2ibench.methods.styleclip.mapper import Mapper
from t2ibench.methods.styleclip.mapper_training import mapper_recipe, settings_of
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.models import Models
from t2ibench.networks.schedule import batch_rows
from t2ibench.networks.stylegan2 import latents
from t2ibench.tracks import edit
from t2ibench.tracks.contract import EDITS, SOURCES, Edit, Prompt, TextToImage
from t2ibench.tracks.from_sources import samples

AFRO, SMILE, PERSON = TEXTS
ROWS = 5
SMALL = Config(generator="tiny", clip="tiny-clip", steps=2, images=2, statistics_samples=8, mapper_steps=2)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Models:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    return tiny_models()


@pytest.fixture
def w_plus(models: Models) -> Tensor:
    layout = models.stylegan2("tiny").config
    return torch.randn(ROWS, layout.rows, layout.w_dim, generator=torch.Generator().manual_seed(3))


def saved(path: Path, content: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, content.numpy())
    else:
        torch.save(content, path, _use_new_zipfile_serialization=path.stem != "legacy")
    return path


@pytest.mark.parametrize("name", ["train_faces.pt", "legacy.pt", "w_plus.npy", "no-suffix"])
def test_every_container_gives_the_same_latents(name: str, models: Models, w_plus: Tensor, tmp_path: Path):
    assert torch.equal(latents.read(saved(tmp_path / name, w_plus), models.stylegan2("tiny").config), w_plus)


def test_half_precision_and_the_other_byte_order_are_read(models: Models, w_plus: Tensor, tmp_path: Path):
    layout = models.stylegan2("tiny").config
    assert torch.equal(latents.read(saved(tmp_path / "half.pt", w_plus.half()), layout), w_plus.half().float())
    np.save(tmp_path / "big.npy", w_plus.numpy().astype(">f4"))
    assert torch.equal(latents.read(tmp_path / "big.npy", layout), w_plus)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (torch.zeros(4, 18, 512), r"latents \[4, 18, 512\], expected \[N, 8, 16\] for a generator of 32 pixels"),
        (torch.zeros(4, 16), r"latents \[4, 16\], expected \[N, 8, 16\]"),
        (torch.zeros(0, 8, 16), r"latents \[0, 8, 16\]"),
        (torch.full((2, 8, 16), torch.nan), "numbers that are no finite floats"),
        (torch.zeros(2, 8, 16, dtype=torch.int64), "numbers that are no finite floats"),
        ({"latents": torch.zeros(2, 8, 16)}, "expected latents W"),
        ([torch.zeros(2, 1, 16, 1, 1)] * 3, "expected latents W"),
    ],
)
def test_other_contents_are_one_line(content: Any, says: str, models: Models, tmp_path: Path):
    path = saved(tmp_path / "faces.pt", content)
    with pytest.raises(UserError, match=says) as error:
        latents.read(path, models.stylegan2("tiny").config)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_arrays_of_objects_run_nothing(models: Models, tmp_path: Path):
    np.save(tmp_path / "objects.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="no whole array"):
        latents.read(tmp_path / "objects.npy", models.stylegan2("tiny").config)


@pytest.mark.parametrize("variant", ["optimization", "mapper", "global"])
def test_every_variant_starts_from_the_row_that_a_seed_names(
    variant: Any, models: Models, w_plus: Tensor, tmp_path: Path
):
    path = saved(tmp_path / "faces.pt", w_plus)
    generator = models.stylegan2("tiny")
    method = Method(dataclasses.replace(SMALL, variant=variant, latents=str(path)), models)
    requests = [Edit(PERSON, SMILE, seed) for seed in (0, 3, ROWS + 3)]
    expected = method._images(generator.style(w_plus[[0, 3, 3]]))
    assert torch.equal(method.unedited(requests), expected)
    assert models.used[str(path)]["sha256"]
    edited = method.edit(requests)
    assert (edited[1].int() - edited[2].int()).abs().max() <= 1  # the same row
    asked = [TextToImage(SMILE, request.seed) for request in requests]
    neutral = dataclasses.replace(method.config, neutral=PERSON)
    assert torch.equal(Method(neutral, models).text_to_image(asked), edited)


@pytest.mark.parametrize("kind", ["levels", "style"])
def test_a_mapper_learns_from_the_latents_of_a_file_as_they_are(
    kind: Any, models: Models, w_plus: Tensor, tmp_path: Path
):
    path = saved(tmp_path / "train_faces.pt", w_plus)
    config = dataclasses.replace(SMALL, variant="mapper", mapper=kind, mapper_latents=str(path), mapper_id=0.0)
    editor = Mapper(config, models)
    recipe = mapper_recipe(config, AFRO, editor.generator, editor.distance, None, editor.weights, editor.latents)
    expected = w_plus if kind == "levels" else editor.generator.style(w_plus)
    assert torch.equal(recipe.codes("train", range(ROWS)), expected)
    seen = [int(row) for step in range(ROWS) for row in batch_rows(1, step, recipe.count, 2)]
    assert sorted(set(seen)) == list(range(ROWS))  # an epoch is one pass over the file
    assert recipe.facts["data"]["codes"] == ROWS
    assert recipe.codes("held out", [0]).shape == expected[:1].shape


def test_the_content_of_a_training_set_decides_which_cached_mapper_is_used(
    models: Models, w_plus: Tensor, tmp_path: Path
):
    plain = Mapper(dataclasses.replace(SMALL, variant="mapper"), models)
    before = settings_of(plain.config, AFRO, plain.weights)
    assert not [key for key in before if "latents" in key]  # mappers from before this setting are found again
    hashes = set()
    for name, values in (("a.npy", w_plus), ("b.npy", w_plus), ("c.npy", w_plus + 1)):
        path = saved(tmp_path / name, values)
        config = dataclasses.replace(SMALL, variant="mapper", mapper_latents=str(path))
        editor = Mapper(config, models)
        hashes.add(settings_of(config, AFRO, editor.weights)["latents_sha256"])
    assert len(hashes) == 2  # the place does not count


def test_records_of_runs_without_latents_stay_what_they_are(w_plus: Tensor, tmp_path: Path):
    assert not {"latents", "mapper_latents"} & recorded(Config()).keys()
    path = saved(tmp_path / "faces.pt", w_plus)
    assert recorded(Config(latents=str(path)))["latents"].startswith("sha256 ")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"variant": "global", "mapper_latents": "a.pt"}, "mapper_latents are for the variant mapper"),
        ({"variant": "mapper", "mapper_latents": "a.pt", "mapper_weights": "b.pt"}, "leave mapper_latents out"),
    ],
)
def test_latents_that_no_training_reads_are_refused(given: Any, says: str):
    with pytest.raises(UserError, match=says):
        Config(**given)


def test_numbered_sources_edit_each_row_of_a_file_once_and_go_on_with_the_next_run():
    tags = {"neutral": PERSON}
    prompts = [Prompt("source", PERSON, SOURCES, 3, None, tags), Prompt("edits/a", SMILE, EDITS, 3, None, tags)]
    numbered = [dataclasses.replace(prompt, tags={**tags, "numbered": True}) for prompt in prompts]
    assert [sample.seed for sample in samples(numbered, 0)] == [0, 1, 2] * 2
    assert [sample.seed for sample in samples(numbered, 1)] == [3, 4, 5] * 2
    drawn = [sample.seed for sample in samples(prompts, 0)]
    assert drawn[:3] == drawn[3:]
    assert not {0, 1, 2} & set(drawn)
    assert edit.EditPlan().seeds == "drawn"
