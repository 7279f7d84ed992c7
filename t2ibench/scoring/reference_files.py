"""Reference statistics that other packages wrote: a file with the mean and covariance, or the features, of real images.

    pytorch-fid, TTUR, EDM, clean-fid   .npz: mu [d], sigma [d, d]
    clean-fid, for KID                  .npz: feats [n, d]
    ADM                                 .npz: mu, sigma, and images arr_0; mu_s, sigma_s (sFID) are not read
    torch-fidelity                      .pt: a dict of mu, sigma; or a tensor of features [n, d]

Covariances divide by n - 1 in all of them. No file holds the network and the resize that it was made with. The name
of a file of clean-fid tells them; for other files the user has to know. No file is unpickled freely.
"""

import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.pickles import DAMAGED, reason
from t2ibench.stats.frechet import EPS, Gaussian

LAYOUTS = (
    "mu and sigma (pytorch-fid, clean-fid, ADM, torch-fidelity), or features (clean-fid's feats, "
    "torch-fidelity's tensor)"
)
# A covariance may differ from its transpose by this share of its largest entry, and an eigenvalue may lie below 0 by
# this share of its trace.
ROUNDING = 1e-8
CLEAN_FID = re.compile(r".+_(clean|legacy_tensorflow|legacy_pytorch)(_.+)?_[a-z0-9]+_(\d+|na)(_kid)?\.npz")
EXTRACTORS = {"clean": "inception", "legacy_tensorflow": "inception-legacy-tf", "legacy_pytorch": "inception-legacy-pt"}


@dataclass(frozen=True, eq=False)
class ReferenceFile:
    """Takes the place of the images of a split, but has no pixels.

    path: the file.
    features: features of the real images, [n, d]; None if the file holds only their mean and covariance.
    gaussian: mean and covariance; None if the file holds features.
    """

    path: Path
    features: Tensor | None
    gaussian: Gaussian | None

    def __len__(self) -> int:
        return 0 if self.features is None else len(self.features)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        raise UserError(
            f"{self.path} holds statistics, no images: give a folder of real images for metrics that look at them"
        )

    def digests(self, rows: Sequence[int] | None = None) -> Sequence[str]:
        """The hash of the file, which stands for all its images."""
        return [self.sha256]

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def dimension(self) -> int:
        if self.gaussian is not None:
            return len(self.gaussian.mean)
        assert self.features is not None
        return self.features.shape[1]

    @property
    def extractor(self) -> str | None:
        """The extractor that the name of the file points to, else Inception for 2,048 dimensions, else None."""
        named = CLEAN_FID.fullmatch(self.path.name.lower())
        if named and not named[2]:
            return EXTRACTORS[named[1]]
        return "inception" if self.dimension == 2048 else None

    def check(self, extractor: str, dimension: int) -> None:
        """Raise UserError if an extractor of this name and dimension cannot have made these statistics."""
        named = CLEAN_FID.fullmatch(self.path.name.lower())
        if named and extractor.startswith("inception") and EXTRACTORS[named[1]] != extractor:
            raise UserError(
                f"{self.path} was made by clean-fid's mode {named[1]}: use --extractor {EXTRACTORS[named[1]]}, not "
                f"{extractor}"
            )
        if dimension != self.dimension:
            raise UserError(
                f"{self.path} has {self.dimension:,} dimensions, the extractor {extractor} gives {dimension:,}: "
                "name the one it was made with (--extractor)"
            )


def load(path: Path) -> ReferenceFile:
    """Read and check a file.

    Raises UserError for a file that is damaged, has another layout, or holds a matrix that is no covariance.
    """
    if path.suffix == ".pkl":
        raise UserError(f"{path}: a pickle can run any code and is not read: save mu and sigma as .npz")
    content = _tensor_file(path) if path.suffix in (".pt", ".pth") else _npz(path)
    if "mu" in content and "sigma" in content:
        return ReferenceFile(path, None, gaussian(content["mu"], content["sigma"], str(path)))
    if "feats" in content:
        return ReferenceFile(path, _features(content["feats"], str(path)), None)
    names = ", ".join(sorted(map(str, content))) or "nothing"
    raise UserError(f"{path}: holds {names}, expected {LAYOUTS}")


