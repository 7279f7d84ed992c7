"""Pickles of NVlabs' StyleGAN2: read without running any of their code; others, hostile ones too, are refused in one
line.
"""

import collections
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stylegan2_files import (
    GOLDEN,
    Call,
    generator_of,
    golden,
    images,
    module,
    refused,
    settings,
    state_of,
    tensorflow_network,
    tree,
    write_pickle,
    write_pkl,
)

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import checkpoints


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_pickle_of_nvlabs_gives_the_stored_images(name, protocol, tmp_path):
    generator = checkpoints.load(write_pkl(tmp_path / "network.pkl", name, protocol=protocol))
    assert generator.config == generator_of(name).config  # mapping depth, channels and clamp
    torch.testing.assert_close(images(generator, name), golden(name)["image_const_noise"], atol=1e-4, rtol=0)
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_source_code_in_a_pickle_is_never_executed(tmp_path):
    trace = tmp_path / "executed"
    checkpoints.load(write_pkl(tmp_path / "network.pkl", source=f"open({str(trace)!r}, 'w').close()\nraise SystemExit"))
    assert not trace.exists()


@pytest.mark.parametrize("function", [os.system, eval, os.getcwd], ids=lambda function: function.__name__)
def test_a_foreign_name_in_a_pickle_is_refused_and_not_called(function, tmp_path, monkeypatch):
    trace = tmp_path / "called"
    content = {"G_ema": Call(function, f"open({str(trace)!r}, 'w')" if function is eval else f"touch {trace}")}
    refused(write_pickle(tmp_path / "network.pkl", content), rf"asks for \w+\.{function.__name__}, which")
    assert not trace.exists()


def test_a_foreign_name_inside_a_stored_tensor_is_refused_and_not_called(tmp_path):
    trace, hidden = tmp_path / "called", io.BytesIO()
    torch.save(Call(os.system, f"touch {trace}"), hidden, _use_new_zipfile_serialization=False)

    class Storage:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (hidden.getvalue(),)

    class Weight:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (2,), (1,), False, collections.OrderedDict())

    parts = module("Generator", {}, {}, "")
    parts.meta["state"]["_parameters"]["weight"] = Weight()
    refused(write_pickle(tmp_path / "network.pkl", {"G_ema": parts}), r"asks for \w+\.system")
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_a_tensor_that_reaches_outside_its_memory_is_refused(tmp_path):
    class Weight:
        def __reduce__(self) -> Any:
            storage = torch.zeros(3).storage()
            return torch._utils._rebuild_tensor_v2, (storage, 0, (1_000,), (1,), False, collections.OrderedDict())

    parts = module("Generator", {}, {}, "")
    parts.meta["state"]["_parameters"]["weight"] = Weight()
    refused(write_pickle(tmp_path / "network.pkl", {"G_ema": parts}), "cannot be read")


def test_what_a_pickle_does_to_its_records_stays_in_it(tmp_path):
    """A pickle may set attributes of what it named; the next one finds it as it was."""
    # BUILD on the class itself
    hostile = b"\x80\x02ccollections\nOrderedDict\n}X\x04\x00\x00\x00nameX\x04\x00\x00\x00evilsb."
    path = tmp_path / "network.pkl"
    path.write_bytes(hostile)
    with pytest.raises(UserError):
        checkpoints.load(path)
    checkpoints.load(write_pkl(path))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_pickle_of_tensorflow_gives_the_stored_images(name, protocol, tmp_path):
    trace = tmp_path / "executed"
    source = f"open({str(trace)!r}, 'w').close()"  # what NVIDIA's loader executes
    networks = tuple(tensorflow_network(name, source=source) for _ in range(3))
    for number, content in enumerate((networks, networks[2])):
        generator = checkpoints.load(write_pickle(tmp_path / f"{number}.pkl", content, protocol))
        assert generator.config == generator_of(name).config
        torch.testing.assert_close(images(generator, name), golden(name)["image_const_noise"], atol=1e-4, rtol=0)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 3}, "of version 3, as of StyleGAN or Progressive GAN, expected 4 or newer"),
        ({"label_size": 10}, "has label_size 10, expected 0"),
        ({"architecture": "resnet"}, "has architecture 'resnet', expected 'skip'"),
        ({"resample_kernel": (1, 2, 1)}, r"has resample_kernel \[1, 2, 1\], expected \[1, 3, 3, 1\]"),
        ({"use_spectral_norm": True}, "has use_spectral_norm True, expected no such setting"),
    ],
)
def test_a_tensorflow_network_that_this_generator_cannot_be_is_refused(changes, says, tmp_path):
    refused(write_pickle(tmp_path / "network.pkl", (tensorflow_network(**changes),) * 3), says)


