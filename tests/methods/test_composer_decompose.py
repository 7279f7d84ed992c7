"""Composer's decomposition: golden palettes, ranges, polarity, and what each representation does not depend on."""

import numpy as np
import pytest
import torch
from composer_tiny import half_split
from extractor_files import pidinet_state, simplification_state, write_simplification
from skimage.segmentation import find_boundaries

from t2ibench.core.errors import UserError
from t2ibench.data.representations.depth import proxy
from t2ibench.data.representations.instances import silhouettes
from t2ibench.data.representations.intensity import WEIGHTS, intensity
from t2ibench.data.representations.masks import known_part, known_parts, masked
from t2ibench.data.representations.palette import Palette, codebook, palettes, smooth, strict_histogram
from t2ibench.data.representations.sketch import canny
from t2ibench.methods.composer.decompose import Decomposition, Extractors, read_with_parts
from t2ibench.methods.composer.decompose.depth import layers, near
from t2ibench.methods.composer.decompose.instances import planes, shrink, union
from t2ibench.methods.composer.decompose.semantics import text_embeddings
from t2ibench.methods.composer.decompose.sketch import strokes
from t2ibench.networks.models import Models

FAITHFUL = Palette(norm="faithful")


def flat(colour: tuple[int, int, int], side: int = 8) -> torch.Tensor:
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, side, side)


def noise(count: int = 2, side: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_the_codebook_has_156_colours_and_180_where_five_lightness_values_are_read_literally():
    colours = codebook()
    assert len(colours) == 156
    assert len(codebook(Palette(lights=5))) == 180
    for index, colour in ((143, (1, 1, 1)), (155, (0, 0, 0)), (5, (1, 0, 0)), (10, (0.84, 0.84 * 0.6, 0.84 * 0.6))):
        np.testing.assert_allclose(colours[index], colour, atol=1e-12)
    np.testing.assert_allclose(
        colours[143:, 0] * 255, [255, 234, 212, 191, 170, 149, 128, 106, 85, 64, 42, 21, 0], atol=0.6
    )


@pytest.mark.parametrize(
    ("colour", "total", "most", "index"),
    [  # measured with rayleigh's rule, sigma 10, rows normalised
        ((255, 255, 255), 0.9719, 0.2604, 143),
        ((0, 0, 0), 0.8958, 0.4893, 155),
        ((255, 0, 0), 0.9371, 0.5982, 5),
        ((0, 255, 0), 0.9294, 0.4325, 57),
        ((0, 0, 255), 0.8745, 0.4158, 96),
        ((255, 255, 0), 0.9620, 0.4355, 31),
        ((128, 128, 128), 1.1059, 0.2643, 149),
    ],
)
def test_palettes_of_one_colour_are_the_golden_ones(colour, total, most, index):
    [found] = palettes(flat(colour), FAITHFUL)
    assert found.sum().item() == pytest.approx(total, abs=2e-3)
    assert found.max().item() == pytest.approx(most, abs=2e-3)
    assert found.argmax().item() == index
    assert palettes(flat(colour)).sum().item() == pytest.approx(1, abs=1e-6)


def test_a_palette_does_not_know_where_a_pixel_is():
    images = noise()
    expected = palettes(images)
    shuffled = images.flatten(2)[:, :, torch.randperm(256, generator=torch.Generator().manual_seed(1))].view_as(images)
    for same in (
        shuffled,
        images.rot90(1, (2, 3)),
        images.flip(3),
        images.repeat_interleave(2, 2).repeat_interleave(2, 3),
    ):
        torch.testing.assert_close(palettes(same), expected, atol=1e-7, rtol=0)


def test_a_shift_by_one_lab_unit_moves_the_smoothed_histogram_less_than_the_strict_one():
    generator = np.random.default_rng(0)
    lab = generator.uniform((20, -40, -40), (80, 40, 40), (20, 1024, 3))
    strict, shifted = strict_histogram(lab), strict_histogram(lab + np.array([1, 0, 0]))
    np.testing.assert_allclose(strict.sum(1), 1, atol=1e-12)
    assert (np.abs(smooth(strict) - smooth(shifted)).sum(1) < np.abs(strict - shifted).sum(1)).all()


def test_a_flat_image_has_no_stroke_and_no_instance():
    assert canny(flat((90, 200, 30), 32)).max() == 0
    assert silhouettes(flat((90, 200, 30), 32)).max() == 0


def test_an_image_of_two_halves_has_no_instance_that_differs_from_the_border():
    """The border's median lies in the middle, so that both halves are as far from it, up to rounding."""
    halves = torch.from_numpy(half_split(4).images.read(range(4)))
    assert silhouettes(halves).max() == 0


def test_canny_draws_an_outline_and_flips_with_the_image():
    image = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    image[:, :, 20:44, 16:40] = 30
    drawn = canny(image)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn[0, 0, 26:38, 22:34].sum() == 0
    assert drawn[0, 0, 30, 12:20].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]  # on both sides of the step
    assert torch.equal(canny(image.flip(3)), drawn.flip(3))


