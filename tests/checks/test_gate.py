"""The gate between two folders of images: each planted fault is found by its layer, and what is allowed passes."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from t2ibench.checks.gate import distances, means
from t2ibench.checks.gate.faults import pairs, read
from t2ibench.checks.gate.judge import Result, judge
from t2ibench.cli import app
from t2ibench.core.errors import UserError

COUNT, SIDE = 40, 48


def pictures(count: int = COUNT) -> list[np.ndarray]:
    """Smooth colours that differ from image to image."""
    random = np.random.default_rng(1)
    coarse = random.integers(20, 236, (count, 6, 6, 3)).astype(float)
    return [ndimage.zoom(image, (SIDE / 6, SIDE / 6, 1), order=1).clip(0, 255).astype(np.uint8) for image in coarse]


def save(folder: Path, images: list[np.ndarray], suffix: str = "png") -> Path:
    folder.mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row:03}.{suffix}")
    return folder


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Result]:
    """gate(change, noise): A against A with a change of its list of images."""
    a = save(tmp_path / "a", pictures())

    def run(change: Callable[[list[np.ndarray]], list[np.ndarray]], noise: int = 1, suffix: str = "png") -> Result:
        return judge(read(a), read(save(tmp_path / "b", change(pictures()), suffix)), noise=noise)

    return run


def one(row: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    return lambda images: [change(image) if k == row else image for k, image in enumerate(images)]


def test_equal_images_pass_and_so_does_noise_of_the_allowed_size(gate, tmp_path):
    assert gate(lambda images: images, noise=0).exit_code == 0
    (tmp_path / "b").rename(tmp_path / "same")
    random = np.random.default_rng(7)
    result = gate(lambda images: [distances.noisy(image, 1, random) for image in images])
    assert (result.exit_code, result.faults, result.far) == (0, [], [])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("blank", one(3, lambda image: image * 0)),
        ("blank", one(3, lambda image: np.full_like(image, 200))),
        ("copy", lambda images: [images[5], *images[1:]]),
        ("size", one(3, lambda image: image[:, :32])),
    ],
)
def test_a_fault_of_a_single_image_is_named(gate, kind, change):
    result = gate(change)
    assert result.exit_code == 1
    assert kind in {fault.kind for fault in result.faults}
    assert len({fault.name for fault in result.faults}) == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("pixels", lambda images: [images[1], images[0], *images[2:]]),  # one shuffled prompt, of which two are swapped
        (
            "patches",
            one(3, lambda image: np.where(np.indices(image.shape)[0] < 8, 255 - image, image).astype(np.uint8)),
        ),
        ("detail", one(3, lambda image: distances.noisy(image, 6, np.random.default_rng(2)))),
        (
            "blocks",
            one(
                3,
                lambda image: (
                    image // 16 * 16 + np.kron(np.eye(6, dtype=np.uint8), np.ones((8, 8), np.uint8))[..., None] * 12
                ),
            ),
        ),
    ],
)
def test_a_pair_that_is_too_far_apart_is_named(gate, kind, change):
    result = gate(change)
    assert result.exit_code == 1
    assert kind in {far.kind for far in result.far}
    assert not result.faults


def test_a_shift_of_all_images_is_seen_by_the_means_alone(gate):
    result = gate(
        lambda images: [np.clip(image.astype(int) + 20, 0, 255).astype(np.uint8) for image in images], noise=30
    )
    brightness = next(mean for mean in result.means if mean.name == "brightness")
    assert (result.far, brightness.status, result.exit_code) == ([], "fail", 1)
    assert brightness.difference == pytest.approx(20, abs=1.5)


def test_files_of_another_format_are_a_fault(gate):
    assert {fault.kind for fault in gate(lambda images: images, noise=40, suffix="jpg").faults} == {"format"}


def test_reruns_say_how_far_a_is_from_itself(tmp_path):
    random = np.random.default_rng(0)
    a = save(tmp_path / "a", pictures())
    again, b = (
        save(tmp_path / name, [distances.noisy(image, 6, random) for image in pictures()]) for name in ("again", "b")
    )
    assert judge(read(a), read(b)).exit_code == 1
    assert judge(read(a), read(b), reruns=[read(again)]).exit_code == 0


def test_sets_that_do_not_pair_are_one_line(tmp_path):
    a, b = save(tmp_path / "a", pictures(5)), save(tmp_path / "b", pictures(4))
    with pytest.raises(UserError, match=r"a has '004' and .*b has not: make both from the same prompts and seeds"):
        judge(read(a), read(b))
    Image.fromarray(pictures(1)[0]).save(b / "004.jpg")
    assert pairs(read(a), read(b)) == ["000", "001", "002", "003", "004"]
    Image.fromarray(pictures(1)[0]).save(b / "004.png")
    with pytest.raises(UserError, match="two images are called '004'"):
        judge(read(a), read(b))


def test_an_image_that_cannot_be_read_is_a_fault_and_ends_nothing(tmp_path):
    a, b = save(tmp_path / "a", pictures(5)), save(tmp_path / "b", pictures(5))
    (b / "002.png").write_bytes((b / "002.png").read_bytes()[:60])
    result = judge(read(a), read(b))
    assert [(fault.name, fault.kind) for fault in result.faults] == [("002", "unread")]
    assert (result.pairs, result.exit_code) == (5, 1)


def test_equivalence_is_that_of_two_one_sided_tests():
    a, gap = np.arange(30.0), np.tile([-1.0, 1.0], 15)
    [mean] = means.equivalence({"x": a}, {"x": a + gap}, {"x": 0.5})
    half = 1.6991270265 * np.std(gap, ddof=1) / 30**0.5  # the 95 % point of t with 29 degrees of freedom
    assert (mean.difference, mean.half, mean.status) == (0.0, pytest.approx(half), "pass")
    assert mean.r == pytest.approx(np.std(gap, ddof=1) / 0.5)
    statuses = [means.equivalence({"x": a}, {"x": a + gap}, {"x": margin})[0].status for margin in (0.2, 0.5)]
    assert statuses == ["open", "pass"]
    assert means.equivalence({"x": a}, {"x": a + 1 + 0.01 * gap}, {"x": 0.5})[0].status == "fail"


def test_the_command_writes_what_continuous_integration_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a", pictures(6))
    save(tmp_path / "b", one(2, lambda image: image * 0)(pictures(6)))
    command = ["compare", "a", "b", "--gate", "--noise", "1", "--junit", "x.xml", "--summary", "x.md", "--github"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "::error title=images 002 blank::one colour (grey level 0)" in result.output
    assert ET.parse("x.xml").getroot().find("testsuite[@name='images']").get("failures") == "1"  # type: ignore[union-attr]
    assert Path("x.md").read_text().startswith("# t2ibench gate\n\nB is not A: of 6 pairs 1 have a fault")
    answer = CliRunner().invoke(app, ["compare", "a", "a", "--gate", "--json"])
    assert (answer.exit_code, json.loads(answer.output)["exit_code"]) == (0, 0)
    for margin in ("hue=1", "detail", "detail=-1"):
        wrong = CliRunner().invoke(app, ["compare", "a", "b", "--gate", "--margin", margin])
        assert isinstance(wrong.exception, UserError)
