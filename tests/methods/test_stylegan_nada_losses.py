"""StyleGAN-NADA: losses in closed form, text directions, several CLIPs, and which layers are chosen."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from styleclip_models import tiny_generator
from stylegan_nada_tiny import FACE, SKETCH, TinyModels, config, recipe
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.stylegan_nada import layers
from t2ibench.methods.stylegan_nada.losses import direction_loss, global_loss, guides, text_direction, total_loss, views
from t2ibench.methods.stylegan_nada.settings import Config, training_settings
from t2ibench.networks.clip.templates import IMAGENET
from t2ibench.networks.stylegan2 import Config as Layout
from t2ibench.networks.stylegan2 import Generator

LAYOUT = Layout(
    32, z_dim=8, w_dim=16, mapping_layers=2, channel_base=512, channel_max=16
)  # eight rows, seven convolutions
EAST, NORTH = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def at(*degrees: float) -> Tensor:
    """Unit vectors [B, 2] at angles."""
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def test_the_direction_loss_is_0_along_2_against_and_1_across_the_text():
    before, after = at(0, 0), at(90, -90)  # the chords go to 135 and 225 degrees
    torch.testing.assert_close(direction_loss(before, after, at(135)[0]), torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(direction_loss(before, after, at(-45)[0]), torch.tensor([2.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        direction_loss(at(0), at(60), NORTH), 1 - at(30)[:, 0]
    )  # the chord of 60 degrees points to 120


def test_swapped_texts_give_2_less_the_loss_and_swapped_images_bring_it_back():
    torch.manual_seed(0)
    before, after = (F.normalize(torch.randn(20, 5), dim=1) for _ in range(2))
    delta_t = F.normalize(torch.randn(5), dim=0)
    loss = direction_loss(before, after, delta_t)
    assert ((loss >= 0) & (loss <= 2)).all()
    torch.testing.assert_close(direction_loss(before, after, -delta_t), 2 - loss)
    torch.testing.assert_close(direction_loss(after, before, -delta_t), loss)


def test_an_image_that_has_not_moved_costs_1_and_is_pulled_along_the_text():
    before = at(0, 0, 0)
    after = torch.cat([at(0), at(90), before[:1] + torch.tensor([[0.0, 5e-4]])]).requires_grad_(True)
    loss = direction_loss(before, after, NORTH, floor=1e-3)
    torch.testing.assert_close(loss, torch.tensor([1.0, 1 - math.sqrt(0.5), 0.5]))  # the third moved by half the floor
    [gradient] = torch.autograd.grad(loss.sum(), after)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient[0], -NORTH / 1e-3)


def test_the_global_loss_is_1_minus_the_cosine():
    torch.testing.assert_close(global_loss(at(0, 90, 180), EAST), torch.tensor([0.0, 1.0, 2.0]))


def test_both_images_of_a_pair_are_seen_in_the_same_view():
    before = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    first, second = views(before, before + 0.25, 3, 0.4, torch.Generator().manual_seed(2))
    assert first.shape == (6, 3, 16, 16)
    torch.testing.assert_close(second - first, torch.full_like(first, 0.25))  # moved alike, the same noise
    assert not torch.allclose(first[0], first[2], atol=0.2)  # two views of one image
    again, _ = views(before, before, 3, 0.4, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)


def test_a_view_shows_a_part_of_the_image_with_a_little_noise():
    flat = torch.full((64, 3, 16, 16), 0.5)
    seen, _ = views(flat, flat, 1, 0.3, torch.Generator().manual_seed(0))
    assert 0.045 < float((seen - 0.5).std()) < 0.055
    ramp = torch.linspace(-1, 1, 16).expand(256, 3, 16, 16)
    slopes = views(ramp, ramp, 1, 0.3, torch.Generator().manual_seed(0))[0][..., 4:12].diff(dim=-1).mean((1, 2, 3)) / (
        2 / 15
    )
    assert 90 < int((slopes < 0).sum()) < 166  # about half are mirrored
    assert 0.6 < float(slopes.abs().min()) < 0.8
    assert 0.95 < float(slopes.abs().max()) < 1.1


def test_the_text_direction_is_the_difference_of_means_over_templates_in_any_order():
    clip = TinyModels().clip()
    delta_t = text_direction(clip, FACE, SKETCH, IMAGENET)
    assert len(IMAGENET) == 79
    torch.testing.assert_close(delta_t.norm(), torch.tensor(1.0))
    torch.testing.assert_close(text_direction(clip, FACE, SKETCH, IMAGENET[::-1]), delta_t)
    torch.testing.assert_close(text_direction(clip, SKETCH, FACE, IMAGENET), -delta_t)
    two = ("{}", "a photo of a {}.")
    pairs = [
        clip.encode_texts([template.format(bare), SKETCH])[0]
        for template, bare in zip(two, (FACE, "face avatar"), strict=True)
    ]
    others = clip.encode_texts([SKETCH, "a photo of a pencil sketch of a face."])
    torch.testing.assert_close(
        text_direction(clip, FACE, SKETCH, two), F.normalize(others.mean(0) - torch.stack(pairs).mean(0), dim=0)
    )


@pytest.mark.parametrize(("source", "target"), [(FACE, FACE), (FACE, " A face  avatar")])
def test_equal_texts_are_refused(source: str, target: str):
    with pytest.raises(UserError, match="there is no direction between them: use another target"):
        guides(config(), source, target, TinyModels())


def test_texts_that_the_clip_cannot_tell_apart_are_refused():
    with pytest.raises(UserError, match="clip-1 reads 'zebra' and 'lion' as the same text"):  # words it has never met
        guides(config(), "zebra", "lion", TinyModels())


def losses(models: TinyModels, **settings: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    before, after = torch.rand(2, 3, 3, 32, 32) * 2 - 1
    chosen = config(**settings)
    return total_loss(chosen, guides(chosen, FACE, SKETCH, models), before, after)


def test_several_clips_are_summed_by_weight_and_one_named_twice_counts_once():
    one, other = losses(TinyModels()), losses(TinyModels(), clips=("clip-2",))
    models = TinyModels()
    both = losses(models, clips=("clip-1", "clip-2", "clip-1", "clip-3"), clip_weights=(0.5, 2.0, 0.25, 0.0))
    torch.testing.assert_close(both["loss"], 0.75 * one["loss"] + 2 * other["loss"])
    assert models.looked == ["clip-1", "clip-1", "clip-2", "clip-2"]
    assert "clip-3" not in models._clips  # without weight it is not even loaded


def test_a_loss_without_weight_is_not_computed():
    models = TinyModels()
    assert set(losses(models)) == {"loss", "direction"}
    assert len(models.looked) == 2  # both images
    models = TinyModels()
    assert set(losses(models, lambda_direction=0.0, lambda_global=2.0)) == {"loss", "global"}
    assert len(models.looked) == 1  # the image before plays no part
    mixed = losses(TinyModels(), lambda_direction=3.0, lambda_global=2.0)
    torch.testing.assert_close(mixed["loss"], 3 * mixed["direction"] + 2 * mixed["global"])


def test_as_released_the_global_loss_compares_with_an_article_and_the_target():
    [guide] = guides(config(global_text="reference"), FACE, "pencil sketch", TinyModels())
    clip = TinyModels().clip("clip-1")
    torch.testing.assert_close(guide.global_target, clip.encode_texts(["a pencil sketch"])[0])
    torch.testing.assert_close(guide.target, clip.encode_texts(["pencil sketch"])[0])  # by which layers are chosen
    [plain] = guides(config(), FACE, "pencil sketch", TinyModels())
    assert torch.equal(plain.global_target, plain.target)
    assert "global_text" not in training_settings(config())  # earlier adaptations are still found
    assert training_settings(config(global_text="reference"))["global_text"] == "reference"


def test_colours_beyond_the_range_keep_their_gradient():
    guide = guides(config(), FACE, SKETCH, TinyModels())[0]
    images = torch.full((1, 3, 64, 64), 1.5).requires_grad_(True)  # scaled to 32 pixels
    [gradient] = torch.autograd.grad(guide.features(images)[0, 0], images)
    assert gradient.abs().max() > 0
    [clamped] = torch.autograd.grad(guide.clip.image_features(images)[0, 0], images)
    assert clamped.abs().max() == 0


COUNTS = {
    ("default", 1024): 26_700_145,
    ("default", 512): 26_623_183,
    ("default", 256): 26_413_965,
    ("texture", 1024): 20_529_417,
    ("shape", 1024): 7_875_587,
    ("shape_expanded", 1024): 10_498_052,
    ("no_fine", 1024): 25_774_347,
    ("all", 1024): 30_370_060,
}


@pytest.mark.parametrize(("phase", "resolution"), list(COUNTS))
def test_phases_have_the_parameters_of_the_released_code(phase: str, resolution: int):
    with torch.device("meta"):
        generator = Generator(Layout(resolution))
    parameters = layers.parameters_of(generator, layers.phase_layers(generator.config, phase))
    assert sum(value.numel() for value in parameters.values()) == COUNTS[phase, resolution]


def test_without_affine_layers_what_they_hold_stays():
    generator = tiny_generator()
    everything, without = (
        layers.parameters_of(generator, layers.phase_layers(LAYOUT, "default"), affine) for affine in (True, False)
    )
    assert {key for key in everything if key not in without} == {key for key in everything if ".affine." in key}
    with pytest.raises(UserError, match="no parameter is left to learn"):
        layers.parameters_of(generator, [])


def test_a_row_stands_for_the_convolution_it_drives_and_in_the_release_for_the_one_before():
    corrected, reference = (layers.row_table(LAYOUT, row_map) for row_map in ("corrected", "reference"))  # type: ignore[arg-type]
    driven = {layer.row: layer.name for layer in LAYOUT.layers if not layer.is_rgb}
    assert corrected == [driven[row] for row in range(LAYOUT.rows - 1)]
    assert reference == [
        "b4.conv1",
        "b4.torgb",
        "b8.conv0",
        "b8.conv1",
        "b16.conv0",
        "b16.conv1",
        "b32.conv0",
        "b32.conv1",
    ]
    assert reference[2:] == [driven[row - 1] for row in range(2, LAYOUT.rows)]


def test_the_rows_with_the_highest_scores_are_taken():
    table, scores = layers.row_table(LAYOUT, "corrected"), torch.tensor([0.1, 0.9, 0.2, 0.8, 0.3, 0.0, 0.4, 7.0])
    assert layers.chosen(scores, table, 3) == [
        "b8.conv0",
        "b16.conv0",
        "b32.conv1",
    ]  # the last row, 7, drives no convolution
    assert layers.chosen(scores, table, 99) == table
    assert layers.chosen(scores, layers.row_table(LAYOUT, "reference"), 2) == ["b4.torgb", "b32.conv1"]


def test_scores_of_rows_are_the_mean_size_of_their_gradient_times_the_rate():
    slopes = torch.tensor([1.0, -3.0, 2.0])
    w_plus = torch.randn(4, 3, 5)
    torch.testing.assert_close(layers.row_scores(lambda w: (w * slopes[:, None]).sum(), w_plus), 0.01 * slopes.abs())
    torch.testing.assert_close(
        layers.row_scores(lambda w: (w * slopes[:, None]).sum(), w_plus, iterations=3), 0.03 * slopes.abs()
    )
    curved = layers.row_scores(lambda w: 0.5 * w.square().sum(), torch.ones(1, 1, 1), iterations=2)
    torch.testing.assert_close(
        curved, torch.tensor([0.01 + 0.01 * 0.99])
    )  # the second step starts where the first arrived


def test_choosing_layers_leaves_generators_alone_and_repeats():
    made, again = (recipe(layers=2.0) for _ in range(2))
    before = {key: value.clone() for key, value in made.child.state_dict().items()}
    made._choose(0)
    again._choose(0)
    assert made.learning == again.learning
    assert len(made.learning) == 2
    assert all(torch.equal(value, before[key]) for key, value in made.child.state_dict().items())
    assert all(parameter.grad is None for parameter in made.child.parameters())
    again.config, kept = config(layers=2.0, layers_every=2), again.learning
    again.learning = kept[:1]
    again._choose(1)
    assert again.learning == kept[:1]  # nothing is chosen in the second of two steps


@pytest.mark.parametrize(
    ("settings", "looked"), [({}, 0), ({"layers": 2.0}, 1), ({"layers": 0.25}, 1), ({"layers": 7.0}, 0)]
)
def test_layers_are_ranked_only_where_that_can_change_the_choice(settings: dict[str, float], looked: int):
    models = TinyModels()
    made = recipe(models, **settings)
    made._choose(0)
    assert len(models.looked) == looked
    assert len(made.learning) == {0: 8, 2: 2, 0.25: 2, 7: 7}[settings.get("layers", 0)]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "steps is 0, expected at least 1"),
    ({"mixing": 1.5}, "mixing is 1.5, expected 0 to 1"),
    ({"learning_rate": 0.0}, "learning_rate is 0.0, expected more than 0"),
    ({"clips": ("a", "b"), "clip_weights": (1.0,)}, "2 clips with 1 clip_weights"),
    ({"clips": ("a",), "clip_weights": (0.0,)}, "clip_weights are"),
    ({"lambda_direction": 0.0}, "lambda_direction is 0.0, .* expected one above 0"),
    ({"lambda_patch": -1.0}, "lambda_patch is -1.0, expected at least 0"),
    ({"lambda_texture": 1.0}, "lambda_texture is 1.0, which has no effect alone: give texture, an image, too"),
    ({"texture": "x.png"}, "texture is 'x.png', which has no effect alone: give lambda_texture"),
    ({"patch_side": 0}, "patch_side is 0, expected at least 1"),
    ({"layers": -1.0}, "layers is -1.0"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_settings_that_make_no_sense_are_one_line(settings: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message) as caught:
        Config(**settings)
    assert "\n" not in str(caught.value)
