"""What a metric's `score` is given, holding features that a test made up instead of images."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.data.split import Split
from t2ibench.networks.models import JUDGE
from t2ibench.scoring.evidence import Evidence
from t2ibench.tracks.contract import Prompt


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
        self.seed, self._judge, self.prompts = 0, JUDGE, []
        self.ok = np.ones(len(fake), bool) if ok is None else np.array(ok)
        words = list(texts or {f"text {i}": torch.ones(2) for i in range(-(-len(self.ok) // images_each))})
        prompts = [Prompt(f"p{i:04}", text, images=images_each) for i, text in enumerate(words)]
        self.rows = [(prompt, k) for prompt in prompts for k in range(images_each)][: len(self.ok)]
        self.fake, self.real, self.texts = fake, fake if real is None else real, texts or {}
        self.reference = _Reference(self.real)  # type: ignore[assignment]

    def samples(self, group: str = "captions") -> Any:
        assert group == "captions"
        return SimpleNamespace(prompts=[prompt for prompt, _ in self.rows], k=[k for _, k in self.rows], ok=self.ok)

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

    def extractor_protocol(self, name: str) -> dict[str, Any]:
        return {"extractor": name, "sha256": "0" * 64, "resize": "none"}


class _Reference:
    def __init__(self, real: Tensor) -> None:
        self.real, self.digest = real, "reference"

    def __len__(self) -> int:
        return len(self.real)
