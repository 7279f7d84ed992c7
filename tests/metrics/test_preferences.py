"""PickScore, HPS v2 and ImageReward on random weights in the format of the published files, and golden numbers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from fake_evidence import FakeEvidence
from PIL import Image
from preference_files import hps, image_reward, pick_score
from torchvision.transforms.v2 import functional as tv

from t2ibench.checks.contracts import check_metric
from t2ibench.core.errors import UserError
from t2ibench.data.stores import ArrayImages
from t2ibench.metrics import hps_v2
from t2ibench.metrics import image_reward as reward_metric
from t2ibench.metrics import pick_score as pick_metric
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.preprocess import Preprocess, letterbox
from t2ibench.networks.extractors import find
from t2ibench.networks.image_reward import ImageReward, head, standardised
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import Prompt

TEXTS = ["a red bird", "a blue cat on grass", "cats"]
FEW = {"prompts": {"captions": 4}}


def pictures(count: int = 3, height: int = 40, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, height, width), np.uint8)


def evidence(images: np.ndarray, texts: list[str] = TEXTS, ok: list[bool] | None = None) -> Evidence:
    prompts = [Prompt(f"p{row}", text) for row, text in enumerate(texts)]
    hashes = [str(row) for row in range(len(images))]
    good = np.array(ok or [True] * len(images))
    real = FakeEvidence(torch.zeros(2, 1)).reference
    samples = Samples(prompts, [0] * len(prompts), good, hashes, ArrayImages(images, hashes))
    return Evidence(train=real, reference=real, prompts=prompts, samples={"captions": samples}, models=Models())


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


# PickScore


@pytest.fixture(scope="module")
def picks(tmp_path_factory) -> tuple[Path, Any]:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("pick") / "PickScore_v1"
    return folder, pick_score(folder)


def test_pick_score_is_the_cosine_of_transformers_own_network(picks):
    folder, model = picks
    images = pictures(3, 32, 32)
    estimate = pick_metric.score(evidence(images), pick_metric.Config(str(folder)))["pick_score"]
    pixels = Preprocess(32).normalise(torch.from_numpy(images) / 255)
    seen = model.vision_model(pixels).pooler_output @ model.visual_projection.weight.T
    read = model.text_model(open_clip.tokenize(TEXTS)).pooler_output @ model.text_projection.weight.T
    expected = F.cosine_similarity(seen, read).detach()
    np.testing.assert_allclose([float(word) for word in estimate.details["per_sample"].split()], expected, atol=1e-5)
    assert estimate.value == pytest.approx(float(expected.mean()), abs=1e-6)
    assert estimate.details["scaled"] == pytest.approx(model.logit_scale.exp().item() * estimate.value, rel=1e-5)
    assert estimate.ci[0] <= estimate.value <= estimate.ci[1]


def test_the_scales_of_pick_score_are_those_in_use():
    """The formula of PickScore's README, written again: text (1, 2, 2), images (2, 1, 2) and (1, 0, 0), scale 100."""
    images, text = torch.tensor([[2.0, 1, 2], [1, 0, 0]]), torch.tensor([[1.0, 2, 2]])
    values = pick_metric.cosines(images, text.repeat(2, 1))
    assert [pick_metric.views(value, 100)["scaled"] for value in values] == pytest.approx([88.88889, 33.33333])
    assert [pick_metric.views(value, 100)["reward_26"] for value in values] == pytest.approx([3.418803, 1.282051])
    np.testing.assert_allclose(pick_metric.cosines(7 * images, text.repeat(2, 1)), values)


# HPS v2


@pytest.fixture(scope="module")
def hps_files(tmp_path_factory) -> tuple[str, Any]:
    return hps(tmp_path_factory.mktemp("hps"))


