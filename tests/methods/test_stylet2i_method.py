"""StyleT2I as a method: images that depend on their own request alone, adjustment where a sentence names attributes,
weights that fit.
"""

from typing import Any

import pytest
import torch
from stylet2i_tiny import Trained, tiny_recipe, train_all

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError
from t2ibench.methods.stylet2i import Config, Method
from t2ibench.methods.stylet2i.adjustment import adjust
from t2ibench.networks.training import loop
from t2ibench.runner import suite
from t2ibench.tracks.contract import Edit, TextToImage

TEXTS = ("a person with long red hair", "a hat", "this person is here", "a bob, no hat")
REQUESTS = [TextToImage(text, seed) for seed, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Trained:
    return train_all(tmp_path_factory.mktemp("weights"))


def method(models: Trained, **settings: Any) -> Method:
    names = {"sentence": "stylet2i-sentence-squares", "attribute": "stylet2i-attribute-squares", "generator": "g"}
    return Method(Config(**{**names, **settings}), models)


def test_an_image_depends_on_its_own_request_alone(models):
    made = method(models)
    together = made.text_to_image(REQUESTS)
    assert together.dtype == torch.uint8
    assert together.shape == (4, 3, 32, 32)
    for row, request in enumerate(REQUESTS):
        torch.testing.assert_close(
            made.text_to_image([request])[0], together[row], atol=1, rtol=0
        )  # one grey level of rounding
    torch.testing.assert_close(made.text_to_image(REQUESTS[::-1]), together.flip(0), atol=1, rtol=0)
    assert torch.equal(method(models).text_to_image(REQUESTS), together)
    assert made.trained_on == ["squares train"]


def test_text_and_seed_both_decide(models):
    made = method(models)
    first, other_seed, other_text = made.text_to_image(
        [TextToImage("a hat", 1), TextToImage("a hat", 2), TextToImage("a long red bob", 1)]
    )
    assert not torch.equal(first, other_seed)
    assert not torch.equal(first, other_text)


def test_without_attributes_adjustment_changes_nothing_and_it_can_be_switched_off(models):
    plain, adjusted = method(models, caa=False, attribute="nowhere"), method(models)
    w = plain.latents([1])
    assert torch.equal(plain.steps(["this person is here"], w), adjusted.steps(["this person is here"], w))
    assert torch.equal(plain.steps(["a hat"], w), method(models, caa_scale=0.0).steps(["a hat"], w))


def test_adjustment_adds_the_directions_of_the_named_attributes_at_the_same_latent(models):
    plain, adjusted = method(models, caa=False), method(models)
    w = plain.latents([1, 2])
    prompts = ["nothing at all", "a person with long red hair and without a hat"]
    s, found = plain.steps(prompts, w), adjusted.steps(prompts, w)
    directions = adjusted.attribute(["long hair", "blond hair", "red hair", "a hat"], w[1:].expand(4, -1))
    torch.testing.assert_close(found[0], s[0])
    torch.testing.assert_close(found[1], adjust(s[1], [directions[0], directions[2]]), atol=1e-5, rtol=1e-4)


def test_with_psi_zero_all_latents_are_the_mean(models, tmp_path):
    still = Trained(tmp_path)
    loop.fit(tiny_recipe("sentence", still, truncation_psi=0.0), "stylet2i-sentence-squares", tmp_path, steps=1)
    made = method(still, caa=False)
    torch.testing.assert_close(made.latents([1, 2]), still.tiny.mapping.w_avg.expand(2, -1))
    one, two, other = made.text_to_image(
        [TextToImage("a hat", 1), TextToImage("a hat", 2), TextToImage("a long red bob", 2)]
    )
    assert torch.equal(one, two)
    assert not torch.equal(two, other)


def test_weights_that_do_not_fit_are_one_line(models, tmp_path):
    with pytest.raises(ValueError, match="at least one request"):
        method(models).text_to_image([])
    with pytest.raises(UserError, match=r"stylet2i: caa_scale is -1\.0, expected at least 0"):
        Config(caa_scale=-1.0)
    other = train_all(tmp_path)
    loop.fit(
        tiny_recipe("attribute", other, truncation_psi=0.9, segmenter="stylet2i_tiny:upper_half"),
        "stylet2i-attribute-squares",
        tmp_path / "x",
        steps=1,
    )
    for path in (tmp_path / "x").glob("*.*"):
        path.replace(tmp_path / path.name)
    with pytest.raises(
        UserError,
        match=r"attribute-squares was trained at truncation_psi 0.9, stylet2i-sentence-squares at 0.5: train one",
    ):
        method(other)
    retrained = Trained(models.folder)
    known = retrained.stylegan2

    def another(name: str) -> Any:
        made = known(name)
        retrained.used[name]["sha256"] = "another"
        return made

    retrained.stylegan2 = another  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"was trained for g with sha256 generator…, g has another…: train it again"):
        method(retrained)
    with pytest.raises(UserError, match="stylet2i-parts-squares: weights do not fit the config of their card"):
        method(models, sentence="stylet2i-parts-squares", caa=False)