def test_variables_of_another_tensorflow_network_are_refused(tmp_path):
    network = tensorflow_network()
    network.components["synthesis"].variables.append(("8x8/Skip/weight", np.ones(2)))
    refused(write_pickle(tmp_path / "network.pkl", network), "has a variable synthesis/8x8/Skip/weight")
    network.variables = [("dlatent_avg", np.array([print], dtype=object))]
    refused(write_pickle(tmp_path / "network.pkl", network), "asks for builtins.print, which")
    network.variables = [("dlatent_avg", np.array([None], dtype=object))]
    refused(write_pickle(tmp_path / "network.pkl", network), "cannot be read .an array of object")


def test_a_mean_that_the_training_did_not_track_is_estimated_and_said(tmp_path, caplog):
    state = {key: value for key, value in state_of("stylegan2_32").items() if key != "mapping.w_avg"}
    generator = checkpoints.load(write_pkl(tmp_path / "network.pkl", state=state))
    torch.manual_seed(0)
    w = generator.mapping(torch.randn(20_000, generator.config.z_dim))
    assert ((generator.mapping.w_avg - w.mean(0)) / w.std(0)).abs().max() < 0.05  # a standard error of 0.010
    assert "has no mean w" in caplog.text
    torch.testing.assert_close(
        images(generator, "stylegan2_32"), golden("stylegan2_32")["image_const_noise"], atol=1e-4, rtol=0
    )


def test_the_width_of_the_mapping_is_found_in_the_shapes(tmp_path):
    state = state_of("stylegan2_32")
    torch.manual_seed(0)
    z_dim, w_dim = 6, len(state["mapping.w_avg"])
    inside, depth = 20, settings("stylegan2_32")["mapping_layers"]
    sizes = [z_dim, *[inside] * (depth - 1), w_dim]
    for number in range(depth):
        state[f"mapping.fc{number}.weight"] = torch.randn(sizes[number + 1], sizes[number])
        state[f"mapping.fc{number}.bias"] = torch.randn(sizes[number + 1])
    generator = checkpoints.load(write_pkl(tmp_path / "network.pkl", state=state))
    assert (generator.config.z_dim, generator.config.mapping_features) == (z_dim, inside)
    z = torch.randn(3, z_dim)
    x = z / z.square().mean(1, keepdim=True).sqrt()
    for number in range(depth):  # by hand: weights and biases are scaled by the learning rate, then a leaky ReLU
        weight = state[f"mapping.fc{number}.weight"] * 0.01 / sizes[number] ** 0.5
        x = F.leaky_relu(x @ weight.T + state[f"mapping.fc{number}.bias"] * 0.01, 0.2) * 2**0.5
    torch.testing.assert_close(generator.mapping(z), x, atol=1e-6, rtol=1e-4)
    checkpoints.save(tmp_path / "ours.safetensors", generator, {})
    assert checkpoints.load(tmp_path / "ours.safetensors").config == generator.config
    with pytest.raises(UserError, match=r"the mapping between them 20, which a .pt file cannot say"):
        checkpoints.save(tmp_path / "theirs.pt", generator, {})


