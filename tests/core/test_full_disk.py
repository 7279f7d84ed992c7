"""A disk that has no more room: one line for whatever is written, and what was published before stays whole."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from styleclip_tiny import tiny_generator

from t2ibench.core import cache
from t2ibench.core.errors import UserError
from t2ibench.core.images import save_grid
from t2ibench.core.storage import publish
from t2ibench.data import image_sets
from t2ibench.networks import weights
from t2ibench.networks.stylegan2 import checkpoints
from t2ibench.networks.training import loop
from t2ibench.report import sheets

resource = pytest.importorskip("resource", reason="no limit of the size of files here")
NOISE = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may become larger than `size` bytes. The system refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Recipe:
    """A training of one large parameter."""

    settings: dict[str, Any] = {}  # noqa: RUF012
    facts: dict[str, Any] = {}  # noqa: RUF012
    keep_every = 0

    def __init__(self) -> None:
        self.value = torch.rand(4096)

    def step(self, index: int, progress: float) -> dict[str, float]:
        return {"loss": 1.0}

    def state(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state(self, state: dict[str, Any]) -> None:
        self.value = state["value"]

    def preview(self) -> None:
        return None

    def validate(self) -> dict[str, float]:
        return {}

    def result(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"value": self.value}, {}


def image_set(path: Path) -> None:
    image_sets.write_images(path, [NOISE.numpy()], tuple(NOISE.shape))


WRITERS: dict[str, Callable[[Path], Any]] = {
    "a training": lambda folder: loop.fit(Recipe(), "large", folder, steps=2),
    "weights": lambda folder: weights.write(folder / "a.safetensors", {"x": torch.rand(4096)}, {}, {}),
    "convert to .pt": lambda folder: checkpoints.save(folder / "a.pt", tiny_generator(), {}),
    "convert to .safetensors": lambda folder: checkpoints.save(folder / "a.safetensors", tiny_generator(), {}),
    "progress of a training": lambda folder: save_grid(NOISE, folder / "a.png"),
    "a sheet": lambda folder: sheets.save(sheets.captioned(list(NOISE.numpy()), list("abcd"), 2), folder / "a.png"),
    "images of a data set": lambda folder: image_set(folder / "a.npy"),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_no_part(what: str, tmp_path: Path):
    with room(1024), pytest.raises(UserError, match=r"cannot be written") as error:
        WRITERS[what](tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.part"))


def test_what_was_published_before_stays_whole(tmp_path: Path):
    publish(tmp_path / "a", b"whole")
    with room(1024), pytest.raises(UserError):
        publish(tmp_path / "a", bytes(4096))
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_features_are_computed_though_they_cannot_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with room(1024):
        array = cache.cached(tmp_path, ["a"], lambda: np.ones(4096, np.float32))
    assert array.sum() == 4096
    assert "cannot be written" in caplog.text


def test_the_limit_is_what_a_full_disk_is(tmp_path: Path):
    with room(10), pytest.raises(OSError, match="too large") as error:
        (tmp_path / "a").write_bytes(bytes(100))
    assert error.value.errno == errno.EFBIG
