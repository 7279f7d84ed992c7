"""The InceptionV3 of FID, the TensorFlow graph of 2015-12-05: pool3 features [2048] or class probabilities [1008].

It differs from torchvision's network: it has 1008 outputs, average pools that do not count the padding, and one max
pool. The result depends on how an image is resized to 299 x 299 pixels, so each way of resizing is an extractor of its
own:

    inception                 Pillow's BICUBIC on each channel in float, antialiased, clipped to [0, 255], not rounded;
                              the network sees (x - 128) / 128. This is clean-FID's protocol (Parmar et al., CVPR 2022).
    inception-legacy-tf       TensorFlow 1's bilinear inside the network, which neither antialiases nor centres pixels.
                              This is the protocol of TTUR, ADM, StyleGAN2-ADA and torch-fidelity.
    inception-legacy-pt       PyTorch's bilinear without antialiasing; the network sees 2 x / 255 - 1. This is
                              pytorch-fid's protocol.
    inception-tm-aa           PyTorch's bilinear, antialiased; the network sees (x - 128) / 128. This is the protocol of
                              torchmetrics from 1.8.0 on.
    inception-square          The middle square, then Pillow's BICUBIC to 299 x 299 in 8 bits; the network sees
                              2 x / 255 - 1. This is text2image-benchmark's protocol for MS-COCO.
    inception-probabilities   Resized as in inception-legacy-tf; the softmax of the outputs without their bias, which
                              the Inception Score uses.

The weights are NVIDIA's TorchScript file, which t2ibench neither ships nor downloads. Put `inception-2015-12-05.pt`
into the cache folder, or name it in the environment variable T2IBENCH_INCEPTION. It is also found where torch hub
(`checkpoints`) and clean-fid (the folder of temporary files) keep it.
"""

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from t2ibench.core import cache
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import check_uint8
from t2ibench.core.readers import in_order
from t2ibench.networks.precision import full_float32

FILE = "inception-2015-12-05.pt"
ADDRESS = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{FILE}"  # clean-fid's, too
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIDE = 299
PROBABILITIES = "inception-probabilities"
RESIZES = {
    "inception": f"clean{SIDE}",
    "inception-legacy-tf": f"legacy_tf{SIDE}",
    "inception-legacy-pt": f"legacy_pt{SIDE}",
    "inception-tm-aa": f"tm_aa{SIDE}",
    "inception-square": f"square_bicubic8_{SIDE}",
    PROBABILITIES: f"legacy_tf{SIDE}",
}


def weights() -> Path | None:
    """The file of the weights, or None. Raises UserError if T2IBENCH_INCEPTION names a place without them."""
    named = os.environ.get("T2IBENCH_INCEPTION")
    if not named:
        return next((path for path in places() if path.is_file()), None)
    path = Path(named) / FILE if Path(named).is_dir() else Path(named)
    if not path.is_file():
        raise UserError(
            f"T2IBENCH_INCEPTION is {named}: there is no file {path}; name {FILE} or its folder, or unset it"
        )
    return path


def places() -> list[Path]:
    """Where the file is looked for: in the cache, in torch hub's folder, and where clean-fid keeps it.

    Wherever it lies, its hash is checked before it is used.
    """
    return [cache.home() / FILE, Path(torch.hub.get_dir()) / "checkpoints" / FILE, Path(tempfile.gettempdir()) / FILE]


def missing() -> str:
    """The error text for missing weights."""
    return (
        f"{cache.home() / FILE} is missing: put NVIDIA's TorchScript file there ({ADDRESS}), or where torch hub or "
        f"clean-fid keep it ({' or '.join(str(path.parent) for path in places()[1:])}), or name it in "
        f"T2IBENCH_INCEPTION"
    )


class Inception:
    """One of the extractors `inception…`.

    Raises UserError for an unknown name, and for weights that are missing or not the published file.
    """

    sha256 = SHA256

    def __init__(self, device: torch.device | str = "cpu", name: str = "inception") -> None:
        if name not in RESIZES:
            raise UserError(f"no extractor is called {name!r}{did_you_mean(name, RESIZES)}")
        path = weights()
        if path is None:
            raise UserError(f"{name}: {missing()}")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != SHA256:
            raise UserError(
                f"{path}: {path.stat().st_size:,} bytes with sha256 {sha256[:12]}…, expected {SHA256[:12]}…: get the "
                f"file again"
            )
        with warnings.catch_warnings():  # TorchScript is deprecated, but it is what the published file is made of
            warnings.simplefilter("ignore", FutureWarning)
            self.device, self.network = device, torch.jit.load(path, map_location=device).eval()
        self.name, self.resize, self.output = name, RESIZES[name], "probabilities" if name == PROBABILITIES else ""

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """pool3 [B, 2048] or probabilities [B, 1008] of images, uint8 [B, 3, H, W], on the CPU.

        Computed in full float32, even if TF32 is on by default. Raises ValueError for any other kind of tensor.
        """
        check_uint8(images, self.name)
        with full_float32():
            if self.name == PROBABILITIES:
                outputs = self.network(images.to(self.device), no_output_bias=True)
            elif self.name == "inception-legacy-tf":
                outputs = self.network(images.to(self.device), return_features=True)
            else:
                outputs = self.network.layers(resized(images, self.name).to(self.device))
        return outputs.flatten(1).float().cpu()


def resized(images: Tensor, name: str) -> Tensor:
    """uint8 images [B, 3, H, W] resized and scaled for the network's layers: float32 [B, 3, 299, 299].

    name: an extractor that resizes outside of the network.
    """
    if name == "inception":
        return torch.from_numpy(clean_resized(images.cpu().numpy(), SIDE)).sub_(128).div_(128)
    if name == "inception-square":
        return 2 * (torch.from_numpy(np.stack([square_resize(one, SIDE) for one in images.cpu().numpy()])) / 255) - 1
    antialias = name == "inception-tm-aa"
    pixels = F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=antialias)
    return (pixels - 128) / 128 if antialias else 2 * (pixels / 255) - 1


def clean_resized(images: np.ndarray, side: int) -> np.ndarray:
    """`clean_resize` of images uint8 [B, 3, H, W], by the threads that read images: float32 [B, 3, side, side]."""
    result = np.empty((len(images), 3, side, side), np.float32)
    for _ in in_order(lambda row: clean_resize(images[row], side, result[row]), range(len(images))):
        pass
    return result


def clean_resize(image: np.ndarray, side: int, out: np.ndarray | None = None) -> np.ndarray:
    """An image uint8 [3, H, W] to float32 [3, side, side] in [0, 255], squashed, antialiased and not quantised.

    It is what clean-fid's function does: Pillow's bicubic filter on each channel in float. That one joins the channels
    and turns them, which takes half as long again.

    out: where the result goes, if it has a place.
    """
    result = np.empty((3, side, side), np.float32) if out is None else out
    for values, place in zip(image, result, strict=True):
        channel = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
        np.clip(np.asarray(channel), 0, 255, out=place)
    return result


def square_resize(image: np.ndarray, side: int) -> np.ndarray:
    """The middle square of an image uint8 [3, H, W], as float32 [3, side, side] of whole numbers in [0, 255]."""
    short, (height, width) = min(image.shape[1:]), image.shape[1:]
    top, left = (height - short) // 2, (width - short) // 2
    square = Image.fromarray(np.ascontiguousarray(image[:, top : top + short, left : left + short].transpose(1, 2, 0)))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32).transpose(2, 0, 1)
