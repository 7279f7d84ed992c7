"""Finds the weights of a published CLIP on this disk. Nothing is downloaded and no connection is opened.

A model and its tag have the names of open_clip, as `ViT-L-14-quickgelu:openai`. The file is searched for first in the
folders of T2IBENCH_WEIGHTS, as `open_clip/ViT-L-14-quickgelu-openai.safetensors` (or `.pt`, `.bin`). Then the two
caches of open_clip's downloads are searched: that of huggingface_hub, and `~/.cache/clip`. OpenAI's own archives, such
as `ViT-L-14.pt`, are found by their names in all these folders; `~/.cache/clip` is where OpenAI's code keeps them.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import open_clip
from huggingface_hub import try_to_load_from_cache

from t2ibench.networks import zoo

FOLDER = "open_clip"  # inside a folder of T2IBENCH_WEIGHTS: these files have no card
SUFFIXES = (".safetensors", ".pt", ".bin")
OPENAI = "openaipublic"  # in the addresses of OpenAI's own archives
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # in this order, where the tag names none


def facts(name: str) -> Mapping[str, Any]:
    """What open_clip knows of `model:tag`: address, preprocessing, activation.

    Empty for a name that it does not know.
    """
    architecture, _, tag = name.partition(":")
    return open_clip.get_pretrained_cfg(architecture, tag) or {}


def on_disk(name: str) -> Path | None:
    """The file with the weights of `model:tag`, or None if no file is found."""
    known = facts(name)
    archive = PurePosixPath(known.get("url", "")).name if OPENAI in known.get("url", "") else ""
    names = [f"{name.replace(':', '-')}{suffix}" for suffix in SUFFIXES] + ([archive] if archive else [])
    for folder in zoo.folders():
        for file in names:
            if (path := folder / FOLDER / file).is_file():
                return path
    return _in_caches(known)


def _in_caches(known: Mapping[str, Any]) -> Path | None:
    repository, _, file = known.get("hf_hub", "").rpartition("/")
    for candidate in ([f"{PurePosixPath(file).stem}.safetensors", file] if file else HUB_FILES) if repository else ():
        if isinstance(path := try_to_load_from_cache(repository, candidate), str):
            return Path(path)
    address = known.get("url", "")
    path = Path.home() / ".cache" / "clip" / PurePosixPath(address).name
    return path if address and path.is_file() else None


def advice(name: str) -> str:
    """A text that says where to download the weights of `model:tag` and where to put them."""
    repository = facts(name).get("hf_hub", "").rpartition("/")[0]
    origin = f"download {HUB_FILES[0]} of {repository} from the Hugging Face hub" if repository else "download them"
    return (
        f"{origin} and put it as {FOLDER}/{name.replace(':', '-')}.safetensors into a folder that T2IBENCH_WEIGHTS "
        f"names"
    )
