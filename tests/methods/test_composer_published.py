"""Composer's extractors from published files: files in their layouts, with random weights, give the answers of formulas
written anew and of transformers' own network; whatever else lies in a file is refused in one line and not run.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composer_tiny import TINY
from extractor_files import (
    MEAN,
    STD,
    edges_of,
    midas_state,
    of_videocomposer,
    pidinet_state,
    simplification_state,
    simplified,
    write_simplification,
)
from openai_clip import network, write_archive
from PIL import Image
from torch import Tensor
from torch7_files import Thing, write

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.methods.composer import settings as composer_settings
from t2ibench.methods.composer.decompose import Decomposition, Extractors, edges, midas, simplification
from t2ibench.methods.composer.decompose.depth import Monocular
from t2ibench.methods.composer.decompose.instances import MaskRCNN
from t2ibench.methods.composer.decompose.sketch import Simplified, strokes
from t2ibench.networks.models import Models

CPU = torch.device("cpu")


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_edges_are_those_of_differences_of_pixels(tmp_path):
    state, images = pidinet_state(), 4 * random(2, 3, 40, 32) - 2
    network = edges.read(saved(tmp_path / "table5_pidinet.pth", {"epoch": 20, "state_dict": state}))
    found, expected = network(images), edges_of(state, images)
    assert found.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_sketches_are_simplified_as_layer_by_layer(tmp_path):
    state, images = simplification_state(), random(2, 1, 32, 24)
    expected = simplified(state, images, MEAN, STD)
    assert expected.std() > 0.001
    for package, rows in (("nn", False), ("cudnn", True)):
        path = write_simplification(tmp_path / "model_gan.t7", state, package, rows)
        found = simplification.read(path)(images)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    copy = simplification.read(saved(tmp_path / "sketch_simplification_gan.pth", state))
    expected = simplified(state, images, 0.9664114577640158, 0.0858381272736797)
    torch.testing.assert_close(copy(images), expected, atol=1e-5, rtol=0)


def dpt_of_transformers(state: dict[str, Tensor], eps: float) -> Any:
    """transformers' network with these weights; names as its own script of conversion gives them."""
    transformers = pytest.importorskip("transformers")
    config = transformers.DPTConfig(
        hidden_size=128,
        num_hidden_layers=8,
        num_attention_heads=2,
        intermediate_size=512,
        image_size=384,
        patch_size=16,
        backbone_out_indices=[1, 3, 5, 7],
        neck_hidden_sizes=[4, 6, 8, 10],
        fusion_hidden_size=8,
        is_hybrid=False,
        layer_norm_eps=eps,
    )
    model = transformers.DPTForDepthEstimation(config)
    model.head.head[2], model.head.head[4] = torch.nn.Conv2d(4, 5, 3, padding=1), torch.nn.Conv2d(5, 1, 1)
    pairs = {
        "pretrained.model.cls_token": "dpt.embeddings.cls_token",
        "pretrained.model.pos_embed": "dpt.embeddings.position_embeddings",
        "pretrained.model.patch_embed.proj": "dpt.embeddings.patch_embeddings.projection",
        "pretrained.model.norm": "dpt.layernorm",
        **{f"scratch.output_conv.{place}": f"head.head.{place}" for place in (0, 2, 4)},
    }
    for stage in range(1, 5):
        neck, at = "neck.reassemble_stage", f"pretrained.act_postprocess{stage}"
        pairs |= {f"{at}.0.project.0": f"{neck}.readout_projects.{stage - 1}.0"}
        pairs |= {f"{at}.3": f"{neck}.layers.{stage - 1}.projection", f"{at}.4": f"{neck}.layers.{stage - 1}.resize"}
        pairs |= {f"scratch.layer{stage}_rn": f"neck.convs.{stage - 1}"}
        to = f"neck.fusion_stage.layers.{4 - stage}"
        for unit in (1, 2):
            for conv in (1, 2):
                name = f"scratch.refinenet{stage}.resConfUnit{unit}.conv{conv}"
                pairs[name] = f"{to}.residual_layer{unit}.convolution{conv}"
        pairs[f"scratch.refinenet{stage}.out_conv"] = f"{to}.projection"
    inside = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense"}
    inside |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    named = dict[str, Tensor]()
    for name, value in state.items():
        start, _, end = name.rpartition(".")
        if name.startswith("pretrained.model.head"):
            continue
        if ".blocks." in name:
            number, _, part = start.removeprefix("pretrained.model.blocks.").partition(".")
            layer = f"dpt.encoder.layer.{number}"
            if part == "attn.qkv":
                for third, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                    named[f"{layer}.attention.attention.{third}.{end}"] = rows
            else:
                named[f"{layer}.{inside[part]}.{end}"] = value
        else:
            named[pairs[name] if name in pairs else f"{pairs[start]}.{end}"] = value
    wanted = model.state_dict()
    assert named.keys() <= wanted.keys()
    assert all(".fusion_stage.layers.0.residual_layer1." in name for name in wanted.keys() - named.keys())
    model.load_state_dict(named, strict=False)
    return model.eval()


