"""CLIP: preprocessing against open_clip's own, tokens and truncation, loading and what is refused, training on squares,
the shipped two.
"""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from clip_tiny import CONFIG, tiny_weights
from judged import squares
from open_clip.transform import image_transform
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.networks import weights, zoo
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.network import TokenTable, build, tokens_of
from t2ibench.networks.clip.preprocess import Preprocess
from t2ibench.networks.clip.zero_shot import unseen, zero_shot
from t2ibench.networks.models import Models
from t2ibench.networks.training import loop
from t2ibench.networks.training.clip import contrastive_loss, encode_texts, recipe
from t2ibench.networks.training.clip_texts import Texts, Values
from t2ibench.networks.training.clip_validation import distractors, found_first, oracle, retrieval_numbers

TINY = {
    "width": 8,
    "image_size": 32,
    "embedding": 16,
    "text_width": 32,
    "text_layers": 1,
    "batch": 32,
    "context_length": 20,
    "bfloat16": False,
}


@pytest.fixture
def clip() -> Clip:
    return Clip.from_zoo(tiny_weights())


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    """Smooth, textured and hard-edged pictures, landscape and portrait, uint8 [H, W, 3]."""
    stream = np.random.Generator(np.random.PCG64(0))
    y, x = np.mgrid[0:90, 0:141]
    waves = np.stack([127 + 120 * np.sin(x / 9), 127 + 120 * np.cos(y / 7), 127 + 120 * np.sin((x + y) / 11)], 2)
    return {
        "waves": waves.astype(np.uint8),
        "noise": stream.integers(0, 256, (64, 101, 3), np.uint8),  # landscape: Pillow 13 swaps its passes for tall ones
        "edges": np.kron(stream.integers(0, 2, (9, 9, 3), np.uint8) * 255, np.ones((10, 10, 1), np.uint8)),
    }


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [32, 96, 224])
def test_preprocessing_equals_open_clips_to_two_grey_levels(photos, mode, interpolation, size):
    ours = Preprocess(size, interpolation=interpolation, resize_mode=mode)
    theirs = image_transform(size, is_train=False, resize_mode=mode, interpolation=interpolation)
    for name, photo in photos.items():
        expected = theirs(Image.fromarray(photo)) * torch.tensor(ours.std).view(3, 1, 1) * 255
        images = torch.from_numpy(photo).permute(2, 0, 1)[None].contiguous()
        stored = ours.normalise(ours.resize(images).float() / 255)[0] * torch.tensor(ours.std).view(3, 1, 1) * 255
        smooth = ours.normalise(ours.resize(images.float() / 255))[0] * torch.tensor(ours.std).view(3, 1, 1) * 255
        difference = (stored - expected).abs()  # torch rounds its weights to 16 bits, Pillow to 22
        assert difference.max() <= 2.01, name
        assert difference.mean() < 0.2, name
        if name == "waves":  # elsewhere Pillow clips and rounds between its two passes, which floats need not
            assert (smooth - expected).abs().max() <= 1.51
        assert (smooth - expected).abs().mean() < 0.6, name


def test_an_image_of_the_right_size_is_not_resampled():
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(Preprocess(32).resize(images), images)


def test_unsupported_preprocessing_is_one_line():
    for config in ({"size": (224, 336)}, {"size": 224, "resize_mode": "longest"}):
        with pytest.raises(UserError, match="is not supported"):
            Preprocess.of(config, "some model")


def test_features_have_unit_norm_and_do_not_depend_on_the_batch(clip: Clip):
    images = torch.randint(0, 256, (5, 3, 40, 50), dtype=torch.uint8)
    features = clip.encode_images(images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(clip.encode_images(images[4:]), features[4:], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(clip.encode_images(images, batch=2), features, atol=1e-6, rtol=1e-5)
    texts = ["a red square", "blue", "this square is on white"]
    torch.testing.assert_close(clip.encode_texts(texts)[1:2], clip.encode_texts(["blue"]), atol=1e-6, rtol=1e-5)
    assert clip.encode_images(images[:0]).shape == (0, 16)
    assert clip.encode_texts([]).shape == (0, 16)


def test_differentiable_features_equal_those_of_stored_pixels(clip: Clip):
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    floats = (images.float() / 127.5 - 1).requires_grad_()
    features = clip.image_features(floats)
    torch.testing.assert_close(features, clip.encode_images(images), atol=1e-5, rtol=1e-4)
    features[:, 0].sum().backward()
    assert floats.grad is not None
    assert floats.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in clip.model.parameters())


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.uint8)])
def test_only_uint8_rgb_is_encoded(clip: Clip, images: torch.Tensor):
    with pytest.raises(ValueError, match="reads uint8 images"):
        clip.encode_images(images)


