"""Published CLIPs in every layout that papers download: equal features, the right activation, and one-line refusals."""

import collections
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from openai_clip import CONTEXT, EMBED, LAYERS, PATCH, SIDE, WIDTH, Multimodal, halved, network, plain, write_archive
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from t2ibench.core import tensor_files
from t2ibench.core.errors import UserError
from t2ibench.networks import extractors
from t2ibench.networks.clip import Clip, published
from t2ibench.networks.models import Models

TEXTS = ["a red bird", "a person with glasses, who is not smiling"]


@pytest.fixture(scope="module")
def model() -> Multimodal:
    return network()


@pytest.fixture(scope="module")
def archive(model: Multimodal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("openai") / "ViT-B-32.pt", model)


def pictures(side: int = SIDE) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(3)).integers(0, 256, (2, 3, side, side), np.uint8))


def expected_images(model: Multimodal, images: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    return F.normalize(model.encode_image((images / 255 - mean) / std), dim=-1)


def expected_texts(model: Multimodal) -> Tensor:
    return F.normalize(model.encode_text(open_clip.tokenize(TEXTS, CONTEXT)), dim=-1)


def agrees(clip: Clip, model: Multimodal) -> None:
    """Images of the network's own size, and texts, to 1e-5: there is no half precision between them."""
    images = pictures()
    torch.testing.assert_close(clip.encode_images(images), expected_images(model, images), atol=1e-5, rtol=0)
    torch.testing.assert_close(clip.encode_texts(TEXTS), expected_texts(model), atol=1e-5, rtol=0)
    assert clip.context_length == CONTEXT
    assert clip.preprocess.id == f"{SIDE}-bicubic-antialias-shortest"


# OpenAI's own files


def test_openais_archive_is_read_as_data_and_computes_the_quick_gelu(archive, model):
    agrees(Clip.from_file(str(archive)), model)


def test_an_archive_gives_every_tensor_as_torchs_own_loader_does(archive):
    script = tensor_files.read(archive, "a CLIP")
    with pytest.warns(FutureWarning):
        theirs = torch.jit.load(archive).state_dict()
    assert script.tensors.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in script.tensors.items())
    assert {value.dtype for value in script.tensors.values()} == {torch.float16, torch.float32, torch.int64}
    assert len(theirs) == 302 - 12 * 2 * (12 - LAYERS) + 3  # ViT-B/32 has 12 layers in either tower


def layouts(model: Multimodal) -> dict[str, Callable[[Path], str]]:
    """Each writes a file or a folder, and gives the name under which the CLIP is used."""

    def saved(content: Any, **options: Any) -> Callable[[Path], str]:
        def write(folder: Path) -> str:
            torch.save(content, folder / "clip.pt", **options)
            return str(folder / "clip.pt")

        return write

    def named(write: Callable[[Path], str]) -> Callable[[Path], str]:
        return lambda folder: f"tiny-openai-quickgelu:{write(folder)}"

    def safetensors(folder: Path) -> str:
        save_file({key: value.contiguous() for key, value in plain(model).items()}, folder / "clip.safetensors")
        return str(folder / "clip.safetensors")

    stylet2i = {"model": plain(model), "optimizer": {"state": {}, "param_groups": []}, "epoch": 3}
    training = {
        "epoch": 1,
        "name": "run",
        "state_dict": {f"module.{k}": v for k, v in plain(model).items()},
        "optimizer": {},
    }
    return {
        "state dict of OpenAI's, with the three extra keys": saved(halved(model.state_dict())),
        "the same, as torch wrote it before 1.6": saved(
            halved(model.state_dict()), _use_new_zipfile_serialization=False
        ),
        "StyleT2I's fine-tuned CLIP": saved(stylet2i),
        "open_clip's training, by model and file": named(saved(training)),
        "plain state dict, by model and file": named(saved(plain(model))),
        "safetensors, by model and file": named(safetensors),
        "archive, by model and file": named(lambda folder: str(write_archive(folder / "a.pt", model))),
        "folder of open_clip": lambda folder: open_clip_folder(folder, model, quick_gelu=True),
        "folder of open_clip, by model and folder": named(lambda folder: open_clip_folder(folder, model, True)),
        "file in a folder of open_clip": lambda folder: str(
            Path(open_clip_folder(folder, model, quick_gelu=True)) / "open_clip_model.safetensors"
        ),
    }


