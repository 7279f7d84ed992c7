"""DINO as an extractor: what it reads from a weights file, its crop, and what it refuses. Weights are random."""

import pytest
import timm
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor
from torchvision.transforms.v2 import CenterCrop, Compose, InterpolationMode, Resize

from t2ibench.core.errors import UserError
from t2ibench.networks import extractors
from t2ibench.networks.dino import DINO, middle
from t2ibench.networks.models import Models


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file like the published one."""
    with torch.random.fork_rng(devices=[]):
        state = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0).state_dict()
    draw = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "dino_deitsmall16_pretrain.pth"
    torch.save({key: value + 0.02 * torch.randn(value.shape, generator=draw) for key, value in state.items()}, path)
    return path


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_features_are_the_class_token_of_each_image_alone(weights):
    extractor = extractors.find(models := Models(), f"dino:{weights}")
    assert (extractor.name, extractor.short) == ("dino-vits16", "dino_vits16")
    assert models.used["dino-vits16"]["sha256"] == extractor.sha256
    images = noise(2, 3, 30, 50)
    both = extractor.network(images)
    assert (both.shape, both.dtype, both.requires_grad) == ((2, 384), torch.float32, False)
    assert (both[0] - both[1]).abs().max() > 0.01
    torch.testing.assert_close(extractor.network(images[1:]), both[1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(300, 300), (64, 97), (401, 260), (256, 256)])
def test_the_crop_is_torchvisions_on_pillow(height, width):
    image = Image.fromarray(noise(height, width, 3).numpy())
    published = Compose([Resize(256, InterpolationMode.BICUBIC), CenterCrop(224)])
    ours = middle(pil_to_tensor(image)[None])[0]
    expected = pil_to_tensor(published(image))
    assert ours.shape == expected.shape == (3, 224, 224)
    assert (ours.int() - expected.int()).abs().max() <= 1  # a level of rounding


@pytest.mark.parametrize("content", [b"no weights", None, {"patch_embed.proj.weight": torch.zeros(9, 3, 16, 16)}, [1]])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"file\.pth(:| is missing)") as error:
        DINO.from_file(path)
    assert "\n" not in str(error.value)


def test_a_file_with_a_tensor_too_many_is_refused(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    torch.save({**state, "head.weight": torch.zeros(9, 384)}, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"head\.weight is unexpected"):
        DINO.from_file(tmp_path / "more.pth")