def test_long_texts_keep_their_end_token_and_are_counted(clip: Clip):
    long = "a red square on white " * 5
    assert tokens_of([long], 12)[0, -1] == 49407
    assert clip.truncated == 0
    features = clip.encode_texts(["a red square", long, "blue square " * 12])
    assert clip.truncated == 2
    assert features[1] @ features[2] < 1 - 1e-4  # without the end token both would be read at their first
    exact = "red " * 10  # ten words, a start and an end: just fits
    clip.encode_texts([exact])
    assert clip.truncated == 2


def test_a_token_table_equals_an_embedding_on_the_tokens_it_holds():
    table = TokenTable([5, 9, 7], 4)
    tokens = torch.tensor([[5, 7, 9, 6, 0, 49407]])
    assert table.rows(tokens).tolist() == [[0, 1, 2, 3, 3, 3]]
    dense = torch.nn.Embedding(49408, 4)
    with torch.no_grad():
        dense.weight[:] = table.weight[3]
        dense.weight[[5, 7, 9]] = table.weight[:3]
    assert torch.equal(table(tokens), dense(tokens))


def test_grouping_texts_by_length_changes_no_feature():
    model = build({**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "context_length": 20}}, range(320, 5000)).eval()  # type: ignore[dict-item]
    tokens = tokens_of(["blue", "a red square on a white ground that is large", "a square", "red on white", "on"], 20)
    torch.testing.assert_close(encode_texts(model, tokens), model.encode_text(tokens), atol=1e-5, rtol=1e-4)


def test_the_loss_of_cases_worked_by_hand():
    same, scale = torch.eye(2, dtype=torch.bool), torch.tensor(2.0)
    right = contrastive_loss(torch.eye(2), torch.eye(2), scale, same)
    assert float(right) == pytest.approx(math.log(1 + math.exp(-2)))
    wrong = contrastive_loss(torch.eye(2), torch.eye(2).flip(0), scale, same)
    assert float(wrong) == pytest.approx(2 + math.log(1 + math.exp(-2)))
    equal = contrastive_loss(torch.eye(2), torch.ones(2, 2) / 2**0.5, scale, torch.ones(2, 2, dtype=torch.bool))
    assert float(equal) == pytest.approx(math.log(2))  # one text twice: either is right, and ln 2 is the least there is


def test_texts_are_drawn_from_an_images_own_and_short_ones_are_true():
    split = squares(30)
    texts = Texts(split, 20)
    by_number = {number: text for text, number in texts.index.items()}
    for row in range(30):
        colour = split.attributes["colour"][row]  # type: ignore[index]
        assert {by_number[number] for number in texts.captions[row]} == set(split.captions[row])
        assert texts.short[row]
        for number in texts.short[row]:
            others = {"red", "green", "blue"} - {colour}
            assert not others & set(by_number[number].split()), by_number[number]
    rows = np.arange(30)
    assert torch.equal(texts.draw(rows, 1, 0.5), texts.draw(rows, 1, 0.5))
    assert not torch.equal(texts.draw(rows, 1, 0.5), texts.draw(rows, 2, 0.5))


def test_the_values_of_an_image_that_cannot_be_seen_have_no_label():
    split = squares(40, hide_ground=0.5)
    values = Values(split, 20)
    assert values.names == {"colour": ["red", "green", "blue"], "ground": ["grey", "white"]}
    hidden = split.attributes["ground"].isna().to_numpy()  # type: ignore[index]
    assert (values.labels[:, 1] < 0).numpy().tolist() == hidden.tolist()
    assert (values.labels[:, 0] >= 0).all()
    assert values.draw(0).shape == (5, 20)
    assert values.said.tolist() == [[0, -1], [1, -1], [2, -1], [-1, 0], [-1, 1]]


