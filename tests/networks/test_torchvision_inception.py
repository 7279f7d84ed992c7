"""networks/torchvision_inception.py: features and resizing are torchvision's; weights are found and checked."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import inception_v3
from torchvision.transforms import v2

from t2ibench.core.errors import UserError
from t2ibench.networks import extractors, torchvision_inception
from t2ibench.networks.models import Models
from t2ibench.networks.torchvision_inception import FILE, VARIABLE, TorchvisionInception, resized, weights

SQUASHED, TENSOR = "inception-torchvision", "inception-torchvision-tensor"


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return inception_v3(weights=None, init_weights=False, transform_input=True).eval()


@pytest.fixture
def file(network, tmp_path, monkeypatch):
    path = tmp_path / FILE
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(torchvision_inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return path


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_features_are_what_torchvisions_network_gives_before_its_last_layer(file, network):
    extractor = extractors.find(Models(), TENSOR)
    image = torch.from_numpy(noise(40, 30)).permute(2, 0, 1)[None]
    pooled = []
    handle = network.avgpool.register_forward_hook(lambda module, given, answer: pooled.append(answer.flatten(1)))
    with torch.no_grad():
        network(torch.nn.functional.interpolate(image / 255, (299, 299), mode="bilinear", align_corners=False))
    handle.remove()
    found = extractor.network(image)
    assert found.shape == (1, 2048)
    torch.testing.assert_close(found, pooled[0], rtol=1e-4, atol=1e-5)
    assert (extractor.resize, extractor.reads_files) == ("tensor_bilinear299", True)


def test_an_image_is_resized_as_each_protocol_does_it():
    image = noise(48, 400)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    theirs = v2.Compose([v2.Resize((299, 299)), v2.PILToTensor()])(Image.fromarray(image)).float() / 255
    torch.testing.assert_close(resized(pixels, SQUASHED)[0], theirs, rtol=0, atol=0)
    theirs = v2.Resize((299, 299), antialias=False)(pixels.float() / 255)
    torch.testing.assert_close(resized(pixels, TENSOR), theirs, rtol=0, atol=1e-6)


def test_absent_other_and_damaged_weights_are_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert weights() is None
    with pytest.raises(UserError, match=f"{FILE} is missing: put torchvision's file of that name there"):
        TorchvisionInception("cpu", SQUASHED)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=f"{VARIABLE} is .*nowhere: there is no file"):
        weights()
    (tmp_path / FILE).write_bytes(b"no network")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"10 bytes with sha256 .*, expected 0cc3c7bd"):
        TorchvisionInception("cpu", SQUASHED)
    monkeypatch.setattr(torchvision_inception, "SHA256", "")
    with pytest.raises(UserError, match="torchvision's Inception"):
        TorchvisionInception("cpu", SQUASHED)
    with pytest.raises(UserError, match="no extractor is called 'inception-torchvision-tensors', did you mean"):
        TorchvisionInception("cpu", "inception-torchvision-tensors")
