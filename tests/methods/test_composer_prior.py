"""Composer's prior: embeddings of captions, guidance, candidates, and its training."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from composer_tiny import assert_resumes, half_split

from t2ibench.core.errors import UserError
from t2ibench.methods.composer import recipe, settings
from t2ibench.methods.composer.loading import load_prior
from t2ibench.methods.composer.prior import Prior
from t2ibench.methods.composer.sampling import Drawing
from t2ibench.methods.composer.settings import PRIORS, Config, PriorShape
from t2ibench.networks import weights as weight_files
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import fit

SHAPE = PriorShape(embed_dim=6, layers=2, heads=2, head_channels=4)


@pytest.fixture(scope="module")
def model() -> Prior:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Prior(SHAPE)
        torch.nn.init.normal_(made.trunk.proj_to_clip_embeddings.weight)
    return made.eval().requires_grad_(False)


def sentences(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


def drawing(model: Prior, **given) -> Drawing:
    return Drawing(None, Config(prior_steps=3, **given), None, model)  # type: ignore[arg-type]  # no image is drawn


def test_an_embedding_has_unit_rms_and_depends_on_its_sentence_and_its_seed_alone(model):
    draw, texts = drawing(model), sentences(10)
    whole = draw.embedding(texts, range(10))
    torch.testing.assert_close(whole.square().mean(1), torch.ones(10))
    assert torch.equal(draw.embedding(texts, range(10)), whole)
    torch.testing.assert_close(draw.embedding(texts[9:], [9]), whole[9:], atol=1e-5, rtol=0)
    assert (draw.embedding(texts[9:], [8]) - whole[9:]).abs().max() > 1e-3
    assert (draw.embedding(texts[8:9], [9]) - whole[9:]).abs().max() > 1e-3


def test_guidance_of_one_needs_no_sentence_that_says_nothing_and_of_none_is_that(model):
    noise, texts = torch.randn(2, 6), sentences()
    nothing = torch.zeros(2, 6)
    assert torch.equal(model.sampled(noise, texts, 3, 0.0), model.sampled(noise, nothing, 3, 1.0))
    assert (model.sampled(noise, texts, 3, 3.0) - model.sampled(noise, texts, 3, 1.0)).abs().max() > 1e-3


def test_of_several_candidates_the_one_nearest_to_the_sentence_is_taken(model):
    texts = sentences(6)
    one, two = (drawing(model, prior_candidates=count).embedding(texts, range(6)) for count in (1, 2))
    nearness = [F.cosine_similarity(made, texts) for made in (one, two)]
    assert (nearness[1] >= nearness[0] - 1e-6).all()
    assert (nearness[1] > nearness[0] + 1e-3).any()


def test_attention_is_causal(model):
    states = []
    hook = model.trunk.transformer_blocks[-1].register_forward_hook(
        lambda module, inputs, output: states.append(output)
    )
    try:
        for x in (torch.zeros(1, 6), torch.ones(1, 6)):
            model(x, torch.tensor([10]), sentences(1))
    finally:
        hook.remove()
    assert torch.equal(states[0][:, :2], states[1][:, :2])  # sentence and time come before the noisy embedding
    assert not torch.equal(states[0][:, 3], states[1][:, 3])


@pytest.mark.parametrize(("size", "millions"), [("xs", 3.392), ("paper", 1222)])
def test_priors_have_the_parameters_they_are_declared_with(size, millions):
    with torch.device("meta"):
        made = Prior(PriorShape(**PRIORS[size]))
    assert sum(parameter.numel() for parameter in made.parameters()) / 1e6 == pytest.approx(millions, rel=1e-2)


@pytest.fixture
def training(monkeypatch, tmp_path):
    """A recipe of a small network, as often as it is asked for."""
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(settings.PRIORS, "xs", {**dataclasses.asdict(SHAPE), "embed_dim": 128})
    given = {"clip": "clip-guide-avatars", "batch": 8, "warmup": 1, "learning_rate": 0.003, "ema": 0.5}
    return lambda **other: recipe("prior", {**given, **other}, half_split(), half_split(4, "val"), Models(), seed=0)


def test_a_stopped_training_goes_on_as_if_it_had_not(training):
    assert_resumes(training)


def test_training_tells_captions_apart_and_writes_weights_that_embed(training, tmp_path):
    fit(training(), "prior", tmp_path, steps=60)
    weights = weight_files.load("prior")
    found = weights.card["validation"]
    assert found["cosine_w1"] > found["cosine_w1_other_caption"]
    assert found["cosine_w1"] > found["cosine_caption"]
    assert weights.config["clip"] == "clip-guide-avatars"
    assert drawing(load_prior(weights)).embedding(torch.randn(3, 128), [0, 1, 2]).shape == (3, 128)


def test_what_cannot_be_trained_on_is_one_line(training, monkeypatch):
    with pytest.raises(UserError, match="clip-guide-avatars embeds in 128 numbers, size 'paper' is for 768"):
        training(size="paper")
    bare = dataclasses.replace(half_split(), captions=[(), *half_split().captions[1:]])
    with pytest.raises(UserError, match="image 0 of halves train has no caption"):
        recipe("prior", {"clip": "clip-guide-avatars"}, bare, half_split(), Models(), 0)
