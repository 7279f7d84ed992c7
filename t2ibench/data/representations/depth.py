"""D: inverse depth in [0, 1], 1 is near, as far as a silhouette tells."""

import numpy as np
import torch
from torch import Tensor


def proxy(silhouette: Tensor) -> Tensor:
    """No depth, but something like it: distance from the outline, blurred, on a ramp that is nearer at the bottom.

    silhouette: uint8 [B, H, W] in {0, 1}. Returns float32 [B, 1, H, W] in [0, 1], to be called "proxy depth".
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    height, width = silhouette.shape[1:]
    ramp = np.linspace(0, 0.5, height)[:, None].repeat(width, 1)
    found = []
    for mask in silhouette.numpy():
        inside = distance_transform_edt(mask)
        found.append(ramp + 0.5 * gaussian_filter(inside / max(inside.max(), 1.0), height / 32))
    return torch.from_numpy(np.stack(found)).float()[:, None]
