"""The projected discriminator (Sauer et al., NeurIPS 2021): trained heads over frozen features of a CLIP's image tower.

The paper uses features of an ImageNet classifier, and needs far fewer images than a discriminator trained from scratch.
Fixed random convolutions mix the features of all scales, across channels and from coarse to fine, so that no head can
rely on a few of them. Here the image itself is one more scale, for the detail that the tower's first stride loses.
Heads are spectrally normalised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.pyramid import pyramid


class ProjectedDiscriminator(nn.Module):
    """`features` computes the frozen features of images, and `logits` applies the heads to them.

    Only the heads are parameters of this module.
    """

    def __init__(self, clip: Clip, resolution: int, width: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.clip = [clip]  # in a list: its weights are not ours to train, average or save
        with torch.no_grad():
            shapes = [
                tuple(x.shape[1:]) for x in pyramid(clip, torch.zeros(1, 3, resolution, resolution, device=clip.device))
            ]
        stream = torch.Generator().manual_seed(seed)
        widths = [width // 2] + [width] * (len(shapes) - 1)
        finer = [widths[0], *widths[:-1]]  # each scale is handed down in the width of the next finer one
        for k, (channels, *_) in enumerate(shapes):
            across = torch.randn(widths[k], channels, 1, 1, generator=stream) * (2 / channels) ** 0.5
            down = torch.randn(finer[k], widths[k], 3, 3, generator=stream) * (2 / (9 * widths[k])) ** 0.5
            self.register_buffer(f"across_{k}", across, persistent=False)
            self.register_buffer(f"down_{k}", down, persistent=False)
        heads = [_head(seen, width, size) for seen, (_, size, _) in zip(finer, shapes, strict=True)]
        self.heads = nn.ModuleList([_head(3, width // 2, resolution), *heads])

    def features(self, images: Tensor) -> list[Tensor]:
        """The image itself, then the mixed features of every scale, from fine to coarse."""
        mixed: list[Tensor] = []
        coarser: Tensor | None = None
        for k, x in reversed(list(enumerate(pyramid(self.clip[0], images)))):
            x = F.conv2d(x, getattr(self, f"across_{k}"))
            if coarser is not None:
                x = x + F.interpolate(coarser, x.shape[2:], mode="bilinear")
            coarser = F.conv2d(x, getattr(self, f"down_{k}"), padding=1)
            mixed.append(coarser)
        return [images, *reversed(mixed)]

    def logits(self, features: list[Tensor]) -> list[Tensor]:
        """A map of logits for each scale, [B, 1, h, w]; positive means real."""
        return [head(x) for head, x in zip(self.heads, features, strict=True)]


def hinge(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """What the heads minimise: the mean over scales of max(0, 1 - real) + max(0, 1 + fake)."""
    terms = [F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def deceive(fake: list[Tensor]) -> Tensor:
    """What the generator minimises: minus the mean logit over scales."""
    return -torch.stack([f.float().mean() for f in fake]).mean()


def _head(inputs: int, width: int, size: int) -> nn.Sequential:
    """Spectrally normalised convolutions with stride 2 down to at most 6 pixels, then one logit a place.

    Batch normalisation, of real and fake images separately, restores the scale of the logits, which the spectral norm
    reduces.
    """
    layers: list[nn.Module] = []
    stride, kernel = (2, 4) if size > 6 else (1, 3)
    while not layers or size > 6:
        convolution = spectral_norm(nn.Conv2d(inputs, width, kernel, stride, 1, bias=False))
        layers += [convolution, nn.BatchNorm2d(width, track_running_stats=False), nn.LeakyReLU(0.2)]
        inputs, size = width, size // stride
    layers.append(spectral_norm(nn.Conv2d(width, 1, min(size, 3), bias=False)))
    return nn.Sequential(*layers)
