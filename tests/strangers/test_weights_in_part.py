"""Weights that fit only in part are refused by name, whatever they are of.

Silence is the fault here: a network with a part of its weights draws and scores like any other.
"""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers_tiny
import open_clip
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from styleclip_tiny import TINY, tiny_generator
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.composer import loading as composer
from t2ibench.methods.diffusers_pipeline import Config, Method
from t2ibench.methods.gan_cls import loading as gan_cls
from t2ibench.methods.stylegan_nada.coding import decode, encode
from t2ibench.methods.stylet2i import directions
from t2ibench.methods.stylet2i.segmentation import PartSegmenter
from t2ibench.networks import weights, zoo
from t2ibench.networks.attribute_judge import AttributeJudge
from t2ibench.networks.clip import Clip
from t2ibench.networks.latent_mapper import LEVELS, MapperNetwork, read_released
from t2ibench.networks.models import Models
from t2ibench.networks.state import fill, resume
from t2ibench.networks.stylegan2 import checkpoints
from t2ibench.networks.stylegan2.difference import adapted
from t2ibench.networks.vqa.judge import VqaJudge
from t2ibench.networks.weights import CardConfig, Weights
from t2ibench.tracks.contract import TextToImage

ROOT = Path(__file__).parents[2]
Tensors = dict[str, Tensor]


def one_line(error: pytest.ExceptionInfo[UserError]) -> bool:
    return "\n" not in str(error.value)


# Every kind of weights in the zoo, by the beginning of its name.


def nada(given: Weights) -> Any:
    return adapted(Models().stylegan2("stylegan2-avatars"), decode(given.tensors), 1.0, given.name)


def style_encoder(given: Weights) -> Any:
    return gan_cls.load_style_encoder(given, weights.load("gan-int-cls-avatars"))


KINDS: dict[str, Callable[[Weights], Any]] = {
    "attribute-judge": AttributeJudge,
    "char-cnn-rnn": gan_cls.load_encoder,
    "clip": Clip.from_zoo,
    "composer-prior": composer.load_prior,
    "composer-upsampler": composer.load_upsampler,
    "composer": composer.load_denoiser,
    "gan": gan_cls.load_generator,
    "style-encoder": style_encoder,
    "stylegan2": checkpoints.load,
    "stylegan-nada": nada,
    "stylet2i-parts": lambda given: PartSegmenter(given, torch.device("cpu")),
    "stylet2i": lambda given: directions.load(given, Models()),
    "vqa-judge": VqaJudge,
}


def kind_of(name: str) -> str:
    return next(kind for kind in KINDS if name.startswith(kind))


FIRST_OF_KIND = {kind_of(name): name for name in sorted(zoo.available(), reverse=True)}


def test_every_kind_of_weights_in_the_zoo_is_held_to_this():
    assert set(FIRST_OF_KIND) == set(KINDS)


def lacking(tensors: Tensors, key: str) -> None:
    del tensors[key]


def left_over(tensors: Tensors, key: str) -> None:
    tensors[f"{key}.other"] = torch.zeros(2)


def of_another_shape(tensors: Tensors, key: str) -> None:
    tensors[key] = torch.cat([tensors[key], tensors[key]])


def not_a_number(tensors: Tensors, key: str) -> None:
    tensors[key] = torch.full_like(tensors[key], torch.nan)


@pytest.mark.parametrize("change", [lacking, left_over, of_another_shape, not_a_number])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_that_does_not_fit_is_refused_by_its_name(kind: str, change: Callable[[Tensors, str], None]):
    whole = weights.load(FIRST_OF_KIND[kind])
    key = max(
        (k for k, v in whole.tensors.items() if v.is_floating_point() and v.dim()), key=lambda k: (k.count("."), k)
    )
    tensors = dict(whole.tensors)
    change(tensors, key)
    with pytest.raises((UserError, ValueError), match=key.rpartition(":")[0] or key.split(".", 1)[-1]):
        KINDS[kind](Weights(whole.name, tensors, whole.config, whole.card, whole.sha256))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "stylegan-nada"])
def test_a_card_whose_config_lacks_an_entry_is_one_line(kind: str):
    whole = weights.load(FIRST_OF_KIND[kind])
    for key in whole.config:
        config = CardConfig(whole.name, {k: v for k, v in whole.config.items() if k != key})
        if line := refusal(kind, Weights(whole.name, whole.tensors, config, whole.card, whole.sha256)):
            assert "\n" not in line
            assert whole.name in line


def refusal(kind: str, given: Weights) -> str | None:
    try:
        KINDS[kind](given)
    except UserError as error:
        return str(error)
    return None