@pytest.mark.parametrize("file", ["dpt_large-midas-2f21e586.pt", "midas_v3_dpt_large.pth"])
@torch.no_grad()
def test_depth_is_that_of_transformers_network(file, tmp_path):
    state, images = midas_state(width=128, blocks=8), 2 * random(1, 3, 384, 384) - 1
    authors = file.startswith("dpt")
    expected = dpt_of_transformers(state, 1e-6 if authors else 1e-5)(images).predicted_depth
    found = midas.read(saved(tmp_path / file, state if authors else of_videocomposer(state)))(images)
    assert expected.std() > 0.01
    torch.testing.assert_close(found[:, 0], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_image_is_read_alone_and_from_any_side(tmp_path):
    images = (255 * random(3, 3, 64, 64)).to(torch.uint8)
    pidinet = saved(tmp_path / "edges.pth", pidinet_state())
    lines = write_simplification(tmp_path / "model_gan.t7", simplification_state())
    sketch, depth = Simplified(pidinet, lines, CPU), Monocular(saved(tmp_path / "dpt.pt", midas_state()), CPU)
    for extractor in (sketch, depth):
        together = extractor(images)
        assert together.shape == (3, 1, 384, 384)
        assert 0 <= together.min() <= together.max() <= 1
        assert torch.equal(together[1:2], extractor(images[1:2]))
    torch.testing.assert_close(sketch(images[:1]), strokes(sketch.edges, sketch.simplify, images[:1]))


class Call:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not any(part in name for part in parts)}