@pytest.mark.parametrize(
    ("sides", "mean", "total"), [((384, 640), -0.566890, 174353.13), ((512, 512), 0.178208, 130692.41)]
)
def test_hps_sees_the_whole_image_in_a_black_square(sides, mean, total):
    """Golden numbers of the released transform (tgxs002/HPSv2 at 866735e) on a drawn image."""
    y, x = np.mgrid[: sides[0], : sides[1]]
    image = np.stack([(7 * x + 3 * y) % 256, (x * y) % 256, 255 * ((x // 8 + y // 8) % 2)]).astype(np.uint8)
    seen = Preprocess(224).normalise(letterbox(torch.from_numpy(image)[None].float() / 255, 224))
    assert seen.shape == (1, 3, 224, 224)
    assert float(seen.mean()) == pytest.approx(mean, abs=1e-5)
    assert float(seen.abs().sum()) == pytest.approx(total, rel=1e-5)


def test_an_image_that_fits_is_padded_and_not_resized():
    image = torch.rand(1, 3, 20, 32, generator=torch.Generator().manual_seed(0))
    square = letterbox(image, 32)
    assert torch.equal(square[:, :, 6:26], image)
    assert float(square[:, :, :6].abs().max()) == float(square[:, :, 26:].abs().max()) == 0
    assert torch.equal(letterbox(image.mT, 32), square.mT)


def test_hps_is_the_cosine_of_open_clips_network_behind_the_released_transform(hps_files):
    name, model = hps_files
    images = pictures()
    estimate = hps_v2.score(evidence(images), hps_v2.Config(name))["hps_v2"]
    small = tv.resize(torch.from_numpy(images) / 255, [20, 32], tv.InterpolationMode.BICUBIC, antialias=True)
    pixels = Preprocess(32).normalise(tv.pad(small, [0, 6, 0, 6]))
    with torch.no_grad():
        expected = F.cosine_similarity(model.encode_image(pixels), model.encode_text(open_clip.tokenize(TEXTS)))
    np.testing.assert_allclose([float(word) for word in estimate.details["per_sample"].split()], expected, atol=1e-5)
    assert estimate.details["benchmark_100"] == pytest.approx(100 * estimate.value)
    assert "letterbox" in estimate.protocol["resize"]


def test_a_letterboxed_clip_is_another_extractor_of_the_same_weights(hps_files):
    models, (name, _) = Models(), hps_files
    whole, cropped = find(models, f"letterbox:{name}"), find(models, name)
    assert (whole.sha256, whole.resize != cropped.resize) == (cropped.sha256, True)
    images = torch.from_numpy(pictures())
    assert (whole.network(images) - cropped.network(images)).abs().max() > 1e-3
    torch.testing.assert_close(whole.network(images[1:]), whole.network(images)[1:], atol=1e-5, rtol=0)
    assert not whole.network(images).requires_grad
    assert isinstance(models.clip(name), Clip)


# ImageReward


@pytest.fixture(scope="module")
def reward_files(tmp_path_factory) -> tuple[Path, Path, dict[str, torch.Tensor]]:
    pytest.importorskip("transformers")
    return image_reward(tmp_path_factory.mktemp("reward"))


@pytest.fixture(scope="module")
def network(reward_files) -> ImageReward:
    return ImageReward.from_files(*reward_files[:2])


@pytest.mark.parametrize(
    ("function", "expected"), [(np.sin, -1.0252332), (np.cos, 0.1574795), (np.zeros_like, -0.3615579)]
)
def test_the_last_layers_are_the_released_ones(function, expected):
    """Golden numbers of THUDM/ImageReward at c1392c6: W_ij = ((i + 2j) % 7 - 3) / 50, b_i = (i % 5 - 2) / 10."""
    layers = head([768, 1024, 128, 64, 16, 1]).double()
    for layer in (layer for layer in layers if isinstance(layer, torch.nn.Linear)):
        i, j = torch.arange(layer.out_features), torch.arange(layer.in_features)
        layer.weight.data = ((i[:, None] + 2 * j[None]) % 7 - 3).double() / 50
        layer.bias.data = (i % 5 - 2).double() / 10
    features = torch.from_numpy(function(np.arange(768.0)))
    assert standardised(layers(features)).item() == pytest.approx(expected, abs=2e-7)


def test_the_image_tower_is_blips(network, reward_files):
    """BLIP's tower has timm's names and, like it, norms of 1e-6."""
    state = reward_files[2]
    tower = timm.models.VisionTransformer(32, 16, embed_dim=64, depth=1, num_heads=1, mlp_ratio=1.5, num_classes=0)
    start = "blip.visual_encoder."
    tower.load_state_dict({key.removeprefix(start): v for key, v in state.items() if key.startswith(start)})
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        network.vision(pixels).last_hidden_state, tower.eval().forward_features(pixels), atol=1e-5, rtol=0
    )


def test_a_reward_depends_on_its_image_and_on_every_word_and_on_nothing_else(network):
    images = torch.stack([network.shown(torch.from_numpy(image)) for image in pictures()])
    assert images.shape == (3, 3, 32, 32)
    together = network.rewards(images, TEXTS)
    assert not together.requires_grad
    torch.testing.assert_close(network.rewards(images[1:2], TEXTS[1:2]), together[1:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(network.rewards(images, [text.upper() for text in TEXTS]), together)
    others = network.rewards(images, ["a red cat", "a blue cat on birds", "birds"])  # the last word, read by the first
    assert (others - together).abs().min() > 1e-6
    assert (network.rewards(images.flip(0), TEXTS) - together).abs()[[0, 2]].min() > 1e-6


def test_texts_of_more_than_35_tokens_are_cut_and_counted(network, reward_files):
    long = "a red bird on grass " * 8
    assert network.cut(["a bird", long]) == 1
    images = torch.stack([network.shown(torch.from_numpy(pictures(1)[0]))])
    torch.testing.assert_close(network.rewards(images, [long]), network.rewards(images, [long + "a blue cat"]))
    files = {"weights": str(reward_files[0]), "vocabulary": str(reward_files[1])}
    estimate = reward_metric.score(evidence(pictures(), ["a bird", long, "a cat"]), reward_metric.Config(**files))
    assert estimate["image_reward"].details["labels"] == ["1 of 3 texts were cut: ImageReward reads 35 tokens"]


def test_a_failed_image_has_a_dash_and_images_may_differ_in_size(reward_files):
    files = {"weights": str(reward_files[0]), "vocabulary": str(reward_files[1])}
    estimate = reward_metric.score(evidence(pictures(), ok=[True, False, True]), reward_metric.Config(**files))
    words = estimate["image_reward"].details["per_sample"].split()
    assert (len(words), words[1], estimate["image_reward"].n) == (3, "-", 2)
    assert estimate["image_reward"].value == pytest.approx((float(words[0]) + float(words[2])) / 2, abs=1e-5)


def test_another_file_is_refused_in_one_line(reward_files, tmp_path):
    weights, vocabulary, state = reward_files
    for change, line in (
        ({"mlp.layers.0.weight": torch.zeros(9, 9)}, "not the weights of ImageReward"),
        ({"blip.text_encoder.more.weight": torch.zeros(1)}, "more.weight is unexpected"),
        ({"blip.visual_encoder.norm.bias": torch.zeros(3)}, "has shape 3, expected 64"),
    ):
        torch.save({**state, **change}, tmp_path / "other.pt")
        with pytest.raises(UserError, match=line) as error:
            ImageReward.from_files(tmp_path / "other.pt", vocabulary)
        assert "\n" not in str(error.value)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not the weights of ImageReward"):
        ImageReward.from_files(tmp_path / "other.pt", vocabulary)
    (tmp_path / "words.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"has no line \[PAD\]"):
        ImageReward.from_files(weights, tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text(vocabulary.read_text() + "\n".join(f"w{i}" for i in range(9)))
    with pytest.raises(UserError, match="it knows 14 words, and the vocabulary has 21"):
        ImageReward.from_files(weights, tmp_path / "words.txt")


# all three


@pytest.mark.parametrize("metric", [pick_metric, hps_v2, reward_metric])
def test_weights_that_are_missing_are_said_with_their_publisher(metric):
    with pytest.raises(UserError, match=r"is missing: download .* of|is missing: download yuvalkirstain/") as error:
        metric.score(evidence(pictures()), metric.Config())
    assert "\n" not in str(error.value)


def test_images_without_texts_and_a_single_image_are_one_line(picks):
    config = pick_metric.Config(str(picks[0]))
    with pytest.raises(UserError, match="the images came without texts"):
        pick_metric.score(evidence(pictures(), ["", "", ""]), config)
    with pytest.raises(UserError, match="1 made images of 'captions', at least 2"):
        pick_metric.score(evidence(pictures(1), ["a cat"]), config)
    with pytest.raises(ValueError, match="row 0 is zero"):
        pick_metric.cosines(torch.zeros(1, 2), torch.ones(1, 2))


def test_naming_them_imports_neither_transformers_nor_a_network():
    """Nor do the verbs and the runner, which know all metrics by their files."""
    names = ["cli", "runner", "scoring.preferences", "scoring.references", "networks.extractors"]
    names += [f"metrics.{name}" for name in ("clip_i", "hps_v2", "image_reward", "image_similarity", "pick_score")]
    code = f"import sys, {', '.join(f't2ibench.{name}' for name in names)}\n"
    code += "print({'transformers', 'open_clip', 'timm', 'peft'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_they_keep_the_contract_of_a_metric(picks, hps_files, reward_files):
    check_metric("pick_score", {"clip": str(picks[0])}, asked=FEW)
    check_metric("hps_v2", {"clip": hps_files[0]}, asked=FEW)
    files = {"weights": str(reward_files[0]), "vocabulary": str(reward_files[1])}
    check_metric("image_reward", files, asked=FEW)


def test_score_names_the_files_of_a_metric_by_its_settings(reward_files, tmp_path, t2ibench):
    for row, image in enumerate(pictures()):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{row}.png")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    names = {"weights": reward_files[0], "vocabulary": reward_files[1]}
    options = [word for name, path in names.items() for word in ("--set", f"image_reward.{name}={path}")]
    command = ["score", str(tmp_path), "--prompts", str(tmp_path / "texts.txt"), "--metrics", "image_reward"]
    answer = t2ibench(*command, *options, "--json")
    value = json.loads(answer.stdout)["values"]["image_reward"]
    direct = reward_metric.score(evidence(pictures()), reward_metric.Config(**{k: str(v) for k, v in names.items()}))
    assert value["value"] == pytest.approx(direct["image_reward"].value, abs=1e-5)
    for wrong in ("weights=x", "image_rewards.weights=x", "image_reward.weight=x"):
        answer = t2ibench(*command, "--set", wrong)
        assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "did you mean 'weights'" in answer.stderr
