"""The latent mapper: its network level by level, Ranger, one loss worked out again, and mappers that are trained once
and found again.
"""

import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from styleclip_models import TEXTS, tiny_generator, tiny_models
from stylegan2_files import public_state
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.methods.styleclip import Method
from t2ibench.methods.styleclip.mapper import Mapper, step_cosine
from t2ibench.methods.styleclip.mapper_training import levels_of, mapper_recipe
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.latent_mapper import LEVELS, MapperNetwork, read_released
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.stylegan2 import Config as Layout
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.training import loop
from t2ibench.networks.training.latent_mapper import MapperRecipe
from t2ibench.networks.training.ranger import Ranger
from t2ibench.tracks.contract import Edit, TextToImage

AFRO, SMILE, PERSON = TEXTS
LAYOUT = Layout(64, z_dim=8, w_dim=16, mapping_layers=2, channel_base=512, channel_max=16)  # ten rows


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Models:
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    return tiny_models()


def mapper(models: Models, **settings: Any) -> Mapper:
    return Mapper(
        Config(variant="mapper", generator="tiny", clip="tiny-clip", **{"mapper_steps": 4, **settings}), models
    )


def recipe(models: Models, **settings: Any) -> MapperRecipe:
    editor = mapper(models, **settings)
    return mapper_recipe(editor.config, AFRO, editor.generator, editor.distance, editor.identity, editor.weights)


def codes(models: Models, count: int = 2) -> Tensor:
    generator = models.stylegan2("tiny")
    return generator.truncate(generator.mapping(latents(range(count), generator.config.z_dim)), 0.7)


def test_the_paper_mapper_has_three_times_1_050_624_parameters():
    with torch.device("meta"):
        network = MapperNetwork(Layout(1024))
    assert {name: sum(p.numel() for p in part.parameters()) for name, part in network.parts.items()} == dict.fromkeys(
        LEVELS, 1_050_624
    )


def test_a_level_that_is_left_out_moves_nothing():
    v = torch.randn(2, 10, 16)
    moved = MapperNetwork(LAYOUT, levels=("coarse", "fine"))(v)
    assert torch.equal(moved[:, 4:8], torch.zeros(2, 4, 16))
    assert (moved[:, [0, 3, 8, 9]] != 0).any(2).all()
    assert list(MapperNetwork(Layout(32, channel_base=512, channel_max=16)).parts) == [
        "coarse",
        "medium",
    ]  # its eight rows have no fine
    assert MapperNetwork(LAYOUT, "single")(v).shape == v.shape


def test_in_s_every_convolution_has_its_own_and_torgb_none():
    torch.manual_seed(0)
    moved = MapperNetwork(LAYOUT, "style", ("coarse",))(torch.randn(2, LAYOUT.style_channels))
    for layer in LAYOUT.layers:
        assert bool((moved[:, layer.start : layer.stop] != 0).any()) == (not layer.is_rgb and layer.row < 4), layer.name


@torch.no_grad()
def test_the_axis_of_the_norm():
    torch.manual_seed(0)
    v, rows, features = (
        torch.randn(1, 10, 16),
        MapperNetwork(LAYOUT, axis="rows"),
        MapperNetwork(LAYOUT, axis="features"),
    )
    column, row = v.clone(), v.clone()
    column[:, 4:8, 3] *= 5  # one feature in all rows of a level
    row[:, 5] *= 5  # one whole row
    torch.testing.assert_close(rows(column), rows(v), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features(row), features(v), atol=1e-4, rtol=1e-4)
    assert float((rows(row) - rows(v)).abs().max()) > 1e-2
    assert float((features(column) - features(v)).abs().max()) > 1e-2


def test_without_residual_nothing_is_edited(models: Models):
    w_plus = codes(models)
    s = mapper(models, residual=0.0).edited(w_plus, [PERSON] * 2, [AFRO] * 2)
    assert torch.equal(s, in_passes(models.stylegan2("tiny").style, w_plus))


def test_the_l2_term_is_the_square_of_the_residual_times_the_mean_square(models: Models):
    moved = torch.randn(2, 8, 16)
    torch.testing.assert_close(recipe(models).l2_term(moved), 0.01 * moved.square().mean())
    torch.testing.assert_close(recipe(models, l2="paper").l2_term(moved), moved.flatten(1).norm(dim=1).mean())
    layers = models.stylegan2("tiny").layers
    s = torch.randn(2, layers[-1].stop)
    by_layer = sum((0.01 * s[:, layer.start : layer.stop].square().mean() for layer in layers), torch.zeros([]))
    torch.testing.assert_close(recipe(models, mapper="style").l2_term(s), by_layer)