def test_the_paper_s_sketch_is_white_where_its_networks_draw_dark_lines():
    edges, same = torch.nn.Module(), torch.nn.Identity()
    edges.forward = lambda x: (x[:, :1] > 0).float()  # type: ignore[method-assign]
    image = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    image[:, :, :, 8:] = 255
    found = strokes(edges, same, image)
    assert found.shape == (1, 1, 384, 384)
    assert (found[..., :180].max(), found[..., 204:].min()) == (0, 1)


def test_depth_is_scaled_and_cut():
    def ten(x: torch.Tensor) -> torch.Tensor:
        return 100 + 150 * x.mean(1, keepdim=True)  # white: 250, black: -50

    found = near(ten, torch.cat([flat((255, 255, 255)), flat((0, 0, 0))]))
    assert found.shape == (2, 1, 384, 384)
    torch.testing.assert_close(found[:, 0, 100, 100], torch.tensor([1.0, 0.0]))


def test_a_silhouette_is_what_differs_from_the_border_and_near_is_large():
    image = torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)
    image[:, 0, 10:22, 10:22] = 0
    mask = silhouettes(image)
    assert (int(mask.sum()), int(mask[0, 10:22, 10:22].sum())) == (144, 144)
    near = proxy(mask)
    assert near[0, 0, 16, 16] > near[0, 0, 16, 2]
    assert near[0, 0, 31, 0] > near[0, 0, 0, 0]
    assert (near.min() >= 0, near.max() <= 1) == (True, True)
    assert layers(torch.tensor([[[0, 2, 4]]]), 5).tolist() == [[[[0.0, 0.5, 1.0]]]]


def test_only_sure_instances_join_the_silhouette():
    masks = torch.tensor([[[[0.9, 0.1, 0.4]]], [[[0.0, 0.9, 0.9]]]])
    assert union(masks, torch.tensor([0.8, 0.3])).tolist() == [[1, 0, 0]]
    assert union(masks[:0], torch.zeros(0)).tolist() == [[0, 0, 0]]