def test_every_claim_names_entries_and_a_metric_of_the_ablations():
    source, sheet = plugins.find("methods")["stylet2i"], plugins.paper("stylet2i")
    assert source is not None
    ablations = suite.load(str(source.with_name(sheet["suite"])))
    entries = {entry.id for entry in ablations.methods}
    for claim in sheet["claims"]:
        assert {claim["better"], claim["worse"]} <= entries or claim["needs"], claim["id"]
        assert claim["metric"] in ablations.columns, claim["id"]
    for entry in ablations.methods:
        if entry.name == "stylet2i":
            settings.configure(Config, entry.settings, entry.id)
    assert sheet["reported"] == []  # nothing that nobody checked


def test_an_edit_goes_along_the_directions_of_the_attributes_that_are_new(models):
    made, twice = method(models), method(models, edit_strength=2.0)
    request = Edit("a person with long hair", "a person with long red hair and a hat", 3)
    w = made.latents([3])
    d = made.directions(["colour=red", "hat=yes"], w.expand(2, -1)).sum(0, keepdim=True)
    torch.testing.assert_close(made.edit([request]), made.drawn(w, d), atol=1, rtol=0)
    torch.testing.assert_close(twice.edit([request]), made.drawn(w, 2 * d), atol=1, rtol=0)
    assert torch.equal(made.unedited([request]), made.drawn(w, 0 * d))
    assert not torch.equal(made.edit([request]), made.unedited([request]))
    several = [request, Edit("a person", "a hat", 4), Edit("a person", "a long bob", 5)]
    for row, one in enumerate(several):
        torch.testing.assert_close(made.edit([one])[0], made.edit(several)[row], atol=1, rtol=0)


def test_an_edit_that_names_nothing_new_or_has_no_directions_says_so(models):
    with pytest.raises(ValueError, match="'a person here' names no attribute that 'a person' does not"):
        method(models).edit([Edit("a person", "a person here", 0)])
    with pytest.raises(UserError, match="leave caa on"):
        method(models, caa=False).edit([Edit("a person", "a hat", 0)])


def test_a_real_image_is_edited_from_the_latent_that_a_descent_finds(models, tmp_path):
    aimed = train_all(tmp_path)
    by_clip = tiny_recipe("sentence", aimed, text="clip", text_width=16)
    (tmp_path / "sentence").mkdir()
    loop.fit(by_clip, "stylet2i-sentence-squares", tmp_path / "sentence", steps=1)
    for path in (tmp_path / "sentence").glob("stylet2i-sentence-squares.*"):
        path.replace(tmp_path / path.name)
    made = method(aimed, projection_steps=30)
    image = made.unedited([Edit("", "", 2)])[0].numpy()
    near, far = (
        made.unedited([Edit("", "", 0, image)]),
        method(aimed, projection_steps=0).unedited([Edit("", "", 0, image)]),
    )
    errors = [(found[0].float() - torch.from_numpy(image).float()).square().mean() for found in (near, far)]
    assert errors[0] < errors[1]
    with pytest.raises(UserError, match=r"an image is \(3, 8, 8\), expected \(3, 32, 32\)"):
        made.unedited([Edit("", "", 0, image[:, :8, :8])])
    with pytest.raises(UserError, match="no way from a real image"):
        method(models).unedited([Edit("", "", 0, image)])