def hybrid() -> dict[str, Tensor]:
    return {**midas_state(), "pretrained.model.patch_embed.backbone.stem.conv.weight": torch.zeros(1)}


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "edges, no attention": (edges.read, without(pidinet_state(), "attentions"), "no attentions.0.conv1.weight"),
    "edges, converted": (
        edges.read,
        {**pidinet_state(), "module.block1_2.conv1.weight": torch.zeros(4, 1, 7, 7)},
        r"block1_2.conv1.weight has shape 4x1x7x7, expected 4x1x5x5",
    ),
    "edges, another network": (edges.read, {"conv.weight": torch.zeros(1)}, "expected PiDiNet with dilations"),
    "simplification, shorter": (simplification.read, without(simplification_state(), "layers.44."), "no 44.bias"),
    "simplification, a list": (simplification.read, [1, 2], "holds a list of 2|holds list of 2"),
    "depth, hybrid": (midas.read, hybrid(), "the hybrid of a transformer and a ResNet, which is not read here"),
    "depth, MiDaS 2": (midas.read, {"pretrained.layer1.0.weight": torch.zeros(1)}, "a network of MiDaS 2"),
    "depth, of transformers": (midas.read, {"dpt.layernorm.weight": torch.zeros(1)}, "as transformers stores it"),
    "depth, a part": (midas.read, without(midas_state(), "refinenet2"), "fusions.1.body.conv1.bias is missing"),
    "depth, odd blocks": (midas.read, without(midas_state(), "blocks.3."), "3 blocks of 64 channels at 577 places"),
    "depth, nothing": (midas.read, {}, "places is missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_network_is_one_line(name, tmp_path):
    read, content, says = REFUSED[name]
    path = saved(tmp_path / "file.pth", content)
    with pytest.raises(UserError, match=says) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("read", [edges.read, simplification.read, midas.read, lambda path: MaskRCNN(path, CPU)])
def test_no_code_of_a_file_is_run(read, tmp_path):
    trace = tmp_path / "trace"
    path = saved(tmp_path / "file.pth", {"state_dict": Call(os.system, f"touch {trace}")})
    with pytest.raises(UserError, match=r"asks for \w+\.system, which was not run"):
        read(path)
    torch.jit.save(torch.jit.script(torch.nn.Identity()), str(tmp_path / "scripted.pt"))
    with pytest.raises(UserError, match=r"scripted.pt: .*, expected|scripted.pt: not "):
        read(tmp_path / "scripted.pt")
    (tmp_path / "page.pth").write_text("<!doctype html>")
    with pytest.raises(UserError, match="a web page, saved in the place of the file"):
        read(tmp_path / "page.pth")
    with pytest.raises(UserError, match=r"missing\.pth is missing"):
        read(tmp_path / "missing.pth")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"model": Thing("nn.Linear", {}), "mean": 0.5, "std": 1.0}, "nn.Linear is layer 1"),
        ({"mean": 0.5, "std": 1.0}, "another network .'model'"),
        ({"model": Thing("os.System", {})}, "holds an object of 'os.System', which"),
        ({"model": Thing("nn.Sequential", {"modules": []}), "mean": 0.5, "std": 0.0}, "std is 0"),
    ],
)
def test_another_network_of_lua_torch_is_one_line(content, says, tmp_path):
    path = write(tmp_path / "model.t7", content)
    with pytest.raises(UserError, match=says) as error:
        simplification.read(path)
    assert str(error.value).startswith(str(path))


def test_yolo_is_refused_by_its_name(tmp_path, monkeypatch):
    import sys
    import types

    module = types.ModuleType("models.yolo")
    module.SegmentationModel = type("SegmentationModel", (), {"__module__": "models.yolo"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "models", types.ModuleType("models"))
    monkeypatch.setitem(sys.modules, "models.yolo", module)
    path = saved(tmp_path / "yolov5s-seg.pt", {"model": module.SegmentationModel()})
    with pytest.raises(
        UserError, match=r"yolov5s-seg.pt: a network of YOLO, stored with classes whose code is not run"
    ):
        MaskRCNN(path, CPU)


def test_a_sketch_of_one_file_is_one_line():
    with pytest.raises(UserError, match=r"sketch is 'edges\.pth', expected canny, boundaries, or the files of PiDiNet"):
        Decomposition(Extractors(sketch="edges.pth"), Models(), 8)


def test_extractors_are_found_by_name_in_the_folders_of_weights(tmp_path, monkeypatch):
    saved(tmp_path / "table5_pidinet.pth", pidinet_state())
    write_simplification(tmp_path / "model_gan.t7", simplification_state())
    write_archive(tmp_path / "ViT-L-14.pt", network())
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path))
    extractors = Extractors("ViT-L-14.pt", "table5_pidinet.pth+model_gan.t7", "silhouette", "proxy")
    facts = Decomposition(extractors, Models(), 8).facts
    assert facts["S"].startswith("table5_pidinet.pth ")
    monkeypatch.delenv("T2IBENCH_WEIGHTS")
    with pytest.raises(UserError, match=r"table5_pidinet\.pth is missing, expected PiDiNet"):
        Decomposition(Extractors(sketch=extractors.sketch, instances="silhouette", depth="proxy"), Models(), 8)


