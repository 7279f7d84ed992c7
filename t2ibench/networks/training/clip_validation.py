"""Validation numbers for a CLIP's card: how often it, and an oracle, find the caption of an image."""

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.data.split import Split
from t2ibench.networks.clip.model import Clip

POOL = 100


def distractors(texts: list[str], pool: int, seed: int) -> Tensor:
    """For each text the rows of `pool - 1` other texts, drawn without replacement: int64 [N, pool - 1].

    Texts equal to it are never drawn. Raises ValueError if there are too few others.
    """
    rows = []
    for i, text in enumerate(texts):
        order = permutation(derive_seed(seed, i), len(texts))
        others = [int(j) for j in order if texts[j] != text][: pool - 1]
        if len(others) < pool - 1:
            raise ValueError(
                f"a pool of {pool} needs {pool - 1} texts that differ from {text!r}, there are {len(others)}"
            )
        rows.append(others)
    return torch.tensor(rows)


def found_first(similarity: Tensor, others: Tensor) -> Tensor:
    """Whether each image is nearer to its own text than to all of its distractors; a tie is a failure.

    similarity: [N, N], images by texts. others: [N, pool - 1], rows of texts. Returns bool [N].
    """
    return (similarity.diagonal()[:, None] > similarity.gather(1, others)).all(1)


def oracle(split: Split, which: int, others: Tensor) -> Tensor:
    """For each image the chance that someone who knows all its attributes finds its text, [N].

    Captions are partial, so several texts of a pool may be true of an image. The oracle picks one of these at random,
    so the chance is 1 / (number of true texts). Raises ValueError for a split without mentions.
    """
    if split.attributes is None or split.mentions is None:
        raise ValueError(f"{split.dataset} {split.name} does not say what its captions mention")
    shown = [{f"{name}={value}" for name, value in row.items()} for row in split.attributes.to_dict("records")]
    mentioned = [frozenset(mentions[which]) for mentions in split.mentions]
    return torch.tensor([1 / (1 + sum(mentioned[j] <= shown[i] for j in row)) for i, row in enumerate(others.tolist())])


def retrieval_numbers(clip: Clip, split: Split, which: int = 0, seed: int = 0) -> dict[str, Any]:
    """Retrieval numbers of a split, with caption number `which` of each image.

    n, pool: images, and texts in a pool; the pool is smaller than POOL if texts repeat or are few.
    cosine_right, cosine_wrong: mean cosine of images with their own texts and with others.
    r_precision: how often an image's own text is the nearest of the pool.
    oracle, of_oracle: what the oracle reaches, and the share of it that the CLIP reaches; only with mentions.
    If all texts are equal, only `n`, `pool` and `cosine_right` are given.
    """
    images = clip.encode_images(torch.from_numpy(split.images.read(np.arange(len(split)))))
    texts = [captions[which] for captions in split.captions]
    similarity = images @ clip.encode_texts(texts).T
    [(_, repeated)] = Counter(texts).most_common(1)
    pool = min(POOL, len(texts) - repeated + 1)
    numbers: dict[str, Any] = {"n": len(split), "pool": pool, "cosine_right": float(similarity.diagonal().mean())}
    if pool < 2:
        return numbers
    others = distractors(texts, pool, seed)
    numbers["r_precision"] = float(found_first(similarity, others).double().mean())
    numbers["cosine_wrong"] = float(similarity.gather(1, others).mean())
    if split.mentions is not None:
        numbers["oracle"] = float(oracle(split, which, others).double().mean())
        numbers["of_oracle"] = numbers["r_precision"] / numbers["oracle"]
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in numbers.items()}
