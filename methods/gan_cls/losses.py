"""The losses of GAN, GAN-CLS, GAN-INT and GAN-INT-CLS, of log-odds `D.logits`; the paper's s is sigmoid(logit).

They do not saturate, as in the released code: the generator maximises log s, while eq. 5 of the paper minimises
log(1 - s).
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, wrong: Tensor | None, fake: Tensor, cls_weight: float) -> Tensor:
    """-log s_r - c log(1 - s_w) - (1 - c) log(1 - s_f), means over each batch (Algorithm 1).

    real: log-odds [B] of real images with their texts.
    wrong: log-odds [B] of real images with other images' texts; may be None if c is 0.
    fake: log-odds [B] of generated images.
    cls_weight: c in [0, 1]; 0.5 for the CLS variants, 0 takes `wrong` out.
    """
    loss = softplus(-real).mean() + (1 - cls_weight) * softplus(fake).mean()
    if cls_weight == 0:
        return loss
    if wrong is None:
        raise ValueError(f"cls_weight={cls_weight:g} needs the log-odds of mismatched pairs")
    return loss + cls_weight * softplus(wrong).mean()


def generator_loss(plain: Tensor, mixed: Tensor | None, interp_weight: float) -> Tensor:
    """(sum of -log s over B images of captions + w times that over M images of interpolated texts) / (B + M).

    plain: log-odds [B], of captions.
    mixed: log-odds [M], of interpolated texts; None if there are none.
    interp_weight: w.

    The released code divides by B + M whatever w is: if w = 0 and interpolated texts are given, the loss is B / (B + M)
    of the plain one (`strict_official`).
    """
    if mixed is None:
        return softplus(-plain).mean()
    return (softplus(-plain).sum() + interp_weight * softplus(-mixed).sum()) / (len(plain) + len(mixed))


def interpolate(text: Tensor, beta: float | Tensor = 0.5) -> Tensor:
    """beta * t_1 + (1 - beta) * t_2 of the two halves of a batch [B, T], pair by pair: [B / 2, T] (paper, eq. 5).

    beta: a number, or [B / 2, 1]. Raises ValueError for an odd batch.
    """
    if len(text) % 2:
        raise ValueError(f"interpolation pairs the two halves of a batch, got {len(text)} texts")
    first, second = text.chunk(2)
    return beta * first + (1 - beta) * second


def interpolation_beta(interp_type: int, u: Tensor) -> float | Tensor:
    """beta of the released code's two kinds of interpolation.

    Kind 1 is 0.5. Kind 2 is 0.5 - a with a = 2u - 1 uniform in (-1, 1), so it also extrapolates.
    u: uniform numbers in [0, 1), [M, 1].
    """
    return 0.5 if interp_type == 1 else 0.5 - (2 * u - 1)


def joint_embedding_loss(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Structured joint embedding losses, image-to-text and text-to-image (Reed et al., CVPR 2016).

    image, text: embeddings [B, D] of B matching images and captions.

    Each loss is the sum of all hinge violations of margin 1, divided by B squared. Their sum is the symmetric loss.
    """
    score = image @ text.T  # S_ij = v_i . phi(t_j)
    matching = score.diagonal()
    other = 1 - torch.eye(len(score), dtype=score.dtype, device=score.device)
    to_text = ((1 + score - matching[:, None]).clamp_min(0) * other).sum()
    to_image = ((1 + score - matching[None, :]).clamp_min(0) * other).sum()
    return to_text / len(score) ** 2, to_image / len(score) ** 2
