"""I: a grey image whose weights of red, green and blue are drawn anew, so that colour stays a condition of its own."""

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
    """w .

    RGB, [B, 1, H, W], of floats [B, 3, H, W] in [-1, 1]; which: rows of WEIGHTS, integers [B]. Differentiable.
    """
    return (images * WEIGHTS.to(images.device)[which][:, :, None, None]).sum(1, keepdim=True)
