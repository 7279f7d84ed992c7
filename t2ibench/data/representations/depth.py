"""D: inverse depth in [0, 1], where 1 is near, estimated from a silhouette."""

import numpy as np
import torch
from torch import Tensor


def proxy(silhouette: Tensor) -> Tensor:
    """A substitute for depth: the blurred distance from the outline, added to a ramp that is nearer at the bottom.

    silhouette: uint8 [B, H, W] in {0, 1}. Returns float32 [B, 1, H, W] in [0, 1], to be called "proxy depth".
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    height, width = silhouette.shape[1:]
    ramp = np.linspace(0, 0.5, height)[:, None].repeat(width, 1)
    depths = []
    for mask in silhouette.numpy():
        inside = distance_transform_edt(mask)
        depths.append(ramp + 0.5 * gaussian_filter(inside / max(inside.max(), 1.0), height / 32))
    return torch.from_numpy(np.stack(depths)).float()[:, None]
