"""StyleGAN2 files of ours and rosinality's: round trips keep images, bad files are one line, and the command that
converts.
"""

import argparse
import dataclasses
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as parse_safetensors
from stylegan2_files import GOLDEN, Call, generator_of, images, refused, write_pkl

from t2ibench import cli
from t2ibench.core.errors import UserError
from t2ibench.networks import weights
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Config, Generator, checkpoints, rosinality, shapes

TINY = Config(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=128, channel_max=12)


@pytest.fixture
def tiny() -> Generator:
    torch.manual_seed(0)
    generator = Generator(TINY)
    generator.mapping.w_avg.normal_()
    return generator.eval().requires_grad_(False)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".safetensors"])
def test_a_truncated_file_is_one_line(share, suffix, tmp_path, tiny):
    path = tmp_path / f"network{suffix}"
    if suffix == ".pkl":
        write_pkl(path)
    else:
        checkpoints.save(path, tiny, {})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, f"{int(share * len(data)):,} bytes")


# rosinality


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_round_trip_keeps_every_number(name, suffix, tmp_path):
    generator, path = generator_of(name), tmp_path / f"network{suffix}"
    checkpoints.save(path, generator, {})
    again = checkpoints.load(path)
    assert again.config == generator.config
    assert torch.equal(images(again, name), images(generator, name))
    for key, value in generator.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_the_keys_of_a_pt_file_are_those_of_the_public_code(tmp_path, tiny):
    checkpoints.save(tmp_path / "network.pt", tiny, {})
    content = torch.load(tmp_path / "network.pt", weights_only=True)
    shapes_of = {key: tuple(value.shape) for key, value in content["g_ema"].items()}
    expected: dict[str, tuple[int, ...]] = {"input.input": (1, 12, 4, 4)}
    for k in (1, 2):
        expected |= {f"style.{k}.weight": (12, 12), f"style.{k}.bias": (12,)}
    convolutions = {"conv1": (12, 12), "convs.0": (12, 12), "convs.1": (12, 12), "convs.2": (8, 12), "convs.3": (8, 8)}
    for name, (outputs, inputs) in convolutions.items():
        expected |= {
            f"{name}.conv.weight": (1, outputs, inputs, 3, 3),
            f"{name}.activate.bias": (outputs,),
            f"{name}.noise.weight": (1,),
        }
        expected |= {f"{name}.conv.modulation.weight": (inputs, 12), f"{name}.conv.modulation.bias": (inputs,)}
    for name, inputs in {"to_rgb1": 12, "to_rgbs.0": 12, "to_rgbs.1": 8}.items():
        expected |= {f"{name}.conv.weight": (1, 3, inputs, 1, 1), f"{name}.bias": (1, 3, 1, 1)}
        expected |= {f"{name}.conv.modulation.weight": (inputs, 12), f"{name}.conv.modulation.bias": (inputs,)}
    expected |= {f"noises.noise_{k}": (1, 1, size, size) for k, size in enumerate([4, 8, 8, 16, 16])}
    expected |= {key: (4, 4) for key in ("convs.0.conv.blur.kernel", "convs.2.conv.blur.kernel")}
    expected |= {key: (4, 4) for key in ("to_rgbs.0.upsample.kernel", "to_rgbs.1.upsample.kernel")}
    assert shapes_of == expected
    assert content["latent_avg"].shape == (12,)
    assert all(float(value.sum()) == 4 for key, value in content["g_ema"].items() if key.endswith("kernel"))


def test_the_arguments_that_public_training_stores_do_no_harm(tmp_path, tiny):
    path = tmp_path / "000000.pt"
    checkpoints.save(path, tiny, {})
    torch.save(torch.load(path) | {"args": argparse.Namespace(size=16), "g_optim": {"state": {}}}, path)
    assert checkpoints.load(path).config == TINY


