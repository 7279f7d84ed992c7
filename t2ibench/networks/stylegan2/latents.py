"""Latents W+ that others published or an encoder found: `test_faces.pt`, `latents.pt`, `w_plus.npy`, [N, L, w_dim].

They are absolute, one w for each row of W+, and are used as they are: nothing is truncated.
"""

from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core import pickles, tensor_files
from t2ibench.core.containers import kind_of
from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2.layout import Config

EXPECTED = "latents W+, an array of torch.save (.pt) or numpy (.npy)"


def read(path: Path, layout: Config) -> Tensor:
    """The latents of a file, float32 [N, L, w_dim], on the CPU.

    layout: that of the generator that draws them. Raises UserError for a file that is missing, damaged or of another
    kind, and for latents of another generator.
    """
    if kind_of(path, EXPECTED) == "npy":
        content = torch.from_numpy(tensor_files.array(path, EXPECTED))
    else:
        content = tensor_files.read(path, EXPECTED)
    if not isinstance(content, Tensor):
        raise UserError(f"{path}: holds {pickles.kind_of(content)}, expected {EXPECTED}: name another file")
    expected = f"[N, {layout.rows}, {layout.w_dim}]"
    if content.ndim != 3 or not len(content) or tuple(content.shape[1:]) != (layout.rows, layout.w_dim):
        raise UserError(
            f"{path}: latents {list(content.shape)}, expected {expected} for a generator of {layout.resolution} "
            f"pixels: use latents that were found with this generator"
        )
    if not content.is_floating_point() or not torch.isfinite(content).all():
        raise UserError(f"{path}: numbers that are no finite floats, expected latents {expected}: get the file again")
    return content.detach().float().contiguous()
