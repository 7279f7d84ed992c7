"""StyleGAN-NADA's release beside texts: images of the target, the losses on patches, nearness and texture, each in
closed form.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from stylegan_nada_tiny import FACE, SKETCH, TinyModels, config, recipe
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float, to_uint8
from t2ibench.core.settings import recorded
from t2ibench.methods.stylegan_nada.images import PARTS, Texture, image_direction, patches, target_files
from t2ibench.methods.stylegan_nada.losses import (
    guides,
    manifold_loss,
    nearness_of,
    part_directions,
    patch_loss,
    total_loss,
)
from t2ibench.methods.stylegan_nada.training import settings_of
from t2ibench.networks.clip.templates import IMAGENET, PLAIN


def saved(path: Path, pixels: Tensor) -> str:
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return str(path)


def noise(count: int = 2, side: int = 32, seed: int = 0) -> Tensor:
    return torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.fixture
def faces(tmp_path: Path) -> list[str]:
    """Two images, of different sides."""
    one, other = noise(1, 32, 1)[0], noise(1, 48, 2)[0]
    return [saved(tmp_path / "10.png", one), saved(tmp_path / "9.png", other)]


# Images of the target


def test_the_direction_goes_from_the_mean_of_samples_to_the_mean_of_the_images(faces):
    clip, samples = TinyModels().clip(), noise(3)
    found = image_direction(clip, [Path(face) for face in faces], to_float(samples))
    after = torch.cat([clip.encode_images(noise(1, 32, 1)), clip.encode_images(noise(1, 48, 2))]).mean(0)
    torch.testing.assert_close(found, F.normalize(after - clip.encode_images(samples).mean(0), dim=0))
    assert found.norm() == pytest.approx(1)


def test_a_folder_is_its_images_in_natural_order_and_a_path_that_is_missing_is_one_line(faces, tmp_path):
    assert [path.name for path in target_files(config(target_images=(str(tmp_path),)))] == ["9.png", "10.png"]
    with pytest.raises(UserError, match=r"target_images: .*none\.png is missing: name images, or a folder of them"):
        target_files(config(target_images=(str(tmp_path / "none.png"),)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no image found"):
        target_files(config(target_images=(str(tmp_path / "empty"),)))


def test_a_training_towards_images_starts_from_the_parents_own_and_ends_nearer_to_them(faces):
    made = recipe(target_images=tuple(faces), target_latents=4, paired=True, noise="const", learning_rate=0.01, steps=8)
    [guide] = made.guides
    samples = made._start()
    assert samples.shape == (4, 3, 32, 32)
    assert torch.equal(samples, made._start())  # of the seed alone
    expected = image_direction(guide.clip, target_files(made.config), samples)
    torch.testing.assert_close(guide.delta_t, expected)
    assert not torch.equal(guide.delta_t, recipe().guides[0].delta_t)
    before = made.validate()["clip-1"]["direction"]
    for index in range(8):
        made.step(index, index / 8)
    assert made.validate()["clip-1"]["direction"] < before


def test_the_generators_own_images_are_no_target(tmp_path):
    models = TinyModels()
    made = recipe(models, noise="const", target_images=(saved(tmp_path / "x.png", noise(1)[0]),), target_latents=1)
    own = to_uint8(made._start())
    path = saved(tmp_path / "own.png", own[0])
    with pytest.raises(UserError, match="clip-1 reads the 1 target_images as it does the generator's own"):
        image_direction(models.clip(), [Path(path)], to_float(own))


def test_what_is_in_the_images_decides_an_adaptation_and_where_they_lie_does_not(faces, tmp_path):
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "moved" / "10.png").as_posix()
    Path(moved).write_bytes(Path(faces[0]).read_bytes())

    def decides(*images: str) -> dict[str, Any]:
        return settings_of(config(target_images=images), FACE, SKETCH, TinyModels())

    assert decides(faces[0]) == decides(moved)
    assert decides(faces[0]) != decides(faces[1])
    assert "target_images" not in decides()
    assert not {"target_images", "lambda_patch", "texture"} & recorded(config()).keys()  # earlier records stay


# Patches


def test_the_loss_on_patches_weighs_each_part_by_the_softmax_of_its_cosine():
    before, parts = torch.tensor([[1.0, 0.0, 0.0]]), torch.eye(3)[1:]
    along = F.normalize(torch.tensor([[0.0, 0.0, 1.0]]) - before, dim=1)  # moves along the second part at 45 degrees
    expected_cosines = along @ parts.T
    torch.testing.assert_close(expected_cosines, torch.tensor([[0.0, math.sqrt(0.5)]]))
    share = math.exp(math.sqrt(0.5)) / (1 + math.exp(math.sqrt(0.5)))
    found = patch_loss(before, torch.tensor([[0.0, 0.0, 1.0]]), parts)
    assert float(found) == pytest.approx(((1 - share) * 1 + share * (1 - math.sqrt(0.5))) / 2)
    assert float(patch_loss(before, before, parts)) == pytest.approx(0.5)  # nothing moved: 1, shared by two parts


def test_both_images_are_cut_at_one_place_and_must_be_larger_than_a_patch():
    images = torch.arange(2 * 3 * 12 * 10.0).view(2, 3, 12, 10)
    before, after = patches(images, images + 1000, 8, torch.Generator().manual_seed(0))
    assert torch.equal(after, before + 1000)
    assert before.shape == (2, 3, 8, 8)
    tops = [int(image[0, 0, 0] % 120) // 10 for image in before]
    for image, whole, top in zip(before, images, tops, strict=True):
        left = int(image[0, 0, 0] - whole[0, top, 0])
        assert torch.equal(image, whole[:, top : top + 8, left : left + 8])
    with pytest.raises(UserError, match="patch_side is 510, but the generator's images have 32 pixels: use a smaller"):
        recipe(lambda_patch=1.0).step(0, 0.0)


def test_parts_are_named_in_every_template_without_the_article_of_the_text():
    clip = TinyModels().clip()
    assert len(PARTS) == 15
    found = part_directions(clip, FACE, SKETCH, PLAIN)
    texts = ["the nose of a face avatar.", "the nose of a pencil sketch of a face."]
    before, after = clip.encode_texts(texts)
    torch.testing.assert_close(found[1], F.normalize(after - before, dim=0))
    assert part_directions(clip, FACE, SKETCH, IMAGENET[:2]).shape == (15, clip.encode_texts(["a"]).shape[1])


# Nearness and texture


def test_the_loss_on_nearness_compares_cosines():
    before, after = torch.eye(2), torch.tensor([[1.0, 0.0], [math.sqrt(0.75), 0.5]])  # cosines 1 and 0.5
    assert float(manifold_loss(before, after, torch.tensor(0.5))) == pytest.approx(0.25)
    clip = TinyModels().clip()
    assert float(nearness_of(clip, FACE, FACE, PLAIN)) == pytest.approx(1)
    [one, other] = clip.encode_texts([FACE, SKETCH])
    assert float(nearness_of(clip, FACE, SKETCH, PLAIN)) == pytest.approx(float(one @ other))


def test_the_loss_on_texture_is_the_mean_square_between_embeddings(faces):
    models = TinyModels()
    texture = Texture(config(texture=faces[0], lambda_texture=1.0, texture_clip="clip-2"), models)
    images = to_float(noise(3, seed=5))
    wanted, made = models.clip("clip-2").image_embeddings(to_float(noise(1, 32, 1))), None
    made = models.clip("clip-2").image_embeddings(images)
    torch.testing.assert_close(texture.loss(images), (made - wanted).square().mean())
    assert float(texture.loss(to_float(noise(1, 32, 1)))) == pytest.approx(0, abs=1e-8)
    assert models.used[faces[0]]["sha256"]


def test_every_loss_is_summed_with_its_weight_and_learns(faces):
    given: dict[str, Any] = {"lambda_direction": 0.5, "lambda_global": 0.25, "lambda_patch": 2.0, "patch_side": 24}
    given |= {"lambda_manifold": 3.0, "lambda_texture": 4.0, "texture": faces[0], "texture_clip": "clip-2"}
    made = recipe(**given, clips=("clip-1", "clip-3"), clip_weights=(1.0, 0.5))
    losses = made.step(0, 0.0)
    weights = {"direction": 0.5, "global": 0.25, "patch": 2.0, "manifold": 3.0, "texture": 4.0}
    assert losses.keys() == {"loss", *weights}
    assert losses["loss"] == pytest.approx(sum(weights[name] * losses[name] for name in weights), rel=1e-5)
    assert np.isfinite(list(losses.values())).all()
    before = {name: value.clone() for name, value in made.child.state_dict().items()}
    made.step(1, 0.5)
    assert any(not torch.equal(value, before[name]) for name, value in made.child.state_dict().items())


@pytest.mark.parametrize("name", ["patch", "manifold", "texture"])
def test_each_loss_can_be_the_only_one(name, faces):
    settings: dict[str, Any] = {"lambda_direction": 0.0, f"lambda_{name}": 1.0, "patch_side": 16}
    if name == "texture":
        settings |= {"texture": faces[0], "texture_clip": "clip-2"}
    chosen = config(**settings)
    before, after = (to_float(noise(seed=seed)) for seed in (3, 4))
    cut = patches(before, after, 16, torch.Generator().manual_seed(0)) if name == "patch" else None
    models = TinyModels()
    texture = Texture(chosen, models).loss(after) if name == "texture" else None
    found = total_loss(chosen, guides(chosen, FACE, SKETCH, models), before, after, cut, texture)
    assert found.keys() == {"loss", name}
    torch.testing.assert_close(found["loss"], found[name])
