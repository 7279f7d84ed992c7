"""The directions of style channels: finite differences by hand and as released, resumed after a kill, and the same from
gradients.
"""

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from styleclip_tiny import TinyModels, tiny_generator
from torch import Tensor

from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.methods.styleclip import Config
from t2ibench.methods.styleclip.directions import channel_directions
from t2ibench.methods.styleclip.global_directions import jacobian, table
from t2ibench.methods.styleclip.prepared import pieces
from t2ibench.methods.styleclip.relevance import effect_lengths, jacobian_directions, probes, products, prompt_relevance
from t2ibench.methods.styleclip.space import StyleSpace
from t2ibench.networks.clip import Clip
from t2ibench.networks.stylegan2 import Generator

SMALL = Config(statistics_samples=100, images=2, max_resolution=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def space() -> StyleSpace:
    return StyleSpace(SMALL, TinyModels())


CODES = torch.tensor([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
MEAN, SIGMA, ALL = torch.tensor([10.0, 20.0, 30.0]), torch.tensor([1.0, 2.0, 0.0]), torch.arange(3)


def recorded(seen: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """An embedding that keeps what it is shown: e(s) = (s_0 s_1, s_1)."""

    def embed(s: Tensor) -> Tensor:
        seen.append(s.clone())
        return torch.stack([s[:, 0] * s[:, 1], s[:, 1]], dim=1)

    return embed


@pytest.mark.parametrize(
    ("base", "center", "expected"),
    [
        (
            "restore",
            "mean",
            [[15, 2, 3], [5, 2, 3], [15, 6, 7], [5, 6, 7], [1, 30, 3], [1, 10, 3], [5, 30, 7], [5, 10, 7]],
        ),
        (
            "cumulative",
            "mean",
            [[15, 2, 3], [5, 2, 3], [15, 6, 7], [5, 6, 7], [10, 30, 3], [10, 10, 3], [10, 30, 7], [10, 10, 7]],
        ),
        (
            "restore",
            "own",
            [[6, 2, 3], [-4, 2, 3], [10, 6, 7], [0, 6, 7], [1, 12, 3], [1, -8, 3], [5, 16, 7], [5, -4, 7]],
        ),
    ],
)
def test_what_is_rendered_by_hand(base, center, expected):
    seen: list[Tensor] = []
    codes = CODES.clone()
    channel_directions(recorded(seen), codes, MEAN, SIGMA, ALL, range(2), base=base, center=center)
    assert torch.cat(seen).tolist() == expected
    assert torch.equal(codes, CODES)  # the base codes stay as they are


def test_directions_by_hand():
    embed = recorded([])
    unit = channel_directions(embed, CODES, MEAN, SIGMA, ALL, range(3))
    # channel 0 moves (10 s_1, 0); channel 1 (20 s_0, 20), so towards (1, 1) and (5, 1); channel 2 moves nothing
    second = F.normalize(F.normalize(torch.tensor([[1.0, 1.0], [5.0, 1.0]])).mean(0), dim=0)
    torch.testing.assert_close(unit, torch.stack([torch.tensor([1.0, 0.0]), second, torch.zeros(2)]))
    plain = channel_directions(embed, CODES, MEAN, SIGMA, ALL, range(1, 2), unit=False)
    torch.testing.assert_close(plain[0], F.normalize(torch.tensor([6.0, 2.0]), dim=0))


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_a_table_does_not_depend_on_passes_or_shards(batch):
    models = TinyModels(tiny_generator())
    embed, s = in_float64(models.tiny, models.reader), some_styles(models.tiny, 2)
    given = (embed, s, s.mean(0), s.std(0), torch.arange(0, s.shape[1], 20))
    parts = [channel_directions(*given, rows, batch=batch) for rows in (range(3), range(3, 7))]
    torch.testing.assert_close(torch.cat(parts), channel_directions(*given, range(7)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [table, jacobian])
def test_directions_are_finite_and_of_unit_length(space, make):
    directions, seconds = make(space, SMALL)
    assert directions.shape == (len(space.channels), 16)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(len(directions)))
    assert seconds > 0
    again, spent = make(space, SMALL)
    assert torch.equal(again, directions)
    assert spent == seconds


def test_whatever_decides_a_table_names_it(space, tmp_path):
    table(space, SMALL)
    for changed in ({"base": "cumulative"}, {"step": 4.0}, {"center": "own"}, {"unit_differences": False}):
        table(space, dataclasses.replace(SMALL, **changed))  # type: ignore[arg-type]
    assert len(list((tmp_path / "styleclip").glob("table-*"))) == 5
    table(space, dataclasses.replace(SMALL, alpha=1.0, beta=0.3, neutral="x"))
    assert len(list((tmp_path / "styleclip").glob("table-*"))) == 5


def test_a_killed_preparation_goes_on_where_it_was():
    made: list[int] = []

    def make(number: int) -> Tensor:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(number)
        return torch.full([2], float(number))

    with pytest.raises(KeyboardInterrupt):
        pieces(home(), "thing", {"n": 1}, [1] * 4, make)
    assert made == [0, 1]
    made[:] = [-1]
    with pytest.raises(KeyboardInterrupt):
        pieces(home(), "thing", {"n": 1}, [1] * 4, make)
    assert made == [-1, 2]  # the first two were there
    made.clear()
    found, _ = pieces(home(), "thing", {"n": 1}, [1] * 4, make)
    assert made == [3]
    assert torch.stack(found)[:, 0].tolist() == [0, 1, 2, 3]


def test_a_damaged_piece_is_made_again(tmp_path):
    pieces(home(), "thing", {}, [1, 1], lambda number: torch.full([3], float(number)))
    [path] = tmp_path.glob("styleclip/thing-*/0001.npz")
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):  # the head of an archive has no checksum of its own
        flipped = bytearray(whole)
        flipped[place] ^= 16
        for content in (bytes(flipped), whole[:place]):
            path.write_bytes(content)
            found, _ = pieces(home(), "thing", {}, [1, 1], lambda number: torch.full([3], 9.0))
            assert [float(piece[0]) for piece in found] == [0, 9]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set T2IBENCH_CACHE to a folder that can"):
        pieces(home(), "thing", {}, [1], lambda number: torch.zeros(1))


def in_float64(generator: Generator, clip: Clip) -> Callable[[Tensor], Tensor]:
    model, preprocess = clip.model.double(), clip.preprocess
    generator.double()
    return lambda s: F.normalize(model.encode_image(preprocess.normalise((generator.synthesis(s) + 1) / 2)), dim=1)  # type: ignore[operator]


def some_styles(generator: Generator, count: int) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return generator.style(generator.truncate(torch.randn(count, 8, dtype=torch.float64, generator=stream)))


def test_products_equal_central_differences_as_the_step_goes_to_zero():
    models = TinyModels(tiny_generator())
    embed = in_float64(models.tiny, models.reader)
    s = some_styles(models.tiny, 2)
    cotangent = F.normalize(torch.randn(1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    [pulled] = products(embed, s, cotangent)
    h, channels = 1e-5, range(0, s.shape[1], 7)
    for channel in channels:
        shift = torch.zeros_like(s)
        shift[:, channel] = h
        difference = ((embed(s + shift) - embed(s - shift)) @ cotangent[0]) / (2 * h)
        torch.testing.assert_close(pulled[:, channel], difference, atol=1e-3 * float(pulled.abs().max()), rtol=1e-3)


def test_gradients_give_the_directions_of_small_finite_differences():
    models = TinyModels(tiny_generator())
    unit, s = in_float64(models.tiny, models.reader), some_styles(models.tiny, 3)

    def embed(styles: Tensor) -> Tensor:
        return 1e4 * unit(styles)  # directions stay, and no effect of a small step counts as none

    channels = torch.arange(0, s.shape[1], 9)
    sigma = torch.full([s.shape[1]], 0.3, dtype=torch.float64)
    differences = channel_directions(
        embed, s, s.mean(0), sigma, channels, range(len(channels)), step=1e-3, center="own"
    )
    gradients = F.normalize(jacobian_directions(embed, s, sigma, channels, 16), dim=1)
    torch.testing.assert_close(gradients.float(), differences, atol=2e-3, rtol=0)


def test_relevance_of_one_prompt_is_that_of_the_whole_jacobian_where_lengths_are_exact(space):
    delta_t = F.normalize(torch.randn(1, 16, generator=torch.Generator().manual_seed(3)))
    directions, _ = jacobian(space, SMALL)

    def pulled(cotangents: Tensor) -> Tensor:
        return (products(space.embed, space.codes, cotangents) * space.sigma)[:, :, space.channels]

    exact = prompt_relevance(pulled(delta_t)[0], *effect_lengths(pulled(probes(16, 16, space.codes))))
    torch.testing.assert_close(exact, directions @ delta_t[0], atol=1e-4, rtol=1e-3)


def test_probes_estimate_lengths_without_bias():
    effects = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0))  # [N, E, D]
    cotangents = probes(15, 10**6, torch.zeros(1))[:, :16]  # too few for the whole basis, so drawn
    many = torch.cat([torch.randn(4000, 16, generator=torch.Generator().manual_seed(k)) for k in range(5)])
    lengths, mean_unit = effect_lengths(torch.einsum("ned,pd->pne", effects, many))
    torch.testing.assert_close(lengths, effects.norm(dim=2), rtol=0.03, atol=0)
    torch.testing.assert_close(mean_unit, F.normalize(effects, dim=2).mean(0).norm(dim=1), rtol=0.05, atol=0)
    assert cotangents.shape == (15, 16)
    assert abs(float(cotangents.mean())) < 0.3
    assert float(cotangents.std()) == pytest.approx(1, abs=0.2)
