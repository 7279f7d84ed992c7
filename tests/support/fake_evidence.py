"""What a metric's `score` is given, holding features that a test made up instead of images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.networks.extractors import short_of
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import Prompt

JUDGE = "attribute-judge-avatars"


class FakeEvidence(Evidence):
    """fake, real: features [M, D], [N, D] of any extractor and CLIP. texts: of the prompts; ok: samples that have an
    image.
    """

    def __init__(
        self,
        fake: Tensor,
        real: Tensor | None = None,
        texts: dict[str, Tensor] | None = None,
        images_each: int = 1,
        ok: list[bool] | None = None,
    ) -> None:
        self.fake, self.real, self.texts = fake, fake if real is None else real, texts or {}
        good = np.ones(len(fake), bool) if ok is None else np.array(ok)
        words = list(texts or {f"text {i}": torch.ones(2) for i in range(-(-len(good) // images_each))})
        prompts = [Prompt(f"p{i:04}", text, images=images_each) for i, text in enumerate(words)]
        rows = [(prompt, k) for prompt in prompts for k in range(images_each)][: len(good)]
        samples = Samples(
            [prompt for prompt, _ in rows], [k for _, k in rows], good, [""] * len(rows), blank(len(rows))
        )
        ids = [str(row) for row in range(len(self.real))]
        reference = Split("real", "reference", ids, blank(len(ids)), [("",)] * len(ids))
        super().__init__(
            train=reference,
            reference=reference,
            prompts=[],
            samples={"captions": samples},
            models=Models(),
            judge=JUDGE,
        )

    def fake_features(self, extractor: str, group: str = "captions") -> Tensor:
        return self.fake

    def real_features(self, extractor: str, split: Split | None = None) -> Tensor:
        return self.real

    def fake_image_features(self, clip: str, group: str = "captions") -> Tensor:
        return self.fake

    def text_features(self, clip: str, texts: Sequence[str]) -> Tensor:
        return torch.stack([self.texts[text] for text in texts])

    def words(self, clip: str, texts: Sequence[str]) -> dict[str, float]:
        return {}

    def short(self, name: str) -> str:
        return short_of(name.removeprefix("attribute-judge-"))

    def extractor_protocol(self, name: str) -> dict[str, Any]:
        return {"extractor": name, "sha256": "0" * 64, "resize": "none"}


def blank(count: int) -> ArrayImages:
    """As many images as a test has features of, which nobody looks at."""
    return ArrayImages(np.zeros((count, 3, 1, 1), np.uint8), [str(row) for row in range(count)])