def test_only_the_mapper_learns_and_it_does(models: Models):
    generator, clip = models.stylegan2("tiny"), models.clip("tiny-clip").model
    before = {key: value.clone() for key, value in {**generator.state_dict(), **clip.state_dict()}.items()}
    made = recipe(models, mapper_l2=0.0)
    start = {key: value.clone() for key, value in made.network.state_dict().items()}
    held_out = made.codes("held out", range(16))

    def distance() -> float:
        with torch.no_grad():
            return float(made.distance(made.render(held_out + 0.1 * made.network(held_out))))

    untrained = distance()
    for index in range(12):
        losses = made.step(index, index / 12)
    assert losses["loss"] == pytest.approx(losses["clip"] + 0.1 * losses["id"], abs=1e-6)
    assert all(not torch.equal(value, start[key]) for key, value in made.network.state_dict().items())
    assert all(
        torch.equal(value, before[key]) for key, value in {**generator.state_dict(), **clip.state_dict()}.items()
    )
    assert all(p.grad is None for p in (*generator.parameters(), *clip.parameters()))
    assert distance() < untrained
    assert made.validate()["cosine_after"] == pytest.approx(1 - distance(), abs=1e-4)


def test_codes_to_train_on_are_never_those_of_a_sample(models: Models):
    made = recipe(models)
    train, held_out, sampled = made.codes("train", range(50)), made.codes("held out", range(50)), codes(models, 50)
    for a, b in ((train, held_out), (train, sampled), (held_out, sampled)):
        assert float(torch.cdist(a[:, 0], b[:, 0]).min()) > 1e-4
    assert derive_seed("styleclip", "mapper codes", "train", 0) != derive_seed(0, "source", 0)


def ranger_by_hand(gradients: list[Tensor], p: Tensor, lr: float) -> list[Tensor]:
    """The released optimiser, written down from the three papers: every value that the parameter takes."""
    (b1, b2), eps, m, v, slow = (0.95, 0.999), 1e-5, torch.zeros_like(p), torch.zeros_like(p), p.clone()
    values: list[Tensor] = []
    longest = 2 / (1 - b2) - 1
    for t, gradient in enumerate(gradients, start=1):
        gradient = gradient - gradient.mean(1, keepdim=True)
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        if length > 5:
            rectified = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            p = p - lr * rectified * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (v.sqrt() + eps)
        else:
            p = p - lr / (1 - b1**t) * m
        if t % 6 == 0:
            slow = slow + 0.5 * (p - slow)
            p = slow.clone()
        values.append(p)
    return values


def test_ranger_is_radam_with_centred_gradients_and_lookahead():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4, dtype=torch.float64), list(torch.randn(20, 3, 4, dtype=torch.float64))
    p = nn.Parameter(start.clone())
    ranger = Ranger([p], lr=0.5)
    for gradient, expected in zip(gradients, ranger_by_hand(gradients, start, 0.5), strict=True):
        p.grad = gradient.clone()
        ranger.step()
        torch.testing.assert_close(p.detach(), expected, atol=1e-10, rtol=1e-10)


def test_at_the_sixth_step_lookahead_goes_half_way_back():
    p, fast = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    ranger, radam = Ranger([p], lr=0.1), torch.optim.RAdam([fast], lr=0.1, betas=(0.95, 0.999), eps=1e-5)
    for step in range(1, 7):
        p.grad, fast.grad = torch.ones(3), torch.ones(3)
        ranger.step()
        radam.step()
        torch.testing.assert_close(p.detach(), fast.detach() * (0.5 if step == 6 else 1.0))


@pytest.mark.parametrize("optimiser", ["ranger", "adam"])
def test_a_stopped_training_equals_an_uninterrupted_one(models: Models, tmp_path: Path, optimiser: str):
    whole, first, second = (recipe(models, mapper_optimiser=optimiser, mapper_codes=10) for _ in range(3))
    for index in range(8):
        whole.step(index, index / 8)
    for index in range(5):
        first.step(index, index / 8)
    torch.save(first.state(), tmp_path / "state.pt")
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    for index in range(5, 8):
        second.step(index, index / 8)
    assert all(torch.equal(value, whole.result()[0][key]) for key, value in second.result()[0].items())