class Painted:
    """A CLIP that reads the colours it is told: the mean colour of an image, and of a text the first that it names."""

    name = "painted"

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(images.float().mean(dim=(2, 3)), dim=1)

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        primaries = dict(zip(("red", "green", "blue"), torch.eye(3), strict=True))
        return torch.stack(
            [next((rgb for word, rgb in primaries.items() if word in text), torch.ones(3)) for text in texts]
        )


def test_zero_shot_accuracy_counts_the_images_that_show_an_attribute():
    """Grey and white grounds have the same texts here, so each image is taken for grey."""
    split = squares(60, hide_ground=0.3)
    grounds = split.attributes["ground"].dropna()  # type: ignore[index]
    found = zero_shot(Painted(), split)  # type: ignore[arg-type]
    assert found == {"colour": 1.0, "ground": round(float((grounds == "grey").mean()), 4)}
    assert unseen(found | {"size": 0.2}) == {"size": 0.2, "ground": found["ground"]}


def test_zero_shot_accuracy_needs_labels():
    with pytest.raises(UserError, match="squares train has no labelled attributes"):
        zero_shot(Painted(), dataclasses.replace(squares(4), attributes=None))  # type: ignore[arg-type]


def test_a_training_warns_of_attributes_that_its_clip_does_not_see(caplog: pytest.LogCaptureFixture):
    untrained = recipe("guide", TINY, squares(40, size=32), squares(40, "val", size=32), Models(), 0)
    with caplog.at_level("WARNING", "t2ibench"):
        accuracy = untrained.validate()["zero_shot"]
    [message], worst = caplog.messages, min(accuracy, key=accuracy.__getitem__)
    assert message.startswith(f"clip guide tells too few images apart, expected 0.95: {worst} in 0.")


def test_a_clip_learns_to_find_captions_and_its_card_holds_for_its_file(tmp_path: Path):
    made = loop.fit(
        recipe("guide", TINY, squares(400, size=32), squares(150, "val", size=32), Models(), 0),
        "clip",
        tmp_path,
        steps=150,
    )
    numbers = made.card["validation"]
    assert numbers["of_oracle"] > 0.9
    val = squares(150, "val", size=32)
    clip = Clip.from_zoo(weights.read(tmp_path / "clip.safetensors"))
    similarity = (
        clip.encode_images(torch.from_numpy(val.images.read(range(150))))
        @ clip.encode_texts([c[0] for c in val.captions]).T
    )
    assert float(similarity.diagonal().mean()) == pytest.approx(numbers["cosine_right"], abs=1e-4)
    assert made.card["optimised_for"] == "guiding"


def test_heads_alone_bring_images_and_texts_together():
    """All captions are the same and the texts of values have no weight, so only the heads tell values apart."""
    data, val = (
        dataclasses.replace(squares(count, name, size=32), captions=[("a square",)] * count)
        for count, name in ((64, "train"), (32, "val"))
    )
    settings = {**TINY, "batch": 16, "attributes": 1e-9, "short": 0.0, "unknown": 0.0}
    trained = recipe("guide", settings, data, val, Models(), 0)
    for index in range(40):
        trained.step(index, 0.1)
    assert min(trained.validate()["zero_shot"].values()) > 0.9
    assert not [key for key in trained.result()[0] if key.startswith("heads")]
    without = recipe("guide", {**settings, "heads": 0.0}, data, val, Models(), 0)
    assert set(without.step(0, 0.0)) == {"loss", "attributes", "accuracy", "scale"}


def test_a_stopped_training_equals_an_uninterrupted_one(tmp_path: Path):
    def make():
        return recipe("judge", {**TINY, "batch": 8}, squares(40, size=32), squares(20, "val", size=32), Models(), 0)

    whole, first, second = make(), make(), make()
    for index in range(4):
        whole.step(index, index / 4)
    for index in range(2):
        first.step(index, index / 4)
    torch.save(first.state(), tmp_path / "state.pt")
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    for index in range(2, 4):
        second.step(index, index / 4)
    for key, value in whole.result()[0].items():
        torch.testing.assert_close(second.result()[0][key], value, atol=0, rtol=0)


