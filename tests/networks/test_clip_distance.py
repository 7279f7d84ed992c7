"""The CLIP distance that methods optimise: its pooling against the enlargement it replaces, its range, and what it
feeds to CLIP.
"""

import pytest
import torch
import torch.nn.functional as F
from styleclip_models import TEXTS, tiny_clip
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.networks.clip.distance import ClipDistance, pool, pooling_matrix


@pytest.mark.parametrize("pixels", [32, 64, 96, 256])
def test_the_matrix_product_equals_enlarging_seven_times_and_pooling(pixels: int):
    images = torch.randn(2, 3, pixels, pixels, dtype=torch.float64)
    enlarged = F.interpolate(images, scale_factor=7, mode="nearest")
    expected = F.avg_pool2d(enlarged, pixels // 32)
    torch.testing.assert_close(pool(images, pooling_matrix(pixels, 224).double()), expected, atol=1e-6, rtol=0)


def test_rows_of_the_pooling_matrix_are_shares():
    matrix = pooling_matrix(1024, 224)
    torch.testing.assert_close(matrix.sum(1), torch.ones(224))
    assert int((matrix > 0).sum(1).max()) == 6
    assert torch.equal(pooling_matrix(32, 32), torch.eye(32))


def test_the_distance_is_one_minus_the_cosine():
    distance, images = ClipDistance(tiny_clip()), torch.rand(3, 3, 32, 32) * 2 - 1
    features = distance.clip.image_features(images)
    torch.testing.assert_close(distance(images, features), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(distance(images, -features), torch.full([3], 2.0))
    texts = distance.text_features(TEXTS)
    torch.testing.assert_close(distance(images, texts), 1 - F.cosine_similarity(features, texts))


def test_the_reference_feeds_pixels_as_they_are():
    clip, images = tiny_clip(), torch.randn(2, 3, 64, 64)  # beyond [-1, 1], as a generator's are
    seen: list[Tensor] = []
    tower = clip.model.visual
    assert isinstance(tower, nn.Module)
    tower.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    ClipDistance(clip, "reference").image_features(images)
    torch.testing.assert_close(seen[0], F.avg_pool2d(images, 2))
    ClipDistance(clip).image_features(images)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (clip.preprocess.mean, clip.preprocess.std))
    assert float((seen[1] * std + mean).min()) >= -1e-6


def test_both_inputs_have_gradients_and_leave_clip_alone():
    clip = tiny_clip()
    before = {key: value.clone() for key, value in clip.model.state_dict().items()}
    for kind in ("normalized", "reference"):
        images = (torch.rand(1, 3, 32, 32) * 2 - 1).requires_grad_()
        distance = ClipDistance(clip, kind)  # type: ignore[arg-type]
        distance(images, distance.text_features(TEXTS[:1])).sum().backward()
        assert images.grad is not None
        assert float(images.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in clip.model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in clip.model.state_dict().items())


@pytest.mark.parametrize("shape", [(40, 40), (32, 64)])
def test_sides_without_whole_steps_are_one_line(shape: tuple[int, int]):
    with pytest.raises(UserError, match="expected a square and multiples of 32: use 'normalized'"):
        ClipDistance(tiny_clip(), "reference").image_features(torch.zeros(1, 3, *shape))


def test_a_text_that_comes_again_is_encoded_once():
    clip = tiny_clip()
    asked: list[str] = []
    plain = clip.encode_texts

    def spy(texts, batch=250):
        asked.extend(texts)
        return plain(texts, batch)

    clip.encode_texts = spy  # type: ignore[method-assign]
    features = ClipDistance(clip).text_features(["a person", "a smiling person", "a person"])
    assert asked == ["a person", "a smiling person"]
    assert torch.equal(features[0], features[2])
    torch.testing.assert_close(features[1:2], plain(["a smiling person"]))
