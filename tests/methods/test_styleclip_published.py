"""StyleCLIP's published tables, used as they are: the edit worked out by hand, and files that do not fit."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from styleclip_tiny import TINY, TinyModels, tiny_generator

from t2ibench.core import settings
from t2ibench.core.errors import UserError
from t2ibench.methods.styleclip.global_directions import GlobalDirections
from t2ibench.methods.styleclip.published import direction_table, mapped_latents, style_codes, style_statistics
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.stylegan2 import Config as Layout

NEUTRAL, TARGET, DIMENSION = "a red square on white", "this square is blue", 16
EDITED = [layer for layer in TINY.layers if not layer.is_rgb]
ROWS = sum(layer.channels for layer in EDITED)
FEWER = sum(layer.channels for layer in EDITED if layer.resolution < 32)
TENSORFLOW = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB"}


def drawn(*shape: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(sum(shape))).standard_normal(shape, dtype=np.float32)


def write_table(path: Path, rows: int = ROWS, dimension: int = DIMENSION, dtype: str = "f4") -> np.ndarray:
    table = drawn(rows, dimension)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    np.save(path, table.astype(dtype))
    return table


def write_statistics(path: Path, protocol: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """[means, deviations], an array for each layer, toRGB included."""
    means, deviations = drawn(TINY.style_channels), np.abs(drawn(TINY.style_channels)) + 0.1
    content = [[values[layer.start : layer.stop].copy() for layer in TINY.layers] for values in (means, deviations)]
    path.write_bytes(
        pickle.dumps(content, protocol).replace(b"numpy._core", b"numpy.core")
        if protocol < 4
        else pickle.dumps(content, protocol)
    )
    return means, deviations


def write_codes(path: Path, count: int = 20, turned: bool = False) -> np.ndarray:
    """[names, arrays]; the names are those of TensorFlow's graph."""
    s = drawn(count, TINY.style_channels)
    names, arrays = [], []
    for layer in TINY.layers[::-1] if turned else TINY.layers:
        kind = "Conv" if layer.resolution == 4 and layer.kind == "conv1" else TENSORFLOW[layer.kind]
        names.append(f"G_synthesis_1/{layer.resolution}x{layer.resolution}/{kind}/add:0")
        arrays.append(s[:, layer.start : layer.stop].copy())
    path.write_bytes(pickle.dumps([names, arrays], 3))
    return s


def editor(tmp_path: Path, **given: Any) -> GlobalDirections:
    files = {"directions": str(tmp_path / "fs3.npy"), "relevance": "table"}
    small = {"statistics_samples": 30, "images": 3, "channels": 1000, "alpha": 2.0}
    return GlobalDirections(Config(**{**files, **small, **given}), TinyModels())


@pytest.mark.parametrize("rows", [ROWS, FEWER], ids=["all layers", "up to 16 pixels"])
def test_a_table_and_statistics_give_the_released_edit(rows, tmp_path):
    table = write_table(tmp_path / "fs3.npy", rows)
    _, deviations = write_statistics(tmp_path / "S_mean_std")
    made = editor(tmp_path, statistics=str(tmp_path / "S_mean_std"))
    step = made.step(NEUTRAL, TARGET)
    [delta_t] = made.space.clip.text_direction([NEUTRAL], [TARGET])
    relevance = torch.from_numpy(table) @ delta_t
    expected, row = torch.zeros(TINY.style_channels), 0
    for layer in EDITED:  # in the order in which the layers run, without toRGB; layers without rows stay as they are
        if row < rows:
            part = relevance[row : row + layer.channels] / relevance.abs().max()
            expected[layer.start : layer.stop] = part * torch.from_numpy(deviations[layer.start : layer.stop])
            row += layer.channels
    torch.testing.assert_close(step, expected, atol=1e-6, rtol=1e-4)
    assert row == rows
    used = made.space.weights
    assert used["statistics"] != used["generator"]


def test_a_table_in_half_precision_is_the_same_to_its_precision(tmp_path):
    write_table(tmp_path / "fs3.npy")
    full = editor(tmp_path).step(NEUTRAL, TARGET)
    write_table(tmp_path / "fs3.npy", dtype="f2")
    torch.testing.assert_close(editor(tmp_path).step(NEUTRAL, TARGET), full, atol=2e-3, rtol=2e-3)


def test_the_published_tables_have_the_rows_of_their_layers():
    """FFHQ at 1024 pixels: 6,048 for all layers, 5,376 for those that the released script edits."""
    counts = np.cumsum([layer.channels for layer in Layout(1024).layers if not layer.is_rgb])
    assert counts[-1] == 6048
    assert 5376 in counts


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_statistics_of_any_protocol_are_read(protocol, tmp_path):
    means, deviations = write_statistics(tmp_path / "S_mean_std", protocol)
    mean, sigma = style_statistics(tmp_path / "S_mean_std", TINY.layers)
    assert np.array_equal(mean, means)
    assert np.array_equal(sigma, deviations)