def test_a_missing_mean_is_estimated_and_said(tmp_path, tiny, caplog):
    path = tmp_path / "000000.pt"
    checkpoints.save(path, tiny, {})
    content = torch.load(path)
    del content["latent_avg"]
    torch.save(content, path)
    one, two = checkpoints.load(path).mapping.w_avg, checkpoints.load(path).mapping.w_avg
    assert torch.equal(one, two)
    w = tiny.mapping(torch.randn(16_384, 12))
    assert ((one - w.mean(0)) / w.std(0)).abs().max() < 0.05  # their difference has a standard error of 0.011
    assert "has no mean w" in caplog.text


def test_missing_noise_maps_are_drawn_once_for_all_and_said(tmp_path, tiny, caplog):
    """As in the published FFHQ-256, whose file is older than the maps; its strengths are trained."""
    for block in tiny.blocks.values():
        for name, layer in block.items():
            if name != "torgb":
                layer.noise_strength.fill_(0.3)
    path = tmp_path / "550000.pt"
    checkpoints.save(path, tiny, {})
    content = torch.load(path)
    content["g_ema"] = {key: value for key, value in content["g_ema"].items() if not key.startswith("noises.")}
    torch.save(content, path)
    one, two = checkpoints.load(path), checkpoints.load(path)
    assert one.config == TINY
    assert "has no noise maps" in caplog.text
    maps = {key: value for key, value in one.state_dict().items() if key.endswith("noise_const")}
    assert len(maps) == 5
    assert all(torch.equal(value, two.state_dict()[key]) for key, value in maps.items())
    joined = torch.cat([value.flatten() for value in maps.values()])
    assert abs(float(joined.mean())) < 0.15  # 656 values: a standard error of 0.04
    assert abs(float(joined.std()) - 1) < 0.15
    s = torch.randn(2, TINY.style_channels)
    given = [value[None, None] for value in maps.values()]
    torch.testing.assert_close(one.synthesis(s), tiny.synthesis(s, given), atol=1e-5, rtol=1e-4)
    content["g_ema"]["noises.noise_0"] = torch.zeros(1, 1, 4, 4)  # some of them is a damaged file
    torch.save(content, path)
    refused(path, "noises.noise_1 is missing from g_ema")


def test_a_bare_state_dict_and_a_mean_for_every_row_are_read(tmp_path, tiny):
    path = tmp_path / "network.pt"
    checkpoints.save(path, tiny, {})
    content = torch.load(path)
    torch.save({**content, "latent_avg": content["latent_avg"].repeat(6, 1)}, path)
    assert torch.equal(checkpoints.load(path).mapping.w_avg, tiny.mapping.w_avg)
    torch.save({**content, "latent_avg": torch.randn(6, 12)}, path)
    refused(path, r"latent_avg is \(6, 12\), expected 12 numbers")
    torch.save(content["g_ema"], path, _use_new_zipfile_serialization=False)
    s = torch.randn(2, TINY.style_channels)
    assert torch.equal(checkpoints.load(path).synthesis(s), tiny.synthesis(s))


def test_a_swagan_is_refused_by_what_it_is(tmp_path, tiny):
    checkpoints.save(tmp_path / "network.pt", tiny, {})
    content = torch.load(tmp_path / "network.pt")
    content["g_ema"]["to_rgbs.0.iwt.ll"] = torch.ones(2, 2)
    torch.save(content, tmp_path / "network.pt")
    refused(tmp_path / "network.pt", "to_rgbs.0.iwt.ll is of SWAGAN")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda g: g.pop("convs.1.conv.weight"), "convs.1.conv.weight is missing"),
        (lambda g: g.update({"convs.9.conv.weight": torch.ones(1)}), "convs.9.conv.weight is unexpected"),
        (lambda g: g.update({"to_rgbs.0.upsample.kernel": torch.ones(4, 4) / 4}), "not the filter"),
        (lambda g: g.update({"input.input": torch.ones(12, 4, 4)}), "input.input has shape"),
        (
            lambda g: g.update({"convs.3.conv.weight": torch.ones(1, 8, 9, 3, 3)}),
            "b16.conv1.weight has shape 8x9x3x3, expected 8x8x3x3",
        ),
        (lambda g: g.update({"convs.1.conv.weight": torch.ones(1, 6, 6, 3, 3)}), "gives for no base"),
        (lambda g: g.clear(), "0 mapping layers"),
    ],
)
def test_a_pt_file_with_other_keys_or_shapes_is_refused(change, says, tmp_path, tiny):
    path = tmp_path / "network.pt"
    checkpoints.save(path, tiny, {})
    content = torch.load(path)
    change(content["g_ema"])
    torch.save(content, path)
    refused(path, says)


