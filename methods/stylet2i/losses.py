"""The losses of StyleT2I.

Sentence directions have a contrastive loss in CLIP's space and a penalty on length, as in the released code. Attribute
directions have a semantic matching loss and a spatial constraint. These were not released and follow a summary of the
paper.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LIMIT = 1e-6  # probabilities stay this far from 0 and 1; a difference whose values span less is flat


def contrastive_loss(image_features: Tensor, text_features: Tensor, scale: float, fits: Tensor | None = None) -> Tensor:
    """mean_i -log softmax_j(scale <f_i, g_j>) at j = i, of unit features [B, D]: from image to text only.

    All other texts of the batch are negatives, even those that happen to fit. The loss is ln B if all texts are equal.
    fits: bool [B, B], true where text j is no negative of image i; None: all are.
    """
    matching = torch.arange(len(image_features), device=image_features.device)
    logits = scale * image_features @ text_features.T
    if fits is not None:
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(fits.to(logits.device) & ~own, -torch.inf)
    return F.cross_entropy(logits, matching)


def cosine_loss(image_features: Tensor, text_features: Tensor) -> Tensor:
    """mean_i 1 - <f_i, g_i>, in [0, 2]: the contrastive loss without negatives."""
    return 1 - (image_features * text_features).sum(1).mean()


def norm_penalty(s: Tensor, threshold: float) -> Tensor:
    """mean_i max(|s_i| - threshold, 0) of steps [B, L, w_dim]: a hinge, not squared.

    The length is taken over all rows of a step together.
    """
    return (torch.linalg.vector_norm(s.flatten(1), dim=1) - threshold).clamp_min(0).mean()


def semantic_loss(wanted: Tensor, unwanted: Tensor, margin: float) -> Tensor:
    """mean_i max(0, unwanted_i - wanted_i + margin) of cosines [B].

    wanted: between the image a step forward and the attribute's text.
    unwanted: between the image a step back and that text, or between the image a step forward and another text.
    margin: how much the wanted cosine must exceed the unwanted one for a loss of 0.
    """
    return (unwanted - wanted + margin).clamp_min(0).mean()


def difference(positive: Tensor, negative: Tensor) -> Tensor:
    """Where two images [B, 3, H, W] differ: the sum over colours of |difference|, [B, H, W].

    It is brought to [0, 1] in each image. An image without differences is 0 everywhere. Gradients pass through the
    minimum and the maximum.
    """
    distance = (positive - negative).abs().sum(1)
    low, high = distance.amin((1, 2), keepdim=True), distance.amax((1, 2), keepdim=True)
    span = high - low
    return torch.where(span < LIMIT, distance - low, (distance - low) / (span + 1e-8))


def spatial_loss(positive: Tensor, negative: Tensor, masks: Tensor) -> Tensor:
    """Mean binary cross-entropy of `difference` with masks [B, H, W], which are true where the attribute may show."""
    return F.binary_cross_entropy(difference(positive, negative).clamp(LIMIT, 1 - LIMIT), masks.to(positive.dtype))
