"""A published CLIP from a file or a folder, whose content tells architecture, activation and preprocessing.

Read are OpenAI's TorchScript archives and state dicts, CLIPs that were trained on with OpenAI's code and stored as
{"model": …} (StyleT2I's), checkpoints of open_clip's training, and folders of open_clip and of Hugging Face's
transformers. No code of any file is run.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from open_clip.model import CLIP
from torch import Tensor, nn

from t2ibench.core import pickles, tensor_files
from t2ibench.core.errors import UserError
from t2ibench.networks.clip import huggingface, openai
from t2ibench.networks.state import fill

EXPECTED = "the weights of a CLIP"
OPEN_CLIP = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")
STYLET2I = {"model", "optimizer", "epoch"}  # what the released code of StyleT2I stores of the CLIP that it trained on
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a file says of a CLIP.

    what: the kind of file, for error texts.
    state: parameters and buffers, float32, by OpenAI's names.
    config: `embed_dim`, `vision_cfg` and `text_cfg` of open_clip.
    quick_gelu: whether the network computes the quick-GELU; None if nothing in the file says.
    preprocess: as in `Preprocess.of`.
    """

    what: str
    state: Mapping[str, Tensor]
    config: Mapping[str, Any]
    quick_gelu: bool | None
    preprocess: Mapping[str, Any]


def is_path(name: str) -> bool:
    """Whether the name of a CLIP is that of a file or a folder, rather than one of the zoo or of open_clip."""
    path = Path(name)
    return path.exists() or (":" not in name and ("/" in name or path.suffix in SUFFIXES))


def read(path: Path) -> Found:
    """What a file or a folder says of a CLIP.

    Raises UserError for what is missing, damaged, no CLIP, or a CLIP that is not supported.
    """
    tensors = content(path)
    found = recognised(path, tensors)
    if found is None:
        refuse(path, tensors)
    return found


def content(path: Path) -> Any:
    """What a file holds, as data; of a folder, what it says of its CLIP."""
    return _folder(path) if path.is_dir() else tensor_files.read(path, EXPECTED)


def recognised(path: Path, content: Any) -> Found | None:
    """What the content of a file says of a CLIP; None if no layout of OpenAI's is recognised in it."""
    if isinstance(content, Found):
        return content
    if isinstance(content, tensor_files.Script):
        if not openai.is_clip(content.tensors):
            names = ", ".join(list(content.tensors)[:3]) or "no tensor"
            raise UserError(f"{path}: a TorchScript archive of another network ({names}, …), expected {EXPECTED}")
        return _found(path, "OpenAI's archive", content.tensors, openai.activation_of(content))
    if not isinstance(content, Mapping):
        return None
    inner, what, quick = content, "a state dict", None
    if isinstance(content.get("model"), Mapping):
        inner, what = content["model"], "a checkpoint with the key 'model'"
        if content.keys() == STYLET2I:  # its optimiser holds three tensors; that code knows the quick-GELU alone
            what, quick = "StyleT2I's fine-tuned CLIP", True
    elif isinstance(content.get("state_dict"), Mapping):
        inner, what = content["state_dict"], "a checkpoint of open_clip's training"
    if inner and all(isinstance(key, str) and key.startswith("module.") for key in inner):
        inner = {key.removeprefix("module."): value for key, value in inner.items()}
    if path.name in huggingface.WEIGHTS and (path.parent / huggingface.CONFIG).is_file():
        return _transformers(path.parent)
    if not openai.is_clip(inner) or not all(isinstance(value, Tensor) for value in inner.values()):
        return None
    if inner.keys() >= {*openai.EXTRA}:
        what, quick = "a state dict of OpenAI's", True
    if "logit_bias" in inner:
        raise UserError(f"{path}: a SigLIP, whose texts are scored otherwise than a CLIP's: use a CLIP")
    if quick is None and path.name in OPEN_CLIP_WEIGHTS and (path.parent / OPEN_CLIP).is_file():
        return _open_clip(path.parent, path)
    return _found(path, what, inner, quick)


