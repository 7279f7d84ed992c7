"""The InceptionV3 that FID means: pool3 features [2048], or class probabilities [1008], of the TensorFlow graph of
2015-12-05.

Its 1008 outputs, padding-free average pools and one max pool make it another network than torchvision's. What it says
depends on how an image comes to 299 x 299 pixels, so each way is an extractor of its own:

    inception                 each channel in float by Pillow's BICUBIC, which antialiases, clipped to [0, 255] and not
    rounded; it
                              sees (x - 128) / 128: clean-FID's protocol (Parmar et al., CVPR 2022)
    inception-legacy-tf       TensorFlow 1's bilinear, which neither antialiases nor centres pixels, inside the network:
    the protocol of
                              TTUR, ADM, StyleGAN2-ADA and torch-fidelity
    inception-legacy-pt       PyTorch's bilinear without antialiasing; it sees 2 x / 255 - 1: pytorch-fid's protocol
    inception-tm-aa           PyTorch's bilinear, antialiased; it sees (x - 128) / 128: torchmetrics from 1.8.0 on
    inception-probabilities   inception-legacy-tf, the softmax of the outputs without their bias: what the Inception
    Score is made of

The weights are NVIDIA's TorchScript file, which t2ibench neither ships nor downloads: put `inception-2015-12-05.pt`
into the cache folder, or name it in the environment variable T2IBENCH_INCEPTION.
"""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from t2ibench.core import cache
from t2ibench.core.errors import UserError, did_you_mean

FILE = "inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIDE = 299
PROBABILITIES = "inception-probabilities"
RESIZES = {
    "inception": f"clean{SIDE}",
    "inception-legacy-tf": f"legacy_tf{SIDE}",
    "inception-legacy-pt": f"legacy_pt{SIDE}",
    "inception-tm-aa": f"tm_aa{SIDE}",
    PROBABILITIES: f"legacy_tf{SIDE}",
}


def weights() -> Path | None:
    """Where the weights lie, or None. Raises UserError where T2IBENCH_INCEPTION names a place without them."""
    named = os.environ.get("T2IBENCH_INCEPTION")
    path = Path(named) if named else cache.home() / FILE
    path = path / FILE if path.is_dir() else path
    if named and not path.is_file():
        raise UserError(
            f"T2IBENCH_INCEPTION is {named}: there is no file {path}; name {FILE} or its folder, or unset it"
        )
    return path if path.is_file() else None


def missing() -> str:
    """What to say where the weights are not there."""
    return (
        f"{cache.home() / FILE} is missing: put NVIDIA's TorchScript file of that name there, or name it in "
        f"T2IBENCH_INCEPTION"
    )


class Inception:
    """The extractors `inception…`.

    Raises UserError for an unknown one, and where the weights are absent or not the published file.
    """

    sha256 = SHA256

    def __init__(self, device: torch.device | str = "cpu", name: str = "inception") -> None:
        if name not in RESIZES:
            raise UserError(f"no extractor is called {name!r}{did_you_mean(name, RESIZES)}")
        path = weights()
        if path is None:
            raise UserError(f"{name}: {missing()}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise UserError(
                f"{path}: {path.stat().st_size:,} bytes with sha256 {found[:12]}…, expected {SHA256[:12]}…: get the "
                f"file again"
            )
        with warnings.catch_warnings():  # TorchScript is deprecated, but it is what the published file is made of
            warnings.simplefilter("ignore", FutureWarning)
            self.device, self.network = device, torch.jit.load(path, map_location=device).eval()
        self.name, self.resize, self.output = name, RESIZES[name], "probabilities" if name == PROBABILITIES else ""

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """pool3 [B, 2048] or probabilities [B, 1008] of images, uint8 [B, 3, H, W], on the CPU.

        In full float32 also where TF32 is on by default.
        """
        with torch.backends.cudnn.flags(allow_tf32=False):
            if self.name == PROBABILITIES:
                found = self.network(images.to(self.device), no_output_bias=True)
            elif self.name == "inception-legacy-tf":
                found = self.network(images.to(self.device), return_features=True)
            else:
                found = self.network.layers(resized(images, self.name).to(self.device))
        return found.flatten(1).float().cpu()


def resized(images: Tensor, name: str) -> Tensor:
    """Images, uint8 [B, 3, H, W], as the layers of the network read them, float32 [B, 3, 299, 299]; for extractors that
    resize outside.
    """
    if name == "inception":
        return (torch.from_numpy(np.stack([clean_resize(image, SIDE) for image in images.cpu().numpy()])) - 128) / 128
    antialias = name == "inception-tm-aa"
    pixels = F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=antialias)
    return (pixels - 128) / 128 if antialias else 2 * (pixels / 255) - 1


def clean_resize(image: np.ndarray, side: int) -> np.ndarray:
    """An image uint8 [3, H, W] to float32 [3, side, side] in [0, 255], squashed, antialiased and not quantised."""
    channels = [
        Image.fromarray(channel.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC) for channel in image
    ]
    return np.stack([np.asarray(channel) for channel in channels]).clip(0, 255)