def architecture(quick_gelu: bool) -> dict[str, Any]:
    vision = {"layers": LAYERS, "width": WIDTH, "head_width": 64, "image_size": SIDE, "patch_size": PATCH}
    text = {"context_length": CONTEXT, "vocab_size": 49408, "width": WIDTH, "heads": 1, "layers": LAYERS}
    return {"embed_dim": EMBED, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick_gelu}


def open_clip_folder(folder: Path, model: Multimodal, quick_gelu: bool, **preprocess: Any) -> str:
    """As open_clip's `save_for_hf` writes it."""
    target = folder / "open_clip"
    target.mkdir()
    content = {"model_cfg": architecture(quick_gelu), "preprocess_cfg": {"interpolation": "bicubic", **preprocess}}
    (target / "open_clip_config.json").write_text(json.dumps(content))
    save_file({k: v.contiguous() for k, v in plain(model).items()}, target / "open_clip_model.safetensors")
    return str(target)


@pytest.fixture
def architectures(tmp_path: Path) -> None:
    """The tiny network under two names of open_clip, with either activation."""
    for name, quick in (("tiny-openai", False), ("tiny-openai-quickgelu", True)):
        (tmp_path / f"{name}.json").write_text(json.dumps(architecture(quick)))
        open_clip.add_model_config(tmp_path / f"{name}.json")


@pytest.mark.parametrize(
    "layout",
    [
        "state dict of OpenAI's, with the three extra keys",
        "the same, as torch wrote it before 1.6",
        "StyleT2I's fine-tuned CLIP",
        "open_clip's training, by model and file",
        "plain state dict, by model and file",
        "safetensors, by model and file",
        "archive, by model and file",
        "folder of open_clip",
        "file in a folder of open_clip",
        "folder of open_clip, by model and folder",
    ],
)
def test_every_layout_gives_the_same_network(layout, model, archive, tmp_path, architectures):
    clip = Models().clip(layouts(model)[layout](tmp_path))
    agrees(clip, model)
    assert clip.sha256 == Clip.from_file(str(archive)).sha256  # the same weights, whatever file they come in


def test_a_residual_network_of_openai_gives_open_clips_features(tmp_path):
    vision = {"layers": [1, 2, 1, 1], "width": 8, "head_width": 64, "image_size": 64}
    text = {"context_length": CONTEXT, "vocab_size": 49408, "width": WIDTH, "heads": 1, "layers": 1}
    torch.manual_seed(1)
    theirs = open_clip.model.CLIP(EMBED, vision, text, quick_gelu=True).eval()
    with torch.no_grad():
        for name, value in theirs.named_buffers():
            if "running" in name:
                value.add_(torch.rand_like(value))
    extra = {
        "input_resolution": torch.tensor(64),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    state = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state | extra, tmp_path / "RN50.pt")
    clip, images = Clip.from_file(str(tmp_path / "RN50.pt")), pictures(64)
    with torch.no_grad():
        expected = theirs.encode_image(clip.preprocess.normalise(images / 255), normalize=True)
    torch.testing.assert_close(clip.encode_images(images), expected, atol=1e-5, rtol=0)


# Folders of transformers