def build(where: Path | str, found: Found, config: Mapping[str, Any], quick_gelu: bool) -> nn.Module:
    """The network of a config, with the tensors of a file. Raises UserError if they do not fit."""
    try:
        model = CLIP(config["embed_dim"], dict(config["vision_cfg"]), dict(config["text_cfg"]), quick_gelu)
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        raise UserError(f"{where}: {found.what} of a shape that no CLIP has ({pickles.reason(error)})") from error
    expected = f"the weights of this CLIP, but {found.what} of a {openai.model_of(found.config)}"
    return fill(model, found.state, where, expected, "use another file")


def refuse(path: Path, content: Any) -> NoReturn:
    """Raise a UserError that says what the content of a file is, where it is no CLIP of OpenAI's layout."""
    keys = {str(key) for key in content} if isinstance(content, Mapping) else set()
    if "text.token_embedding.weight" in keys:
        what = f"a CLIP of open_clip with a text tower of its own: name its model too, as MODEL:{path.name}"
    elif any(key.startswith(("text_model.", "vision_model.")) for key in keys):
        what = (
            f"weights of transformers without the {huggingface.CONFIG} that gives their activation: name their folder"
        )
    elif "visual.conv1.weight" in keys or "token_embedding.weight" in keys:
        what = "one tower of a CLIP, expected both: get the file again"
    else:
        what = f"holds {pickles.kind_of(content)}, expected {EXPECTED}: name another file"
    raise UserError(f"{path}: {what}")


def _found(
    path: Path,
    what: str,
    state: Mapping[str, Tensor],
    quick_gelu: bool | None,
    config: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
) -> Found:
    config = config or openai.config_of(path, state)
    size = {"size": config["vision_cfg"]["image_size"]}
    return Found(what, openai.cleaned(state), config, quick_gelu, preprocess or size)


def _folder(path: Path) -> Found:
    weights = next((path / name for name in OPEN_CLIP_WEIGHTS if (path / name).is_file()), None)
    if (path / OPEN_CLIP).is_file() and weights is not None:
        return _open_clip(path, weights)
    if (path / huggingface.CONFIG).is_file():
        return _transformers(path)
    raise UserError(
        f"{path}: a folder without {OPEN_CLIP} and {OPEN_CLIP_WEIGHTS[0]} (open_clip's), and without "
        f"{huggingface.CONFIG} and {huggingface.WEIGHTS[0]} (transformers'), expected {EXPECTED}"
    )


def _transformers(path: Path) -> Found:
    state, sizes, quick, preprocess = huggingface.read(path)
    if preprocess is None:
        log.warning("%s says nothing of preprocessing: OpenAI's is used", path)
    config = openai.config_of(path, state)
    config = {**config, **{tower: {**config[tower], **sizes[tower]} for tower in sizes}}
    return _found(path, "a CLIP of transformers", state, quick, config, preprocess)


def _open_clip(path: Path, weights: Path) -> Found:
    try:
        content = json.loads((path / OPEN_CLIP).read_text("utf-8"))
        config, preprocess = content["model_cfg"], content.get("preprocess_cfg") or {}
        text, vision = dict(config["text_cfg"]), dict(config["vision_cfg"])
        embed_dim, size = config["embed_dim"], vision["image_size"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / OPEN_CLIP}: no config of an open_clip model ({error!r}): get it again") from error
    if other := sorted(text.keys() & {"hf_model_name", "hf_tokenizer_name"}) or sorted(
        config.keys() & {"multimodal_cfg", "custom_text", "init_logit_bias"}
    ):
        raise UserError(
            f"{path}: open_clip's config has {other[0]}, which is no CLIP with CLIP's own text tower: use another"
        )
    state = tensor_files.read(weights, EXPECTED)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{weights}: holds {pickles.kind_of(state)}, expected {EXPECTED}")
    vocabulary = text.get("vocab_size", openai.VOCABULARY)
    if vocabulary != openai.VOCABULARY:
        raise UserError(f"{path}: a CLIP with {vocabulary:,} tokens, expected {openai.VOCABULARY:,}: use another")
    network = {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}
    found = Found("open_clip's folder", openai.cleaned(state), network, bool(config.get("quick_gelu")), {})
    scale = {"logit_scale": found.state["logit_scale"].reshape([])} if "logit_scale" in found.state else {}
    return replace(found, state={**found.state, **scale}, preprocess={"size": size, **preprocess})
