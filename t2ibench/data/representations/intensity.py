"""I: a grey image; the weights of red, green and blue are random, so that colour stays a separate condition."""

import torch
from torch import Tensor

# The paper draws from "a predefined set" that it does not give; this one is ours.
WEIGHTS = torch.tensor(
    [
        *((1 / 3, 1 / 3, 1 / 3), (0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722)),
        *((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        *((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)),
    ]
)
REC601 = 1  # the weights at evaluation


def intensity(images: Tensor, which: Tensor) -> Tensor:
    """The weighted sum of red, green and blue, [B, 1, H, W]. Differentiable.

    images: floats [B, 3, H, W] in [-1, 1].
    which: the row of WEIGHTS for each image, integers [B].
    """
    return (images * WEIGHTS.to(images.device)[which][:, :, None, None]).sum(1, keepdim=True)