def transformers_folder(folder: Path, activation: str = "quick_gelu", **options: Any) -> tuple[str, Any]:
    transformers = pytest.importorskip("transformers")
    sizes = {"num_hidden_layers": 2, "hidden_act": activation}
    vision = {"hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 3, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    config = transformers.CLIPConfig(
        text_config={**text, **sizes}, vision_config={**vision, **sizes}, projection_dim=20
    )
    torch.manual_seed(2)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    model.save_pretrained(folder, **options)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return str(folder), model


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_a_folder_of_transformers_gives_its_features(activation, tmp_path):
    name, theirs = transformers_folder(tmp_path / "clip", activation)
    clip, images = Clip.from_file(name), pictures()
    with torch.no_grad():
        made = theirs.get_image_features(clip.preprocess.normalise(images / 255)).pooler_output
        texts = theirs.get_text_features(open_clip.tokenize(TEXTS, 77)).pooler_output
    torch.testing.assert_close(clip.encode_images(images), F.normalize(made, dim=-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(clip.encode_texts(TEXTS), F.normalize(texts, dim=-1), atol=1e-5, rtol=0)
    assert clip.logit_scale == pytest.approx(float(theirs.logit_scale.detach().exp()))
    assert Clip.from_file(f"{name}/model.safetensors").sha256 == clip.sha256


def test_a_folder_of_transformers_in_shards_or_as_bin_is_the_same(tmp_path):
    name, theirs = transformers_folder(tmp_path / "clip")
    sharded, _ = transformers_folder(tmp_path / "sharded", max_shard_size="1MB")
    assert len(list(Path(sharded).glob("*.safetensors"))) > 1
    (tmp_path / "bin").mkdir()
    for file in ("config.json", "preprocessor_config.json", "processor_config.json"):
        if (Path(name) / file).is_file():
            shutil.copy(Path(name) / file, tmp_path / "bin" / file)
    old = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    torch.save({**theirs.state_dict(), **old}, tmp_path / "bin" / "pytorch_model.bin")
    assert len({Clip.from_file(str(folder)).sha256 for folder in (name, sharded, tmp_path / "bin")}) == 1


def test_the_preprocessing_of_a_folder_is_its_own(tmp_path, model):
    name = open_clip_folder(tmp_path, model, True, mean=[0.5] * 3, std=[0.25] * 3, interpolation="bilinear")
    preprocess = Clip.from_file(name).preprocess
    assert (preprocess.mean, preprocess.std) == ((0.5,) * 3, (0.25,) * 3)
    assert preprocess.id == f"{SIDE}-bilinear-antialias-shortest"
    theirs, _ = transformers_folder(tmp_path / "clip")
    assert Clip.from_file(theirs).preprocess.id == "32-bicubic-antialias-shortest"
    path = next(path for path in Path(theirs).iterdir() if "process" in path.name)
    content = json.loads(path.read_text())
    changed = content.get("image_processor", content)
    changed |= {"image_mean": [0.1, 0.2, 0.3], "resample": 2, "size": {"height": 32, "width": 32}}
    path.write_text(json.dumps(content))
    preprocess = Clip.from_file(theirs).preprocess
    assert preprocess.mean == (0.1, 0.2, 0.3)
    assert preprocess.id == "32-bilinear-antialias-squash"
    changed |= {"size": {"shortest_edge": 36}}
    path.write_text(json.dumps(content))
    refused(theirs, "preprocesses in another way")


# Activation


def test_a_file_that_does_not_say_its_activation_is_asked_for_it(tmp_path, model):
    torch.save(plain(model), tmp_path / "clip.pt")
    refused(tmp_path / "clip.pt", r"whether this CLIP was trained with the quick-GELU.*MODEL-quickgelu:/.*clip.pt")


def test_the_other_activation_is_refused_by_content(archive, model, tmp_path, architectures):
    with pytest.raises(UserError, match=r"trained with quick-GELU.*use tiny-openai-quickgelu"):
        Clip.from_open_clip(f"tiny-openai:{archive}")
    folder = open_clip_folder(tmp_path, model, quick_gelu=False)
    with pytest.raises(UserError, match=r"trained with GELU.*use tiny-openai"):
        Clip.from_open_clip(f"tiny-openai-quickgelu:{folder}")
    assert not torch.allclose(  # and it matters
        Clip.from_file(folder).encode_images(pictures()), expected_images(model, pictures()), atol=1e-3
    )


# What is no such file


def refused(path: Path | str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Models().clip(str(path))
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)
    assert len(str(caught.value)) < 600


HEADER = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'


def sized(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header


BYTES = {
    "empty.pt": (b"", "the file is empty"),
    "page.pt": (b"<!DOCTYPE html>\n<html>Google Drive - Virus scan warning</html>", "a web page, saved in the place"),
    "page2.pt": (b"\n\n  <html>", "a web page"),
    "error.pt": (b'{"error": "Entry not found"}', "a JSON text"),
    "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "pointer of Git LFS"),
    "archive.pt": (b"\x1f\x8b\x08" + b"x" * 30, "a gzip archive: unpack it"),
    "noise.pt": (b"\x11\x22" * 300, "bytes of an unknown kind"),
    "zeros.pt": (b"\0" * 300, "a download that was cut off"),
    "array.pt": (b"\x93NUMPY\x01\x00v\x00", "an array of numpy, expected the weights of a CLIP"),
    "long.safetensors": (sized(HEADER, 2**40), "no whole safetensors file"),
    "broken.safetensors": (sized(HEADER[:-1] + b"," + b"x" * 16), "no whole safetensors file"),
    "short.safetensors": (sized(HEADER) + b"x" * 7, "no whole safetensors file"),
}
TENSORS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "generator.pt": (lambda state: {"g_ema": {}, "latent_avg": 1}, "holds keys 'g_ema', 'latent_avg', expected"),
    "list.pt": (lambda state: [1, 2], "holds list of 2"),
    "half.pt": (lambda state: {"visual.conv1.weight": torch.zeros(4, 3, 2, 2)}, "one tower of a CLIP"),
    "siglip.pt": (lambda state: state | {"logit_bias": torch.zeros([])}, "a SigLIP"),
    "text.pt": (lambda state: {"text.token_embedding.weight": torch.zeros(2)}, "name its model too, as MODEL:text.pt"),
    "hf.pt": (lambda state: {"text_model.final_layer_norm.bias": torch.zeros(2)}, "name their folder"),
    "tokens.pt": (lambda state: state | {"token_embedding.weight": torch.zeros(9, WIDTH)}, "with 9 tokens, expected"),
    "cut.pt": (lambda state: {k: v for k, v in state.items() if "ln_pre.b" not in k}, "visual.ln_pre.bias is missing"),
    "wide.pt": (
        lambda state: state | {"ln_final.bias": torch.zeros(65)},
        "ln_final.bias has shape 65, expected 64",
    ),
    "more.pt": (lambda state: state | {"visual.ln_x.bias": torch.zeros(65)}, "visual.ln_x.bias is unexpected"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_network_are_refused_by_what_they_are(name, tmp_path):
    content, says = BYTES[name]
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, says)


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_are_no_clip_are_refused_by_what_they_are(name, model, tmp_path):
    change, says = TENSORS[name]
    torch.save(change(dict(model.state_dict())), tmp_path / name)
    refused(tmp_path / name, says)


def test_a_missing_file_and_an_empty_folder_are_one_line(tmp_path):
    refused(tmp_path / "ViT-B-32.pt", "is missing, expected the weights of a CLIP")
    refused("ViT-B-32.pt", "is missing, expected the weights of a CLIP")
    refused(tmp_path, r"a folder without open_clip_config.json and open_clip_model.safetensors .open_clip's.")
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    refused(tmp_path, "config.json is of the type 'siglip', expected 'clip'")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_act": "gelu_new"}, "has hidden_act 'gelu_new', expected 'quick_gelu' or 'gelu'"),
        ({"layer_norm_eps": 1e-6}, "has layer_norm_eps 1e-06"),
        ({"eos_token_id": 5}, "has eos_token_id 5"),
    ],
)
def test_settings_of_transformers_that_are_not_supported_are_refused(change, says, tmp_path):
    name, _ = transformers_folder(tmp_path / "clip")
    path = tmp_path / "clip" / "config.json"
    content = json.loads(path.read_text())
    content["text_config"] |= change
    path.write_text(json.dumps(content))
    refused(name, says)


def test_the_weights_of_another_model_are_refused_by_their_own(model, tmp_path, architectures):
    config = architecture(quick_gelu=True)
    config["vision_cfg"]["width"] = 128
    (tmp_path / "tiny-wide.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-wide.json")
    torch.save(model.state_dict(), tmp_path / "tiny.pt")
    with pytest.raises(
        UserError, match=r"tiny.pt: .*a state dict of OpenAI's of a .*\(\S+ has shape .*expected"
    ) as caught:
        Clip.from_open_clip(f"tiny-wide:{tmp_path / 'tiny.pt'}")
    assert "\n" not in str(caught.value)
    (tmp_path / "page.pt").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"page.pt: a web page"):
        Clip.from_open_clip(f"tiny-openai-quickgelu:{tmp_path / 'page.pt'}")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_an_archive_that_is_cut_off_is_one_line(share, archive, tmp_path):
    data = archive.read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
    refused(tmp_path / "cut.pt", "no whole zip archive")


