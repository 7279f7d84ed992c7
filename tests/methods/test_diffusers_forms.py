"""methods/diffusers_pipeline beyond text to image: edits, ControlNets, LoRA, models of the hub, pipelines with code of
their own.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import diffusers_tiny
import numpy as np
import pytest
import torch
from torch import Tensor

from t2ibench.core import records
from t2ibench.core.errors import PartlyFailed, UserError
from t2ibench.data.representations.sketch import canny
from t2ibench.methods.diffusers_pipeline import Config, Method
from t2ibench.methods.diffusers_pipeline.drawing import FLAGGED
from t2ibench.networks.models import Models
from t2ibench.runner import run, suite
from t2ibench.tracks.compose_tasks import find
from t2ibench.tracks.contract import Compose, ComposeMethod, Edit, EditMethod, Source, TextToImage

SHOWN = np.full((3, 20, 20), 30, np.uint8)
SHOWN[0, 5:15, 5:15] = 220  # a red square


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return diffusers_tiny.stable_diffusion(tmp_path_factory.mktemp("pipelines") / "tiny")


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> dict[str, str]:
    made = tmp_path_factory.mktemp("nets")
    return {name: str(diffusers_tiny.controlnet(made / name, seed)) for seed, name in enumerate(("sketch", "depth"), 1)}


@pytest.fixture
def config(folder) -> Config:
    return Config(str(folder), steps=4, guidance_scale=2.0)


def differ(one: Tensor, other: Tensor) -> float:
    """Mean difference in grey levels."""
    return float((one.float() - other.float()).abs().mean())


def edits(count: int, image: np.ndarray | None = None) -> list[Edit]:
    return [Edit("a person", f"a person {'with a hat' * i}", seed, image) for i in range(count) for seed in (1, 2)]


def test_edits_start_from_the_seed_and_depend_on_their_own_request(config):
    method = Method(config, Models())
    assert isinstance(method, EditMethod)
    sources, edited = method.unedited(edits(2)), method.edit(edits(2))
    assert torch.equal(sources[:2], sources[2:])  # other texts
    assert torch.equal(sources[:1], method.text_to_image([TextToImage(config.source_prompt, 1)]))
    assert torch.equal(edited[3:], Method(config, Models()).edit(edits(2)[3:]))
    assert differ(edited[:2], edited[2:]) > 0


def test_strength_says_how_far_an_edit_goes(config):
    asked = edits(1)
    near, far = (Method(replace(config, strength=strength, steps=10), Models()) for strength in (0.1, 0.9))
    assert differ(near.edit(asked), near.unedited(asked)) < differ(far.edit(asked), far.unedited(asked))
    with pytest.raises(UserError, match=r"0\.1 of 4 steps are none: use a larger strength"):
        Method(replace(config, strength=0.1), Models()).edit(asked)


def test_a_real_image_is_edited_at_the_pipelines_size(config):
    method = Method(config, Models())
    other = method.edit(edits(1, 255 - SHOWN))
    assert method.unedited(edits(1, SHOWN)).shape == other.shape == (2, 3, 16, 16)
    assert differ(method.edit(edits(1, SHOWN)), other) > 1
    assert Method(replace(config, side=20), Models()).unedited(edits(1, SHOWN)).shape == (2, 3, 20, 20)


def test_an_edit_of_a_source_that_was_withheld_fails(config, tmp_path):
    withheld = diffusers_tiny.stable_diffusion(tmp_path / "withheld", diffusers_tiny.safety_checker(-2))
    with pytest.raises(PartlyFailed) as error:
        Method(replace(config, model=str(withheld)), Models()).edit(edits(1))
    assert error.value.reasons == {0: FLAGGED, 1: FLAGGED}


def composition(task: str, image: np.ndarray = SHOWN, caption: str | None = "a red square", seed: int = 1) -> Compose:
    given = Source(image=image, caption=caption)
    wanted = find(task, "test")
    return Compose(wanted, {name: given for name in wanted.needs}, seed)


@pytest.mark.parametrize("task", ["S", "SD", "compose_TD", "t2i"])
def test_controlnets_read_what_a_task_gives(config, nets, task):
    method = Method(replace(config, controlnets=nets), Models())
    assert isinstance(method, ComposeMethod)
    asked = [
        composition(task),
        composition(task, SHOWN.transpose(0, 2, 1)[:, ::-1, :6].repeat(4, 2)[..., :20].copy()),
        composition(task, seed=2),
    ]
    made = method.compose(asked)
    assert (made.shape, made.dtype) == ((3, 3, 16, 16), torch.uint8)
    assert torch.equal(made[2:], Method(replace(config, controlnets=nets), Models()).compose(asked[2:]))
    assert (differ(made[0], made[1]) > 0) == (task != "t2i")
    assert differ(made[0], made[2]) > 5
    if task == "t2i":
        assert torch.equal(made[:1], method.text_to_image([TextToImage("a red square", 1)]))


def test_each_controlnet_reads_the_map_of_its_name(config, nets):
    def made(**nets: str) -> Tensor:
        return Method(replace(config, controlnets=nets), Models()).compose([composition("SD")])

    assert torch.equal(
        made(sketch=nets["sketch"], depth=nets["depth"]), made(depth=nets["depth"], sketch=nets["sketch"])
    )
    assert (
        differ(made(sketch=nets["sketch"], depth=nets["depth"]), made(sketch=nets["depth"], depth=nets["sketch"])) > 1
    )


def test_strokes_that_are_given_stand_for_those_of_the_image(config, nets):
    method = Method(replace(config, controlnets=nets), Models())
    task = find("S", "test")
    strokes = canny(torch.from_numpy(SHOWN)[None])[0, 0].numpy()
    assert strokes.any()
    drawn = method.compose([Compose(task, {"A": Source(strokes=strokes)}, 1)])
    assert torch.equal(drawn, method.compose([composition("S")]))
    assert not torch.equal(drawn, method.compose([Compose(task, {"A": Source(strokes=1 - strokes)}, 1)]))


def test_controlnets_are_in_the_record_and_in_half_precision(config, nets):
    models = Models()
    method = Method(replace(config, controlnets=nets, dtype="bfloat16"), models)
    assert set(models.used) == {"tiny", "sketch sketch", "depth depth"}
    assert len({used["sha256"] for used in models.used.values()}) == 3
    assert method.compose([composition("S")]).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("var_E", "a task has the condition embedding, which none of the ControlNets reads: take it out"),
        ("G", "a task has the condition instances, .*: name one under controlnets: {instances: …}, or take it out"),
        ("reconf_S", "a task inverts or interpolates"),
    ],
)
def test_tasks_that_it_cannot_do_are_one_line(config, nets, task, line):
    with pytest.raises(UserError, match=line):
        Method(replace(config, controlnets=nets), Models()).compose([composition(task)])


def test_what_a_composition_lacks_fails_it_alone(config, nets):
    method = Method(replace(config, controlnets=nets), Models())
    with pytest.raises(ValueError, match="the source text has no caption"):
        method.compose([composition("t2i", caption=None)])
    with pytest.raises(ValueError, match="no image to take depth from"):
        method.compose([Compose(find("D", "test"), {"A": Source()}, 1)])
    with pytest.raises(ValueError, match="one task at a time"):
        method.compose([composition("S"), composition("D")])


def test_a_folder_that_is_no_controlnet_is_one_line(config, folder):
    with pytest.raises(UserError, match="unet is a UNet2DConditionModel, expected a ControlNet"):
        Method(replace(config, controlnets={"sketch": str(folder / "unet")}), Models()).compose([composition("S")])


def test_a_lora_changes_the_weights_by_its_scale(config, folder, tmp_path):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = StableDiffusionPipeline.from_pretrained(folder).unet
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    StableDiffusionPipeline.save_lora_weights(tmp_path / "lora", get_peft_model_state_dict(unet))
    asked = [TextToImage("a red square", 1)]
    plain = Method(config, Models()).text_to_image(asked)
    models = Models()
    with_lora = Method(replace(config, lora=str(tmp_path / "lora")), models).text_to_image(asked)
    assert set(models.used) == {"tiny", "lora lora"}
    assert not torch.equal(with_lora, plain)
    assert torch.equal(
        Method(replace(config, lora=str(tmp_path / "lora"), lora_scale=0.0), Models()).text_to_image(asked), plain
    )
    with pytest.raises(UserError, match="vae cannot be read"):
        Method(replace(config, lora=str(folder / "vae")), Models()).text_to_image(asked)


@pytest.fixture
def offline(monkeypatch, tmp_path) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_model_of_the_hub_is_recorded_with_its_commit(config, folder, nets, offline):
    commit = "0123456789abcdef" * 2 + "01234567"
    for name, source in (("tiny", folder), ("net", Path(nets["sketch"]))):
        repository = offline / f"models--owner--{name}"
        shutil.copytree(source, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text(commit)
    models, local = Models(), Models()
    there = Method(replace(config, model="hub:owner/tiny", controlnets={"sketch": "hub:owner/net"}), models)
    assert models.used["owner/tiny"]["revision"] == models.used["sketch owner/net"]["revision"] == commit
    here = Method(config, local)
    assert models.used["owner/tiny"]["sha256"] == local.used["tiny"]["sha256"]
    assert "revision" not in local.used["tiny"]
    asked = [TextToImage("a red square", 1)]
    assert torch.equal(there.text_to_image(asked), here.text_to_image(asked))
    assert Method(replace(config, model=f"hub:owner/tiny@{commit}"), Models()).place.revision == commit
    with pytest.raises(UserError, match="hub:owner/tiny@v2 can neither be fetched nor is it in the hub's cache"):
        Method(replace(config, model="hub:owner/tiny@v2"), Models())


def test_a_model_of_the_hub_that_cannot_be_had_is_one_line(config, offline):
    for change in ({"model": "hub:owner/tiny"}, {"lora": "hub:owner/tiny"}):
        with pytest.raises(
            UserError, match=r"hub:owner/tiny can neither be fetched .*: correct the name, log in, go online"
        ) as error:
            Method(replace(config, **change), Models())
        assert "\n" not in str(error.value)


def test_a_folder_never_asks_the_hub(config, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    Method(config, Models()).text_to_image([TextToImage("a", 1)])
    with pytest.raises(UserError, match="owner/name is missing"):
        Method(replace(config, model="owner/name"), Models())


PAINTER = '''
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput


class Painter(DiffusionPipeline):
    """One colour a word."""

    def __init__(self, scheduler):
        super().__init__()
        self.register_modules(scheduler=scheduler)

    def __call__(self, prompt, num_inference_steps=1, generator=None, output_type="pil"):
        noise = torch.stack([torch.rand(8, 8, 1, generator=each) for each in generator])
        colours = [[float(colour in text) for colour in ("red", "green", "blue")] for text in prompt]
        return ImagePipelineOutput(images=(0.2 * noise + 0.7 * torch.tensor(colours)[:, None, None]).numpy())
'''


@pytest.fixture
def painter(tmp_path, monkeypatch) -> Path:
    """A pipeline whose code lies beside it, as community pipelines do; it knows the colours of the data set
    `squares`.
    """
    monkeypatch.setattr("diffusers.utils.constants.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    made = tmp_path / "painter"
    (made / "scheduler").mkdir(parents=True)
    (made / "pipeline.py").write_text(PAINTER)
    (made / "scheduler/scheduler_config.json").write_text('{"_class_name": "DDIMScheduler"}')
    index = {"_class_name": ["pipeline", "Painter"], "scheduler": ["diffusers", "DDIMScheduler"]}
    (made / "model_index.json").write_text(json.dumps(index))
    return made


def test_code_beside_a_pipeline_is_run_when_it_is_allowed_and_not_before(painter, squares):
    with pytest.raises(UserError, match="brings its own code: read it, and set trust_code: true if it may be run"):
        Method(Config(str(painter)), Models())
    entry = f"{{name: diffusers_pipeline, as: theirs, model: {painter}, trust_code: true}}"
    path = squares(("{name: painter, as: blind, colour_blind: true}", entry))
    list(run.run(suite.load(str(path)), run.RunOptions()))
    record = records.read(records.path_of(Path("runs"), "squares", "text_to_image", "theirs", 0))
    assert record["values"]["hue"]["value"] == 1
    models = Models()
    Method(Config(str(painter), trust_code=True), models)
    (painter / "pipeline.py").write_text(PAINTER.replace("0.7", "0.6"))
    changed = Models()
    Method(Config(str(painter), trust_code=True), changed)
    assert models.used["painter"]["sha256"] != changed.used["painter"]["sha256"]


def test_a_pipeline_without_other_forms_is_one_line(painter, nets):
    method = Method(Config(str(painter), trust_code=True, controlnets=nets, height=8, width=8), Models())
    with pytest.raises(UserError, match="Painter takes no height"):
        method.text_to_image([TextToImage("red", 1)])
    method = Method(Config(str(painter), trust_code=True, controlnets=nets), Models())
    with pytest.raises(
        UserError,
        match=r"Painter has no image-to-image form, so it cannot edit: keep it out by tracks: \[text_to_image\]",
    ):
        method.edit(edits(1))
    with pytest.raises(UserError, match="Painter does not say how large its images are: set height and width"):
        method.compose([composition("S")])
    with pytest.raises(UserError, match="Painter takes no LoRA"):
        Method(Config(str(painter), trust_code=True, lora=str(painter)), Models()).text_to_image(
            [TextToImage("red", 1)]
        )


def test_noise_is_that_of_the_seed(painter):
    method = Method(Config(str(painter), trust_code=True, pass_size=3), Models())
    seeds = [5, 2**63 - 1, 5, 6]
    made = method.text_to_image([TextToImage("red", seed) for seed in seeds])
    assert torch.equal(made[0], made[2])
    assert len({made[i].numpy().tobytes() for i in range(4)}) == 3