def test_networks_are_filled_in_one_place():
    """Nothing but networks/state.py puts tensors into a network, and nothing loads leniently."""
    found = []
    for folder in ("t2ibench", "methods", "metrics", "datasets"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    if node.func.attr == "load_state_dict" and path != ROOT / "t2ibench/networks/state.py":
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: load_state_dict")
                    if node.func.attr.startswith("load") and any(word.arg == "strict" for word in node.keywords):
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: strict")
    assert found == []


# StyleGAN-NADA: changes of a generator


def test_an_adaptation_in_part_is_refused():
    parent = tiny_generator()
    changes = {key: torch.ones_like(value) for key, value in parent.named_parameters() if value.dim() == 2}
    coded = encode(changes)
    key = next(key for key in coded if f"{key}:scale" in coded)
    for lost, line in ((f"{key}:scale", "steps without a scale"), (key, "is the scale of nothing")):
        with pytest.raises(ValueError, match=line):
            decode({k: v for k, v in coded.items() if k != lost})
    with pytest.raises(ValueError, match="scales"):
        decode({**coded, f"{key}:scale": torch.ones(1)})
    with pytest.raises(UserError, match="no such tensor"):
        adapted(parent, {**changes, "blocks.b4.conv2.weight": torch.zeros(3)})


# StyleCLIP's released mappers, whose files name the levels they have


def released_mapper(path: Path, levels: tuple[str, ...], opts: dict[str, Any], lacking: str = "") -> Path:
    names = {"coarse": "course_mapping", "medium": "medium_mapping", "fine": "fine_mapping"}
    network = MapperNetwork(TINY, levels=levels)
    state = {
        f"mapper.{names[key.split('.')[1]]}.{key.split('.', 2)[2]}": value
        for key, value in network.state_dict().items()
        if not (lacking and key.endswith(lacking))
    }
    torch.save({"state_dict": state, "opts": opts}, path)
    return path


def test_a_mapper_that_lacks_a_level_which_its_options_name_is_refused(tmp_path: Path):
    generator = tiny_generator()
    for names, lost in ((("coarse",), "medium"), (("medium", "fine"), "coarse")):
        path = released_mapper(tmp_path / "cut.pt", names, {f"no_{level}_mapper": False for level in LEVELS})
        with pytest.raises(UserError, match=f"its options name a mapper of {lost} rows, and it is missing"):
            read_released(path, generator)
    with pytest.raises(UserError, match=r"medium.mapping.4.bias is missing"):
        read_released(
            released_mapper(tmp_path / "bias.pt", ("coarse", "medium"), {}, "medium.mapping.4.bias"), generator
        )
    disabled = {"no_coarse_mapper": False, "no_medium_mapper": True, "no_fine_mapper": True}
    with pytest.raises(UserError, match="it holds no generator to compare with"):  # the mapper itself is whole
        read_released(released_mapper(tmp_path / "whole.pt", ("coarse",), disabled), generator)


# A file of open_clip, which stretches position embeddings without a word


@pytest.fixture
def tiny_vit(tmp_path: Path) -> Callable[..., Path]:
    """Writes the weights of a ViT, known to open_clip by its name: tiny_vit("tiny-16", 16, context)."""
    width = {"width": 16, "heads": 2, "layers": 1}

    def write(name: str, side: int, context: int = 12) -> Path:
        vision = {"image_size": side, "patch_size": 8, "layers": 1, "width": 16, "head_width": 8}
        config = {
            "embed_dim": 8,
            "vision_cfg": vision,
            "text_cfg": {"context_length": context, "vocab_size": 49408, **width},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        torch.save(open_clip.create_model(name).state_dict(), tmp_path / f"{name}.pt")
        return tmp_path / f"{name}.pt"

    return write


def test_a_clip_file_of_another_image_size_or_context_is_refused(tiny_vit: Callable[..., Path]):
    small, large, long = tiny_vit("tiny-in16", 16), tiny_vit("tiny-in32", 32), tiny_vit("tiny-long", 16, 20)
    assert Clip.from_open_clip(f"tiny-in16:{small}").context_length == 12
    with pytest.raises(UserError, match=r"visual.positional_embedding has shape 17x16, expected 5x16") as caught:
        Clip.from_open_clip(f"tiny-in16:{large}")
    assert one_line(caught)
    with pytest.raises(UserError, match=r"positional_embedding has shape 20x16, expected 12x16"):
        Clip.from_open_clip(f"tiny-in16:{long}")
    broken = torch.load(small) | {"ln_final.bias": torch.full([16], torch.inf)}
    torch.save(broken, small)
    with pytest.raises(UserError, match=r"ln_final.bias holds values that are not finite"):
        Clip.from_open_clip(f"tiny-in16:{small}")


# Pipelines of diffusers, whose libraries fill gaps with random numbers


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return diffusers_tiny.stable_diffusion(tmp_path / "sd")


def drawn(pipeline: Path, **settings: Any) -> Tensor:
    return Method(Config(str(pipeline), steps=2, **settings), Models()).text_to_image([TextToImage("a cat", 0)])


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_network_of_a_pipeline_that_lacks_a_tensor_or_has_another_is_refused(pipeline: Path, part: str):
    [path] = (pipeline / part).glob("*.safetensors")
    whole = load_file(path)
    key = sorted(whole)[0]
    for tensors, line in (
        ({k: v for k, v in whole.items() if k != key}, "is missing"),
        ({**whole, "other.weight": torch.zeros(2)}, "other.weight is unexpected"),
        ({**whole, key: torch.zeros(1, 3, 3)}, r"mismatched|shape|size"),
    ):
        save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(UserError, match=line) as caught:
            drawn(pipeline)
        assert one_line(caught)
    save_file(whole, path, metadata={"format": "pt"})
    assert drawn(pipeline).shape == (1, 3, 16, 16)


def lora(pipeline: Path, path: Path, targets: tuple[str, ...] = ("to_q", "to_v")) -> Tensors:
    """Tensors of a LoRA for the UNet of a pipeline, which changes its images; also written to `path`."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft.utils import get_peft_model_state_dict

    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    torch.manual_seed(0)
    unet.add_adapter(LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False))
    layers = {key: value * 4 for key, value in get_peft_model_state_dict(unet).items()}
    StableDiffusionPipeline.save_lora_weights(path.parent, unet_lora_layers=layers, weight_name=path.name)
    return load_file(path)


def test_a_lora_that_fits_changes_the_image(pipeline: Path, tmp_path: Path):
    lora(pipeline, tmp_path / "lora.safetensors")
    assert not drawn(pipeline).equal(drawn(pipeline, lora=str(tmp_path / "lora.safetensors")))


def test_a_lora_that_fits_no_layer_or_some_only_is_refused(pipeline: Path, tmp_path: Path):
    whole = lora(pipeline, tmp_path / "lora.safetensors")
    pair = {f"lora_{x}.weight": torch.ones(shape) for x, shape in (("A", (2, 8)), ("B", (8, 2)))}
    of_transformer = {f"transformer.blocks.0.attn.to_q.{key}": value for key, value in pair.items()}
    of_layer_that_is_not_there = {f"unet.mid_block.attentions.7.to_q.{key}": value for key, value in pair.items()}
    of_text_encoder = {f"text_encoder.encoder.layers.9.self_attn.q_proj.{key}": value for key, value in pair.items()}
    first_b = next(key for key in whole if ".lora_B." in key)
    for name, tensors, line in (
        ("none", of_transformer, "2 of its 2 tensors fit no layer of StableDiffusionPipeline"),
        ("some", {**whole, **of_layer_that_is_not_there}, f"2 of its {len(whole) + 2} tensors fit no layer"),
        ("text", {**whole, **of_text_encoder}, "fit no layer|cannot be read"),
        (
            "half",
            {key: value for key, value in whole.items() if key != first_b},
            "is missing|fit no layer|cannot be read",
        ),
        ("dora", {**whole, "unet.conv_in.dora_scale": torch.ones(8)}, "dora_scale"),
        ("empty", {"unet.conv_in.alpha": torch.tensor(1.0)}, "lora"),
    ):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(UserError, match=line) as caught:
            drawn(pipeline, lora=str(tmp_path / f"{name}.safetensors"))
        assert one_line(caught), name


# The function behind all of them


def test_a_network_that_is_refused_is_as_it_was():
    network = torch.nn.Linear(2, 2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for tensors in (
        {"weight": torch.ones(2, 2)},
        {"weight": torch.ones(2, 2), "bias": torch.ones(2), "scale": torch.ones(1)},
        {"weight": torch.ones(2, 2), "bias": torch.ones(2, dtype=torch.int64)},
        {"weight": torch.ones(2, 2), "bias": torch.tensor([0.0, -torch.inf])},
        {"weight": torch.ones(2, 2), "bias": [0.0, 0.0]},
    ):
        with pytest.raises(UserError, match=r"^file: not a layer \("):
            fill(network, tensors, "file", "a layer")  # type: ignore[arg-type]
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_checkpoint_that_lacks_a_part_is_refused():
    network = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(network.parameters())
    other = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()
    for state, line in (
        ({"network": network.state_dict()}, "holds no 'optimiser'"),
        ({"network": {}, "optimiser": optimiser.state_dict()}, "bias is missing"),
        ({"network": network.state_dict(), "optimiser": other}, "not the state of this optimiser"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            resume({"network": network, "optimiser": optimiser}, state)
        assert one_line(caught)
