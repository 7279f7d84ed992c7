"""CLIP-I, the likeness by other features, and LPIPS: which two images they compare, and what bad input gives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_edits import FakeEdits
from fake_evidence import FakeEvidence
from lpips_files import lpips_files
from PIL import Image

from t2ibench.checks.contracts import check_metric
from t2ibench.checks.submission import check_mean
from t2ibench.core.errors import UserError
from t2ibench.core.settings import recorded
from t2ibench.data.stores import ArrayImages
from t2ibench.metrics import clip_i, image_similarity, lpips, pixel_distance
from t2ibench.scoring.references import cosines, reference_pairs
from t2ibench.stats.paired import per_sample
from t2ibench.tracks.contract import Prompt

TURNED = torch.tensor([[1.0, 0], [0.6, 0.8], [0, 1], [-1, 0]])  # cosines 1, .6, 0 and -1 with (1, 0)


def edits(features: torch.Tensor, sources: torch.Tensor, **kwargs: Any) -> FakeEdits:
    return FakeEdits(["hat=red"], len(sources), features={"edits": features, "sources": sources}, **kwargs)


def test_the_value_is_the_mean_cosine_with_the_source_of_each_edit():
    sources = torch.tensor([[2.0, 0]]).repeat(4, 1)
    estimate = clip_i.score(edits(TURNED, sources), clip_i.Config(clip="c"))["clip_i"]
    assert estimate.value == pytest.approx(0.15)
    assert (estimate.n, estimate.better, estimate.details["another"]) == (4, "higher", pytest.approx(1))
    assert estimate.details["per_sample"].split()[:3] == ["1.00000", "0.60000", "0.00000"]
    assert estimate.details["edits"] == {"hat=red": {"n": 4, "mean": pytest.approx(0.15)}}
    same = clip_i.score(edits(TURNED, TURNED), clip_i.Config(clip="c"))["clip_i"]
    assert (same.value, same.details["another"]) == (pytest.approx(1), pytest.approx((0.6 + 0.8 + 0 - 1) / 4))


def test_a_failed_edit_is_left_out_and_counted():
    sources = torch.tensor([[2.0, 0]]).repeat(4, 1)
    estimate = clip_i.score(edits(TURNED, sources, ok={"edits": [True, True, True, False]}), clip_i.Config(clip="c"))
    assert estimate["clip_i"].value == pytest.approx(1.6 / 3)
    assert estimate["clip_i"].details["failed_edits"] == 1


def captions(fake: torch.Tensor, real: torch.Tensor, order: list[int]) -> FakeEvidence:
    evidence = FakeEvidence(fake, real)
    samples = evidence.samples()
    prompts = [Prompt(p.id, p.text, reference=str(row)) for p, row in zip(samples.prompts, order, strict=True)]
    object.__setattr__(samples, "prompts", prompts)
    evidence.prompts = prompts
    return evidence


def test_a_caption_is_compared_with_the_image_that_it_came_with():
    estimate = clip_i.score(captions(TURNED[[2, 0, 1]], TURNED, [2, 0, 1]), clip_i.Config(clip="c"))["clip_i"]
    assert estimate.value == pytest.approx(1)
    other = clip_i.score(captions(TURNED[[0, 1, 2]], TURNED, [1, 2, 0]), clip_i.Config(clip="c"))["clip_i"]
    assert other.value == pytest.approx((0.6 + 0.8 + 0) / 3)
    assert other.protocol_id == estimate.protocol_id
    with pytest.raises(UserError, match="the caption 'text 1' has no image among the 4 real ones"):
        reference_pairs(captions(TURNED[:2], TURNED, [0, 9]))


def of_subjects(fake: torch.Tensor, real: torch.Tensor, order: list[int], subjects: list[str]) -> FakeEvidence:
    """Captions whose references have a subject; equal pixels are those of equal names."""
    evidence = captions(fake, real, order)
    evidence.reference = replace(evidence.reference, attributes=pd.DataFrame({"subject": subjects}))
    return evidence


def test_an_image_is_compared_with_every_real_image_of_its_subject():
    real = torch.tensor([[1.0, 0], [0, 1], [0, -1], [-1, 0]])
    evidence = of_subjects(TURNED[[0, 1, 3]], real, [0, 1, 2], ["cup", "cup", "hat", "hat"])
    estimate = clip_i.score(evidence, clip_i.Config(clip="c", of="subject"))["clip_i"]
    # (1 + 0) / 2 and (.6 + .8) / 2 with the two cups, (0 + 1) / 2 with the two hats
    assert per_sample(estimate.to_json("clip_i")) == pytest.approx([0.5, 0.7, 0.5])
    assert (estimate.value, estimate.n) == (pytest.approx(1.7 / 3), 3)
    alone = clip_i.score(evidence, clip_i.Config(clip="c"))["clip_i"]
    assert alone.protocol_id != estimate.protocol_id
    assert "of" not in recorded(clip_i.Config(clip="c"))


def test_a_real_image_is_not_compared_with_itself_and_a_photo_counts_once():
    real = torch.tensor([[1.0, 0], [0.6, 0.8], [0.6, 0.8], [0, -1], [-1, 0]])
    evidence = of_subjects(real[[0, 3]], real, [0, 3], ["cup", "cup", "cup", "hat", "hat"])
    names = ["a", "b", "b", "c", "d"]  # of the pixels
    evidence.reference = replace(evidence.reference, images=ArrayImages(np.zeros((5, 3, 1, 1), np.uint8), names))
    object.__setattr__(evidence.samples(), "hashes", ["a", "c"])
    estimate = clip_i.score(evidence, clip_i.Config(clip="c", of="subject"))["clip_i"]
    assert per_sample(estimate.to_json("clip_i")) == pytest.approx([0.6, 0])


@pytest.mark.parametrize(
    ("of", "subjects", "line"),
    [
        ("subjekt", ["cup", "cup", "hat", "hat"], "has no attribute 'subjekt', did you mean 'subject'"),
        ("subject", ["cup"] * 4, "all captions have one subject"),
    ],
)
def test_an_attribute_that_does_not_group_is_one_line(of, subjects, line):
    evidence = of_subjects(TURNED[[0, 1, 3]], TURNED, [0, 1, 2], subjects)
    with pytest.raises(UserError, match=line):
        clip_i.score(evidence, clip_i.Config(clip="c", of=of))


def test_the_only_photo_of_a_subject_cannot_be_its_own_reference():
    evidence = of_subjects(TURNED[[0, 1]], TURNED, [0, 1], ["cup", "hat", "hat", "hat"])
    object.__setattr__(evidence.samples(), "hashes", ["0", "x"])
    with pytest.raises(UserError, match="subject 'cup' has no real image but"):
        clip_i.score(evidence, clip_i.Config(clip="c", of="subject"))


# Distances of pixels


def test_the_distances_of_pixels_are_those_of_magicbrush():
    sources = pixels(3, 0, 16)
    made = pixels(3, 1, 16)
    evidence = FakeEdits(["hat=red"], 3, images={"edits": made, "sources": sources})
    found = pixel_distance.score(evidence, pixel_distance.Config())
    gap = (torch.from_numpy(made).float() - torch.from_numpy(sources).float()) / 255
    assert found["pixel_l1"].value == pytest.approx(gap.abs().mean().item(), abs=1e-6)
    assert found["pixel_l2"].value == pytest.approx((gap**2).mean().item(), abs=1e-6)
    same = pixel_distance.score(
        FakeEdits(["hat=red"], 3, images={"edits": sources, "sources": sources}), pixel_distance.Config()
    )
    assert (same["pixel_l1"].value, same["pixel_l2"].value) == (0, 0)
    assert same["pixel_l1"].details["another"] > 0.2
    assert {found[id].better for id in found} == {"lower"}


def test_an_image_of_another_size_is_brought_to_that_of_its_reference():
    large, small = pixels(1, 0, 32), pixels(1, 1, 16)
    stores = [ArrayImages(images, ["x"]) for images in (large, small)]
    found = pixel_distance.distances([((stores[0], 0), (stores[1], 0))])
    shown = np.asarray(Image.fromarray(large[0].transpose(1, 2, 0)).resize((16, 16), Image.Resampling.BICUBIC))
    gap = (shown.transpose(2, 0, 1).astype(float) - small[0]) / 255
    assert found.l1 == pytest.approx(np.abs(gap).mean())
    assert found.l2 == pytest.approx((gap**2).mean())


def test_the_length_of_features_changes_nothing_and_bad_ones_are_refused():
    values = cosines(TURNED * torch.arange(1.0, 5)[:, None], torch.tensor([[3.0, 0]]).repeat(4, 1))
    np.testing.assert_allclose(values, [1, 0.6, 0, -1], atol=1e-7)
    with pytest.raises(ValueError, match="those of pair 1 are zero"):
        cosines(TURNED[:2], torch.tensor([[1.0, 0], [0, 0]]))
    with pytest.raises(ValueError, match="made must be finite"):
        cosines(torch.full((1, 2), float("nan")), TURNED[:1])


def test_dino_has_its_own_name_and_other_networks_theirs():
    class Named(FakeEdits):
        def short(self, name: str) -> str:
            return name.replace("-", "_")

    evidence = Named(["hat=red"], 4, features={"edits": TURNED, "sources": TURNED})
    for extractor, id in (("dino-vits16", "dino_i"), ("dinov2-vits14", "image_similarity_dinov2_vits14")):
        assert set(image_similarity.score(evidence, image_similarity.Config(extractor))) == {id}


# LPIPS, with random weights in the format of the published files


def pixels(count: int, seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    heads, trunk, *_ = lpips_files(tmp_path_factory.mktemp("lpips"))
    return {"heads": str(heads), "trunk": str(trunk)}


def test_equal_images_have_distance_0_and_the_distance_of_others_grows_with_their_difference(files):
    sources = pixels(3, 0)
    noise = np.random.default_rng(1).normal(size=sources.shape)
    values = []
    for amount in (0, 10, 40):
        made = (sources + amount * noise).clip(0, 255).astype(np.uint8)
        evidence = FakeEdits(["hat=red"], 3, images={"edits": made, "sources": sources})
        values.append(lpips.score(evidence, lpips.Config(**files))["lpips"])
    assert values[0].value == 0
    assert values[0].ci == (0, 0)
    assert 0 < values[1].value < values[2].value
    assert (values[1].better, set(values[1].protocol) >= {"heads", "trunk"}) == ("lower", True)
    assert values[0].details["another"] > values[2].value


def test_the_distance_is_the_networks_own_and_keeps_no_gradient(files):
    network = FakeEdits(["hat=red"], 2).models.lpips(**files)
    a, b = pixels(2, 0), pixels(2, 1)
    expected = network(torch.from_numpy(a) / 127.5 - 1, torch.from_numpy(b) / 127.5 - 1)
    assert not expected.requires_grad
    assert lpips.distance(network, a, b) == pytest.approx(expected.tolist(), rel=1e-5)
    assert lpips.distance(network, a[1:], b[1:]) == pytest.approx(expected[1:].tolist(), rel=1e-4)


def test_bad_input_of_lpips_is_one_line(files):
    with pytest.raises(UserError, match=r"no file of its heads is given: download alex\.pth"):
        lpips.score(FakeEdits(["hat=red"], 2), lpips.Config())
    with pytest.raises(UserError, match=r"nowhere\.pth cannot be read"):
        lpips.score(FakeEdits(["hat=red"], 2), lpips.Config("nowhere.pth", files["trunk"]))
    with pytest.raises(UserError, match="images of 2x2 pixels, expected at least 35 a side"):
        lpips.score(FakeEdits(["hat=red"], 2), lpips.Config(**files))
    evidence = FakeEdits(["hat=red"], 2, images={"edits": pixels(2, 0, 48), "sources": pixels(2, 0)})
    with pytest.raises(UserError, match="an image of 48x48 pixels and a reference of 64x64"):
        lpips.score(evidence, lpips.Config(**files))


def test_lpips_keeps_the_contract_of_a_metric(files, monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    few = {"prompts": {"captions": 6}, "edits": {"images": 3}, "adapt": {"images": 3, "reference": 3}}
    check_metric("lpips", files, asked={**few, "compose": {"inputs": 2, "tasks": ["S"]}})


def test_the_samples_of_a_record_have_the_mean_that_it_states():
    made = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    real = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    estimate = clip_i.score(captions(made, real, list(range(40))), clip_i.Config(clip="c"))["clip_i"].to_json("clip_i")
    numbers = per_sample(estimate)
    assert numbers is not None
    check_mean("clip_i", estimate, numbers)
    assert np.abs(numbers - cosines(made, real)).max() < 1e-5
