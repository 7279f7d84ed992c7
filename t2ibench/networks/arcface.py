"""ArcFace (Deng et al., CVPR 2019) on IR-SE50, the face network of the identity loss in pSp, e4e and StyleCLIP.

Its weights do not come with this package: `model_ir_se50.pth` of TreB1eN's InsightFace_Pytorch, whose parameter names
these are. The crop is that of StyleCLIP, for faces aligned as in FFHQ.
"""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.networks.state import fill, state_dict

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))  # channels and units; each stage begins with a stride of 2
ALIGNED, CROP, INPUT = 256, (slice(35, 223), slice(32, 220)), 112  # pixels; rows and columns of the face


class ArcFace(nn.Module):
    """Faces [B, 3, 112, 112] in [-1, 1] to identity features [B, 512] of unit norm. In evaluation mode, frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units: list[nn.Module] = []
        inputs = 64
        for channels, count in STAGES:
            units += [Unit(inputs, channels, stride=2), *(Unit(channels, channels, stride=1) for _ in range(count - 1))]
            inputs = channels
        self.body = nn.Sequential(*units)
        head = [nn.BatchNorm2d(512), nn.Dropout(0.6), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)]
        self.output_layer = nn.Sequential(*head)
        self.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: Path) -> "ArcFace":
        """From a state dict. Raises UserError for a file that is missing, damaged, or of another network."""
        expected = "the weights of ArcFace on IR-SE50, model_ir_se50.pth"
        return fill(cls(), state_dict(path, expected), path, expected)

    def forward(self, faces: Tensor) -> Tensor:
        return F.normalize(self.output_layer(self.body(self.input_layer(faces))), dim=1)


class Unit(nn.Module):
    """A residual unit, added to a shortcut.

    Batch norm, convolution, PReLU, convolution with the stride, batch norm, squeeze and excitation.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        if inputs == channels:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)  # every stride-th pixel
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, channels, 3, padding=1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            Squeeze(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class Squeeze(nn.Module):
    """Scales each channel by a factor computed from the means of all channels (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean(dim=(2, 3), keepdim=True)).relu()).sigmoid()


def face_crop(images: Tensor) -> Tensor:
    """The faces of aligned images [B, 3, H, W], [B, 3, 112, 112].

    The images are averaged to 256 pixels unless that is their height, cropped, and averaged to 112 pixels.
    """
    if images.shape[2] != ALIGNED:
        images = F.adaptive_avg_pool2d(images, ALIGNED)
    return F.adaptive_avg_pool2d(images[:, :, *CROP], INPUT)
