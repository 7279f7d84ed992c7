"""Does the style encoder recover style? The paper's verification task (figure 5): same-cluster pairs against others, by
cosine.

Left open by the paper and fixed here: as many positive as negative pairs, folds over pairs, everything from one seed.
The paper shows curves and no table, so there is no number of its to compare with.
"""

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import cosine_similarity

from t2ibench.core.seeds import derive_seed, uniform


def verification_auc(
    features: Tensor, clusters: np.ndarray, pairs: int = 10_000, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """Area under the ROC curve of the cosine of two images' features, and its standard deviation over folds.

    features: [N, D], styles or (the baseline) caption embeddings. clusters: [N], which images have one style: of
    backgrounds, of poses. `pairs` of them share a cluster and as many do not. 0.5 is chance. Raises ValueError where
    either kind of pair does not exist.
    """
    same, other = style_pairs(clusters, pairs, seed)
    scores = [cosine_similarity(features[kind[0]], features[kind[1]]).numpy() for kind in (same, other)]
    areas = [roc_auc(scores[0][fold::folds], scores[1][fold::folds]) for fold in range(folds)]
    return float(np.mean(areas)), float(np.std(areas, ddof=1))


def style_pairs(clusters: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` pairs of different images of one cluster, and `count` of two clusters: indices [2, count] each."""
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for attempt in range(1000):
        u = uniform(derive_seed(seed, "pairs", attempt), 2 * count).reshape(2, count)
        first, second = (u * len(clusters)).astype(int)
        same = clusters[first] == clusters[second]
        for kind in (True, False):
            found[kind].append(np.stack([first, second])[:, (same == kind) & (first != second)])
        if all(sum(part.shape[1] for part in parts) >= count for parts in found.values()):
            return tuple(np.concatenate(found[kind], axis=1)[:, :count] for kind in (True, False))  # type: ignore[return-value]
    raise ValueError(
        f"style verification needs pairs within and between clusters, the {len(clusters)} images have too few of either"
    )


def roc_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The chance that a positive score lies above a negative one, ties counted half."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def background_colours(images: Tensor) -> Tensor:
    """Mean colour of a strip along the top of both sides, where no embedded avatar reaches: uint8 [N, 3, H, W] to
    floats [N, 3].
    """
    height, width = images.shape[-2:]
    corners = [images[..., : height // 8, : width // 8], images[..., : height // 8, -(width // 8) :]]
    return torch.cat(corners, dim=-1).float().mean(dim=(2, 3))
