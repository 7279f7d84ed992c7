"""What a metric of the track `adapt` is given, with features and judged values that a test made up."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from fake_edits import FakeEdits, split
from torch import Tensor

from t2ibench.data import Split
from t2ibench.tracks import ADAPTED, Prompt


class FakeTargets(FakeEdits):
    """adapted: by target domain, how many latents were asked for.

    As in FakeEdits features, values and ok go by group; features of a target's real images by ("real", domain). known, said: true and
    judged attributes of a target's real images; a domain without has none.
    """

    def __init__(
        self,
        adapted: Mapping[str, int],
        sources: int,
        *,
        features: Mapping[Any, Tensor] | None = None,
        known: Mapping[str, pd.DataFrame] | None = None,
        said: Mapping[str, pd.DataFrame] | None = None,
        **kwargs: Any,
    ) -> None:
        self.known, self.said = known or {}, said or known or {}
        asked = [target_prompt(domain, images) for domain, images in adapted.items()]
        super().__init__([], sources, features=features, prompts=asked, **kwargs)

    def target(self, domain: str) -> Split:
        table = self.known.get(domain)
        count = len(self.features["real", domain]) if table is None else len(table)
        return replace(split(domain, pd.DataFrame(index=range(count))), attributes=table)

    def real_features(self, extractor: str, split: Split | None = None) -> Tensor:
        return self.features["real", split.name if split else ""]

    def real_attributes(self, split: Split | None = None) -> pd.DataFrame:
        return self.said[split.name] if split and split.name in self.said else super().real_attributes(split)


def target_prompt(domain: str, images: int) -> Prompt:
    tags = {"domain": domain, "neutral": "a person", "target": f"a {domain} of a person"}
    return Prompt(f"{ADAPTED}/{domain}", tags["target"], f"{ADAPTED}/{domain}", images, None, tags)