@pytest.mark.slow
@torch.no_grad()
def test_instances_are_those_of_torchvision(tmp_path, monkeypatch):
    from torchvision.models import WeightsEnum
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    drawn = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    state = {name: value for name, value in drawn.items() if "num_batches" not in name}  # as in the published file
    for name in [name for name in state if name.endswith("running_var")]:
        state[name] = 0.5 + torch.rand_like(state[name])
    state["roi_heads.box_predictor.cls_score.bias"][1] += 8  # something is sure
    state["roi_heads.mask_predictor.mask_fcn_logits.weight"][1] *= 30
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: state)
    theirs = maskrcnn_resnet50_fpn(weights=MaskRCNN_ResNet50_FPN_Weights.COCO_V1).eval()
    path = saved(tmp_path / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", state)
    image = (255 * random(1, 3, 64, 64)).to(torch.uint8)
    [instances] = theirs([image[0] / 255])
    sure = instances["scores"] > 0.5
    expected = (instances["masks"][sure, 0] > 0.5).any(0)
    assert sure.any()
    assert 0.05 < expected.float().mean() < 0.95
    [found] = MaskRCNN(path, CPU)(image)
    assert torch.equal(found > 0, expected)


def photographs(folder: Path) -> Path:
    """Four noisy images with captions in each of three splits."""
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (folder / split).mkdir(parents=True)
        lines = []
        for number in range(4):
            pixels = draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number}.png")
            lines.append(json.dumps({"file_name": f"{number}.png", "text": f"a {['red', 'blue'][number % 2]} bird"}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    return folder


SUITE = """# Composer on photographs. Seconds.
dataset: {name: image_folder, root: photos, size: 32}
tracks: [compose]
methods:
  - {name: composer, weights: composer-photos, upsampler: "", prior: "", steps: 1, inversion_steps: 1, source_side: 32}
baselines: [source, other]
compose: {inputs: 2, split: test, tasks: [T, EPSD, GIM, style, reconf_S, interp_free]}
metrics: [{name: condition_fidelity, clip: ViT-L-14.pt}]
"""


@pytest.mark.slow
def test_photographs_are_taken_apart_by_published_files_and_put_together(t2ibench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "trained"))
    photographs(tmp_path / "photos")
    write_archive(tmp_path / "ViT-L-14.pt", network())
    saved(tmp_path / "table5_pidinet.pth", {"state_dict": pidinet_state()})
    write_simplification(tmp_path / "model_gan.t7", simplification_state())
    saved(tmp_path / "dpt_large-midas-2f21e586.pt", midas_state())
    tiny = {field.name: getattr(TINY, field.name) for field in dataclasses.fields(TINY)} | {"seg_channels": 1}
    monkeypatch.setitem(composer_settings.SHAPES, "xs", tiny)
    given = {"dataset.root": "photos", "dataset.size": 32, "clip": "ViT-L-14.pt", "instances": "silhouette"}
    given |= {"sketch": "table5_pidinet.pth+model_gan.t7", "depth": "dpt_large-midas-2f21e586.pt", "batch": 2}
    options = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    trained = t2ibench(
        "train", "composer", "--variant", "composer", "--dataset", "image_folder", "--steps", "2", *options
    )
    assert trained.returncode == 0, trained.stderr
    made_of = json.loads((tmp_path / "trained" / "composer-photos.json").read_text())["recipe"]["extractors"]
    assert [word.split()[0] for word in made_of["S"].split(" + ")] == ["table5_pidinet.pth", "model_gan.t7"]
    assert made_of["D"].startswith("dpt_large-midas-2f21e586.pt ")

    photo = ["--image", "photos/test/0.png", "--other", "photos/test/1.png", "--seeds", "0"]
    options = [word for key in ("upsampler", "prior") for word in ("--set", f"{key}=")]
    options += ["--set", "weights=composer-photos", "--set", "steps=1", "--set", "source_side=32"]
    composed = t2ibench("compose", "--task", "SD", "--task", "colorize_direct", "--task", "TE", *photo, *options)
    assert composed.returncode == 0, composed.stderr
    assert composed.stderr.startswith("TE: without caption: a file has no caption: give")
    assert {path.name for path in Path("composed").iterdir()} == {
        *("SD-0.png", "TE-0.png", "colorize_direct-0.png", "sheet.png")
    }

    Path("photos.yaml").write_text(SUITE)
    ran = t2ibench("run", "photos.yaml")
    assert ran.returncode == 0, ran.stderr
    record = records.read(records.path_of(Path("runs"), "photos", "compose", "composer", 0))
    assert (record["counts"]["ok"], record["counts"]["requested"]) == (14, 14)  # with the sources
    assert {"fidelity_sketch", "fidelity_depth", "fidelity_caption"} <= record["values"].keys()
