"""Networks given as TorchScript files. Such a file contains the network's code, so none has to be copied here."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from t2ibench.core.errors import UserError


def load_scripted(path: Path, what: str, device: torch.device) -> nn.Module:
    """A frozen network. Raises UserError for a file that is missing or is no TorchScript file."""
    if not path.is_file():
        raise UserError(f"composer: {what}: there is no file {path}: give a TorchScript file (torch.jit.save)")
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"composer: {what}: {path} is no TorchScript file ({reason}): save the network with torch.jit.save"
        ) from error


def file_facts(*paths: Path) -> str:
    """What a record says about the files behind a representation: name and sha256 of each."""
    return " + ".join(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}" for path in paths)
