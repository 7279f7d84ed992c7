"""The losses of StyleT2I. Sentence directions: contrastive loss in CLIP's space and a penalty on length, as the
released code has them.

Attribute directions: semantic matching loss and spatial constraint, which were not released; they follow a summary of
the paper.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LIMIT = 1e-6  # of probabilities away from 0 and 1; a difference whose values span less is flat


def contrastive_loss(image_features: Tensor, text_features: Tensor, scale: float) -> Tensor:
    """mean_i -log softmax_j(scale <f_i, g_j>) at j = i, of unit features [B, D]: from image to text only.

    The other texts of the batch are the negatives, also those that happen to fit. ln B where all texts are alike.
    """
    own = torch.arange(len(image_features), device=image_features.device)
    return F.cross_entropy(scale * image_features @ text_features.T, own)


def cosine_loss(image_features: Tensor, text_features: Tensor) -> Tensor:
    """mean_i 1 - <f_i, g_i>: what is left of the contrastive loss without its negatives. In [0, 2]."""
    return 1 - (image_features * text_features).sum(1).mean()


def norm_penalty(s: Tensor, threshold: float) -> Tensor:
    """mean_i max(|s_i| - threshold, 0), the length over all rows of the step [B, L, w_dim] together; a hinge, not
    squared.
    """
    return (torch.linalg.vector_norm(s.flatten(1), dim=1) - threshold).clamp_min(0).mean()


def semantic_loss(wanted: Tensor, unwanted: Tensor, margin: float) -> Tensor:
    """mean_i max(0, unwanted_i - wanted_i + margin) of cosines [B].

    wanted: of the image a step forward with the attribute's text. unwanted: of the image a step back with that text, or
    of the first image with another text. `margin` where both are alike, 0 where the first exceeds the second by it.
    """
    return (unwanted - wanted + margin).clamp_min(0).mean()


def difference(positive: Tensor, negative: Tensor) -> Tensor:
    """Where two images [B, 3, H, W] differ: sum over colours of |difference|, brought to [0, 1] in each image: [B, H,
    W].

    An image without differences is 0 everywhere. Gradients pass through minimum and maximum.
    """
    distance = (positive - negative).abs().sum(1)
    low, high = distance.amin((1, 2), keepdim=True), distance.amax((1, 2), keepdim=True)
    span = high - low
    return torch.where(span < LIMIT, distance - low, (distance - low) / (span + 1e-8))


def spatial_loss(positive: Tensor, negative: Tensor, masks: Tensor) -> Tensor:
    """Mean binary cross-entropy of `difference` with masks [B, H, W], true where the attribute may show."""
    return F.binary_cross_entropy(difference(positive, negative).clamp(LIMIT, 1 - LIMIT), masks.to(positive.dtype))
