"""Networks and LoRAs that are read whole or refused.

diffusers and transformers fill what a file lacks with random numbers, and leave out what they do not know; both only
say so in a warning.
"""

import hashlib
import importlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.methods.diffusers_pipeline.places import Place, components, read_index

# errors of libraries for files that are broken or do not fit
BROKEN = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
)
LIBRARIES = {"diffusers": "ModelMixin", "transformers": "PreTrainedModel"}  # and the class of their networks
CONSTANT = ("position_ids",)  # a row of numbers that older versions stored and newer ones make
T = TypeVar("T")


def read(place: Place, load: Callable[[], T]) -> T:
    """What a library loads from a folder. Its errors become a UserError with their text."""
    try:
        return load()
    except BROKEN as error:
        message = " ".join(str(error).split())[:300]
        raise UserError(
            f"diffusers_pipeline: {place.path} cannot be read ({type(error).__name__}: {message}): check the folder"
        ) from error


def networks(place: Place, options: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The networks of a pipeline by their names in it; those of other libraries are left to the pipeline."""
    made = {}
    for name, (library, class_name) in components(read_index(place.path)).items():
        folder = place.path / name
        if library not in LIBRARIES or not folder.is_dir():
            continue
        module = importlib.import_module(library)
        kind = getattr(module, class_name, None)
        if isinstance(kind, type) and issubclass(kind, getattr(module, LIBRARIES[library])):
            variant = options.get("variant")
            marked = variant and any(f".{variant}." in path.name for path in folder.iterdir())
            of_network = {"torch_dtype": options["torch_dtype"], "variant": variant if marked else None}
            made[name] = network(place, kind, folder, of_network)
    return made


def network(place: Place, kind: Any, folder: Path, options: Mapping[str, Any]) -> nn.Module:
    """A network of a class of diffusers or transformers. Raises UserError if the file is not exactly its weights."""
    made, loaded = read(place, lambda: kind.from_pretrained(folder, **options, output_loading_info=True))
    for what in ("missing", "mismatched", "unexpected"):
        keys = [key if isinstance(key, str) else key[0] for key in loaded.get(f"{what}_keys", ())]
        if keys := sorted(key for key in keys if what == "missing" or not key.endswith(CONSTANT)):
            raise UserError(
                f"diffusers_pipeline: {folder}: {keys[0]} is {what}{_more(keys)}: these are not the weights of this "
                f"{kind.__name__}; get the folder again, or write it with save_pretrained"
            )
    return made


def check_lora(pipeline: Any, lora: Place, dtype: torch.dtype) -> None:
    """Raises UserError if a tensor of a LoRA is in no layer of the pipeline, or a layer has one that is not of it.

    pipeline: one that has just loaded the LoRA.
    dtype: its precision.

    Tensors are compared by their contents, because each kind of LoRA has other names.
    """
    converted = read(lora, lambda: pipeline.lora_state_dict(lora.path))
    stored = converted[0] if isinstance(converted, tuple) else converted
    stored = {key: value for key, value in stored.items() if value.dim() and not key.endswith("alpha")}
    loaded = {
        f"{name}.{key}": value
        for name, part in pipeline.components.items()
        if isinstance(part, nn.Module)
        for key, value in part.named_parameters()
        if ".lora_" in key
    }
    of_file, of_layers = _contents(stored, dtype), _contents(loaded, dtype)
    unused = Counter(of_file.values()) - Counter(of_layers.values())
    unused_keys = [key for key, content in of_file.items() if content in unused]
    lost = [key for key in _names(lora.path) if "dora_scale" in key and not any("magnitude" in name for name in stored)]
    if unused_keys := unused_keys + lost:
        raise UserError(
            f"diffusers_pipeline: lora: {lora.path}: {len(unused_keys):,} of its {len(stored) + len(lost):,} tensors "
            f"fit no layer of {type(pipeline).__name__}, the first is {unused_keys[0]}: use a LoRA made for this model"
        )
    if made_up := Counter(of_layers.values()) - Counter(of_file.values()):
        keys = [key for key, content in of_layers.items() if content in made_up]
        raise UserError(f"diffusers_pipeline: lora: {lora.path}: {keys[0]} is missing{_more(keys)}: get the file again")
    if not loaded:
        raise UserError(f"diffusers_pipeline: lora: {lora.path} changes no layer: take `lora` out")


def _contents(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, str]:
    """The hash of the shape and the values of each tensor, in a precision; "" for one that was never filled."""

    def content(value: Tensor) -> str:
        if value.is_meta:
            return ""
        plain = value.detach().cpu().to(dtype).float().contiguous()
        return hashlib.sha256(f"{list(plain.shape)}".encode() + plain.numpy().tobytes()).hexdigest()

    return {key: content(value) for key, value in tensors.items()}


def _names(path: Path) -> list[str]:
    """The names of the tensors in a `.safetensors` file, or in those of a folder."""
    names: list[str] = []
    for file in [path] if path.is_file() else sorted(path.glob("*.safetensors")):
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                names += opened.keys()
    return names


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1:,} more)" if len(keys) > 1 else ""