@pytest.mark.parametrize("part", ["guide", "guide-styles"])
def test_guides_and_judge_begin_apart(part: str):
    data = squares(40, size=64)
    guide, judge = (recipe(part, {"batch": 8}, data, data, Models(), 0) for part in (part, "judge"))
    assert guide.seed != judge.seed
    assert guide.network != judge.network


def test_images_in_other_colours_are_called_so():
    split = squares(30)
    texts, rows, coloured = Texts(split, 20, coloured=True), np.arange(30), torch.arange(30) % 2 == 0
    drawn, plain = texts.draw(rows, 1, 0.0, coloured), texts.draw(rows, 1, 0.0)
    said = {text: tokens_of([text, "in other colours, " + text], 20) for text in texts.index}
    assert torch.equal(drawn[1::2], plain[1::2])
    for before, after in zip(plain[::2], drawn[::2], strict=True):
        [(_, other)] = [pair for pair in said.values() if torch.equal(pair[0], before)]
        assert torch.equal(after, other)


def test_a_styles_guide_learns_also_from_images_that_were_made_hard_for_it():
    data, settings = squares(80, size=32), {**TINY, "batch": 8, "crops": 0.5, "recoloured": 0.5, "attributes": 1.0}
    trained = recipe("guide-styles", settings, data, data, Models(), 0)
    losses = trained.step(0, 0.0)
    assert losses["adversarial"] != losses["loss"]
    again, easy = (
        recipe("guide-styles", settings, data, data, Models(), 0),
        recipe("guide-styles", {**settings, "adversarial": 0.0}, data, data, Models(), 0),
    )
    assert again.step(0, 0.0) == losses
    assert "adversarial" not in easy.step(0, 0.0)


def test_bad_recipes_are_one_line():
    data = squares(20, size=32)
    with pytest.raises(UserError, match="has no part 'gide', did you mean 'guide'"):
        recipe("gide", {}, data, data, Models(), 0)
    with pytest.raises(UserError, match="did you mean 'layers'"):
        recipe("guide", {"layer": (1,)}, data, data, Models(), 0)
    with pytest.raises(UserError, match="has 20 images, a batch of CLIP's recipe is 128"):
        recipe("guide", {}, data, data, Models(), 0)


def test_distractors_are_never_the_caption_itself():
    texts = ["a", "b", "a", "c", "d"]
    others = distractors(texts, 4, 0)
    assert sorted(others[0].tolist()) == [1, 3, 4]
    assert all(texts[j] != texts[i] for i, row in enumerate(others.tolist()) for j in row)
    with pytest.raises(ValueError, match="a pool of 5 needs 4 texts"):
        distractors(texts, 5, 0)


def test_a_tie_is_no_success():
    similarity = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.7, 0.7], [0.0, 0.0, 0.1]])
    others = torch.tensor([[1, 2], [0, 2], [0, 1]])
    assert found_first(similarity, others).tolist() == [True, False, True]


def test_the_oracle_draws_among_the_captions_that_are_true():
    split = squares(12)
    others = distractors([c[0] for c in split.captions], 3, 0)
    assert split.attributes is not None
    shown = list(zip(split.attributes["colour"], split.attributes["ground"], strict=True))
    by_hand = [1 / (1 + sum(shown[j] == shown[i] for j in row)) for i, row in enumerate(others.tolist())]
    assert oracle(split, 0, others).tolist() == pytest.approx(by_hand)
    assert set(by_hand) == {1.0}  # equal facts make equal captions here, and those are never in a pool


def test_weights_that_do_not_fit_their_card_are_one_line():
    good = tiny_weights()
    wrong = {**good.config, "embed_dim": 8}
    for bad in (weights.Weights("tiny", good.tensors, wrong, {}, ""), weights.Weights("tiny", {}, good.config, {}, "")):
        with pytest.raises(UserError, match="do not fit the config") as caught:
            Clip.from_zoo(bad)
        assert "\n" not in str(caught.value)