def test_a_generator_of_grey_images_draws_three_equal_colours(tmp_path):
    state = state_of("stylegan2_32")
    for key, value in state.items():
        if ".torgb." in key and key.endswith(("torgb.weight", "torgb.bias")):
            state[key] = value[:1]
    grey = images(checkpoints.load(write_pkl(tmp_path / "network.pkl", state=state)), "stylegan2_32")
    red = golden("stylegan2_32")["image_const_noise"][:, :1]
    torch.testing.assert_close(grey, red.expand(-1, 3, -1, -1), atol=1e-4, rtol=0)


def test_a_stylegan3_is_refused_by_what_it_is(tmp_path):
    tensors = {"synthesis.input.freqs": torch.ones(4, 2), "synthesis.input.weight": torch.ones(4, 4)}
    tensors |= {"synthesis.L0_36_16.weight": torch.ones(4, 4, 3, 3), "mapping.fc0.weight": torch.ones(4, 4)}
    path = write_pickle(tmp_path / "stylegan3-r.pkl", {"G_ema": tree(tensors, "", None)})
    refused(path, "G_ema is a StyleGAN3, which has neither the layers nor the noise of StyleGAN2")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"c_dim": 10}, "takes a label .c_dim is 10"),
        ({"activation": "relu"}, "activation 'relu', expected 'lrelu'"),
        ({"use_noise": False}, "use_noise False, expected True"),
        ({"rate": 0.1}, "learning rates {0.1}, expected 0.01"),
        (
            {"state": {k: v for k, v in state_of("stylegan2_32").items() if k != "mapping.fc0.bias"}},
            "mapping.fc0.bias is missing",
        ),
        (
            {"state": {k: v for k, v in state_of("stylegan2_32").items() if ".b8." not in k}},
            "blocks at 4, 16, 32 pixels",
        ),
        (
            {"state": state_of("stylegan2_32") | {"synthesis.b8.skip.weight": torch.ones(1)}},
            "b8.skip.weight is unexpected",
        ),
        ({"state": state_of("stylegan2_32") | {"synthesis.b8.conv0.resample_filter": torch.ones(4)}}, "not the filter"),
        (
            {"state": state_of("stylegan2_32") | {"synthesis.b8.torgb.weight": torch.ones(4, 24, 1, 1)}},
            "4x24x1x1, expected 3x24x1x1",
        ),
        ({"state": state_of("stylegan2_32") | {"mapping.w_avg": torch.full([32], torch.nan)}}, "not finite"),
    ],
)
def test_a_network_that_this_generator_cannot_be_is_refused(changes, says, tmp_path):
    refused(write_pkl(tmp_path / "network.pkl", **changes), says)


@pytest.mark.parametrize("content", [3, [], {"G": 1}, {"G_ema": 1}, {"G_ema": {}}], ids=repr)
def test_a_pickle_of_something_else_is_one_line(content, tmp_path):
    refused(write_pickle(tmp_path / "network.pkl", content), "G_ema")


def test_a_snapshot_is_written_like_pickled_modules(tmp_path):
    """The stand-ins of these tests are pickled as calls of NVlabs' function, with plain state."""
    path = write_pkl(tmp_path / "network.pkl", source="x = 1")
    names = {argument for _, argument, _ in pickle_operations(path) if isinstance(argument, str)}
    assert {
        "torch_utils.persistence",
        "_reconstruct_persistent_obj",
        "module_src",
        "x = 1",
        "EasyDict",
        "_load_from_bytes",
    } <= names
    assert isinstance(tree({"a": torch.ones(1)}, "", None).meta["state"]["_parameters"], collections.OrderedDict)


def pickle_operations(path: Path) -> list[Any]:
    assert pickle.HIGHEST_PROTOCOL >= 4
    return list(pickletools.genops(path.read_bytes()))
