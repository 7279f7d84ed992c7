"""The StyleGAN2 generator against stored vectors of the reference implementation, its layout by the published numbers,
its invariances.
"""

import pytest
import torch
from stylegan2_files import GOLDEN, generator_of, golden

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import Config, Generator
from t2ibench.networks.stylegan2.network import Modulated, ToRGB

CLOSE = 1e-4  # images reach 12


@pytest.fixture(params=[32, 64])
def tiny(request) -> Generator:
    """Random, with noise and biases that matter."""
    torch.manual_seed(1)
    generator = Generator(Config(request.param, z_dim=8, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16))
    generator.eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith(("noise_strength", ".bias")):
            parameter.add_(0.3 * torch.randn_like(parameter))
    generator.mapping.w_avg.normal_()
    return generator


def styles(generator: Generator, count: int = 2) -> torch.Tensor:
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(2))
    return generator.style(generator.truncate(generator.mapping(z), psi=0.7))


@pytest.mark.parametrize("gradients", [False, True])  # without them, synthesis works in place
@pytest.mark.parametrize("name", GOLDEN)
def test_latents_styles_and_images_are_the_reference_implementations(name, gradients):
    with torch.set_grad_enabled(gradients):
        compare_with_stored(generator_of(name), golden(name))


def compare_with_stored(generator: Generator, stored: dict[str, torch.Tensor]) -> None:
    w = generator.mapping(stored["z"])
    w_plus = generator.truncate(w, psi=0.7)
    torch.testing.assert_close(w, stored["w"], atol=CLOSE, rtol=0)
    torch.testing.assert_close(w_plus, stored["w_plus_psi07"], atol=CLOSE, rtol=0)
    s = generator.style(w_plus)
    for layer in generator.layers:
        torch.testing.assert_close(
            s[:, layer.start : layer.stop], stored[f"style/{layer.name}.affine"], atol=CLOSE, rtol=0
        )
    torch.testing.assert_close(generator.synthesis(s), stored["image_const_noise"], atol=CLOSE, rtol=0)
    torch.testing.assert_close(generator.synthesis(s, noise="none"), stored["image_no_noise"], atol=CLOSE, rtol=0)
    mixed = torch.cat([w_plus[:1, :2].expand(len(w_plus), -1, -1), w_plus[:, 2:]], dim=1)
    torch.testing.assert_close(
        generator.synthesis(generator.style(mixed)), stored["image_mixed_first_two_rows"], atol=CLOSE, rtol=0
    )
    torch.testing.assert_close(generator(stored["z"], psi=0.7), stored["image_const_noise"], atol=CLOSE, rtol=0)


def test_the_stored_clamp_is_reached():
    """Otherwise its vectors would hold nothing."""
    generator, stored = generator_of("stylegan2_16_clamp"), golden("stylegan2_16_clamp")
    for module in generator.modules():
        if isinstance(module, Modulated | ToRGB):
            module.clamp = None
    images = generator.synthesis(generator.style(stored["w_plus_psi07"]))
    assert (images - stored["image_const_noise"]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("resolution", "rows", "entries", "channels", "without_rgb", "to_128"),
    [
        (1024, 18, 26, 9088, 6048, 5376),
        (512, 16, 23, 8960, 5952, 5376),
        (256, 14, 20, 8704, 5760, 5376),
        (32, 8, 11, 5632, 3584, 3584),
    ],
)
def test_the_layout_has_the_published_sizes(resolution, rows, entries, channels, without_rgb, to_128):
    config = Config(resolution)  # config-f; nothing is built
    styled = [layer for layer in config.layers if not layer.is_rgb]
    assert (config.rows, len(config.layers), config.style_channels) == (rows, entries, channels)
    assert sum(layer.channels for layer in styled) == without_rgb
    assert sum(layer.channels for layer in styled if layer.resolution <= 128) == to_128
    assert len(styled) == rows - 1  # noise maps
    assert [layer.start for layer in config.layers[1:]] == [layer.stop for layer in config.layers[:-1]]


def test_the_layout_at_1024_pixels_by_index():
    layers = Config(1024).layers
    assert [layer.channels for layer in layers] == [512] * 15 + [256] * 3 + [128] * 3 + [64] * 3 + [32] * 2
    assert [index for index, layer in enumerate(layers) if layer.is_rgb] == list(range(1, 26, 3))
    assert [layer.name for layer in layers[:5]] == ["b4.conv1", "b4.torgb", "b8.conv0", "b8.conv1", "b8.torgb"]
    assert [layer.row for layer in layers[:8]] == [0, 1, 1, 2, 3, 3, 4, 5]  # a toRGB shares its row with the next conv0
    assert [layer.row for layer in layers if layer.name == "b1024.torgb"] == [17]


def test_a_generator_of_1024_pixels_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in Generator(Config(1024)).parameters()) == 30_370_060


def test_half_the_base_halves_the_wide_layers_only():
    config = Config(1024, channel_base=16384)
    assert [config.channels(size) for size in config.resolutions] == [512, 512, 512, 512, 256, 128, 64, 32, 16]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 4}, "at least 8"),
        ({"mapping_layers": 0}, "at least 1"),
        ({"channel_base": 8}, "no "),
    ],
)
def test_a_config_that_cannot_be_is_one_line(settings, says):
    with pytest.raises(UserError, match=says):
        Config(**settings)


def test_images_of_w_plus_are_the_images_of_their_styles(tiny):
    z = torch.randn(2, 8)
    s = tiny.style(tiny.truncate(tiny.mapping(z)))
    torch.testing.assert_close(tiny(z), tiny.synthesis(s), atol=0, rtol=0)
    assert s.shape == (2, tiny.config.style_channels)
    assert tiny(z).shape == (2, 3, tiny.config.resolution, tiny.config.resolution)


def test_truncation_draws_the_rows_below_the_cutoff_towards_the_mean(tiny):
    w = torch.randn(2, 12)
    half, some = tiny.truncate(w, 0.5), tiny.truncate(w, 0.5, cutoff=3)
    torch.testing.assert_close(half, ((w + tiny.mapping.w_avg) / 2)[:, None].expand(-1, tiny.config.rows, -1))
    assert torch.equal(some[:, :3], half[:, :3])
    assert torch.equal(some[:, 3:], w[:, None].expand(-1, tiny.config.rows - 3, -1))
    assert torch.equal(tiny.truncate(w), w[:, None].expand(-1, tiny.config.rows, -1))


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_demodulation_undoes_a_common_factor_of_the_styles_of_a_layer(tiny, factor):
    s = styles(tiny)
    for layer in tiny.layers:
        scaled = s.clone()
        scaled[:, layer.start : layer.stop] *= factor
        before, after = tiny.synthesis(s), tiny.synthesis(scaled)
        if layer.is_rgb:
            assert not torch.allclose(before, after, rtol=1e-2)
        else:
            torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_colours_grow_with_the_styles_of_their_layer(tiny):
    s, last = styles(tiny), tiny.layers[-1]
    images = []
    for factor in (0.0, 1.0, 2.0):
        scaled = s.clone()
        scaled[:, last.start : last.stop] *= factor
        images.append(tiny.synthesis(scaled))
    torch.testing.assert_close(images[2] - images[0], 2 * (images[1] - images[0]), atol=1e-5, rtol=1e-4)


def test_constant_noise_is_the_same_every_time_and_maps_can_be_given(tiny):
    s = styles(tiny)
    assert torch.equal(tiny.synthesis(s), tiny.synthesis(s))
    own = [value[None, None] for key, value in tiny.named_buffers() if key.endswith("noise_const")]
    assert [tuple(noise.shape[1:]) for noise in own] == tiny.noise_shapes()
    torch.testing.assert_close(tiny.synthesis(s, noise=own), tiny.synthesis(s), atol=1e-5, rtol=0)
    silent = [torch.zeros_like(noise) for noise in own]
    torch.testing.assert_close(tiny.synthesis(s, noise=silent), tiny.synthesis(s, noise="none"), atol=1e-5, rtol=0)
    assert not torch.allclose(tiny.synthesis(s), tiny.synthesis(s, noise="none"), atol=1e-2)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("count", [1, 3])
def test_synthesis_in_place_gives_the_same_images_and_leaves_its_inputs_alone(tiny, count, without):
    s = styles(tiny, count)
    maps = [torch.randn(count, *shape) for shape in tiny.noise_shapes()]
    given = [s, *maps, *tiny.state_dict().values()]
    before = [value.clone() for value in given]
    expected = [tiny.synthesis(s), tiny.synthesis(s, noise=maps)]
    with without():
        found = [tiny.synthesis(s), tiny.synthesis(s, noise=maps)]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert all(map(torch.equal, given, before))


def test_a_row_does_not_depend_on_its_batch(tiny):
    s = styles(tiny, 5)
    torch.testing.assert_close(tiny.synthesis(s)[3:4], tiny.synthesis(s[3:4]), atol=1e-5, rtol=1e-5)
    z = torch.randn(5, 8)
    torch.testing.assert_close(tiny.mapping(z)[3:4], tiny.mapping(z[3:4]), atol=1e-6, rtol=1e-5)


def test_gradients_reach_every_style_and_agree_with_differences(tiny):
    tiny.double()
    s = styles_of(tiny).requires_grad_()
    weight = torch.randn(1, 3, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (tiny.synthesis(s) * weight).mean().backward()
    assert s.grad is not None
    assert (s.grad != 0).all()
    with torch.no_grad():
        for layer in tiny.layers:
            step = torch.zeros_like(s)
            step[:, layer.start : layer.stop] = s.grad[:, layer.start : layer.stop]
            step *= 1e-3 / step.norm()
            change = ((tiny.synthesis(s + step) - tiny.synthesis(s - step)) * weight).mean()
            torch.testing.assert_close(change, 2 * (step * s.grad).sum(), rtol=0.02, atol=1e-9)
    assert all(parameter.grad is None for parameter in tiny.parameters())


def styles_of(generator: Generator) -> torch.Tensor:
    z = torch.randn(2, generator.config.z_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return generator.style(generator.truncate(generator.mapping(z)))
