"""Augmentation for networks that judge or guide: what a generator gets slightly wrong must not change their verdict.

A guide that is to know styles by their shapes also sees parts of images, and images in colours that are not their own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(
    images: Tensor, seed: int, shift: int = 2, noise: float = 0.03, blur: float = 0.3, jitter: float = 0.05
) -> Tensor:
    """Shift, blur, brighten and add noise to floats in [-1, 1], [B, 3, H, W]; a function of `images` and `seed` alone.

    shift: largest shift in whole pixels, uniform; edges are repeated.
    noise: largest standard deviation of the noise; each image's own is uniform below it.
    blur: share of images that are blurred by a binomial 3x3 filter.
    jitter: largest change of contrast and of brightness; the default is too small to change the name of a colour.
    """
    stream, device = torch.Generator().manual_seed(seed), images.device  # random numbers are drawn on the CPU
    count, _, height, width = images.shape
    rows, columns = torch.randint(0, 2 * shift + 1, (2, count), generator=stream)
    padded = F.pad(images, (shift,) * 4, mode="replicate")
    y = rows[:, None, None] + torch.arange(height)[:, None]  # [B, H, 1]
    x = columns[:, None, None] + torch.arange(width)  # [B, 1, W]
    places = tuple(index.to(device) for index in (torch.arange(count)[:, None, None], y, x))
    images = padded.permute(0, 2, 3, 1)[places].permute(0, 3, 1, 2)  # channels last in memory
    kernel = torch.tensor([1.0, 2.0, 1.0], device=device)
    kernel = (kernel[:, None] * kernel / 16).expand(3, 1, 3, 3)
    chosen = (torch.rand(count, generator=stream) < blur).to(device)
    if chosen.any():
        images[chosen] = F.conv2d(F.pad(images[chosen], (1,) * 4, mode="replicate"), kernel, groups=3)
    contrast, brightness = (torch.rand(2, count, 1, 1, 1, generator=stream) * 2 - 1) * jitter
    strength = torch.rand(count, 1, 1, 1, generator=stream) * noise
    grain = (strength * torch.randn(images.shape, generator=stream)).to(device)
    images = images * (1 + contrast.to(device)) + brightness.to(device) + grain
    return images.clamp(-1, 1)


def cropped(images: Tensor, seed: int, share: float, least: float = 0.5) -> tuple[Tensor, Tensor]:
    """Replace some images [B, 3, H, W] by a crop scaled up again; also returns which ones, bool [B].

    share: expected share of the images that are cropped.
    least: the smallest side of a crop, as a share of the image's side.
    """
    stream = torch.Generator().manual_seed(seed)
    u = torch.rand(len(images), 4, generator=stream)
    chosen = u[:, 0] < share
    side, shift = 1 - (1 - least) * u[chosen, 1:2], 2 * u[chosen, 2:] - 1
    theta = torch.zeros(len(side), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = side[:, 0], side[:, 0], (1 - side) * shift
    where = F.affine_grid(theta, [len(side), *images.shape[1:]], align_corners=False)
    where, chosen = where.to(images.device), chosen.to(images.device)
    images = images.clone()
    images[chosen] = F.grid_sample(images[chosen], where, padding_mode="border", align_corners=False)
    return images, chosen


def recoloured(images: Tensor, seed: int, share: float) -> tuple[Tensor, Tensor]:
    """Mix the channels of some images at random; also returns which ones, bool [B].

    images: floats in [-1, 1], [B, 3, H, W].
    share: expected share of the images that are changed.
    A third of these become grey and a third negatives. All keep their edges, and little of their colours.
    """
    stream = torch.Generator().manual_seed(seed)
    count = len(images)
    chosen, kind = torch.rand(2, count, generator=stream)
    mixed = torch.rand(count, 3, 3, generator=stream)
    mixed = torch.where(kind[:, None, None] < 1 / 3, mixed[:, :1].expand(-1, 3, -1), mixed.pow(3))
    mixed = mixed / mixed.sum(2, keepdim=True)  # each new channel a mean of the old ones
    mixed = torch.where(kind[:, None, None] > 2 / 3, -mixed, mixed)
    rows, mixed = (chosen < share).to(images.device), mixed.to(images.device)
    images = images.clone()
    images[rows] = torch.einsum("boc,bchw->bohw", mixed[rows], images[rows])
    return images, rows
