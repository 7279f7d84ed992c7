"""The identity loss: zero for equal images, the crop of the released code, ArcFace's layers and files, and the features
without it.
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from styleclip_models import tiny_clip
from torch import nn

from t2ibench.core.errors import UserError
from t2ibench.networks.arcface import ArcFace, face_crop
from t2ibench.networks.identity import guide_features, identity_features, identity_loss
from t2ibench.networks.models import Models


def test_equal_images_lose_nothing_and_the_source_has_no_gradient():
    features, _ = identity_features("guide", tiny_clip(), Models())
    images = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    torch.testing.assert_close(identity_loss(features(images), features(images)), torch.zeros(2), atol=1e-6, rtol=0)
    a, b = (F.normalize(torch.randn(2, 5), dim=1).requires_grad_() for _ in range(2))
    identity_loss(a, b).sum().backward()
    assert b.grad is None
    assert a.grad is not None
    torch.testing.assert_close(a.grad, -b.detach())
    torch.testing.assert_close(identity_loss(a, -a), torch.full([2], 2.0))


def test_guide_features_compare_place_by_place():
    clip = tiny_clip()
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    features = guide_features(clip, images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    channels = 8 * 2 * 4  # of the tower's second stage, on 1/8 of the side
    assert features.shape == (2, channels * 4 * 4)
    a, b = features.view(2, channels, 16)
    torch.testing.assert_close((a * b).sum(), F.cosine_similarity(a, b, dim=0).mean())


def test_a_tower_without_stages_is_one_line():
    clip = tiny_clip()
    clip.model.visual = torch.nn.Flatten()
    with pytest.raises(UserError, match=r"tower Flatten has no stages.*ArcFace"):
        guide_features(clip, torch.zeros(1, 3, 32, 32))


def test_the_crop_is_rows_35_to_222_and_columns_32_to_219():
    face = torch.zeros(1, 3, 256, 256)
    face[:, :, 35:223, 32:220] = 1
    assert torch.equal(face_crop(face), torch.ones(1, 3, 112, 112))
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    found = face_crop(torch.stack([rows, columns, rows])[None])[0]
    assert (float(found[0].min()), float(found[1].min())) == (
        35.5,
        32.5,
    )  # the first output pixel is the mean of the first two
    assert (float(found[0].max()), float(found[1].max())) == (221.5, 218.5)


def test_an_image_of_256_pixels_is_not_resized_and_others_are_averaged():
    face = torch.rand(1, 3, 256, 256)
    torch.testing.assert_close(face_crop(face), F.adaptive_avg_pool2d(face[:, :, 35:223, 32:220], 112), atol=0, rtol=0)
    torch.testing.assert_close(face_crop(face.repeat_interleave(2, 2).repeat_interleave(2, 3)), face_crop(face))


def test_arcface_has_the_layers_and_names_of_ir_se50():
    model = ArcFace()
    keys = model.state_dict().keys()
    assert {
        "input_layer.2.weight",
        "body.0.res_layer.5.fc1.weight",
        "body.3.shortcut_layer.0.weight",
        "output_layer.4.running_var",
    } <= keys
    assert "body.0.shortcut_layer.0.weight" not in keys
    strides = [
        layer.stride[0]
        for layer in model.body.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
    ]
    assert strides[0::2] == [1] * 24  # of the first convolution of each unit, and of the second
    assert strides[1::2] == [2, 1, 1, 2, 1, 1, 1, 2] + [1] * 13 + [2, 1, 1]
    features = model(torch.rand(1, 3, 112, 112) * 2 - 1)
    assert features.shape == (1, 512)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_files_that_are_not_arcface_are_one_line(tmp_path: Path):
    with pytest.raises(UserError, match="is missing, expected the weights of ArcFace"):
        identity_features(str(tmp_path / "none.pth"), tiny_clip(), Models())
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pth")
    for name in ("empty.pth", "other.pth"):
        with pytest.raises(UserError, match="the weights of ArcFace") as caught:
            identity_features(str(tmp_path / name), tiny_clip(), Models())
        assert "\n" not in str(caught.value)