@pytest.mark.parametrize("turned", [False, True])
def test_a_sample_of_styles_is_joined_by_the_names_of_its_layers(turned, tmp_path):
    s = write_codes(tmp_path / "S", turned=turned)
    assert np.array_equal(style_codes(tmp_path / "S", TINY.layers), s)
    space = editor(tmp_path, directions="", relevance="table", codes=str(tmp_path / "S")).space
    assert np.array_equal(space.codes, s[:3])
    np.testing.assert_allclose(space.mean, s.mean(0), atol=1e-6)
    np.testing.assert_allclose(space.sigma, s.std(0), rtol=1e-5)  # divided by N, as the released script does


def test_a_sample_of_latents_is_mapped_without_being_truncated_again(tmp_path):
    w = drawn(50, 8)
    np.save(tmp_path / "W.npy", w)
    generator = tiny_generator()
    s = generator.style(torch.from_numpy(w)[:, None].expand(-1, TINY.rows, -1))
    space = editor(tmp_path, directions="", codes=str(tmp_path / "W.npy")).space
    torch.testing.assert_close(space.codes, s[:3])
    torch.testing.assert_close(space.mean, s.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(space.sigma, s.std(0, correction=0), atol=1e-5, rtol=1e-4)


class Call:
    """Pickled as a call."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return open, (str(self.trace), "w")


def of_directions(path: Path) -> Any:
    return direction_table(path, TINY.layers, DIMENSION)


def of_statistics(path: Path) -> Any:
    return style_statistics(path, TINY.layers)


def of_codes(path: Path) -> Any:
    return style_codes(path, TINY.layers)


def of_latents(path: Path) -> Any:
    return mapped_latents(path, 8)


@pytest.mark.parametrize(
    ("read", "write", "says"),
    [
        (
            of_directions,
            lambda path: write_table(path, ROWS - 1),
            r"an array \[\d+, 16\], expected a row for each channel",
        ),
        (
            of_directions,
            lambda path: write_table(path, ROWS, 24),
            "directions of 24 dimensions, the CLIP of the texts has 16",
        ),
        (of_directions, lambda path: np.save(path, drawn(ROWS, 16)), "rows of lengths"),
        (of_directions, lambda path: np.save(path, np.full((ROWS, 16), np.nan)), "rows of lengths nan"),
        (of_directions, lambda path: np.save(path, np.ones((ROWS, 16), int)), "an array of int64"),
        (
            of_directions,
            lambda path: np.savez(path, a=np.ones(3)),
            "an archive of numpy arrays, expected StyleCLIP's table",
        ),
        (of_directions, lambda path: np.save(path, np.array([None]), allow_pickle=True), "no whole array"),
        (of_directions, lambda path: path.write_bytes(b"<html>"), "a web page"),
        (of_directions, lambda path: path.write_bytes(b""), "is empty"),
        (of_statistics, lambda path: write_codes(path), "expected StyleCLIP's statistics of styles"),
        (of_statistics, lambda path: path.write_bytes(pickle.dumps([[np.ones(3)]] * 2)), "1 layers of 3 … 3 channels"),
        (of_statistics, lambda path: path.write_bytes(pickle.dumps([3, 4])), "holds list of 2"),
        (of_statistics, lambda path: np.save(path, np.ones(3)), "an array of numpy, expected StyleCLIP's statistics"),
        (of_codes, lambda path: write_statistics(path), "expected StyleCLIP's sample of styles"),
        (of_codes, lambda path: path.write_bytes(pickle.dumps([["a"], [np.ones(3)]])), "a layer 'a'"),
        (
            of_latents,
            lambda path: np.save(path, drawn(50, 9)),
            r"an array \[50, 9\], expected finite latents w \[N, 8\]",
        ),
    ],
)
def test_files_that_do_not_fit_are_one_line(read: Callable[[Path], Any], write, says, tmp_path):
    path = tmp_path / "file"
    write(path)
    for beside in tmp_path.glob("file.np?"):  # numpy adds a suffix
        beside.rename(path)
    with pytest.raises(UserError, match=says) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert "file" in str(caught.value)


@pytest.mark.parametrize("read", [of_statistics, of_codes])
def test_a_call_in_a_pickle_is_refused_and_not_made(read, tmp_path):
    trace = tmp_path / "called"
    for content in (Call(trace), [Call(trace), 1], [[np.array([Call(trace)], dtype=object)]] * 2):
        (tmp_path / "file").write_bytes(pickle.dumps(content, 3))
        with pytest.raises(UserError, match=r"asks for \w+\.open, which"):
            read(tmp_path / "file")
    assert not trace.exists()


def test_settings_that_would_have_no_effect_are_refused():
    with pytest.raises(UserError, match="relevance is jacobian: set it to table"):
        Config(directions="fs3.npy")
    with pytest.raises(UserError, match="statistics are for the variant global, this is mapper"):
        Config(variant="mapper", statistics="S_mean_std")


def test_a_later_setting_at_its_default_changes_no_identity():
    assert "directions" not in settings.recorded(Config())
    changed = settings.recorded(Config(directions="fs3.npy", relevance="table"))
    assert changed.pop("directions") == "fs3.npy"
    assert changed == {**settings.recorded(Config()), "relevance": "table"}
