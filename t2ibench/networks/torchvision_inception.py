"""torchvision's InceptionV3, trained on ImageNet: pool features [2048], for the protocols of DM-GAN, DF-GAN and GALIP.

Those compute FID on `inception_v3(pretrained=True)` and not on the network of FID, so their numbers differ: DM-GAN's
authors state 26.55 with this network and 24.24 with that one, for the same samples. Pixels in [0, 1] go through
torchvision's `transform_input`, which is made for pixels normalised by ImageNet's mean. The two ways of resizing are
extractors of their own:

    inception-torchvision           Pillow's bilinear to 299 x 299, antialiased, in 8 bits: DM-GAN's eval/FID, and its
                                    copies in DALL-Eval
    inception-torchvision-tensor    PyTorch's bilinear without antialiasing: what DF-GAN and GALIP do to the generator's
                                    tensor with the torchvision of their time. They never round it to 8 bits, we do

The weights are torchvision's file, which t2ibench neither ships nor downloads. Put `inception_v3_google-0cc3c7bd.pth`
into the cache folder, or name it in the environment variable T2IBENCH_TORCHVISION_INCEPTION. It is also found where
torch hub keeps it (`checkpoints`).
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from t2ibench.core import cache
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import check_uint8
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import fill, state_dict

FILE = "inception_v3_google-0cc3c7bd.pth"
EXPECTED = "torchvision's Inception, as Inception_V3_Weights"
SHA256 = "0cc3c7bd"  # its beginning, which torch hub puts into the file's name and checks
VARIABLE = "T2IBENCH_TORCHVISION_INCEPTION"
SIDE = 299
RESIZES = {
    "inception-torchvision": f"pil_bilinear{SIDE}",
    "inception-torchvision-tensor": f"tensor_bilinear{SIDE}",
}


def weights() -> Path | None:
    """The file of the weights, or None. Raises UserError if the environment variable names a place without them."""
    named = os.environ.get(VARIABLE)
    if not named:
        return next((path for path in places() if path.is_file()), None)
    path = Path(named) / FILE if Path(named).is_dir() else Path(named)
    if not path.is_file():
        raise UserError(f"{VARIABLE} is {named}: there is no file {path}; name {FILE} or its folder, or unset it")
    return path


def places() -> list[Path]:
    """Where the file is looked for: in the cache, and in torch hub's folder."""
    return [cache.home() / FILE, Path(torch.hub.get_dir()) / "checkpoints" / FILE]


class TorchvisionInception:
    """One of the extractors `inception-torchvision…`.

    Raises UserError for an unknown name, and for weights that are missing or not the published file.
    """

    def __init__(self, device: torch.device | str, name: str) -> None:
        if name not in RESIZES:
            raise UserError(f"no extractor is called {name!r}{did_you_mean(name, RESIZES)}")
        path = weights()
        if path is None:
            first, *others = places()
            raise UserError(
                f"{name}: {first} is missing: put torchvision's file of that name there (or where torch hub keeps it: "
                f"{others[0].parent}), or name it in {VARIABLE}"
            )
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.sha256.startswith(SHA256):
            raise UserError(
                f"{path}: {path.stat().st_size:,} bytes with sha256 {self.sha256[:12]}…, expected {SHA256}…: get the "
                f"file again"
            )
        self.device, self.name, self.resize = device, name, RESIZES[name]
        self.network = _network(path).to(device)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features [B, 2048] of images, uint8 [B, 3, H, W], on the CPU; computed in full float32."""
        check_uint8(images, self.name)
        with full_float32():
            return self.network(resized(images, self.name).to(self.device)).float().cpu()


def _network(path: Path) -> torch.nn.Module:
    """The network without its last layer, from torchvision's file."""
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, init_weights=False, transform_input=True)
    fill(network, state_dict(path, EXPECTED), path, EXPECTED)
    network.fc = torch.nn.Identity()  # type: ignore[assignment]
    return network.eval()


def resized(images: Tensor, name: str) -> Tensor:
    """uint8 images [B, 3, H, W] as floats in [0, 1], [B, 3, 299, 299]. name: one of the extractors."""
    if name == "inception-torchvision-tensor":
        return F.interpolate(images.float() / 255, (SIDE, SIDE), mode="bilinear", align_corners=False)
    pixels = [Image.fromarray(image.transpose(1, 2, 0)) for image in np.ascontiguousarray(images.cpu().numpy())]
    squashed = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for image in pixels]
    return torch.from_numpy(np.stack(squashed)).permute(0, 3, 1, 2).float() / 255
