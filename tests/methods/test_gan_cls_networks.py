"""Networks of the GAN-CLS family against the released code's layer tables and parameter counts."""

import copy
import itertools
import subprocess
import sys
from typing import Any

import pytest
import torch
from gan_cls_data import TINY
from torch import nn

from t2ibench.methods.gan_cls.networks import Discriminator, Generator, ImageEncoder, Shape, reset_conv_biases


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("shape", "generator", "discriminator"),
    [
        (Shape(), 18_909_699, 4_032_321),
        (Shape(conv_bias=False), 18_905_472, 4_030_080),
        (Shape(third_act=True, text_norm=False), 18_909_699, 4_032_065),  # the COCO discriminator
        (Shape(ngf=196, ndf=196, third_act=True, text_norm=False), 41_107_551, 36_190_301),
        (Shape(ndf=128), 18_909_699, 15_568_129),
        (TINY, 5_775, 4_359),
    ],
)
def test_parameter_counts_are_those_of_the_released_networks(shape, generator, discriminator):
    with torch.device("meta"):
        assert (parameters(Generator(shape)), parameters(Discriminator(shape))) == (generator, discriminator)


def test_parts_of_the_generator_have_the_released_parameter_counts():
    with torch.device("meta"):
        network = Generator(Shape())
    counts = [parameters(layer) for layer in network.image]
    assert parameters(network.text) == 131_200
    assert sum(counts[:2]) == 3_738_624  # stem
    assert counts[2] == 3_215_872  # block A
    assert sum(counts[4:6]) == 8_390_144
    assert counts[6] == 805_120  # block B
    assert sum(counts[8:10]) == 2_097_920
    assert sum(counts[11:13]) == 524_672
    assert counts[14] == 6_147


def sizes(network: nn.Module, layers: nn.Sequential, *inputs: torch.Tensor) -> list[int]:
    """Heights after every convolution of `layers`, in order, without repeats."""
    seen: list[int] = []

    def note(module: nn.Module, given: object, output: torch.Tensor) -> None:
        if output.shape[-1] not in seen[-1:]:
            seen.append(output.shape[-1])

    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(note)
    network(*inputs)
    return seen


def test_images_grow_from_4_to_64_pixels_and_lie_in_the_range_of_tanh():
    generator = Generator(TINY)
    images = generator(torch.randn(2, 4) * 9, torch.randn(2, 5))
    assert images.shape == (2, 3, 64, 64)
    assert images.abs().max() <= 1
    assert sizes(generator, generator.image, torch.randn(2, 4), torch.randn(2, 5)) == [4, 8, 16, 32, 64]


def test_the_discriminator_gives_one_probability_an_image():
    discriminator = Discriminator(TINY)
    images, text = torch.rand(3, 3, 64, 64) * 2 - 1, torch.randn(3, 5)
    probability = discriminator(images, text)
    assert probability.shape == (3,)
    assert ((probability > 0) & (probability < 1)).all()
    assert sizes(discriminator, discriminator.trunk, images, text) == [32, 16, 8, 4]


def test_one_trunk_pass_serves_several_texts():
    discriminator = Discriminator(TINY).eval()
    images, text = torch.rand(4, 3, 64, 64), torch.randn(4, 5)
    assert torch.equal(discriminator.match(discriminator.trunk(images), text), discriminator.logits(images, text))


def test_the_third_convolution_of_the_cub_discriminator_has_no_activation():
    kinds = {
        flag: [type(m).__name__ for m in Discriminator(Shape(ndf=2, third_act=flag)).trunk] for flag in (False, True)
    }
    assert kinds[False].count("LeakyReLU") + 1 == kinds[True].count("LeakyReLU")
    assert kinds[False][5:8] == ["Conv2d", "BatchNorm2d", "Conv2d"]  # third, its norm, and straight into the fourth


def test_noise_comes_before_text_in_the_joint_code():
    generator: Any = Generator(TINY).eval()
    with torch.no_grad():
        generator.image[0].weight[: TINY.nz] = 0  # the first nz input channels
    text = torch.randn(1, 5)
    assert torch.equal(generator(torch.randn(1, 4), text), generator(torch.randn(1, 4), text))
    assert not torch.equal(generator(torch.zeros(1, 4), text), generator(torch.zeros(1, 4), -text))


def test_a_build_without_biases_equals_one_whose_biases_are_zero():
    biased, bare = Generator(TINY), Generator(Shape(text_dim=5, nz=4, nt=3, ngf=2, ndf=2, conv_bias=False))
    with torch.no_grad():
        for module in biased.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.fill_(0.5)
    changed = copy.deepcopy(biased)
    reset_conv_biases(biased)
    bare.load_state_dict(biased.state_dict(), strict=False)
    z, text = torch.randn(2, 4), torch.randn(2, 5)
    assert torch.equal(biased.eval()(z, text), bare.eval()(z, text))
    assert not torch.equal(changed.eval()(z, text), bare.eval()(z, text))


def test_initial_weights_follow_the_released_distributions():
    torch.manual_seed(0)
    generator: Any = Generator(Shape(ngf=16))
    convolution, norm = generator.image[4], generator.image[1]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert not convolution.bias.any()
    assert generator.text[0].weight.abs().max() <= 1024**-0.5  # linear layers keep their default


def test_a_large_generator_has_one_activation_after_both_blocks():
    names = [type(layer).__name__ for layer in Generator(Shape(ngf=2, large=True)).image]
    assert names[2:5] == ["Residual", "Residual", "ReLU"]


def test_the_style_encoder_is_the_trunk_and_one_convolution_to_the_noise():
    encoder = ImageEncoder(64, 100)
    assert encoder(torch.zeros(2, 3, 64, 64)).shape == (2, 100)
    assert [m.out_channels for m in encoder.layers if isinstance(m, nn.Conv2d)] == [64, 128, 256, 512, 100]


def test_a_style_encoder_has_the_parameters_of_its_convolutions():
    with torch.device("meta"):
        network = ImageEncoder(64, 100)  # preset paper: D's trunk, and 100 numbers of noise
    widths = [3, 64, 128, 256, 512, 100]
    convolutions = sum(16 * a * b + b for a, b in itertools.pairwise(widths))
    norms = sum(2 * width for width in widths[2:5])
    assert parameters(network) == convolutions + norms == 3_577_636


def test_weights_are_loaded_without_torchs_compiler():
    code = """
import sys
from t2ibench.methods.gan_cls.loading import load_generator
from t2ibench.networks import weights
before = "torch._dynamo" in sys.modules
load_generator(weights.load("gan-avatars"))
sys.exit(("torch._dynamo" in sys.modules) != before)
"""
    # It saves seconds where no CLIP is loaded: the library of CLIP loads the compiler, too.
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
