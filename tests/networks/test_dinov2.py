"""DINOv2 as an extractor: what it reads from a weights file, its grid of positions, and what it refuses. Weights are
random.
"""

import pytest
import timm
import torch

from t2ibench.core.errors import UserError
from t2ibench.networks import extractors
from t2ibench.networks.dinov2 import DINOv2, positions
from t2ibench.networks.models import Models


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file like the published one: 37 x 37 positions, and a mask token that nothing here needs."""
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=518, num_classes=0, depth=12)
    state = model.state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {key: value + 0.02 * torch.randn(value.shape, generator=generator) for key, value in state.items()}
    path = tmp_path_factory.mktemp("weights") / "dinov2_vits14_pretrain.pth"
    torch.save({**state, "mask_token": torch.zeros(1, 384)}, path)
    return path


def test_features_are_the_class_token_of_each_image_alone(weights):
    extractor = extractors.find(models := Models(), f"dinov2:{weights}")
    assert (extractor.name, extractor.resize) == ("dinov2-vits14", "clean224")
    assert models.used["dinov2-vits14"]["sha256"] == extractor.sha256
    images = torch.randint(0, 256, (2, 3, 30, 50), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    both = extractor.network(images)
    assert (both.shape, both.dtype) == ((2, 384), torch.float32)
    assert (both[0] - both[1]).abs().max() > 0.01
    torch.testing.assert_close(extractor.network(images[1:]), both[1:], atol=1e-5, rtol=0)


def test_a_grid_of_the_right_size_stays_and_a_larger_one_is_sampled():
    grid = torch.randn(1, 1 + 16**2, 4, generator=torch.Generator().manual_seed(0))
    assert positions(grid, 16) is grid
    larger = torch.cat([torch.full((1, 1, 4), 7.0), torch.full((1, 37**2, 4), 3.0)], dim=1)
    found = positions(larger, 16)
    assert found.shape == (1, 257, 4)
    assert (found[:, 0] == 7).all()
    torch.testing.assert_close(found[:, 1:], torch.full((1, 256, 4), 3.0))


def test_the_grid_is_the_released_codes_which_steps_by_its_scale_not_by_the_sizes():
    """A ramp along x is sampled at (i + 0.5) * 37 / 16.1 - 0.5, a little nearer together than (i + 0.5) * 37 / 16 -
    0.5.

    Bicubic interpolation is no closer than 0.06 to a ramp.
    """
    ramp = torch.arange(37.0).repeat(37).view(1, 37**2, 1)
    row = positions(torch.cat([torch.zeros(1, 1, 1), ramp], dim=1), 16)[0, 1:17, 0]
    expected = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    torch.testing.assert_close(row[1:-1], expected[1:-1], atol=0.06, rtol=0)
    assert (14.5 * 37 / 16 - 0.5) - row[14] > 0.15


@pytest.mark.parametrize(
    "content",
    [b"", b"no weights", None, {"cls_token": torch.zeros(1, 1, 384)}, {"cls_token": torch.zeros(1, 1, 9)}, [1]],
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"file\.pth(:| is missing)") as error:
        DINOv2.from_file(path)
    assert "\n" not in str(error.value)


def test_weights_with_registers_are_refused(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    torch.save({**state, "register_tokens": torch.zeros(1, 4, 384)}, tmp_path / "reg.pth")
    with pytest.raises(UserError, match="without registers"):
        DINOv2.from_file(tmp_path / "reg.pth")
