"""The InceptionV3 that FID means: pool3 features [2048] of the TensorFlow graph of 2015-12-05, by clean-FID's protocol.

Its 1008 outputs, padding-free average pools and one max pool make it another network than torchvision's. Each channel is resized to
299 x 299 in float by Pillow's BICUBIC, which antialiases, clipped to [0, 255] and not rounded (Parmar et al., CVPR 2022); the network
sees (x - 128) / 128.

The weights are NVIDIA's TorchScript file, which t2ibench neither ships nor downloads: put `inception-2015-12-05.pt` into the cache folder,
or name it in the environment variable T2IBENCH_INCEPTION.
"""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from t2ibench import cache
from t2ibench.errors import UserError

FILE = "inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIDE = 299


def weights() -> Path | None:
    """Where the weights lie, or None. Raises UserError where T2IBENCH_INCEPTION names a place without them."""
    named = os.environ.get("T2IBENCH_INCEPTION")
    path = Path(named) if named else cache.folder() / FILE
    path = path / FILE if path.is_dir() else path
    if named and not path.is_file():
        raise UserError(f"T2IBENCH_INCEPTION is {named}: there is no file {path}; name {FILE} or its folder, or unset it")
    return path if path.is_file() else None


class Inception:
    """The extractor `inception`. Raises UserError where its weights are absent or not the published file."""

    name, sha256, resize = "inception", SHA256, f"clean{SIDE}"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        path = weights()
        if path is None:
            raise UserError(f"inception: {cache.folder() / FILE} is missing: put the weights there, or name them in T2IBENCH_INCEPTION")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise UserError(f"{path}: {path.stat().st_size:,} bytes with sha256 {found[:12]}…, expected {SHA256[:12]}…: get the file again")
        with warnings.catch_warnings():  # TorchScript is deprecated, but it is what the published file is made of
            warnings.simplefilter("ignore", FutureWarning)
            self.device, self.network = device, torch.jit.load(path, map_location=device).eval()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """pool3 of images, uint8 [B, 3, H, W]: float32 [B, 2048] on the CPU, in full float32 also where TF32 is on by default."""
        resized = torch.from_numpy(np.stack([clean_resize(image, SIDE) for image in images.cpu().numpy()]))
        with torch.backends.cudnn.flags(allow_tf32=False):
            return self.network.layers((resized.to(self.device) - 128) / 128).flatten(1).float().cpu()


def clean_resize(image: np.ndarray, side: int) -> np.ndarray:
    """An image uint8 [3, H, W] to float32 [3, side, side] in [0, 255], squashed, antialiased and not quantised."""
    channels = [Image.fromarray(channel.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC) for channel in image]
    return np.stack([np.asarray(channel) for channel in channels]).clip(0, 255)