# Hostile files


class Call:
    """Pickled as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def rewritten(archive: Path, target: Path, changes: dict[str, bytes | None], **options: Any) -> Path:
    """A copy of an archive with other entries; None leaves one out."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w", **options) as new:
        for entry in old.infolist():
            root, _, name = entry.filename.partition("/")
            content = changes.get(name, old.read(entry))
            if content is not None:
                new.writestr(f"{root}/{name}", content)
        for name in changes.keys() - {entry.filename.partition("/")[2] for entry in old.infolist()}:
            new.writestr(f"{root}/{name}", changes[name] or b"")
    return target


@pytest.mark.parametrize("entry", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize("function", [os.system, eval], ids=lambda function: function.__name__)
def test_a_call_in_an_archive_is_refused_and_not_made(entry, function, archive, tmp_path):
    trace = tmp_path / "called"
    code = f"open({str(trace)!r}, 'w')" if function is eval else f"touch {trace}"
    hostile = pickle.dumps({"visual": Call(function, code)}, 2)
    refused(rewritten(archive, tmp_path / "a.pt", {entry: hostile}), rf"asks for \w+\.{function.__name__}, which")
    assert not trace.exists()


def test_the_code_of_an_archive_is_never_run(archive, model, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        [name] = {entry.partition("/")[2] for entry in opened.namelist() if entry.endswith("openai_clip.py")}
    agrees(Clip.from_file(str(rewritten(archive, tmp_path / "a.pt", {name: b"this is no code"}))), model)
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError):  # torch's own loader would compile it
        torch.jit.load(tmp_path / "a.pt")


def test_a_call_in_a_state_dict_is_refused_and_not_made(model, tmp_path):
    trace = tmp_path / "called"
    for number, content in enumerate(
        ({"model": Call(os.system, f"touch {trace}")}, collections.OrderedDict(a=Call(os.system, f"touch {trace}")))
    ):
        for new in (True, False):
            path = tmp_path / f"{number}{new}.pt"
            torch.save(content, path, _use_new_zipfile_serialization=new)
            refused(path, r"asks for \w+\.system, which was not run")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Call(os.system, f"touch {trace}"), 4))
    refused(tmp_path / "bare.pt", "a pickle, expected the weights of a CLIP")
    assert not trace.exists()


