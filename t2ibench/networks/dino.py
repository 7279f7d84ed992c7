"""DINO (Caron et al., ICCV 2021) as an extractor: the class token after the last norm, of ViT-S or B, patches 16 or 8.

The network is timm's. The weights are the published backbones, `dino_deitsmall16_pretrain.pth`,
`dino_deitsmall8_pretrain.pth`, `dino_vitbase16_pretrain.pth` or `dino_vitbase8_pretrain.pth`, which t2ibench neither
ships nor downloads. The shorter side of an image is brought to 256 pixels (bicubic, antialiased), and the middle 224 x
224 are normalised with ImageNet's mean and standard deviation, as DreamBench++, ImagenHub and MagicBrush do.
"""

from collections.abc import Mapping
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.images import check_uint8
from t2ibench.core.pickles import reason
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import fill, published

SHORT, SIDE = 256, 224
EXPECTED = "the backbone of a DINO ViT-S or ViT-B with patches of 16 or 8"
SIZES = {384: "small", 768: "base"}


class DINO:
    """The network and its weights. `name` is `dino-vits16`, `-vits8`, `-vitb16` or `-vitb8`, by the shapes of these."""

    resize = f"{SHORT}-bicubic-antialias-shortest-{SIDE}"

    def __init__(
        self, state: Mapping[str, Tensor], sha256: str, device: torch.device | str = "cpu", where: str = "dino"
    ) -> None:
        """Raises UserError, begun with `where`, for tensors that are not those of one of these networks."""
        try:
            width, _, patch, _ = state["patch_embed.proj.weight"].shape
            network: nn.Module = timm.create_model(
                f"vit_{SIZES[width]}_patch{patch}_224", pretrained=False, num_classes=0
            )
        except (LookupError, ValueError, RuntimeError) as error:
            raise UserError(f"{where}: not {EXPECTED} ({reason(error)}): get the file again") from error
        fill(network, {key: value.float() for key, value in state.items()}, where, EXPECTED)
        self.name, self.sha256, self.device = f"dino-vit{SIZES[width][0]}{patch}", sha256, device
        self.network = network.eval().requires_grad_(False).to(device)

    @classmethod
    def from_file(cls, path: Path, device: torch.device | str = "cpu") -> "DINO":
        """Raises UserError for a file that is missing or not the weights of one of these networks."""
        return cls(*published(path, "dino", "dino_deitsmall16_pretrain.pth", EXPECTED), device, str(path))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Class tokens of uint8 images [B, 3, H, W]: float32 [B, D] on the CPU, not normalised. D is 384 or 768."""
        check_uint8(images, self.name)
        pixels = middle(images.cpu()).to(self.device).float() / 255
        mean, std = (pixels.new_tensor(v).view(3, 1, 1) for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        with full_float32():
            return self.network.forward_features((pixels - mean) / std)[:, 0].float().cpu()  # type: ignore[operator]


def middle(images: Tensor) -> Tensor:
    """The middle 224 x 224 pixels of uint8 images [B, 3, H, W] whose shorter side was brought to 256, uint8."""
    height, width = images.shape[2:]
    short = min(height, width)
    sides = (int(SHORT * height / short), int(SHORT * width / short))
    if sides != (height, width):
        images = F.interpolate(images, sides, mode="bicubic", antialias=True)
    top, left = (round((side - SIDE) / 2) for side in sides)
    return images[:, :, top : top + SIDE, left : left + SIDE]
