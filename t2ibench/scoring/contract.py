"""The contract of a metric: what the module of one holds.

A member with a value is optional, and the value is its default (`t2ibench.core.plugins`).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from t2ibench.core import plugins
from t2ibench.core.records import Estimate
from t2ibench.data.split import Split
from t2ibench.scoring.evidence import Evidence
from t2ibench.tracks.contract import Prompt


class MetricPlugin(Protocol):
    """The module `metrics/<name>.py`.

    Config: the settings, a frozen dataclass. Two of them have a meaning of their own: `clip` and `extractor` name a
        network, and "auto" is the one of the data set, else the published one.
    REVISION: raised by 1 when its values change on purpose. It is part of the identity of every record with them.
    TRACKS: the tracks whose samples it can score.
    QUESTIONS: the question that each value answers, by the id of the value, where * stands for anything. They are read
        without importing the module, so they stand there as a literal.
    COMPARES: whether it compares with real images, so that prompts without any cannot be scored.
    COMPARES_IN: the tracks in which it compares with real images, if it does so in some of them only.
    READS_TEXTS: whether it reads the texts of images, so that images without texts cannot be scored.
    IN_PARTS: whether it shows images to a slow network of its own batch by batch, with `Evidence.in_parts`, so that the
        processes of a run share them.
    PUBLISHED: the CLIP that `clip: auto` is on data that brings none.
    """

    Config: type[Any]
    REVISION: int = 1
    TRACKS: Sequence[str] = ("text_to_image",)
    QUESTIONS: Mapping[str, str] = {}
    COMPARES: bool = False
    COMPARES_IN: Sequence[str] = ()
    READS_TEXTS: bool = False
    IN_PARTS: bool = False
    PUBLISHED: str = "ViT-L-14-quickgelu:openai"

    @abstractmethod
    def score(self, evidence: Evidence, config: Any) -> Mapping[str, Estimate]:
        """The values of one cell, by id. Every id has a question.

        It opens no file, and reads no more of the evidence than the protocol of its values names. Raises UserError or
        ValueError if a value cannot be computed; never returns NaN.
        """

    def prompts(self, train: Split, reference: Split, config: Any) -> list[Prompt]:
        """The prompts that it needs besides those of the suite, each in a group of its own."""
        return []


def load_metric(name: str) -> MetricPlugin:
    """A metric by its name. Raises UserError for an unknown name, and for a module without a `Config` or `score`."""
    return plugins.by_contract(MetricPlugin, plugins.load("metrics", name), f"metrics: {name}")
