"""Images from anywhere against real images or statistics of anywhere, in two lines of Python and on the command
line.
"""

import json

import numpy as np
import pytest
import torch
from goldens import FOLDER
from PIL import Image
from typer.testing import CliRunner

import t2ibench
from t2ibench import cli
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.data.folders import mapped
from t2ibench.networks import extractors
from t2ibench.networks.extractors import Extractor
from t2ibench.stats.frechet import Moments, frechet_distance

D = 16


def features(images: torch.Tensor) -> torch.Tensor:
    """Means of 16 patches of the first channel."""
    return torch.nn.functional.adaptive_avg_pool2d(images[:, :1].float(), 4).flatten(1) / 255


def noise(n: int, seed: int, brightest: int = 256, side: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, brightest, (n, 3, side, side), np.uint8)


def folder(path, images):
    path.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(path / f"{i:03}.png")
    return path


@pytest.fixture(autouse=True)
def patches(monkeypatch, tmp_path):
    """Every extractor is the means of patches."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("T2IBENCH_INCEPTION", raising=False)
    monkeypatch.setattr(
        "t2ibench.scoring.evidence.find", lambda models, name: Extractor(name, "0" * 64, "none", features)
    )


MADE, REAL = noise(120, 0, 200), noise(150, 1)


@pytest.mark.parametrize("kind", ["array", "tensor", "folder", "npz"])
def test_two_lines_of_python_give_the_estimates(tmp_path, kind):
    if kind == "npz":
        np.savez(tmp_path / "made.npz", arr_0=MADE.transpose(0, 2, 3, 1), arr_1=np.zeros(120))
    images = {"array": MADE, "tensor": torch.from_numpy(MADE), "npz": tmp_path / "made.npz"}
    given = folder(tmp_path / "made", MADE) if kind == "folder" else images[kind]
    found = t2ibench.score_images(given, REAL, ["fid", "kid", "prdc"], extractor="patches")
    assert set(found) == {"fd_patches", "kd_patches", "precision", "recall", "density", "coverage"}
    expected = frechet_distance(features(torch.from_numpy(MADE)), features(torch.from_numpy(REAL)))
    assert found["fd_patches"].value == pytest.approx(expected, abs=1e-9)
    assert (found["fd_patches"].n, found["fd_patches"].protocol["reference_images"]) == (120, 150)


def test_statistics_of_others_stand_for_the_real_images(tmp_path):
    own = Moments.of(features(torch.from_numpy(REAL)))
    np.savez(tmp_path / "real.npz", mu=own.mean.numpy(), sigma=own.covariance.numpy())
    found = t2ibench.score_images(MADE, tmp_path / "real.npz", ["fid"], extractor="patches")["fd_patches"]
    assert found.value == pytest.approx(frechet_distance(features(torch.from_numpy(MADE)), own), abs=1e-9)


def test_images_of_an_archive_stay_on_the_disk(tmp_path):
    np.savez(tmp_path / "made.npz", arr_0=MADE.transpose(0, 2, 3, 1))
    np.savez_compressed(tmp_path / "packed.npz", arr_0=MADE.transpose(0, 2, 3, 1))
    found = mapped(tmp_path / "made.npz")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, MADE)
    np.testing.assert_array_equal(mapped(tmp_path / "packed.npz"), MADE)
    with pytest.raises(UserError, match="holds no images arr_0"):
        mapped(FOLDER / "stats_pytorch_fid.npz")


def test_folders_of_two_sizes_are_looked_at_as_they_are(tmp_path):
    large = np.repeat(np.repeat(REAL, 2, 2), 2, 3)
    same = t2ibench.score_images(MADE, REAL, ["fid"], extractor="patches")["fd_patches"].value
    found = t2ibench.score_images(
        folder(tmp_path / "made", MADE), folder(tmp_path / "real", large), ["fid"], extractor="patches"
    )
    assert found["fd_patches"].value == pytest.approx(same, abs=1e-9)


def test_the_command_needs_no_data_set_and_no_prompts(tmp_path):
    made, real = folder(tmp_path / "made", MADE), folder(tmp_path / "real", REAL)
    words = ["score", str(made), "--reference", str(real), "--metrics", "fid,prdc", "--extractor", "patches", "--json"]
    answer = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    record = json.loads(answer.output)
    records.validate(record)
    assert record["dataset"]["reference"] == {
        "split": "reference",
        "images": 150,
        "digest": record["dataset"]["reference"]["digest"],
    }
    assert record["values"]["fd_patches"]["value"] == pytest.approx(
        t2ibench.score_images(MADE, REAL, ["fid"], extractor="patches")["fd_patches"].value
    )


def test_a_file_of_statistics_on_the_command_line(tmp_path):
    made = folder(tmp_path / "made", MADE)
    words = [
        "score",
        str(made),
        "--reference",
        str(FOLDER / "stats_adm.npz"),
        "--metrics",
        "fid",
        "--extractor",
        "patches",
        "--json",
    ]
    record = json.loads(CliRunner().invoke(cli.app, words, catch_exceptions=False).output)
    assert record["values"]["fd_patches"]["protocol"]["reference_images"] == "unknown"


def test_texts_are_asked_for_only_by_metrics_that_read_them(tmp_path):
    with pytest.raises(UserError, match="clip_score reads the texts of the images, and there are none: give --prompts"):
        t2ibench.score_images(MADE, REAL, ["fid", "clip_score"], extractor="patches")


@pytest.mark.parametrize(
    ("images", "reference", "settings", "why"),
    [
        (MADE.astype(np.float32), REAL, {}, r"images are float32 \[120, 3, 12, 12\], expected uint8"),
        (MADE[:, :1], REAL, {}, r"images are uint8 \[120, 1, 12, 12\], expected uint8 \[N, 3, H, W\]"),
        (MADE[:0], REAL, {}, "expected uint8"),
        ("nowhere", REAL, {}, "nowhere does not exist"),
        (MADE, "nowhere.npz", {}, "nowhere.npz does not exist"),
        (MADE, REAL[:50], {}, "50 real images"),
        (MADE, REAL, {"metrics": ["fit"]}, "no metric is called 'fit', did you mean 'fid'"),
        (MADE, REAL, {"metrics": ["edit_success"]}, "edit_success scores the track edit"),
        (MADE, REAL, {"prompts": ["a"]}, "prompts has 1 texts, array has 120 images"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(images, reference, settings, why):
    with pytest.raises(UserError, match=why) as error:
        t2ibench.score_images(images, reference, **{"extractor": "patches", "metrics": ["fid"], **settings})
    assert "\n" not in str(error.value)


def test_an_image_of_another_size_is_looked_at_as_it_is_unless_a_size_is_given(tmp_path):
    path = folder(tmp_path / "made", MADE)
    large = np.repeat(np.repeat(MADE[119], 2, 1), 2, 2)
    Image.fromarray(large.transpose(1, 2, 0)).save(path / "119.png")
    same = t2ibench.score_images(MADE, REAL, ["fid"], extractor="patches")["fd_patches"].value
    found = t2ibench.score_images(path, REAL, ["fid"], extractor="patches")["fd_patches"]
    assert found.value == pytest.approx(same, abs=1e-9)
    assert t2ibench.score_images(path, REAL, ["fid"], extractor="patches", size=12)["fd_patches"].n == 120


def test_an_unknown_extractor_is_refused(monkeypatch):
    monkeypatch.setattr("t2ibench.scoring.evidence.find", extractors.find)
    with pytest.raises(UserError, match="patches"):
        t2ibench.score_images(MADE, REAL, ["fid"], extractor="patches")
    with pytest.raises(UserError, match=r"inception: .* is missing: put NVIDIA's TorchScript file"):
        t2ibench.score_images(MADE, REAL, ["fid"], extractor="inception")
