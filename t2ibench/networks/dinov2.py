"""DINOv2 (Oquab et al., TMLR 2024) as an extractor: the class token after the last norm, of ViT-S/14, B/14 or L/14.

The network is timm's. The weights are the published `dinov2_vitl14_pretrain.pth` (or vits14, vitb14), which t2ibench
neither ships nor downloads. Images are squashed to 224 x 224 pixels by Pillow's BICUBIC in float, as for clean-FID, and
not rounded; then they are normalised with ImageNet's mean and standard deviation. Stein et al. (NeurIPS 2023) recommend
the Fréchet distance on ViT-L/14; their code rounds the resized image to 8 bits.
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
from t2ibench.networks.inception import clean_resized
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import fill, published

SIDE, PATCH = 224, 14
EXPECTED = "the weights of a DINOv2 ViT-S/14, B/14 or L/14 without registers"
SIZES = {384: "small", 768: "base", 1024: "large"}
# added by the released code to the number of patches a side, so that rounding loses none; it shifts the grid a little
OFFSET = 0.1


class DINOv2:
    """The network and its weights. `name` is `dinov2-vitl14`, `-vitb14` or `-vits14`, by the width of the weights."""

    resize = f"clean{SIDE}"

    def __init__(
        self, state: Mapping[str, Tensor], sha256: str, device: torch.device | str = "cpu", where: str = "dinov2"
    ) -> None:
        """Raises UserError, begun with `where`, for tensors that are not those of one of these networks."""
        tensors = {key: value.float() for key, value in state.items() if key != "mask_token"}
        try:
            size = SIZES[tensors["cls_token"].shape[-1]]
            tensors["pos_embed"] = positions(tensors["pos_embed"], SIDE // PATCH)
        except (LookupError, RuntimeError) as error:
            raise UserError(f"{where}: not {EXPECTED} ({reason(error)}): get the file again") from error
        network: nn.Module = timm.create_model(
            f"vit_{size}_patch14_dinov2", pretrained=False, img_size=SIDE, num_classes=0
        )
        fill(network, tensors, where, EXPECTED)
        self.name, self.sha256, self.device = f"dinov2-vit{size[0]}14", sha256, device
        self.network = network.eval().requires_grad_(False).to(device)

    @classmethod
    def from_file(cls, path: Path, device: torch.device | str = "cpu") -> "DINOv2":
        """Raises UserError for a file that is missing or not the weights of one of these networks."""
        return cls(*published(path, "dinov2", "dinov2_vitl14_pretrain.pth", EXPECTED), device, str(path))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Class tokens of uint8 images [B, 3, H, W]: float32 [B, D] on the CPU, not normalised.

        D is 384, 768 or 1024.
        """
        check_uint8(images, self.name)
        pixels = torch.from_numpy(clean_resized(images.cpu().numpy(), SIDE)) / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        with full_float32():
            return self.network.forward_features(((pixels - mean) / std).to(self.device))[:, 0].float().cpu()  # type: ignore[operator]


def positions(embedding: Tensor, patches: int) -> Tensor:
    """Position embeddings [1, 1 + n^2, D] resized to another grid, [1, 1 + patches^2, D].

    As in the released code: bicubic, without antialiasing.
    """
    side = round((embedding.shape[1] - 1) ** 0.5)
    if side == patches:
        return embedding
    grid = embedding[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(patches + OFFSET) / side, mode="bicubic", antialias=False)
    return torch.cat([embedding[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