@pytest.fixture
def architectures(tmp_path: Path) -> Path:
    """Two tiny models known to open_clip, with GELU and with quick-GELU, and weights of the first in a file."""
    text = {"context_length": 12, "width": 16, "heads": 2, "layers": 1}
    vision = {"layers": 1, "width": 16, "head_width": 8, "image_size": 32, "patch_size": 16}
    for name, quick in (("tiny-vit", False), ("tiny-vit-quickgelu", True)):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(
                {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text, **({"quick_gelu": True} if quick else {})}
            )
        )
        open_clip.add_model_config(tmp_path / f"{name}.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-vit").state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_an_open_clip_model_from_a_file_gives_open_clips_features(architectures: Path):
    clip = Models().clip(f"tiny-vit:{architectures}")
    model, _, transform = open_clip.create_model_and_transforms("tiny-vit", str(architectures))
    photo = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (32, 32, 3), np.uint8)
    with torch.no_grad():
        expected = model.eval().encode_image(transform(Image.fromarray(photo))[None], normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer("tiny-vit")(["a cat"]), normalize=True)
    torch.testing.assert_close(
        clip.encode_images(torch.from_numpy(photo).permute(2, 0, 1)[None]), expected, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(clip.encode_texts(["a cat"]), texts, atol=1e-5, rtol=1e-4)
    assert clip.context_length == 12
    assert clip.preprocess.id == "32-bicubic-antialias-shortest"
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


def test_weights_that_open_clip_cannot_load_are_one_line(architectures: Path, tmp_path: Path):
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "cut.pt").write_bytes(architectures.read_bytes()[:-300])
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pt")
    for name, says in (("empty", "is empty"), ("cut", "no whole zip archive"), ("other", "cannot be loaded")):
        with pytest.raises(UserError, match=says) as caught:
            Clip.from_open_clip(f"tiny-vit:{tmp_path / name}.pt")
        assert "\n" not in str(caught.value)


def test_weights_of_the_other_activation_are_refused(architectures: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"trained with quick-GELU.*use ViT-B-32-quickgelu"):
        Clip.from_open_clip("ViT-B-32:openai")
    with pytest.raises(UserError, match="neither a file nor a pretrained tag of ViT-B-32-quickgelu"):
        Clip.from_open_clip("ViT-B-32-quickgelu:laion2b_s34b_b79k")
    digest = hashlib.sha256(architectures.read_bytes()).hexdigest()
    published = {"url": f"https://example.org/models/{digest}/tiny.pt", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-vit", {"published": published})
    with pytest.raises(UserError, match="use tiny-vit-quickgelu"):  # a file is known by its hash
        Clip.from_open_clip(f"tiny-vit:{architectures}")
    Clip.from_open_clip(f"tiny-vit-quickgelu:{architectures}")


def test_unknown_models_and_tags_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'ViT-B-32'"):
        Clip.from_open_clip("ViT-B-23:openai")
    with pytest.raises(UserError, match="did you mean 'openai'"):
        Clip.from_open_clip("ViT-B-32-quickgelu:opeanai")


@pytest.mark.parametrize("name", ["clip-guide-avatars", "clip-judge-avatars"])
def test_shipped_clips_reach_their_target(name: str):
    numbers = weights.load(name).card["validation"]
    assert numbers["n"] == 2000
    assert numbers["pool"] == 100
    assert numbers["of_oracle"] >= 0.95


def test_no_clip_of_the_zoo_says_that_it_is_blind():
    """Cards without zero-shot accuracy are older than this number."""
    cards = {name: zoo.card(path)["validation"] for name, path in zoo.available().items() if name.startswith("clip-")}
    below = {name: unseen(numbers["zero_shot"]) for name, numbers in cards.items() if "zero_shot" in numbers}
    assert not any(below.values()), below


@pytest.mark.parametrize("part", ["guide", "guide-styles"])
def test_the_shipped_guides_and_judge_differ(part: str):
    guide, judge = (Models().clip(f"clip-{name}-avatars") for name in (part, "judge"))
    assert guide.sha256 != judge.sha256
    assert weights.load(guide.name).card["optimised_for"] == "guiding"
    assert weights.load(guide.name).config["vision_cfg"] != weights.load(judge.name).config["vision_cfg"]


def test_a_card_has_numbers_also_where_texts_are_few_or_all_the_same(clip):
    few = squares(40)  # six captions in all, so a pool of a hundred cannot be filled
    assert retrieval_numbers(clip, few)["pool"] <= 40
    assert 0 <= retrieval_numbers(clip, few)["r_precision"] <= 1
    same = dataclasses.replace(few, captions=[("a red square",)] * len(few))
    assert set(retrieval_numbers(clip, same)) == {"n", "pool", "cosine_right"}