def test_a_pt_file_that_would_run_something_is_refused(tmp_path):
    trace = tmp_path / "called"
    torch.save({"g_ema": Call(os.system, f"touch {trace}")}, tmp_path / "network.pt")
    refused(tmp_path / "network.pt", r"asks for \w+\.system")
    assert not trace.exists()


@pytest.mark.parametrize("content", [[1], {"g": {}}, {"g_ema": 3}], ids=repr)
def test_a_pt_file_of_something_else_is_one_line(content, tmp_path):
    torch.save(content, tmp_path / "network.pt")
    refused(tmp_path / "network.pt", "expected a checkpoint of stylegan2-pytorch")


def test_z_and_w_of_different_sizes_cannot_be_a_pt_file(tmp_path):
    generator = Generator(dataclasses.replace(TINY, z_dim=8))
    with pytest.raises(UserError, match="z has 8 dimensions and w 12"):
        checkpoints.save(tmp_path / "network.pt", generator, {})
    assert not list(tmp_path.iterdir())


# Shapes, resolutions, our own files


@pytest.mark.parametrize(("base", "resolution"), [(32768, 1024), (16384, 256), (16384, 1024), (256, 64), (4096, 32)])
def test_channel_base_and_maximum_are_found_in_the_shapes(base, resolution):
    config = Config(resolution, 512, 512, 2, base, 512 if base > 4096 else 24)
    with torch.device("meta"):
        state = Generator(config).state_dict()
    found = shapes.config_of("here", state)
    assert [found.channels(size) for size in config.resolutions] == [
        config.channels(size) for size in config.resolutions
    ]
    assert (found.resolution, found.z_dim, found.w_dim, found.mapping_layers) == (resolution, 512, 512, 2)


def test_the_tables_cover_every_parameter_and_buffer(tiny):
    assert rosinality.table(16, 2).keys() | {"mapping.w_avg"} == tiny.state_dict().keys()
    assert len({key for key, _, _ in rosinality.table(1024, 8).values()}) == len(rosinality.table(1024, 8))


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".safetensors"])
def test_another_resolution_than_asked_for_is_refused(suffix, tmp_path, tiny):
    path = tmp_path / f"network{suffix}"
    if suffix == ".pkl":
        write_pkl(path, "stylegan2_16_clamp")
    else:
        checkpoints.save(path, tiny, {})
    assert checkpoints.load(path, resolution=16).config.resolution == 16
    refused(path, "makes images of 16 pixels, expected 64", resolution=64)


def test_weights_that_do_not_fit_their_card_are_refused(tmp_path, tiny):
    path = tmp_path / "network.safetensors"
    wrong = dataclasses.asdict(dataclasses.replace(TINY, channel_base=64))  # half the multiplier
    weights.write(path, tiny.state_dict(), wrong, {})
    with pytest.raises(UserError, match=r"16 pixels with channel_base 64 .* 12x12x3x3, expected 8x12x3x3"):
        checkpoints.load(path)
    weights.write(path, tiny.state_dict(), wrong | {"chanel_max": 3}, {})
    with pytest.raises(UserError, match="unknown key 'chanel_max', did you mean 'channel_max'"):
        checkpoints.load(path)


