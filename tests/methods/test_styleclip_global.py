"""Global directions: selection and scaling by hand, the edit's invariances, statistics, and the same images from the
same seeds.
"""

import dataclasses
import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from styleclip_tiny import TINY, TinyModels, tiny_generator

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.methods.styleclip import Config, Method
from t2ibench.methods.styleclip.global_directions import GlobalDirections, table, table_recipe
from t2ibench.methods.styleclip.prepared import ship
from t2ibench.methods.styleclip.selection import automatic_beta, kept_channels, style_step
from t2ibench.methods.styleclip.style_statistics import editable_channels, sampled_w, style_statistics
from t2ibench.runner import suite
from t2ibench.tracks.contract import Edit, TextToImage

SMALL = Config(neutral="square", select="beta", beta=0.0, statistics_samples=100, images=2, probes=4, max_resolution=8)
TEXTS = ("square", "red square")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


def method(**given: object) -> Method:
    return Method(dataclasses.replace(SMALL, **given), TinyModels())  # type: ignore[arg-type]


def editor(**given: object) -> GlobalDirections:
    return GlobalDirections(dataclasses.replace(SMALL, **given), TinyModels())  # type: ignore[arg-type]


def test_a_step_by_hand():
    relevance, sigma = torch.tensor([0.1, -0.4, 0.2, 0.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    kept = kept_channels(relevance, "beta", 0.2, 0)
    assert kept.tolist() == [False, True, True, False]
    torch.testing.assert_close(style_step(relevance, kept, sigma, "reference"), torch.tensor([0.0, -2.0, 1.5, 0.0]))
    torch.testing.assert_close(style_step(relevance, kept, sigma, "paper"), torch.tensor([0.0, -0.4, 0.2, 0.0]))


def test_the_channels_kept_shrink_as_beta_grows():
    relevance = torch.arange(-50, 51) / 100
    masks = [kept_channels(relevance, "beta", beta, 0) for beta in (0.0, 0.1, 0.3, 0.5, 0.51, math.inf)]
    assert all((large <= small).all() for small, large in pairwise(masks))
    assert [int(mask.sum()) for mask in masks] == [101, 82, 42, 2, 0, 0]


def test_the_most_relevant_channels_are_kept_and_none_without_relevance():
    assert kept_channels(torch.tensor([0.1, -0.3, 0.2]), "top", 9.0, 2).tolist() == [False, True, True]
    assert kept_channels(torch.tensor([0.1, 0.0]), "top", 0.0, 5).tolist() == [True, False]


@pytest.mark.parametrize(
    ("relevance", "channels", "beta"),
    [
        ([0.255] * 21 + [0.05] * 9, 20, 0.25),
        ([0.255] * 20 + [0.12] * 2, 20, 0.12),  # more than k, not k
        ([0.9] * 21, 20, 0.29),  # no larger one is tried
        ([0.9] * 20, 20, 0.10),  # the rule falls back
        ([-0.205] * 3, 2, 0.20),
    ],
)
def test_the_automatic_beta_is_the_largest_that_keeps_more_than_k(relevance, channels, beta):
    assert automatic_beta(torch.tensor(relevance), channels) == beta


@pytest.mark.parametrize("scaling", ["reference", "paper"])
def test_a_step_without_channels_is_zero(scaling):
    nothing = torch.zeros(3, dtype=torch.bool)
    assert style_step(torch.ones(3), nothing, torch.ones(3), scaling).tolist() == [0, 0, 0]
    assert style_step(torch.zeros(3), ~nothing, torch.ones(3), scaling).tolist() == [0, 0, 0]


@pytest.mark.parametrize("relevance", ["jacobian", "vjp", "table"])
def test_the_strongest_channel_moves_by_one_deviation_and_no_excluded_one_moves(relevance):
    made = editor(relevance=relevance, max_resolution=4)
    step, sigma = made.step(*TEXTS), made.space.sigma
    fixed = [layer for layer in TINY.layers if layer.is_rgb or layer.resolution > 4]
    assert all((step[layer.start : layer.stop] == 0).all() for layer in fixed)
    assert float((step / sigma).abs().max()) == pytest.approx(1, abs=1e-6)
    assert (step != 0).sum() == len(made.space.channels)  # beta 0 keeps all


@pytest.mark.parametrize("relevance", ["jacobian", "vjp", "table"])
def test_swapping_the_texts_turns_the_edit_round(relevance):
    made = editor(relevance=relevance)
    assert torch.equal(made.step(*TEXTS), -made.step(*TEXTS[::-1]))


def test_an_edit_is_linear_in_alpha_and_nothing_at_zero():
    models = TinyModels()
    w_plus = Method(SMALL, models).sources.of_seeds([1, 2, 3])
    still, there, back = (
        GlobalDirections(dataclasses.replace(SMALL, alpha=alpha), models).edited(w_plus, [TEXTS[0]] * 3, [TEXTS[1]] * 3)
        for alpha in (0.0, 2.5, -2.5)
    )
    torch.testing.assert_close(there + back, 2 * still, atol=1e-5, rtol=1e-6)
    assert not torch.equal(there, still)
    requests = [Edit(*TEXTS, seed) for seed in (1, 2, 3)]
    assert torch.equal(method(alpha=0.0).edit(requests), method().unedited(requests))


@pytest.mark.parametrize("scaling", ["reference", "paper"])
def test_a_beta_above_every_relevance_is_refused_and_says_what_there_is(scaling):
    with pytest.raises(
        ValueError, match=r"'red square': no style channel reaches beta=inf, the best has 0\.\d{3}: lower beta"
    ):
        method(beta=math.inf, scaling=scaling).edit([Edit(*TEXTS, 5)])


def test_a_prompt_equal_to_the_neutral_text_is_one_line():
    with pytest.raises(UserError, match="there is no direction between them"):
        method().text_to_image([TextToImage("square", 0)])


@pytest.mark.parametrize("relevance", ["jacobian", "vjp", "table"])
def test_a_channel_that_never_varies_is_not_edited_and_nothing_becomes_nan(relevance):
    generator = tiny_generator()
    layer = generator.layers[2]
    generator.blocks[f"b{layer.resolution}"][layer.kind].affine.weight[3] = 0  # type: ignore[index, operator, union-attr]
    models = TinyModels(generator)
    made = GlobalDirections(dataclasses.replace(SMALL, relevance=relevance), models)
    assert made.space.sigma[layer.start + 3] == 0
    step = made.step(*TEXTS)
    assert step[layer.start + 3] == 0
    assert torch.isfinite(step).all()
    assert float(step.abs().max()) > 0


@pytest.mark.parametrize("cutoff", [None, 3])
def test_statistics_in_closed_form_equal_those_of_samples(cutoff):
    generator = tiny_generator()
    w = sampled_w(generator, range(500))
    mean, sigma = style_statistics(generator, w, psi=0.7, cutoff=cutoff)
    styles = generator.style(generator.truncate(w, 0.7, cutoff))
    torch.testing.assert_close(mean, styles.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sigma, styles.std(0, correction=0), atol=1e-5, rtol=1e-5)


def test_a_cutoff_of_psi_changes_the_deviation_of_later_rows_only():
    generator = tiny_generator()
    w = sampled_w(generator, range(100))
    (_, all_rows), (_, below) = (style_statistics(generator, w, 0.5, cutoff) for cutoff in (None, 3))
    for layer in generator.layers:
        factor = 1 if layer.row < 3 else 2
        torch.testing.assert_close(below[layer.start : layer.stop], factor * all_rows[layer.start : layer.stop])


def test_the_sample_is_the_same_however_much_of_it_is_asked_for():
    generator = tiny_generator()
    torch.testing.assert_close(sampled_w(generator, range(1500))[1200:1210], sampled_w(generator, range(1200, 1210)))


@pytest.mark.parametrize(
    ("resolution", "all_but_rgb", "small"), [(1024, 6048, 5376), (512, 5952, 5376), (256, 5760, 5376)]
)
def test_the_reference_edits_5376_of_6048_channels(resolution, all_but_rgb, small):
    layers = dataclasses.replace(TINY, resolution=resolution, channel_base=32768, channel_max=512).layers
    assert len(editable_channels(layers, 128)) == small
    assert len(editable_channels(layers, resolution)) == all_but_rgb


@pytest.mark.parametrize("relevance", ["jacobian", "vjp", "table"])
def test_the_same_seed_gives_the_same_image_also_in_another_batch(relevance):
    requests = [Edit("square", target, seed) for seed in range(9) for target in ("red square", "blue square")]
    first, second = method(relevance=relevance), method(relevance=relevance)
    images = first.edit(requests)
    assert images.shape == (18, 3, 32, 32)
    assert digest(images) == digest(second.edit(requests))
    torch.testing.assert_close(images[5:7], second.edit(requests[5:7]), atol=1, rtol=0)  # one grey level of rounding
    sources = first.unedited(requests)
    torch.testing.assert_close(first.unedited(requests[5:7]), sources[5:7], atol=1, rtol=0)
    assert torch.equal(
        first.unedited([Edit("a", "b", request.seed) for request in requests]), sources
    )  # texts do not matter
    prompts = [TextToImage(request.target, request.seed) for request in requests]
    assert torch.equal(images, first.text_to_image(prompts))


def digest(images: torch.Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


def test_what_was_spent_is_counted_and_kept_with_the_cache():
    first = method()
    first.unedited([Edit(*TEXTS, 1)])
    assert first.cost == {"preparation_seconds": 0, "training_seconds_per_prompt": 0, "prompts_trained": 0}
    first.edit([Edit(*TEXTS, 1), Edit(*TEXTS, 2), Edit("square", "blue square", 1)])
    assert first.cost["prompts_trained"] == 2
    assert 0 < first.cost["preparation_seconds"] < first.cost["spent_seconds"]  # no time of an image
    assert first.cost["training_seconds_per_prompt"] > 0
    second = method()
    second.edit([Edit(*TEXTS, 1)])
    # what it took, not what reading it back takes
    assert second.cost["preparation_seconds"] == first.cost["preparation_seconds"]


def test_a_table_that_came_with_weights_is_used_where_its_recipe_is_the_same_and_nowhere_else(tmp_path, monkeypatch):
    made = editor(relevance="table")
    directions, _ = table(made.space, made.config)
    recipe = table_recipe(made.space, made.config)
    folder = tmp_path / "weights"
    folder.mkdir()
    turned = directions.flip(0)  # what nobody would compute, to tell the file from a computed one
    ship(folder / "styleclip-table-squares.safetensors", "table", recipe, turned, 90.0)
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(folder))
    found, seconds = table(made.space, made.config)
    assert torch.equal(found, turned)
    assert seconds == 90.0
    assert torch.equal(
        table(made.space, dataclasses.replace(made.config, images=2, step=4.0))[0],
        editor(relevance="table", step=4.0).relevance(torch.eye(made.space.dimension)),
    )
    assert editor(relevance="table").space.models.used.keys() == made.space.models.used.keys()


def test_frozen_networks_stay_as_they_are():
    models = TinyModels()
    networks = (models.tiny, models.reader.model)
    before = [value.clone() for network in networks for value in network.state_dict().values()]
    Method(dataclasses.replace(SMALL, relevance="vjp"), models).edit([Edit(*TEXTS, 1)])
    after = [value for network in networks for value in network.state_dict().values()]
    assert all(map(torch.equal, before, after))
    assert all(parameter.grad is None for network in networks for parameter in network.parameters())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": -0.1}, "beta is -0.1, expected at least 0"),
        ({"beta": math.nan}, "beta is nan, expected at least 0"),
        ({"images": 0}, "images is 0, expected at least 1"),
        ({"step": 0.0}, "step is 0.0, expected more than 0"),
        ({"max_resolution": 2}, "max_resolution is 2, .* has no layer that small: raise it"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(given, message):
    with pytest.raises(UserError, match=message):
        method(**given)


def test_a_real_image_is_found_from_the_mean_w_and_stays_itself_in_another_batch():
    models = TinyModels()
    z = torch.randn(3, models.stylegan2("").config.z_dim, generator=torch.Generator().manual_seed(3))
    images = to_uint8(models.stylegan2("")(z)).numpy()
    found = method(projection_steps=60)
    requests = [Edit(*TEXTS, 0, image) for image in images]
    drawn, mean = found.unedited(requests).float(), method(projection_steps=0).unedited(requests[:1]).float()
    real = torch.from_numpy(images).float()
    assert ((drawn - real).abs().mean(dim=(1, 2, 3)) < 0.5 * (mean - real).abs().mean(dim=(1, 2, 3))).all()
    assert torch.equal(method(projection_steps=60).unedited(requests[1:2]), drawn[1:2].to(torch.uint8))


def test_images_that_do_not_fit_the_generator_and_no_request_are_refused():
    made = method()
    with pytest.raises(
        UserError, match=r"an image is \(3, 16, 16\), stylegan2-avatars draws \(3, 32, 32\): scale it first"
    ):
        made.edit([Edit(*TEXTS, 0, np.zeros((3, 16, 16), np.uint8))])
    with pytest.raises(ValueError, match="at least one request"):
        made.text_to_image([])


def test_every_claim_names_entries_and_a_metric_of_the_ablations():
    paper, source = plugins.paper("styleclip"), plugins.find("methods")["styleclip"]
    assert source is not None
    ablations = suite.load(str(source.with_name(paper["suite"])))
    entries = {entry.id for entry in ablations.methods}
    for claim in paper["claims"]:
        assert set(claim.get("equal") or [claim["better"], claim["worse"]]) <= entries, claim["id"]
        assert claim["metric"] in ablations.columns, claim["id"]
    for entry in ablations.methods:
        settings.configure(Config, entry.settings, entry.id)