def test_a_text_is_trained_once_and_its_cost_is_told_each_time(
    models: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    trained: list[str] = []
    plain = loop.fit

    def counted(recipe: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        trained.append(name)
        return plain(recipe, name, *args, **kwargs)

    monkeypatch.setattr(loop, "fit", counted)
    w_plus, targets = codes(models, 3), [AFRO, SMILE, AFRO]
    editor = mapper(models)
    s = editor.edited(w_plus, [PERSON] * 3, targets)
    again = mapper(models)
    assert torch.equal(again.edited(w_plus, [PERSON] * 3, targets), s)
    assert len(trained) == 2
    assert trained[0].startswith("a-person-with-an-afro-")
    assert editor.cost.pop("spent_seconds") > 0
    assert "spent_seconds" not in again.cost  # nothing was trained
    assert editor.cost == again.cost
    assert editor.cost["prompts_trained"] == 2
    assert 0 < editor.cost["training_seconds_per_prompt"] == editor.cost["training_seconds"] / 2
    torch.testing.assert_close(
        editor.edited(w_plus[1:2], [PERSON], [SMILE]), s[1:2], atol=1e-5, rtol=1e-5
    )  # alone as in a batch
    mapper(models, mapper_steps=5).edited(w_plus[:1], [PERSON], [AFRO])
    assert len(trained) == 3
    assert not [path for path in (tmp_path / "styleclip" / "mappers").rglob("*") if path.suffix in (".pt", ".part")]


def test_a_damaged_mapper_is_trained_again(models: Models, tmp_path: Path):
    w_plus = codes(models, 1)
    s = mapper(models).edited(w_plus, [PERSON], [AFRO])
    [path] = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    assert torch.equal(mapper(models).edited(w_plus, [PERSON], [AFRO]), s)


def test_an_interrupted_training_goes_on_and_leaves_no_weights(
    models: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    w_plus = codes(models, 1)
    s = mapper(models, mapper_codes=20).edited(w_plus, [PERSON], [AFRO])
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "other"))
    plain, steps = MapperRecipe.step, []

    def interrupted(self: MapperRecipe, index: int, progress: float) -> dict[str, float]:
        steps.append(index)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return plain(self, index, progress)

    monkeypatch.setattr(MapperRecipe, "step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 3"):
        mapper(models, mapper_codes=20).edited(w_plus, [PERSON], [AFRO])
    assert not list((tmp_path / "other").rglob("*.safetensors"))
    assert torch.equal(mapper(models, mapper_codes=20).edited(w_plus, [PERSON], [AFRO]), s)
    assert steps == [0, 1, 2, 3]


def test_a_loss_that_is_not_finite_names_step_and_text_and_leaves_nothing(models: Models, tmp_path: Path):
    editor = mapper(models, mapper_clip=float("inf"))
    with pytest.raises(FloatingPointError, match="the loss is inf at step 0 of the mapper for 'a person with an afro'"):
        editor.edited(codes(models, 1), [PERSON], [AFRO])
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_every_kind_trains(models: Models):
    w_plus, plain = codes(models, 1), models.stylegan2("tiny").style(codes(models, 1))
    kinds = (
        {"mapper": "single"},
        {"mapper": "style"},
        {"mapper_optimiser": "ranger", "mapper_schedule": "constant"},
        {"clip_input": "reference"},
    )
    for settings in kinds:
        s = mapper(models, mapper_steps=2, mapper_id=0.0, **settings).edited(w_plus, [PERSON], [AFRO])  # type: ignore[arg-type]
        assert s.shape == plain.shape
        assert not torch.equal(s, plain)


@pytest.mark.parametrize("variant", ["optimization", "mapper"])
def test_a_methods_image_depends_on_its_request_alone(models: Models, variant: Any):
    def method() -> Method:
        return Method(
            Config(variant=variant, generator="tiny", clip="tiny-clip", steps=8, mapper_steps=3, batch=2), models
        )

    requests = [TextToImage(AFRO, 1), TextToImage(SMILE, 2), TextToImage(AFRO, 3)]
    images = method().text_to_image(requests)
    assert (images.dtype, images.shape) == (torch.uint8, (3, 3, 32, 32))
    assert torch.equal(method().text_to_image(requests), images)
    for row, request in enumerate(requests):
        torch.testing.assert_close(
            method().text_to_image([request])[0], images[row], atol=1, rtol=0
        )  # one grey level of rounding
    edits = [Edit(PERSON, request.prompt, request.seed) for request in requests]
    assert torch.equal(method().edit(edits), images)
    assert not torch.equal(method().unedited(edits), images)


def test_which_levels_a_text_moves():
    assert levels_of("a person with a mohawk", "all") == tuple(LEVELS)
    assert levels_of("a person with purple hair", "coarse+medium") == ("coarse", "medium")
    for text in ("a person with an Afro", "bowl-cut hairstyle", "angry", "a surprised face"):
        assert levels_of(text, "reference") == ("coarse", "medium")
    assert levels_of("a person with purple hair", "reference") == tuple(LEVELS)


def released(generator: Generator, parts: dict[str, int], **opts: Any) -> dict[str, Any]:
    """A checkpoint as the released code writes it: a mapper, the whole generator, and the options of its training.

    parts: their names of the networks, and the width of each.
    """
    torch.manual_seed(3)
    state = {
        f"mapper.{name}.mapping.{layer}.{kind}": torch.randn(*shape) * scale
        for name, width in parts.items()
        for layer in (1, 2, 3, 4)
        for kind, shape, scale in (("weight", (width, width), 100), ("bias", (width,), 1))
    }
    options = {"description": "afro", "no_fine_mapper": True, **opts}
    return {"state_dict": {**state, **decoder(generator)}, "opts": options}


def decoder(generator: Generator) -> dict[str, Tensor]:
    return {f"decoder.{key}": value for key, value in public_state(generator).items()}


def by_hand(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """One network of the released code: a norm over the second axis, then four equalised layers."""
    x = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in (1, 2, 3, 4):
        weight, bias = (state[f"mapper.{name}.mapping.{layer}.{kind}"] for kind in ("weight", "bias"))
        x = torch.nn.functional.leaky_relu(x @ weight.T * (0.01 / len(bias) ** 0.5) + bias * 0.01, 0.2) * 2**0.5
    return x


def test_a_released_mapper_of_levels_is_read_and_used_for_its_text(models: Models, tmp_path: Path):
    content = released(tiny_generator(), {"course_mapping": 16, "medium_mapping": 16})
    torch.save(content, tmp_path / "afro.pt")
    editor = mapper(models, mapper_weights=str(tmp_path / "afro.pt"))
    w_plus, state = codes(models), content["state_dict"]
    moved = torch.zeros_like(w_plus)
    moved[:, :4] = by_hand(state, "course_mapping", w_plus[:, :4])  # their norm is over the rows
    moved[:, 4:8] = by_hand(state, "medium_mapping", w_plus[:, 4:8])
    expected = tiny_generator().style(w_plus + 0.1 * moved)
    made = editor.edited(w_plus, [PERSON] * 2, [AFRO, "an Afro on a person"])
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)
    assert editor.cost == {}
    assert str(tmp_path / "afro.pt") in models.used


@pytest.mark.parametrize("rgb", [False, True], ids=["all but toRGB", "all layers"])
def test_a_released_mapper_of_styles_has_a_network_for_each_layer(rgb: bool, models: Models, tmp_path: Path):
    generator = tiny_generator()
    covered = {number: layer for number, layer in enumerate(generator.layers) if rgb or not layer.is_rgb}
    content = released(generator, {f"mapper_{number}": layer.channels for number, layer in covered.items()})
    torch.save(content, tmp_path / "afro.pt")
    editor = mapper(models, mapper_weights=str(tmp_path / "afro.pt"))  # the file says that it is in S
    w_plus = codes(models)
    s = generator.style(w_plus)
    expected = s.clone()
    for number, layer in covered.items():
        part = s[:, layer.start : layer.stop]
        expected[:, layer.start : layer.stop] += 0.1 * by_hand(content["state_dict"], f"mapper_{number}", part)
    torch.testing.assert_close(editor.edited(w_plus, [PERSON] * 2, [AFRO] * 2), expected, atol=1e-5, rtol=1e-4)


def test_a_single_mapper_moves_all_rows(models: Models, tmp_path: Path):
    content = released(tiny_generator(), {"mapping": 16})
    torch.save(content, tmp_path / "afro.pt")
    w_plus = codes(models)
    expected = by_hand(content["state_dict"], "mapping", w_plus)
    torch.testing.assert_close(read_released(tmp_path / "afro.pt", tiny_generator()).network(w_plus), expected)


def test_a_mapper_of_another_text_or_generator_is_refused(models: Models, tmp_path: Path):
    generator, path = tiny_generator(), tmp_path / "afro.pt"
    torch.save(released(generator, {"mapping": 16}), path)
    editor = mapper(models, mapper_weights=str(path))
    with pytest.raises(UserError, match=r"afro.pt: this mapper was trained for 'afro', and 'a smiling"):
        editor.edited(codes(models), [PERSON] * 2, [SMILE] * 2)
    torch.save(released(generator, {"mapping": 16}, description=None), path)  # it does not say
    assert mapper(models, mapper_weights=str(path)).edited(codes(models), [PERSON] * 2, [SMILE] * 2).shape[0] == 2
    generator.blocks["b16"]["conv1"].weight.mul_(1.01)  # type: ignore[index, union-attr, operator]
    torch.save(released(generator, {"mapping": 16}), path)
    with pytest.raises(UserError, match=r"trained with another generator .convs.3.conv.weight differs by \d"):
        mapper(models, mapper_weights=str(path))
    half = {key: value.half() for key, value in decoder(tiny_generator()).items()}
    content = released(tiny_generator(), {"mapping": 16})
    torch.save({**content, "state_dict": {**content["state_dict"], **half}}, path)
    read_released(path, tiny_generator())  # half precision is the same generator


def test_several_released_mappers_are_each_used_for_their_text(models: Models, tmp_path: Path):
    files = {"afro": tmp_path / "afro.pt", "smiling": tmp_path / "smile.pt"}
    for seed, (text, path) in enumerate(files.items()):
        content = released(tiny_generator(), {"mapping": 16}, description=text)
        content["state_dict"] = {
            key: value + seed if key.startswith("mapper.") else value for key, value in content["state_dict"].items()
        }
        torch.save(content, path)
    editor = mapper(models, mappers=tuple(map(str, files.values())))
    both = editor.edited(codes(models), [PERSON] * 2, [AFRO, SMILE])
    for row, (text, path) in enumerate(zip((AFRO, SMILE), files.values(), strict=True)):
        alone = mapper(models, mapper_weights=str(path)).edited(codes(models), [PERSON] * 2, [text] * 2)
        torch.testing.assert_close(both[row], alone[row], atol=1e-6, rtol=1e-5)
    with pytest.raises(UserError, match="no released mapper was trained for 'a hat', these are for 'afro', 'smiling'"):
        editor.edited(codes(models), [PERSON] * 2, ["a hat"] * 2)


def test_the_cosine_of_steps_is_that_of_each_pair_once():
    steps = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 0.0]]])
    mean, deviation = step_cosine(steps)  # 0, 1 and 0
    assert (mean, deviation) == (pytest.approx(1 / 3), pytest.approx((2 / 9) ** 0.5))
    with pytest.raises(ValueError, match="at least 2"):
        step_cosine(steps[:1])


