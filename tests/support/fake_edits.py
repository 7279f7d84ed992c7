"""What a metric of edits is given, with features, judged values and pixels that a test made up."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from t2ibench.core.images import pixel_hash
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.networks.extractors import short_of
from t2ibench.networks.models import Models
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import EDITS, SOURCES, Prompt

GREY = np.zeros((1, 3, 2, 2), np.uint8)

JUDGE = "attribute-judge-avatars"


def prompt(literal: str, images: int, neutral: str = "a person") -> Prompt:
    attribute, _, value = literal.partition("=")
    target = f"{neutral} with {value}"
    tags = {"attribute": attribute, "value": value, "neutral": neutral, "target": target}
    return Prompt(f"edits/{literal}", target, EDITS, images, None, tags)


def split(name: str, table: pd.DataFrame | None) -> Split:
    n = 1 if table is None else len(table)
    images = np.broadcast_to(GREY, (n, 3, 2, 2))
    return Split(
        "faces",
        name,
        [str(i) for i in range(n)],
        ArrayImages(images, [f"{name} {i}" for i in range(n)]),
        [("x",)] * n,
        table,
    )


class FakeEdits(Evidence):
    """literals: the edits, each of `sources` sources; rows of a group are edit by edit, and within an edit source by
    source.

    features, values, images: by group ("edits", "sources"; features also of "real"), one row a sample. ok: by group.
    real: true attributes of the real images, and judged: what the judge says of them (the truth). train: the training
    table (the real one).
    """

    def __init__(
        self,
        literals: Sequence[str],
        sources: int,
        *,
        features: Mapping[Any, Tensor] | None = None,
        texts: Mapping[str, Tensor] | None = None,
        values: Mapping[str, pd.DataFrame] | None = None,
        real: pd.DataFrame | None = None,
        judged: pd.DataFrame | None = None,
        train: pd.DataFrame | None = None,
        images: Mapping[str, np.ndarray] | None = None,
        regions: Mapping[str, np.ndarray] | None = None,
        ok: Mapping[str, Sequence[bool]] | None = None,
        prompts: Sequence[Prompt] | None = None,
    ) -> None:
        asked = list(prompts or [prompt(literal, sources) for literal in literals])
        source = Prompt("source", "a person", SOURCES, sources, None, {"neutral": "a person"})
        self.features: Mapping[Any, Tensor] = features or {}
        self.texts, self.values, self.regions = texts or {}, values or {}, regions or {}
        self.judged = real if judged is None else judged
        every = [source, *asked]
        groups = dict.fromkeys([SOURCES, EDITS, *(p.group for p in asked)])
        super().__init__(
            train=split("train", real if train is None else train),
            reference=split("test", real),
            prompts=every,
            samples={group: samples_of(group, every, images or {}, ok or {}) for group in groups},
            models=Models(),
            judge=JUDGE,
        )

    def fake_features(self, extractor: str, group: str = "captions") -> Tensor:
        return self.features[group][torch.from_numpy(self.samples(group).rows)]

    def real_features(self, extractor: str, split: Split | None = None) -> Tensor:
        return self.features["real"]

    def text_features(self, clip: str, texts: Sequence[str]) -> Tensor:
        return torch.stack([self.texts[text] for text in texts])

    def fake_attributes(self, group: str = "captions") -> pd.DataFrame:
        return self.values[group].iloc[self.samples(group).rows]

    def fake_probabilities(self, group: str = "captions") -> pd.DataFrame:
        return certain(self.fake_attributes(group))

    def real_attributes(self, split: Split | None = None) -> pd.DataFrame:
        assert self.judged is not None
        return self.judged

    def real_probabilities(self, split: Split | None = None) -> pd.DataFrame:
        return certain(self.real_attributes(split))

    def region(self, attribute: str) -> np.ndarray | None:
        return self.regions.get(attribute)

    def words(self, clip: str, texts: Sequence[str]) -> dict[str, float]:
        return {}

    def short(self, name: str) -> str:
        return short_of(name.removeprefix("attribute-judge-"))

    def extractor_protocol(self, name: str) -> dict[str, Any]:
        return {"extractor": name, "sha256": "0" * 64, "resize": "none"}


def samples_of(
    group: str, prompts: Sequence[Prompt], images: Mapping[str, np.ndarray], ok: Mapping[str, Sequence[bool]]
) -> Samples:
    """The samples of a group; grey images where a test has made none."""
    rows = [(prompt, k) for prompt in prompts if prompt.group == group for k in range(prompt.images)]
    good = np.array(ok.get(group, [True] * len(rows)))
    pixels = images.get(group, np.broadcast_to(GREY, (len(rows), 3, 2, 2)))
    hashes = [pixel_hash(image) for image in pixels]
    return Samples([prompt for prompt, _ in rows], [k for _, k in rows], good, hashes, ArrayImages(pixels, hashes))


def certain(values: pd.DataFrame) -> pd.DataFrame:
    """Probabilities of a judge that has no doubt: 1 for the value it names."""
    literals = {name: sorted(values[name].dropna().unique()) for name in values}
    return pd.DataFrame(
        {f"{name}={value}": (values[name] == value).astype(float) for name in values for value in literals[name]}
    )
