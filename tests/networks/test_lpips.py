"""LPIPS from its published files: the distance of a formula written anew, and one line for other files."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from clip_tiny import tiny_weights
from lpips_files import CONVOLUTIONS, lpips_files
from styleclip_models import tiny_generator
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.clip import Clip
from t2ibench.networks.lpips import Lpips
from t2ibench.networks.stylegan2.inversion import project


def maps(images: Tensor, trunk: dict[str, Tensor]) -> list[Tensor]:
    x = (images - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(
        3, 1, 1
    )
    answers = []
    for number, (_, _, side) in CONVOLUTIONS.items():
        stride, padding = (4, 2) if side == 11 else (1, side // 2)
        x = F.conv2d(x, trunk[f"features.{number}.weight"], trunk[f"features.{number}.bias"], stride, padding).clamp(
            min=0
        )
        answers.append(x)
        x = F.max_pool2d(x, 3, 2) if number in (0, 3) else x
    return answers


def test_the_distance_is_that_of_the_released_formula(tmp_path: Path):
    heads, trunk, lins, convolutions = lpips_files(tmp_path)
    a, b = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = torch.zeros(2)
    for lin, x, y in zip(lins.values(), maps(a, convolutions), maps(b, convolutions), strict=True):
        x, y = (one / (torch.linalg.vector_norm(one, dim=1, keepdim=True) + 1e-10) for one in (x, y))
        expected += F.conv2d((x - y) ** 2, lin).mean((1, 2, 3))
    network = Lpips.from_files(heads, trunk)
    torch.testing.assert_close(network(a, b), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(network(a, a), torch.zeros(2))


def test_lpips_leads_a_projection_and_keeps_its_weights(tmp_path: Path):
    heads, trunk, _, _ = lpips_files(tmp_path)
    network, generator = Lpips.from_files(heads, trunk), tiny_generator(64)
    with torch.no_grad():
        images = generator(torch.randn(2, 8, generator=torch.Generator().manual_seed(2))).clamp(-1, 1)
    start = generator.mapping.w_avg.expand(2, generator.config.rows, -1)
    found = project(generator, Clip.from_zoo(tiny_weights()), images, start, steps=8, lpips=network)
    with torch.no_grad():
        before, after = (network(generator.synthesis(generator.style(v)), images) for v in (start, found))
    assert (after < before).all()
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_where_all_activations_vanish_the_gradient_is_finite(tmp_path: Path):
    network = Lpips.from_files(*lpips_files(tmp_path)[:2])
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            layer.bias.fill_(-1e3)  # type: ignore[union-attr]
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    [gradient] = torch.autograd.grad(network(images, torch.ones(1, 3, 64, 64)).sum(), images)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("given", [{"lpips": "vgg.pth"}, {"lpips_trunk": "vgg16.pth"}])
def test_half_of_lpips_is_refused(given: dict[str, str]):
    with pytest.raises(UserError, match="name both, or none"):
        Config(**given)  # type: ignore[arg-type]


def test_other_files_are_one_line(tmp_path: Path):
    heads, trunk, _, _ = lpips_files(tmp_path)
    squeeze = tmp_path / "squeeze.pth"
    torch.save({f"lin{k}.model.1.weight": torch.zeros(1, 64, 1, 1) for k in range(7)}, squeeze)
    vgg = tmp_path / "vgg.pth"
    widths = (64, 128, 256, 512, 512)
    torch.save({f"lin{k}.model.1.weight": torch.zeros(1, width, 1, 1) for k, width in enumerate(widths)}, vgg)
    for given, says in (
        ((squeeze, trunk), "heads of .*64, 64.* channels"),
        ((vgg, trunk), "not torchvision's VGG16, on which vgg.pth stands"),
        ((trunk, heads), "channels, expected the heads of LPIPS"),
        ((heads, heads), "not torchvision's AlexNet"),
    ):
        with pytest.raises(UserError, match=says) as error:
            Lpips.from_files(*given)
        assert "\n" not in str(error.value)