class Payload:
    """What a hostile file would hold."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file was run",)


def test_checkpoints_that_do_not_fit_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    generator = tiny_generator()
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "page.pt").write_bytes(b"<!doctype html>")
    torch.save({"g_ema": {}}, tmp_path / "network.pt")
    torch.save({"state_dict": {"mapper.other.mapping.1.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    torch.save(released(generator, {"course_mapping": 8}), tmp_path / "narrow.pt")
    torch.save(released(generator, {"mapper_0": 16}), tmp_path / "part.pt")
    torch.save({"state_dict": {}, "opts": Payload()}, tmp_path / "code.pt")
    bare = released(generator, {"mapping": 16})
    torch.save({"state_dict": {k: v for k, v in bare["state_dict"].items() if k[0] == "m"}}, tmp_path / "bare.pt")
    for name, says in (
        ("empty", "is empty"),
        ("page", "a web page"),
        ("network", "holds keys 'g_ema', expected a mapper"),
        ("other", "StyleCLIP mapper for rows of 16"),
        ("narrow", "StyleCLIP mapper for rows of 16"),
        ("part", "StyleCLIP mapper for rows of 16"),
        ("bare", "holds no generator to compare with"),
        ("code", "asks for print, which was not run"),
        ("none", "is missing, expected a mapper"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            read_released(tmp_path / f"{name}.pt", generator)
        assert "\n" not in str(caught.value)
        assert f"{name}.pt" in str(caught.value)
    assert "was run" not in capsys.readouterr().out