def test_parts_become_planes_and_boundaries_that_skimage_finds_too():
    labels = torch.randint(3, (2, 9, 9), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = planes(labels, 4)
    assert torch.equal(found[:, :3].argmax(1).to(torch.uint8), labels)
    assert (found[:, :3].sum(1) == 1).all()
    expected = np.stack([find_boundaries(label, connectivity=1, mode="thick") for label in labels.numpy()])
    np.testing.assert_array_equal(found[:, 3].numpy() > 0, expected)
    assert torch.equal(planes(labels, 1)[:, 0] > 0, labels > 0)


def test_a_smaller_label_is_the_one_that_covers_most():
    labels = torch.tensor([[[0, 2, 1, 1], [2, 2, 1, 0], [0, 0, 2, 1], [1, 1, 2, 0]]], dtype=torch.uint8)
    assert shrink(labels, 2).tolist() == [[[2, 1], [0, 2]]]  # the lower left is a tie


@pytest.mark.parametrize("which", range(len(WEIGHTS)))
def test_intensity_is_the_weighted_sum_of_the_channels(which):
    images = torch.rand(1, 3, 4, 4) * 2 - 1
    r, g, b = WEIGHTS[which]
    torch.testing.assert_close(
        intensity(images, torch.tensor([which]))[:, 0], r * images[:, 0] + g * images[:, 1] + b * images[:, 2]
    )
    assert intensity(torch.ones(1, 3, 2, 2), torch.tensor([which])).allclose(torch.tensor(1.0))


def test_holes_leave_something_and_take_something():
    known = known_parts(list(range(60)), 32)
    assert set(known.unique().tolist()) == {0.0, 1.0}
    shares = known.mean((1, 2, 3))
    assert ((shares > 0) & (shares < 1)).all()
    halves = [
        seed
        for seed in range(300)
        if np.isin(known_part(seed, 32).mean(0), (0, 1)).all() and known_part(seed, 32).mean() == 0.5
    ]
    assert halves
    assert torch.equal(known[7:8], known_parts([7], 32))


def test_a_masked_image_is_zero_in_the_hole_and_says_what_is_known():
    images, known = torch.rand(2, 3, 8, 8) + 0.1, known_parts([1, 2], 8)
    found = masked(images, known)
    assert torch.equal(found[:, 3:], known)
    assert (found[:, :3][(known == 0).expand(-1, 3, -1, -1)] == 0).all()
    assert torch.equal(found[:, :3][(known == 1).expand(-1, 3, -1, -1)], images[(known == 1).expand(-1, 3, -1, -1)])


def test_words_after_the_end_are_masked_and_embeddings_have_unit_mean_square():
    words, mask, sentences = text_embeddings(Models().clip("clip-guide-avatars"), ["a man", "a man with long red hair"])
    assert words.shape[:2] == mask.shape
    assert mask.sum(1).tolist() == [4, 8]  # with the tokens of start and end
    torch.testing.assert_close(sentences.square().mean(1), torch.ones(2))


@pytest.fixture
def decomposition():
    return Decomposition(Extractors(), Models(), 8)


def test_cached_and_fresh_representations_are_identical(decomposition, monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    split = half_split(4)
    first = decomposition.of_split(split)
    monkeypatch.setattr(Decomposition, "extract", None)
    cached = decomposition.of_split(split)
    monkeypatch.undo()
    fresh = decomposition.extract(*read_with_parts(split, np.arange(4)))
    for name in ("palette", "embedding", "maps"):
        assert torch.equal(getattr(first, name), getattr(cached, name))
        # an embedding has a norm of 11, of which float32 keeps seven digits; kernels for SSE 4.1 differ in the last
        torch.testing.assert_close(getattr(cached, name), getattr(fresh, name), atol=1e-5, rtol=0)


def test_conditions_have_the_ranges_and_polarity_of_the_paper(decomposition):
    split = half_split(3)
    images, labels, parts = read_with_parts(split, np.arange(3))
    extracted = decomposition.extract(images, labels, parts)
    small = images[:, :, ::2, ::2]
    made = decomposition.conditions(small, extracted, ["a floor", None, "b"], None, 3)
    assert made.present[:, 0].tolist() == [True, False, True]
    assert made.present[:, 1:].all()
    assert (made.values["D"][0, 0, :, 0]).tolist() == [0] * 4 + [1] * 4  # the ground is nearer
    assert made.values["G"][0, 1, :, 0].tolist() == [0] * 4 + [1] * 4
    assert made.values["G"][0, 2, :, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert made.values["M"][0, 3, :, 4].tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    assert made.values["I"][0, 0, 0, 0] == pytest.approx(1)
    with pytest.raises(UserError, match="part 1 is in an image, the network knows 1 parts"):
        decomposition.conditions(small, extracted, ["a"] * 3, None, 2)


def test_what_cannot_be_extracted_is_one_line(decomposition):
    with pytest.raises(UserError, match="instances are 'parts', but these images have no exact part masks"):
        decomposition.extract(noise())
    with pytest.raises(UserError, match="depth 'proxy' is made of a silhouette"):
        Decomposition(Extractors(depth="proxy"), Models(), 8)
    with pytest.raises(UserError, match="depth 'layers' is the order of exact parts"):
        Decomposition(Extractors(instances="silhouette"), Models(), 8)


def test_the_facts_name_what_made_each_representation(tmp_path):
    facts = Decomposition(Extractors(instances="silhouette", depth="proxy", sketch="boundaries"), Models(), 8).facts
    assert (facts["S"], facts["G"], facts["D"]) == ("boundaries", "silhouette", "proxy")
    assert facts["E"].startswith("clip-guide-avatars ")
    torch.save(pidinet_state(), tmp_path / "x.pt")
    write_simplification(tmp_path / "x.t7", simplification_state())
    named = Decomposition(Extractors(sketch=f"{tmp_path}/x.pt+{tmp_path}/x.t7"), Models(), 8).facts["S"]
    assert (named.count("x.pt "), named.count("x.t7 ")) == (1, 1)
