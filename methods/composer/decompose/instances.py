"""G: which part or object a pixel shows, from exact part masks of the data set, Mask R-CNN, or a silhouette."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.methods.composer.decompose.files import one_by_one
from t2ibench.networks.state import fill, state_dict

EXPECTED = "the state dict of torchvision's Mask R-CNN (ResNet-50, COCO)"
CLASSES = 91  # of COCO, with the background
SURE = 0.5  # an instance, and a pixel of it, count from this score


class MaskRCNN:
    """The union of all instances that torchvision's Mask R-CNN (ResNet-50, COCO) finds; the paper used YOLOv5."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """path: a file with its state dict. Raises UserError for any other file."""
        from torchvision.models.detection import MaskRCNN as Network
        from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
        from torchvision.ops import FrozenBatchNorm2d

        self.device = device
        try:
            tensors = state_dict(path, EXPECTED)
        except UserError as error:
            if any(name in str(error) for name in ("models.yolo", "models.common", "ultralytics")):
                raise UserError(
                    f"{path}: a network of YOLO, stored with classes whose code is not run, expected {EXPECTED}: name "
                    f"maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
                ) from error
            raise
        with torch.random.fork_rng(devices=[]):
            body = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d)
            network = Network(body, num_classes=CLASSES)
        counts = [name for name in tensors if name.endswith("num_batches_tracked")]  # which frozen norms do not have
        tensors = {name: value for name, value in tensors.items() if name not in counts}
        self.network = fill(network, tensors, path, EXPECTED).eval().requires_grad_(False).to(device)
        for layer in self.network.modules():
            if isinstance(layer, FrozenBatchNorm2d):
                layer.eps = 0.0  # as torchvision sets it for this file

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Silhouettes, uint8 [B, H, W] in {0, 1}, of uint8 images [B, 3, H, W]."""

        def silhouette(image: Tensor) -> Tensor:
            [found] = self.network([image[0].float() / 255])
            return union(found["masks"], found["scores"])[None]

        return one_by_one(silhouette, images, self.device)


def union(masks: Tensor, scores: Tensor) -> Tensor:
    """Pixels of any sure instance: masks [K, 1, H, W] in [0, 1], scores [K] to uint8 [H, W]."""
    return ((masks[:, 0] > SURE) & (scores > SURE)[:, None, None]).any(0).to(torch.uint8)


def shrink(labels: Tensor, side: int) -> Tensor:
    """Labels uint8 [B, H, W] at another side: the label that covers most of each new pixel; of equals the lowest."""
    classes = int(labels.max()) + 1
    shares = F.interpolate(F.one_hot(labels.long(), classes).permute(0, 3, 1, 2).float(), (side, side), mode="area")
    return shares.argmax(1).to(torch.uint8)


def planes(labels: Tensor, channels: int) -> Tensor:
    """Labels uint8 [B, R, R] as the network reads them: float32 [B, channels, R, R] in {0, 1}.

    One channel is a silhouette: everything that is not 0. More channels are one for each of channels - 1 parts, then
    one for the boundaries between parts, which separates parts that touch.
    """
    if channels == 1:
        return (labels > 0)[:, None].float()
    parts = F.one_hot(labels.long(), channels - 1).permute(0, 3, 1, 2).float()
    return torch.cat([parts, boundaries(labels)[:, None].float()], 1)


def boundaries(labels: Tensor) -> Tensor:
    """Pixels with a neighbour (left, right, above, below) of another label: bool [B, H, W]."""
    edges = torch.zeros_like(labels, dtype=torch.bool)
    across, down = labels[:, :, 1:] != labels[:, :, :-1], labels[:, 1:] != labels[:, :-1]
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges
