"""What a metric of the track `adapt` is given, with features and judged values that a test made up."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from fake_edits import FakeEdits, split
from torch import Tensor

from t2ibench.data.split import Split
from t2ibench.tracks.contract import ADAPTED, Prompt


class FakeTargets(FakeEdits):
    """adapted: by target domain, how many latents were asked for.

    As in FakeEdits features and ok go by group. Features of a target's real images go by ("real", domain). known: true
    attributes of real images of a target, which are those to learn from, too; a domain without has none. seen: the
    features of real images by the name of their split ("train", "test", a domain, a domain and " lessons").
    """

    def __init__(
        self,
        adapted: Mapping[str, int],
        sources: int,
        *,
        features: Mapping[Any, Tensor] | None = None,
        known: Mapping[str, pd.DataFrame] | None = None,
        **kwargs: Any,
    ) -> None:
        self.known = known or {}
        asked = [target_prompt(domain, images) for domain, images in adapted.items()]
        super().__init__([], sources, features=features, prompts=asked, **kwargs)

    @property
    def targets(self) -> dict[str, str]:
        return {p.tags["domain"]: p.group for p in self.prompts if p.group.partition("/")[0] == ADAPTED}

    def target(self, domain: str) -> Split:
        table = self.known.get(domain)
        count = len(self.features["real", domain]) if table is None else len(table)
        return replace(split(domain, pd.DataFrame(index=range(count))), attributes=table)

    def has_real(self, domain: str) -> bool:
        return True

    def lessons(self, domain: str, count: int) -> Split:
        return replace(self.target(domain), name=f"{domain} lessons").take(range(min(count, len(self.known[domain]))))

    def real_features(self, extractor: str, split: Split | None = None) -> Tensor:
        assert split is not None
        return self.features["real", split.name][: len(split)]


def target_prompt(domain: str, images: int) -> Prompt:
    tags = {"domain": domain, "neutral": "a person", "target": f"a {domain} of a person"}
    return Prompt(f"{ADAPTED}/{domain}", tags["target"], f"{ADAPTED}/{domain}", images, None, tags)
