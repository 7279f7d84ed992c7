"""Files, settings and texts that are wrong: one line, which names the place, and never a traceback."""

import codecs
import errno
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.markup import escape

from t2ibench import cli
from t2ibench.core import plain_yaml, plugins
from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.ranges import Count
from t2ibench.core.settings import configure
from t2ibench.data.folders import Files, mapped
from t2ibench.runner import suite
from t2ibench.scoring import reference_files

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB.encode(), "stand for more than 100,000 entries"),
        (b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (b"&a [*a]", "holds itself"),
        ("ä: 1".encode("latin1"), "byte 0 is no UTF-8"),
        (codecs.BOM_UTF16_LE + "a: 1".encode("utf-16-le"), "no UTF-8"),
        (b"a: \x00", "character 3"),
        (b"a: 2001-99-99", "no YAML"),
        (b"? [a]\n: 1", "no YAML"),
        (b"!!python/object/apply:os.system ['exit 3']", "no YAML"),
        (b"a: !!int 9e", "no YAML"),
        (b"a: b: c", "no YAML"),
    ],
)
def test_yaml_that_is_none_or_grows_is_one_line(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        suite.load(str(path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_sound_yaml_is_what_it_was(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text("\ufeffa: &x {b: [1, 2.5, null, true]}\nc: *x\n", "utf-8")
    assert plain_yaml.read(path) == {"a": {"b": [1, 2.5, None, True]}, "c": {"b": [1, 2.5, None, True]}}


@dataclass(frozen=True)
class Config:
    alpha: float = 1.0
    batch: Count = 1
    extra: dict[str, Any] | None = None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": float("nan")}, "expected numbers that are finite"),
        ({"extra": {"a": [float("inf")]}}, "expected numbers that are finite"),
        ({3: 1}, "unknown key 3"),
        ({("a", 1): 1}, "unknown key"),
        ({"alpha": "x" * 10**6}, "expected float"),
        ({"y" * 10**5: 1}, "unknown key"),
        ({"batch": 0}, "batch is 0, expected at least 1"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(settings: dict[Any, Any], said: str):
    with pytest.raises(UserError, match=said) as error:
        configure(Config, settings, "s")
    assert "\n" not in str(error.value)


def test_counts_and_sizes_have_bounds(squares: Callable[..., Path]):
    path = squares()
    path.write_text(path.read_text("utf-8") + "reference: {limit: 100000000}\n", "utf-8")
    with pytest.raises(UserError, match="limit is 100000000, expected at most 10,000,000"):
        suite.load(str(path))
    with pytest.raises(UserError, match=r"size is 1,000,000, expected 1 to 8,000"):
        Files([Path("a.png")], 1_000_000)


# Statistics and arrays


X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "content",
    [
        X.bfloat16(),
        X.half(),
        X.clone().requires_grad_(),
        X.to_sparse(),
        {"mu": torch.nn.Parameter(X[0]), "sigma": torch.eye(4)},
    ],
)
def test_a_tensor_that_numpy_has_not_is_read(tmp_path: Path, content: Any):
    torch.save(content, tmp_path / "s.pt")
    assert reference_files.load(tmp_path / "s.pt").dimension == 4


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def odd_statistics(folder: Path) -> list[Path]:
    random, odd = np.random.default_rng(0), {}
    torch.save({"mu": [[1.0], [1.0, 2.0]], "sigma": torch.eye(2)}, folder / "ragged.pt")
    torch.save({"mu": X[0].to(torch.complex64), "sigma": torch.eye(4)}, folder / "complex.pt")
    torch.save({"mu": "a", "sigma": {"b": 1}}, folder / "words.pt")
    torch.save({"mu": torch.quantize_per_tensor(X[0], 1, 0, torch.qint8), "sigma": torch.eye(4)}, folder / "q.pt")
    torch.save([1, 2], folder / "list.pt")
    with (folder / "hostile.pt").open("wb") as file:
        pickle.dump(Hostile(), file)
    np.save(folder / "one.npy", np.eye(3))
    (folder / "one.npy").rename(folder / "one.npz")
    np.savez(folder / "empty.npz", mu=np.zeros(0), sigma=np.zeros((0, 0)))
    np.savez(folder / "objects.npz", mu=np.array([Hostile()], dtype=object), sigma=np.eye(1))
    buffer = io.BytesIO()
    np.savez(buffer, mu=np.zeros(8), sigma=np.eye(8))
    for number in range(25):
        flipped = bytearray(buffer.getvalue())
        flipped[int(random.integers(len(flipped)))] ^= 1 << int(random.integers(8))
        odd[f"flip{number}.npz"] = bytes(flipped[: int(random.integers(8, len(flipped)))] if number % 2 else flipped)
    with zipfile.ZipFile(folder / "huge.npz", "w") as archive:
        archive.writestr(
            "mu.npy",
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }" + b" " * 40,
        )
        archive.writestr("sigma.npy", b"junk")
    for name, content in odd.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def test_odd_statistics_and_arrays_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for path in odd_statistics(tmp_path):
        for read in (reference_files.load, *([mapped] if path.suffix == ".npz" else [])):
            try:
                read(path)
            except UserError as error:
                assert "\n" not in str(error)  # noqa: PT017
                assert "weights_only" not in str(error)  # noqa: PT017
                assert str(path) in str(error)  # noqa: PT017
    assert not Path("ran").exists()


def test_an_eps_called_png_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(UserError, match="cannot be read as an image"):
        read_image(tmp_path / "a.png")


# The command line


def ends(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["t2ibench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [["table", "x" * 5000], ["run", f"{'y' * 400}.yaml"], ["compare", "a", "b" * 400], ["table", "a\nb\x1b[2J"]],
)
def test_a_long_name_or_one_with_line_ends_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    assert ends(arguments, monkeypatch) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert len(lines[0]) < 6000
    assert "\x1b" not in lines[0]


def test_an_error_of_the_system_says_what_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    def fail(**_: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "runs/a.png")

    monkeypatch.setattr(cli, "app", fail)
    assert ends([], monkeypatch) == 2
    assert capsys.readouterr().err == (
        "t2ibench: runs/a.png: Too many open files: too many files are open here: close some, or raise `ulimit -n`\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_another_encoding_shows_what_it_can(encoding: str, monkeypatch: pytest.MonkeyPatch):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding, write_through=True))
    monkeypatch.setattr(cli, "app", lambda: print("Fréchet ≥ 1 … 中"))
    monkeypatch.setattr(sys, "argv", ["t2ibench"])
    cli.main()
    assert content.getvalue().decode(encoding).startswith("Fr")


def test_brackets_in_a_path_are_no_markup(capsys: Any):
    Console().print(f"[bold]{escape('x[/b]')}[/]")
    assert capsys.readouterr().out == "x[/b]\n"


# Plug-ins of other packages


class Point:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value, self.module = name, value, value


def test_a_broken_plugin_of_another_package_breaks_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    (tmp_path / "thief").mkdir()
    (tmp_path / "thief/__init__.py").write_text("raise RuntimeError('mine')\n")
    (tmp_path / "thief/paper.yaml").write_text("variants:\n  gan-cls: {alpha: 1}\n  other: {}\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/paper.yaml").write_text("a: [")
    monkeypatch.syspath_prepend(tmp_path)
    before, ours = plugins.method_ids(), plugins.entry_points

    def points(group: str) -> list[Any]:
        two = [Point("thief", "thief"), Point("broken", "broken")]
        return two if group == "t2ibench.methods" else list(ours(group))

    monkeypatch.setattr(plugins, "entry_points", points)
    now = plugins.method_ids()
    assert now == {**before, "other": ("thief", {})}
    assert "'gan-cls' of the method 'thief' is left out: 'gan_cls' has that name" in caplog.text
    assert "the method 'broken' of another package is left out" in caplog.text
    with pytest.raises(UserError, match=r"'thief' of methods cannot be imported from thief \(RuntimeError: mine\)"):
        plugins.load("methods", "thief")
