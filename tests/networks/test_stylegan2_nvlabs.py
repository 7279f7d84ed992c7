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

import pytest
import torch
from stylegan2_files import (
    GOLDEN,
    Call,
    generator_of,
    golden,
    images,
    module,
    refused,
    state_of,
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


def test_a_tensorflow_pickle_is_recognised(tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01h\x01h\x01\x87q\x02.")
    refused(path, r"a TensorFlow checkpoint .* legacy\.py")


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
