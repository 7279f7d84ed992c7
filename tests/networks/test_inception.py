"""The resize against clean-fid and stored hashes; the extractor's handling of its weights, with a stand-in for the
network.
"""

import hashlib
import json
import platform

import numpy as np
import pytest
import torch
from cleanfid.resize import make_resizer
from goldens import FOLDER, tensors
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.core.readers import so_many
from t2ibench.networks import inception
from t2ibench.networks.inception import FILE, Inception, clean_resize, clean_resized, resized, weights

IMAGES = {name: image.numpy() for name, image in tensors("images").items()}  # uint8 [H, W, 3]
TABLES = {
    name: json.loads((FOLDER / f"{name}.json").read_text())
    for name in ("images_resized", "images_resized_pillow12.3.0")
}


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_the_resize_is_pillows_on_each_channel_in_float(name):
    """As clean-fid's own function does it, and as the protocol says of it."""
    ours = clean_resize(IMAGES[name].transpose(2, 0, 1), 299)
    theirs = make_resizer("PIL", False, "bicubic", (299, 299))(IMAGES[name])
    np.testing.assert_array_equal(ours, theirs.transpose(2, 0, 1))
    assert (ours.dtype, ours.shape) == (np.float32, (3, 299, 299))
    for channel, made in zip(IMAGES[name].transpose(2, 0, 1), ours, strict=True):
        resized = Image.fromarray(channel.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(made, np.asarray(resized).clip(0, 255))


@pytest.mark.parametrize("readers", [1, 3])
def test_a_batch_is_resized_as_each_image_is(readers):
    images = np.random.default_rng(0).integers(0, 256, (11, 3, 40, 30), np.uint8)
    with so_many(readers):
        batch = clean_resized(images, 64)
    np.testing.assert_array_equal(batch, np.stack([clean_resize(image, 64) for image in images]))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other machines fuse multiply and add")
@pytest.mark.parametrize("name", sorted(IMAGES))
def test_the_resize_has_a_known_hash(name):
    ours = np.ascontiguousarray(clean_resize(IMAGES[name].transpose(2, 0, 1), 299).transpose(1, 2, 0))
    known = {table["sha256_of_full_C_order_array"][f"cleanfid_clean299_{name}"] for table in TABLES.values()}
    assert hashlib.sha256(ours.tobytes()).hexdigest() in known


class StandIn(torch.nn.Module):
    """Stands where the TorchScript network does: `layers` answers with the mean of each channel, as 2,048 equal parts.

    Called itself, it says what it was asked for, as features of 1s or as the mean of the image in 1,008 places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = Means()

    def forward(
        self, images: torch.Tensor, return_features: bool = False, no_output_bias: bool = False
    ) -> torch.Tensor:
        means = images.float().mean(dim=[1, 2, 3])[:, None]
        if return_features:
            return means.repeat(1, 2048)
        return means.repeat(1, 1008) / 255 if no_output_bias else means.repeat(1, 1008) * 0 - 1


class Means(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=[2, 3]).repeat(1, 683)[:, :2048, None, None]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    path = tmp_path / FILE
    torch.jit.save(torch.jit.script(StandIn()), path)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("T2IBENCH_INCEPTION", str(tmp_path))
    return path


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_images_reach_the_network_scaled_and_one_by_one(stand_in):
    images = torch.stack([torch.full((3, 20, 30), value, dtype=torch.uint8) for value in (0, 128, 255)])
    extractor = Inception()
    found = extractor.features(images)
    assert (found.shape, found.dtype) == ((3, 2048), torch.float32)
    torch.testing.assert_close(found[:, 0], torch.tensor([-1.0, 0.0, 127 / 128]), atol=1e-6, rtol=0)
    torch.testing.assert_close(extractor.features(images[2:]), found[2:], atol=0, rtol=0)
    with pytest.raises(ValueError, match="inception reads uint8"):
        extractor.features(images.float())


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inception", 127 / 128),
        ("inception-tm-aa", 127 / 128),
        ("inception-legacy-pt", 1.0),
        ("inception-square", 1.0),
        ("inception-legacy-tf", 255.0),
        ("inception-probabilities", 1.0),
    ],
)
def test_white_arrives_as_each_protocol_says(stand_in, name, expected):
    extractor = Inception(name=name)
    found = extractor.features(torch.full((2, 3, 20, 30), 255, dtype=torch.uint8))
    assert found.shape == (2, 1008 if name == "inception-probabilities" else 2048)
    torch.testing.assert_close(found, torch.full_like(found, expected), atol=1e-6, rtol=0)


RESIZED_BY = {"inception-legacy-pt": "cleanfid_legacy_pytorch299", "inception-tm-aa": "torch_bilinear_antialias299"}


@pytest.mark.parametrize("name", RESIZED_BY)
@pytest.mark.parametrize("image", sorted(IMAGES))
def test_other_resizes_agree_with_stored_ones(name, image):
    seen = resized(torch.from_numpy(IMAGES[image].transpose(2, 0, 1).copy())[None], name)[0].permute(1, 2, 0)
    pixels = (seen + 1) / 2 * 255 if name == "inception-legacy-pt" else seen * 128 + 128
    with np.load(FOLDER / "images_resized_every13.npz") as stored:
        np.testing.assert_allclose(
            pixels.numpy()[::13, ::13], stored[f"{RESIZED_BY[name]}_{image}__every13"], atol=1e-3
        )


def test_the_middle_square_is_resized_in_8_bits():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 51, 3), np.uint8)
    square = Image.fromarray(pixels).crop((10, 0, 40, 30)).resize((299, 299), Image.Resampling.BICUBIC)
    [seen] = resized(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None], "inception-square")
    np.testing.assert_allclose((seen.permute(1, 2, 0) + 1) * 127.5, np.asarray(square, np.float32), atol=1e-4)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(UserError, match="no extractor is called 'inception-legacy', did you mean 'inception-legacy-"):
        Inception(name="inception-legacy")


def test_weights_are_found_in_the_cache_folder_or_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    assert weights() is None
    (tmp_path / FILE).write_bytes(b"x")
    assert weights() == tmp_path / FILE
    monkeypatch.setenv("T2IBENCH_INCEPTION", str(tmp_path / FILE))
    assert weights() == tmp_path / FILE


def test_weights_are_found_where_other_packages_keep_them(tmp_path, monkeypatch):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    for folder in (tmp_path / "tmp", hub, tmp_path / "cache"):  # the later ones come first
        folder.mkdir(parents=True)
        (folder / FILE).write_bytes(b"x")
        assert weights() == folder / FILE
    with pytest.raises(UserError, match="sha256"):  # wherever it lies
        Inception()


def test_a_named_place_without_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_INCEPTION", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"T2IBENCH_INCEPTION is .*nowhere"):
        weights()


def test_absent_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="is missing: put NVIDIA"):
        Inception()


def test_another_file_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    (tmp_path / FILE).write_bytes(b"not a network")
    monkeypatch.setenv("T2IBENCH_INCEPTION", str(tmp_path / FILE))
    with pytest.raises(UserError, match=r"13 bytes with sha256 .*, expected f58cb9b6ec32"):
        Inception()


@pytest.mark.weights
@pytest.mark.skipif(weights() is None, reason="inception-2015-12-05.pt is not on this machine")
def test_the_published_network_agrees_with_clean_fid():
    found = weights()
    assert found is not None
    network = pytest.importorskip("cleanfid.inception_torchscript").InceptionV3W(str(found.parent), download=False)
    image = torch.from_numpy(IMAGES["wave64"]).permute(2, 0, 1)[None]
    resized = torch.from_numpy(clean_resize(image[0].numpy(), 299))[None]
    torch.testing.assert_close(Inception().features(image), network(resized).float(), atol=1e-5, rtol=0)
