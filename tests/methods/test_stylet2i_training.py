"""The trainings of StyleT2I: what moves, what can be taken out, and that a stopped run goes on as it would have."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from styleclip_tiny import TinyModels
from stylet2i_tiny import WORDS, Trained, network, squares, tiny_recipe, train_all

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.data.split import Vocabulary
from t2ibench.methods.stylet2i import PARTS, recipe
from t2ibench.methods.stylet2i.lexicon import Lexicon
from t2ibench.methods.stylet2i.losses import contrastive_loss
from t2ibench.methods.stylet2i.segmentation import PartSegmenter, segmenter
from t2ibench.methods.stylet2i.settings import EMBEDDED, SENTENCE, SentenceSettings, choose
from t2ibench.methods.stylet2i.text import file_vectors
from t2ibench.methods.stylet2i.train_attribute import AttributeRecipe
from t2ibench.methods.stylet2i.train_parts import PartsRecipe
from t2ibench.methods.stylet2i.train_sentence import SentenceRecipe, clip_scale, fitting


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    return train_all(tmp_path_factory.mktemp("weights"))


@functools.cache
def tiny() -> TinyModels:
    """No training changes them."""
    return TinyModels()


def sentence(**settings: Any) -> SentenceRecipe:
    made = tiny_recipe("sentence", tiny(), **settings)
    assert isinstance(made, SentenceRecipe)
    return made


def attribute(**settings: Any) -> AttributeRecipe:
    made = tiny_recipe("attribute", tiny(), **{"segmenter": "stylet2i_tiny:upper_half", **settings})
    assert isinstance(made, AttributeRecipe)
    return made


@pytest.mark.parametrize("variant", SENTENCE)
def test_the_embedded_sentences_differ_in_what_their_variant_names_alone(variant):
    chosen = choose(SentenceSettings, SENTENCE[variant], {"preset": "embedded"}, "test")
    whole = {**EMBEDDED[SentenceSettings], **SENTENCE[variant]}
    if variant == "sentence-cosine":
        whole["false_negatives"] = "kept"  # its loss has no negatives
    assert chosen == SentenceSettings(**whole)


def test_word_vectors_come_from_a_file_and_stay_as_they_are(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text("hat 1 2 3\n. . 4 5 6\nlong 7 8 9\n")
    assert [len(file_vectors(["hat", "long", "bob"], file, 3)[0]), file_vectors(["hat"], file, 3)[1].tolist()] == [
        2,
        [[1.0, 2.0, 3.0]],
    ]
    made = sentence(vectors=str(file), word_size=3)
    reader: Any = made.network.text
    before = reader.vectors.clone()
    made.step(0, 0.0)
    assert torch.equal(reader.vectors, before)
    assert list(reader.known) == ["hat", "long"]
    file.write_text("hat 1 2 x\n")
    with pytest.raises(
        UserError, match=r"glove.txt: line 1 is not a word and 3 numbers \(could not convert .*\): give a file"
    ):
        file_vectors(["hat"], file, 3)
    with pytest.raises(UserError, match="for none of the 1 words"):
        file_vectors(["bob"], file, 3)
    with pytest.raises(UserError, match=r"none\.txt is missing"):
        file_vectors(["bob"], tmp_path / "none.txt", 3)


@pytest.mark.parametrize("theta", [100.0, 0.0])
def test_every_tensor_of_the_network_learns_and_nothing_else_does(theta):
    made = sentence(theta=theta)
    torch.stack(list(made.losses(0).values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.network.parameters())
    for frozen in (made.generator, made.clip.model):
        assert all(p.grad is None and not p.requires_grad for p in frozen.parameters())
    assert not made.text_features(["a hat"]).requires_grad


@pytest.mark.parametrize("part", ["parts", "attribute", "sentence"])
def test_the_same_step_again_and_again_lowers_its_loss(part):
    further: dict[str, Any] = {"segmenter": "stylet2i_tiny:upper_half"} if part == "attribute" else {}
    made = tiny_recipe(part, tiny(), learning_rate=0.01, **further)
    if isinstance(made, SentenceRecipe):  # the tiny CLIP knows no word of the captions
        made.text_features = lambda texts: F.normalize(latents([derive_seed(text) for text in texts], 16), dim=1)  # type: ignore[method-assign]
        made.scale = 100.0
    losses = [made.step(0, 0.1)["loss"] for _ in range(12)]
    assert losses[-1] < 0.995 * losses[0]


def test_four_captions_are_told_apart_through_a_linear_generator_and_clip():
    texts = ["a hat", "long hair", "a bob", "hat hair"]
    stream = torch.Generator().manual_seed(1)
    drawn, said = torch.randn(24, 8, generator=stream), F.normalize(torch.randn(4, 8, generator=stream), dim=1)
    made = network()
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    for _ in range(400):
        w = torch.randn(4, 4, generator=stream)
        loss = contrastive_loss(F.normalize((w[:, None] + made(texts, w)).flatten(1) @ drawn, dim=1), said, 100.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


@pytest.mark.parametrize("part", ["parts", "attribute", "sentence"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(part, trained):
    whole, first, second = (tiny_recipe(part, trained) for _ in range(3))
    for index in range(3):
        whole.step(index, index / 3)
    first.step(0, 0.0)
    second.load_state(first.state())
    for index in (1, 2):
        second.step(index, index / 3)
    for key, value in whole.result()[0].items():
        torch.testing.assert_close(second.result()[0][key], value)


def test_each_piece_can_be_taken_out():
    assert set(sentence().losses(0)) == {"contrastive", "norm"}
    assert set(sentence(lambda_norm=0.0).losses(0)) == {"contrastive"}
    assert set(sentence(loss="cosine").losses(0)) == {"cosine", "norm"}
    assert set(attribute().losses(0)) == {"semantic", "spatial", "norm"}
    assert set(attribute(lambda_spatial=0.0, segmenter="nowhere").losses(0)) == {
        "semantic",
        "norm",
    }  # nothing is loaded for it
    assert attribute(lambda_spatial=0.0).segmenter is None
    for part in PARTS:
        assert part.partition("-")[0] in ("clip", "parts", "attribute", "sentence")


def test_scales_of_the_contrastive_loss():
    clip = tiny().clip()
    assert clip_scale(clip, "exp") == pytest.approx(torch.tensor(clip_scale(clip, "reference")).exp().item())
    assert clip_scale(clip, "paper") == 1
    losses = {
        kind: float(sentence(contrastive_scale=kind).losses(0)["contrastive"].detach())
        for kind in ("reference", "paper", "exp")
    }
    assert len(set(losses.values())) == 3


def test_a_caption_that_names_nothing_more_fits_the_image_of_another_one():
    texts = ["a person with long red hair", "a person with red hair", "a hat", "red hair, long hair", "a person"]
    found = fitting(texts, Lexicon.of(WORDS))
    assert found.int().tolist() == [
        [1, 1, 0, 1, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 1, 0, 1],
        [1, 1, 0, 1, 1],
        [0, 0, 0, 0, 1],
    ]


def test_masked_captions_change_the_loss_and_need_a_vocabulary():
    kept, masked = (tiny_recipe("sentence", TinyModels(), false_negatives=way) for way in ("kept", "masked"))
    assert isinstance(kept, SentenceRecipe)
    assert isinstance(masked, SentenceRecipe)
    assert float(masked.losses(0)["contrastive"].detach()) < float(kept.losses(0)["contrastive"].detach())
    settings = {"preset": "reference", "generator": "g", "clip": "c", "batch": 3, "false_negatives": "masked"}
    with pytest.raises(UserError, match="the cosine loss has no negatives"):
        tiny_recipe("sentence", TinyModels(), loss="cosine", false_negatives="masked")
    bare = replace(squares(), vocabulary=None)
    with pytest.raises(UserError, match="squares has no vocabulary"):
        recipe("sentence", settings, bare, bare, TinyModels(), 0)


def test_a_caption_is_drawn_anew_each_time_or_is_the_first():
    said = {
        kind: {text for index in range(8) for text in sentence(captions=kind)._captions(index)}
        for kind in ("all", "first")
    }
    assert {"long hair" in text for text in said["first"]} == {True}
    assert {"long hair" in text for text in said["all"]} == {True, False}


def test_the_semantic_loss_is_of_two_images_or_of_two_texts():
    literals, asked, white, black = (
        ["hair=long", "hat=yes"],
        ["long hair", "a hat"],
        torch.ones(2, 3, 4, 4),
        -torch.ones(2, 3, 4, 4),
    )
    found = {}

    def features(texts: Sequence[str]) -> torch.Tensor:
        return F.normalize(torch.tensor([[1.0, 1, 1] if text in asked else [1.0, 1, 0] for text in texts]), dim=1)

    for negative in ("image", "text"):
        made = attribute(margin=0.3, lambda_spatial=0.0, negative=negative)
        made.image_features = lambda images: F.normalize(images.mean((2, 3)), dim=1)  # type: ignore[method-assign]
        made.text_features = features  # type: ignore[method-assign]
        found[negative] = [
            float(made._semantic(0, literals, asked, white, back)["semantic"]) for back in (white, black)
        ]
        assert made._others(0, literals)[0] == "a bob"  # another value of the attribute
        assert made._others(0, literals)[1] != "a hat"
    assert found["image"] == pytest.approx([0.3, 0])  # no step; the whole way
    assert found["text"] == pytest.approx([0.3 - 1 + (2 / 3) ** 0.5] * 2)  # whatever the image a step back is


def test_masks_are_of_the_image_forward_or_of_either():
    calls: list[float] = []

    def bright(images: torch.Tensor, attributes: Sequence[str]) -> torch.Tensor:
        calls.append(float(images.mean()))
        return images.mean(1) > 0.5

    forward, back = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    forward[..., :4], back[..., 4:8] = 1, 1
    for kind, columns in (("positive", 4), ("either", 8)):
        made = attribute(masks=kind)
        made.segmenter = bright
        assert int(made.masks(["hat=yes"], forward, back)[0, 0].sum()) == columns
    assert len(calls) == 3


def test_the_segmenter_learns_the_parts_it_is_shown():
    made = tiny_recipe("parts", tiny(), learning_rate=0.02)
    assert isinstance(made, PartsRecipe)
    for index in range(40):
        made.step(index, 0.2)
    found = made.validate()
    assert found["accuracy"] > 0.95
    assert set(found["iou"]) == {"below", "hat"}


def test_a_segmenter_says_where_an_attribute_shows(trained):
    found = PartSegmenter(trained.weights("stylet2i-parts-squares"), torch.device("cpu"))
    images = torch.randn(2, 3, 32, 32)
    hat, all_of_it = found(images, ["hat", "colour"])
    assert all_of_it.all()  # colour shows in both parts
    assert torch.equal(hat, found.network(images.clamp(-1, 1)).argmax(1)[0] == 1)
    with pytest.raises(UserError, match="stylet2i-parts-squares knows no part of 'shoe', only of colour, hair, hat: "):
        found(images, ["hat", "shoe"])


def test_a_segmenter_can_be_named_and_is_recorded():
    said = attribute().settings["segmenter"]
    assert said == {"segmenter": "stylet2i_tiny:upper_half", "supervision": "none, for squares"}
    for name in ("no_such_module:f", "stylet2i_tiny:no_such_function"):
        with pytest.raises(UserError, match=f"segmenter: {name} cannot be imported .*: give package.module:function"):
            segmenter(name, "squares", tiny())


def test_bad_settings_and_data_are_one_line():
    train, val, models = squares(), squares("val", 6), tiny()
    with pytest.raises(UserError, match="stylet2i has no part 'sentenc', did you mean 'sentence'"):
        recipe("sentenc", {}, train, val, models, 0)
    with pytest.raises(UserError, match="stylet2i sentence: unknown key 'thetta', did you mean 'theta'"):
        recipe("sentence", {"thetta": 1.0}, train, val, models, 0)
    with pytest.raises(UserError, match="batch is 1, the contrastive loss needs at least 2"):
        sentence(batch=1)
    with pytest.raises(UserError, match="squares train has 12 images, a batch is 13: lower `batch`"):
        sentence(batch=13)
    with pytest.raises(UserError, match=r"lambda_norm is -1\.0, expected at least 0"):
        sentence(lambda_norm=-1.0)
    silent = replace(train, captions=[("a",), (), *[("a",)] * 10])
    with pytest.raises(UserError, match="squares train: image 1 has no caption"):
        recipe("sentence", {"batch": 2}, silent, val, models, 0)
    for without in (None, Vocabulary({})):
        with pytest.raises(UserError, match="squares has no vocabulary, so its attributes cannot be said"):
            recipe("attribute", {}, replace(train, vocabulary=without), val, models, 0)
    with pytest.raises(UserError, match="squares val has no part masks: name another `segmenter`"):
        recipe("parts", {}, train, replace(val, masks=None), models, 0)


def test_a_split_keeps_its_masks_with_its_rows():
    part = squares().take([1, 0]).take([1])
    assert part.masks is not None
    assert part.masks.read([0]).sum() == 12 * 32  # row 0 of the whole: with a hat
    assert part.masks.of["hat"] == ("hat",)
    assert part.vocabulary is WORDS


def test_images_stand_for_texts_in_the_guides_space_alone():
    with pytest.raises(UserError, match="warm_images is 4 and text 'words', expected text 'clip'"):
        sentence(warm_images=4)


def test_sentences_read_by_the_guide_keep_nothing_with_the_weights(tmp_path):
    made = sentence(text="clip")
    tensors, config = made.result()
    assert all(key.startswith("layers") for key in tensors)
    assert config["clip_sha256"] == made.clip.sha256
    texts = ["a person", "a hat"]
    torch.testing.assert_close(made.network.text(texts).square().mean(1), torch.ones(2))
