"""Embeddings of all captions of a split, made once for each encoder and kept in the cache.

So no training of a GAN runs the encoder.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.cache import content_of, read
from t2ibench.core.errors import UserError
from t2ibench.core.progress import track
from t2ibench.core.storage import CACHE, once, publish
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.text_encoder import TextEncoder


def embed_captions(encoder: TextEncoder, split: Split, cache: Path) -> Tensor:
    """Embeddings of every caption of a split, float32 [N, K, T]; a text that occurs twice is embedded once.

    cache: the folder of the cache. The key there is a hash of the encoder's weights and the split. Raises UserError if
        it cannot be written.
    """
    name = f"captions-{_key(encoder, split)[:24]}"
    path = cache / "gan_cls" / f"{name}.npy"

    def made() -> np.ndarray:
        array = np.ascontiguousarray(_embed(encoder, split), dtype=np.float32)
        publish(path, content_of(array), CACHE)
        return array

    return torch.from_numpy(once(path.with_suffix(".lock"), lambda: read(path), made))


def rectangular(captions: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same number of captions for every image; if an image has fewer, its captions are repeated in turn."""
    if any(not texts for texts in captions):
        raise UserError(
            f"image {[bool(texts) for texts in captions].index(False)} has no caption: every image needs one"
        )
    most = max(len(texts) for texts in captions)
    return [[texts[i % len(texts)] for i in range(most)] for texts in captions]


def _embed(encoder: TextEncoder, split: Split) -> np.ndarray:
    captions = rectangular(split.captions)
    row_of = {text: i for i, text in enumerate(dict.fromkeys(text for texts in captions for text in texts))}
    texts = list(row_of)
    blocks = [encoder.embed(texts[i : i + 512]) for i in track(range(0, len(texts), 512), "embed captions")]
    return torch.cat(blocks).numpy()[np.array([[row_of[text] for text in texts] for texts in captions])]


def _key(encoder: TextEncoder, split: Split) -> str:
    content = hashlib.sha256(f"{encoder.shape} {split.digest}".encode())
    for name, value in encoder.state_dict().items():
        content.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()