def stored(offset: int, size: tuple[int, ...], stride: tuple[int, ...], count: int = 4) -> bytes:
    """The pickle of a scripted network with one tensor, whose memory is the entry data/0."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if value == "memory" else None

    class Weight:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, ("memory", offset, size, stride, False, collections.OrderedDict())

    class Network:
        def __init__(self) -> None:
            self.weight = Weight()

    written = io.BytesIO()
    Network.__module__, Network.__qualname__ = "openai_clip", "Multimodal"
    with pytest.MonkeyPatch.context() as patch:
        import openai_clip

        patch.setattr(openai_clip, "Multimodal", Network)
        Pickler(written, 2).dump(Network())
    return written.getvalue().replace(b"copenai_clip\n", b"c__torch__.x\n")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data.pkl": stored(0, (9,), (1,))}, "a tensor of 9 values in the memory of 4"),
        ({"data.pkl": stored(2, (4,), (1,))}, "no whole TorchScript archive"),
        ({"data.pkl": stored(0, (2**40, 2**40), (0, 0))}, "in the memory of 4"),
        ({"data.pkl": stored(0, (5,), (1,), count=5)}, "has 16 bytes, expected 5 values of torch.float32"),
        ({"data.pkl": stored(0, (4,), (1,)), "data/0": None}, "data/0 is missing"),
        ({"data.pkl": b"\x80\x02."}, "no whole pickle"),
        ({"data.pkl": b"\x80\x02N."}, "a TorchScript archive of another network .no tensor"),
        ({"byteorder": b"big"}, "big-endian"),
    ],
)
def test_an_archive_with_wrong_memory_is_refused(changes, says, archive, tmp_path):
    with_memory = changes if "data/0" in changes or "byteorder" in changes else {**changes, "data/0": b"\0" * 16}
    refused(rewritten(archive, tmp_path / "a.pt", with_memory), says)


def test_a_name_that_an_archive_has_twice_and_packed_memory_are_refused(archive, tmp_path):
    shutil.copy(archive, tmp_path / "twice.pt")
    with zipfile.ZipFile(tmp_path / "twice.pt", "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr(opened.namelist()[0], b"other")
    refused(tmp_path / "twice.pt", "has a name twice")
    packed = rewritten(archive, tmp_path / "packed.pt", {}, compression=zipfile.ZIP_DEFLATED)
    refused(packed, "is compressed, which torch never does")


# Where they are used


def test_an_archive_is_a_guide_a_judge_and_an_extractor(archive, model):
    models = Models()
    clip = models.clip(str(archive))
    assert models.used[str(archive)] == {"sha256": clip.sha256, "data": archive.name, "optimised_for": None}
    found = extractors.find(models, str(archive))
    images = pictures()
    torch.testing.assert_close(found.network(images), expected_images(model, images), atol=1e-5, rtol=0)
    assert clip.unknown_words(TEXTS) is None  # it reads every word
    floats = (images / 127.5 - 1).requires_grad_(True)
    clip.image_features(floats).sum().backward()
    assert floats.grad is not None
    assert torch.isfinite(floats.grad).all()


def test_openais_archive_is_the_published_clip_where_its_own_code_keeps_it(archive, monkeypatch, tmp_path):
    monkeypatch.setattr(published, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "weights"))
    name = "ViT-B-32-quickgelu:openai"
    assert published.on_disk(name) is None
    for folder in (tmp_path / ".cache" / "clip", tmp_path / "weights" / "open_clip"):
        folder.mkdir(parents=True)
        shutil.copy(archive, folder / "ViT-B-32.pt")
        assert published.on_disk(name) == folder / "ViT-B-32.pt"


def test_scores_of_given_images_take_the_file_of_a_clip(archive, tmp_path, capsys, monkeypatch):
    from t2ibench import cli

    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(pictures()):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    arguments = ["score", str(folder), "--prompts", str(tmp_path / "texts.txt"), "--metrics", "clip_score", "--json"]
    monkeypatch.setattr("sys.argv", ["t2ibench", *arguments, "--clip", str(archive)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said, error = capsys.readouterr()
    assert not stop.value.code, error
    clip = Clip.from_file(str(archive))
    cosines = (clip.encode_images(pictures()) * clip.encode_texts(TEXTS)).sum(1)
    assert json.loads(said)["values"]["clip_score"]["value"] == pytest.approx(float(cosines.mean()), abs=1e-5)
