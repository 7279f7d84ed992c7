"""Files of published extractors, read as data: their tensors by name, and what a record says about them.

A network that is stored with its code, as a TorchScript archive or as pickled classes, is refused: its code would run.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core import tensor_files
from t2ibench.core.errors import UserError
from t2ibench.core.files import in_weight_folders
from t2ibench.core.pickles import kind_of

INSIDE = ("state_dict", "model")  # keys under which checkpoints keep the tensors
PARALLEL = "module."  # what DataParallel puts before each name


def tensors_of(path: Path, expected: str) -> dict[str, Tensor]:
    """The tensors of a state dict or of a checkpoint that holds one, floats as float32.

    Raises UserError for a file that is missing, damaged, of another kind, or stored with its code.
    """
    content = tensor_files.read(path, expected)
    if isinstance(content, tensor_files.Script):
        raise UserError(
            f"{path}: a TorchScript archive, whose code is not run, expected {expected}: give the file that its "
            f"authors publish"
        )
    for key in INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path}: holds {kind_of(content)}, expected {expected}: name another file")
    return {
        str(name).removeprefix(PARALLEL): value.float() if value.is_floating_point() else value
        for name, value in content.items()
    }


def placed(name: str) -> Path:
    """A file where it is named, or in a folder of T2IBENCH_WEIGHTS: weights keep the names of their extractors."""
    return Path(in_weight_folders(name))


def one_by_one(network: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> Tensor:
    """network(images), computed for each image alone, on the CPU.

    So no image depends on its batch, and a large network needs the memory of one image.
    """
    return torch.cat([network(image.to(device)).cpu() for image in images.split(1)])


def file_facts(*paths: Path) -> str:
    """What a record says about the files behind a representation: name and sha256 of each."""
    return " + ".join(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}" for path in paths)