def gaussian(mean: np.ndarray, covariance: np.ndarray, where: str) -> Gaussian:
    """A Gaussian of a mean [d] and a covariance [d, d], in float64.

    Raises UserError, begun with `where`, for arrays that cannot be a mean and a covariance.
    """
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise UserError(
            f"{where}: mu has the shape {list(mean.shape)} and sigma {list(covariance.shape)}, expected [d] and [d, d]"
        )
    for name, array in (("mu", mean), ("sigma", covariance)):
        if not np.issubdtype(array.dtype, np.floating):
            raise UserError(f"{where}: {name} is of type {array.dtype}, expected floating point numbers")
        if not np.isfinite(array).all():
            raise UserError(
                f"{where}: {name} holds {int((~np.isfinite(array)).sum()):,} values that are not finite: make the "
                f"file again"
            )
    mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
    gap, largest = np.abs(covariance - covariance.T).max(), np.abs(covariance).max()
    if gap > ROUNDING * largest:
        raise UserError(
            f"{where}: sigma is not symmetric, it differs from its transpose by {gap:.3g}: make the file again"
        )
    values, trace = np.linalg.eigvalsh(covariance), float(np.trace(covariance))
    if values[0] < -ROUNDING * trace or not trace > 0:
        raise UserError(
            f"{where}: sigma is no covariance, its smallest eigenvalue is {values[0]:.3g}: make the file again"
        )
    rank = int((values > len(values) * EPS * values[-1]).sum())
    return Gaussian(torch.from_numpy(mean), torch.from_numpy((covariance + covariance.T) / 2), rank)


def _features(array: np.ndarray, where: str) -> Tensor:
    if array.ndim != 2 or len(array) < 2 or not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f"{where}: the features are {array.dtype} {list(array.shape)}, expected floating point numbers [n, d], n "
            f">= 2"
        )
    if not np.isfinite(array).all():
        raise UserError(
            f"{where}: the features hold {int((~np.isfinite(array)).sum()):,} values that are not finite: make the "
            f"file again"
        )
    return torch.from_numpy(np.ascontiguousarray(array))


def _npz(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays of a file that are statistics. Any other array, such as images (arr_0), is left empty."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"{path}: is one array, expected an archive .npz with {LAYOUTS}")
            return {key: file[key] if key in ("mu", "sigma", "feats") else np.empty(0) for key in file.files}
    except (*DAMAGED, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error, SyntaxError) as error:
        raise UserError(f"{path}: cannot be read as .npz ({reason(error)}): get the file again") from error


def _tensor_file(path: Path) -> Mapping[str, np.ndarray]:
    rebuild = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    names: list[Any] = [
        (rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")
    ]  # as numpy 1 and 2 write it
    arrays = [np.ndarray, np.dtype, np.dtypes.Float32DType, np.dtypes.Float64DType]
    try:
        with torch.serialization.safe_globals([*names, *arrays]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGED, OSError, RuntimeError) as error:
        raise UserError(
            f"{path}: cannot be read as torch-fidelity's statistics ({reason(error)}): get the file again"
        ) from error
    if isinstance(content, Tensor):
        content = {"feats": content}
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, expected {LAYOUTS}")
    return {key: _array(content[key], f"{path}: {key}") for key in ("mu", "sigma", "feats") if key in content} or {
        key: np.empty(0) for key in content
    }


def _array(value: Any, where: str) -> np.ndarray:
    """A tensor or array as numpy has it: dense, without gradient, half precision as float32."""
    try:
        if not isinstance(value, Tensor):
            return np.asarray(value)
        dense = value.detach()
        dense = dense if dense.layout == torch.strided else dense.to_dense()
        return (dense.float() if dense.dtype in (torch.bfloat16, torch.float16) else dense).numpy()
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise UserError(f"{where} is no array of numbers ({reason(error)}): save it as a dense tensor") from error