def test_half_precision_is_half_the_size_and_close(tmp_path, tiny):
    checkpoints.save(tmp_path / "full.safetensors", tiny, {})
    checkpoints.save(tmp_path / "half.safetensors", tiny, {}, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert 0.5 < sizes[0] / sizes[1] < 0.7
    s = torch.randn(2, TINY.style_channels)
    full, half = (checkpoints.load(tmp_path / f"{name}.safetensors").synthesis(s) for name in ("full", "half"))
    assert torch.equal(full, tiny.synthesis(s))
    assert (half - full).abs().max() < 0.02 * full.abs().max()
    assert {value.dtype for value in parse_safetensors((tmp_path / "half.safetensors").read_bytes()).values()} == {
        torch.float16
    }


def test_unknown_kinds_and_missing_files_are_one_line(tmp_path, tiny):
    for content, says in ((b"", "is empty"), (b"<html>Sign in</html>", "a web page"), (b"\x93NUMPY123", "an array of")):
        (tmp_path / "network.pth").write_bytes(content)
        refused(tmp_path / "network.pth", says)
    checkpoints.save(tmp_path / "network.pt", tiny, {})
    (tmp_path / "network.pt").rename(tmp_path / "network.pkl")  # suffixes decide nothing
    assert checkpoints.load(tmp_path / "network.pkl").config == TINY
    refused(tmp_path / "nowhere.pt", "is missing")
    with pytest.raises(UserError, match=r"the suffix is '.pkl', expected one of .pt, .safetensors"):
        checkpoints.save(tmp_path / "network.pkl", tiny, {})


def test_loading_leaves_the_global_random_state_alone(tmp_path, tiny):
    checkpoints.save(tmp_path / "network.pt", tiny, {})
    before = torch.get_rng_state()
    checkpoints.load(tmp_path / "network.pt")
    assert torch.equal(torch.get_rng_state(), before)


# Where they are used


def test_models_hand_out_each_generator_once_and_list_it(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    checkpoints.save(
        tmp_path / "stylegan2-own.safetensors", tiny, {"data": {"dataset": "d"}, "optimised_for": "images"}
    )
    checkpoints.save(tmp_path / "network.pt", tiny, {})
    models = Models()
    for name in ("stylegan2-own", str(tmp_path / "stylegan2-own.safetensors"), str(tmp_path / "network.pt")):
        generator = models.stylegan2(name)
        assert models.stylegan2(name) is generator
        assert not generator.training
        assert not any(parameter.requires_grad for parameter in generator.parameters())
    known = {
        "sha256": checkpoints.sha256(tmp_path / "stylegan2-own.safetensors"),
        "data": {"dataset": "d"},
        "optimised_for": "images",
    }
    assert models.used["stylegan2-own"] == models.used[str(tmp_path / "stylegan2-own.safetensors")] == known
    assert models.used[str(tmp_path / "network.pt")]["data"] == "network.pt"
    for name, says in (("stylegan2-onw", "did you mean 'stylegan2-own'"), (str(tmp_path / "no.pkl"), "is missing")):
        with pytest.raises(UserError, match=says):
            models.stylegan2(name)
        assert name not in models.used


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["t2ibench", *arguments])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    return (code, *capsys.readouterr())


def test_the_command_converts_without_changing_an_image(tmp_path, monkeypatch, capsys):
    name = "stylegan2_32"
    pkl, pt, ours = (tmp_path / f"network{suffix}" for suffix in (".pkl", ".pt", ".safetensors"))
    write_pkl(pkl, name)
    for source, target in ((pkl, pt), (pt, ours)):
        code, said, _ = call(monkeypatch, capsys, "convert", str(source), str(target))
        assert code == 0
        assert "32 pixels, 2 mapping layers" in said
    assert torch.equal(images(checkpoints.load(ours), name), images(generator_of(name), name))
    assert weights.read(ours).card["converted_from"] == {"file": "network.pt", "sha256": checkpoints.sha256(pt)}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (["out.pkl"], "the suffix is '.pkl'"),
        (["taken.pt"], "exists: name another file, or add --replace"),
        (["out.pt", "--half"], "--half has no effect here: it is for .safetensors"),
    ],
)
def test_a_conversion_that_cannot_be_is_one_line(target, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_pkl(Path("network.pkl"))
    Path("taken.pt").write_bytes(b"mine")
    code, _, error = call(monkeypatch, capsys, "convert", "network.pkl", *target)
    assert code == 2
    assert says in error
    assert error.count("\n") == 1
    assert Path("taken.pt").read_bytes() == b"mine"
