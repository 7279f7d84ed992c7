"""StyleGAN-NADA as a method: which generator draws which request, where it comes from, and what it cost."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from styleclip_models import tiny_generator
from stylegan2_files import public_state
from stylegan_nada_tiny import FACE, SEPIA, SKETCH, TinyModels, config

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import latents
from t2ibench.core.settings import configure
from t2ibench.methods.stylegan_nada import Method
from t2ibench.methods.stylegan_nada.adaptations import Adaptations
from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.methods.stylegan_nada.training import AdaptationRecipe
from t2ibench.networks import weights
from t2ibench.networks.training import loop
from t2ibench.tracks.contract import Adapt, AdaptMethod, TextToImage, TextToImageMethod

REQUESTS = [Adapt(FACE, SKETCH, 1), Adapt(FACE, SEPIA, 2), Adapt(FACE, SKETCH, 2)]


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Caches in tmp_path, and a folder of the zoo: tmp_path/zoo."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "zoo"))
    return tmp_path


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of everything that is trained."""
    names: list[str] = []
    plain = loop.fit

    def counted(recipe: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        names.append(name)
        return plain(recipe, name, *args, **kwargs)

    monkeypatch.setattr(loop, "fit", counted)
    return names


def method(models: TinyModels | None = None, **settings: Any) -> Method:
    return Method(config(**settings), models or TinyModels())


def shipped(folder: Path, target: str = SEPIA, steps: int = 3, **settings: Any) -> str:
    """Puts an adaptation into the zoo, as `t2ibench train` does; its name."""
    recipe = AdaptationRecipe(config(**settings), FACE, target, TinyModels())
    name = f"{recipe.name}-squares"
    loop.fit(recipe, name, folder / "zoo", steps=steps)
    shutil.rmtree(folder / "zoo" / name)
    return name


def test_it_takes_part_in_two_tracks():
    made = method()
    assert isinstance(made, AdaptMethod)
    assert isinstance(made, TextToImageMethod)
    assert made.trained_on == ["squares train"]
    assert made.cost == {}


def test_an_image_depends_on_its_request_alone(fits: list[str]):
    made = method()
    images, before = made.adapt(REQUESTS), made.unadapted(REQUESTS)
    assert (images.dtype, images.shape) == (torch.uint8, (3, 3, 32, 32))
    for row, request in enumerate(REQUESTS):
        torch.testing.assert_close(made.adapt([request])[0], images[row], atol=1, rtol=0)  # one grey level of rounding
    torch.testing.assert_close(before[1], before[2], atol=1, rtol=0)  # one seed, in another row
    assert torch.equal(
        made.unadapted([Adapt("a", "b", request.seed) for request in REQUESTS]), before
    )  # whatever the texts
    assert not torch.equal(images[1], images[2])
    assert (images != before).flatten(1).any(1).all()
    with pytest.raises(ValueError, match="at least one request"):
        made.adapt([])
    assert len(fits) == 2  # one training for each pair of texts, not for each image


def test_what_was_trained_is_found_again_with_its_cost(fits: list[str], folders: Path):
    first = method()
    images, cost = first.adapt(REQUESTS), first.cost
    assert cost["prompts_trained"] == 2
    assert 0 < cost["training_seconds_per_prompt"] == cost["training_seconds"] / 2
    assert cost["spent_seconds"] >= cost["training_seconds"]
    again = method()
    assert torch.equal(again.adapt(REQUESTS), images)
    assert again.cost == {**cost, "spent_seconds": 0.0}
    assert len(fits) == 2
    method(seed=1).adapt(REQUESTS[:1])
    assert len(fits) == 3
    assert not list(folders.rglob("checkpoint.pt"))


def test_a_shorter_training_is_found_on_the_way_of_a_longer_one(fits: list[str]):
    method(steps=4, keep_every=2).adapt(REQUESTS[:1])
    images = method(steps=2).adapt(REQUESTS[:1])
    assert len(fits) == 1
    assert not torch.equal(images, method(steps=4).adapt(REQUESTS[:1]))
    assert len(fits) == 1


def test_a_damaged_adaptation_is_trained_again(folders: Path):
    images = method().adapt(REQUESTS[:1])
    [path] = (folders / "stylegan_nada").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    assert torch.equal(method().adapt(REQUESTS[:1]), images)


def test_an_interrupted_training_goes_on(monkeypatch: pytest.MonkeyPatch, folders: Path):
    images = method().adapt(REQUESTS[:1])
    shutil.rmtree(folders / "stylegan_nada")
    plain, steps = AdaptationRecipe.step, []

    def step(self: AdaptationRecipe, index: int, progress: float) -> dict[str, float]:
        steps.append(index)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return plain(self, index, progress)

    monkeypatch.setattr(AdaptationRecipe, "step", step)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 2"):
        method().adapt(REQUESTS[:1])
    assert torch.equal(method().adapt(REQUESTS[:1]), images)
    assert steps == [0, 1, 2]


def test_weights_of_the_zoo_are_taken_where_they_were_made_as_the_settings_ask(fits: list[str], folders: Path):
    name = shipped(folders)
    assert name == "stylegan-nada-a-sepia-photo-of-a-face-squares"
    models = TinyModels()
    images = method(models).adapt(REQUESTS[1:2])
    assert fits == [name]
    assert models.used[name]["optimised_for"] == ["clip-1"]
    other = method(noise="const").adapt(REQUESTS[1:2])  # another recipe: trained, not taken
    assert len(fits) == 2
    assert not torch.equal(images, other)
    assert not torch.equal(method(steps=2).adapt(REQUESTS[1:2]), images)
    assert len(fits) == 3


def test_without_strength_the_child_is_the_parent(folders: Path):
    shipped(folders)
    none, half, full, parent = (
        *(method(strength=strength).adapt(REQUESTS[1:2]) for strength in (0.0, 0.5, 1.0)),
        method().unadapted(REQUESTS[1:2]),
    )
    assert torch.equal(none, parent)
    near, far = ((images.int() - parent.int()).abs().sum() for images in (half, full))
    assert 0 < near < far


def test_a_prompt_is_drawn_in_the_domain_that_it_names(fits: list[str], folders: Path):
    shipped(folders)
    made = method(domains=(SKETCH,))
    prompts = ["a Pencil-sketch of a smiling woman", "a woman in a sepia photo", "a smiling woman", "a pencil"]
    images = made.text_to_image([TextToImage(prompt, 2) for prompt in prompts])
    assert torch.equal(images[0], made.adapt([Adapt(FACE, SKETCH, 2)])[0])
    assert torch.equal(images[1], made.adapt([Adapt(FACE, SEPIA, 2)])[0])
    assert torch.equal(images[2:], made.unadapted([Adapt(FACE, SKETCH, 2)] * 2))
    assert len(fits) == 2
    assert torch.equal(made.text_to_image([TextToImage(prompts[0], 2)])[0], images[0])


def test_of_several_domains_the_one_with_most_words_is_meant():
    made = Adaptations(config(domains=("a sketch of a face", SKETCH, "a face")), TinyModels())
    assert made.named("a pencil sketch of a man") == SKETCH
    assert made.named("a sketch of a man") == "a sketch of a face"
    assert made.named("a face avatar") is None  # what the generator draws already names no domain


def test_every_prompt_can_be_a_target_of_its_own(fits: list[str]):
    made = method(prompts="every")
    assert torch.equal(made.text_to_image([TextToImage(SEPIA, 2)]), made.adapt(REQUESTS[1:2]))
    assert len(fits) == 1
    with pytest.raises(UserError, match="there is no direction between them"):
        made.text_to_image([TextToImage(FACE, 2)])


def test_given_weights_serve_every_text(fits: list[str], folders: Path):
    name = shipped(folders)
    path = folders / "zoo" / f"{name}.safetensors"
    by_name, by_file = (method(weights=given).adapt(REQUESTS[:1]) for given in (name, str(path)))
    assert torch.equal(by_name, by_file)
    assert len(fits) == 1


def test_weights_that_do_not_fit_are_one_line(folders: Path):
    with pytest.raises(UserError, match=r"none.safetensors is missing, expected the weights of an adaptation"):
        method(weights=str(folders / "none.safetensors"))
    weights.write(folders / "other.safetensors", {"x": torch.zeros(1)}, {"kind": "network"}, {})
    with pytest.raises(UserError, match="these are no weights of an adaptation"):
        method(weights=str(folders / "other.safetensors")).adapt(REQUESTS[:1])
    name = shipped(folders)
    models = TinyModels()
    models.used["tiny"]["sha256"] = "b1"
    with pytest.raises(UserError, match="was made from another tiny than tiny here: train it again"):
        method(models, weights=name).adapt(REQUESTS[:1])


def test_the_paper_sheet_names_known_settings_and_entries():
    sheet = plugins.paper("stylegan_nada")
    for id, settings in sheet["variants"].items():
        configure(Config, settings or {}, id)
    suite = yaml.safe_load(
        (Path(str(plugins.find("methods")["stylegan_nada"])).parent / sheet["suite"]).read_text("utf-8")
    )
    entries = {entry if isinstance(entry, str) else entry.get("as", entry["name"]) for entry in suite["methods"]}
    for claim in sheet["claims"]:
        assert {claim["better"], claim["worse"]} <= entries or claim["needs"]
    for entry in suite["methods"]:
        if isinstance(entry, dict):
            assert entry["name"] in sheet["variants"]
            configure(Config, {key: value for key, value in entry.items() if key not in ("name", "as")}, entry["name"])


# Children that the released code wrote


def child_file(path: Path, change: Any = None, **parts: Any) -> Path:
    """{g_ema, g_optim} of a child of the tiny generator: its convolutions and its constant input have moved."""
    child = tiny_generator()
    torch.manual_seed(5)
    with torch.no_grad():
        for name, value in child.named_parameters():
            if name == "const" or name.endswith("conv1.weight"):
                value.add_(0.3 * torch.randn_like(value))
        if change is not None:
            change(child)
    torch.save({"g_ema": public_state(child), "g_optim": {"state": {}, "param_groups": []}, **parts}, path)
    return path


@torch.no_grad()
def expected_image(path: Path, seed: int, strength: float = 1.0) -> torch.Tensor:
    """The parent's latent, drawn by the child of a file: its tensors set by hand."""
    parent, child = tiny_generator(), tiny_generator()
    theirs = torch.load(path, weights_only=True)["g_ema"]
    child.const.copy_(theirs["input.input"][0])
    for number, layer in enumerate(layer for layer in child.layers if not layer.is_rgb):
        name = "conv1" if number == 0 else f"convs.{number - 1}"
        block = child.blocks[f"b{layer.resolution}"][layer.kind]  # type: ignore[index]
        block.weight.copy_(theirs[f"{name}.conv.weight"][0])  # type: ignore[union-attr, operator]
        block.noise_const.copy_(theirs[f"noises.noise_{number}"][0, 0])  # type: ignore[union-attr, operator]
    for (_, after), (_, before) in zip(child.state_dict().items(), parent.state_dict().items(), strict=True):
        after.copy_(before + strength * (after - before))
    w_plus = parent.truncate(parent.mapping(latents([seed], parent.config.z_dim)), config().truncation_psi)
    return to_uint8(child.synthesis(child.style(w_plus)))[0]


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_released_child_draws_the_latents_of_its_parent(strength: float, tmp_path: Path, fits: list[str]):
    path = child_file(tmp_path / "anime.pt")
    models = TinyModels()
    made = method(models, weights=str(path), strength=strength)
    images = made.adapt([Adapt(FACE, "anything", 1), Adapt(FACE, SKETCH, 2)])
    for image, seed in zip(images, (1, 2), strict=True):
        torch.testing.assert_close(image, expected_image(path, seed, strength), atol=1, rtol=0)
    assert torch.equal(made.unadapted(REQUESTS[:1]), method().unadapted(REQUESTS[:1]))
    assert not fits
    assert made.cost == {}  # what its training took is not known
    assert models.used[str(path)]["data"] == "anime.pt"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda child: child.mapping.fc0.weight.mul_(1.1), "its mapping.fc0.weight is not that of tiny"),
        (lambda child: child.const.fill_(torch.nan), "const"),
    ],
)
def test_a_child_of_another_parent_is_refused(change: Any, says: str, tmp_path: Path):
    with pytest.raises(UserError, match=says) as caught:
        method(weights=str(child_file(tmp_path / "anime.pt", change)))
    assert "\n" not in str(caught.value)
    assert "anime.pt" in str(caught.value)


def test_what_is_no_child_is_refused(tmp_path: Path):
    parent = {"g_ema": public_state(tiny_generator()), "g_optim": {}}
    for number, layer in enumerate(layer for layer in tiny_generator().layers if not layer.is_rgb):
        block = tiny_generator().blocks[f"b{layer.resolution}"][layer.kind]  # type: ignore[index]
        parent["g_ema"][f"noises.noise_{number}"] = block.noise_const[None, None]  # type: ignore[union-attr, index]
    torch.save(parent, tmp_path / "parent.pt")
    torch.save({"g_ema": public_state(tiny_generator(64))}, tmp_path / "large.pt")
    (tmp_path / "page.pt").write_bytes(b"<html>")
    (tmp_path / "array.pt").write_bytes(b"\x93NUMPY12345")
    for name, says in (
        ("parent", "is tiny itself, not adapted"),
        ("large", "makes images of 64 pixels, its parent tiny of 32"),
        ("page", "a web page"),
        ("array", "an array of numpy, expected a generator that StyleGAN-NADA"),
        ("none", "is missing"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            method(weights=str(tmp_path / f"{name}.pt"))
        assert f"{name}.pt" in str(caught.value)
