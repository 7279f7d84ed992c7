"""The contract of each track: what a request holds, and what a method must have to take part.

A method takes part in a track by having its functions. Images cross this boundary as uint8 [B, 3, H, W]: what is scored
is what is saved. How a track asks for its samples is in the module of its name, t2ibench/tracks/<track>.py.

"Row i depends on request i alone" is said of what a method may look at. The requests beside it may move a pixel by one
grey level, since kernels add in an order that depends on the shape of a batch and the place of a row in it. The same
requests in the same order give the same images, bit for bit, on one machine with the same number of threads.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:  # suites are listed without torch
    import numpy as np
    from torch import Tensor

    from t2ibench.data.dataset import Dataset
    from t2ibench.tracks.compose_tasks import Task


ADAPTED = "adapted"  # of the track `adapt`: what stands before the domain in the name of a group
COMPOSED = "composed"  # of the track `compose`: what stands before the task in the name of a group
SOURCES, EDITS = "sources", "edits"  # groups of the track `edit`
PAIRS = "pairs"  # the group of prompts for attribute pairs


@dataclass(frozen=True)
class Prompt:
    """One text that a track asks for, with the facts about it that metrics need.

    group: which metrics it is for ("captions": one text of each reference image; "pairs": attribute pairs; "sources"
    and "edits": of the track `edit`; "sources" and "adapted/<domain>": of the track `adapt`; "sources" and
    "composed/<task>": of the track `compose`). `images` samples are made of it, k = 0 … images - 1. `reference`: the id
    of the real image the text came with. `tags`: whatever the metric that asked for the prompt has to know again (JSON
    values).
    """

    id: str
    text: str
    group: str = "captions"
    images: int = 1
    reference: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextToImage:
    """One image asked for by one text. `seed`, in [0, 2**63), is the sample's only source of randomness."""

    prompt: str
    seed: int


@runtime_checkable
class TextToImageMethod(Protocol):
    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...


@dataclass(frozen=True)
class Edit:
    """A change asked for by two texts: from what the neutral one says to what the target says, and nothing else.

    The source is the image that the method makes of `seed`, in [0, 2**63), or the real `image`, uint8 [3, H, W], where
    there is one.
    """

    neutral: str
    target: str
    seed: int
    image: np.ndarray | None = None


@runtime_checkable
class EditMethod(Protocol):
    def edit(self, requests: Sequence[Edit]) -> Tensor:
        """The edited image of each request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...

    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        """The image that each edit starts from: uint8, [B, 3, H, W].

        It depends on the seed (or the real image), never on the texts.
        """
        ...


@dataclass(frozen=True)
class Adapt:
    """One image of another domain, asked for by two texts: what the generator draws now, and what it should draw.

    `seed`, in [0, 2**63), is the latent, shared by all targets and by the image before the adaptation.
    """

    source: str
    target: str
    seed: int


@runtime_checkable
class AdaptMethod(Protocol):
    def adapt(self, requests: Sequence[Adapt]) -> Tensor:
        """One image of the target domain per request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...

    def unadapted(self, requests: Sequence[Adapt]) -> Tensor:
        """The source generator's image of the same latent: uint8, [B, 3, H, W].

        It depends on the seed alone, never on the texts.
        """
        ...


@dataclass(frozen=True)
class Source:
    """What conditions are taken from, as far as it is known.

    image: uint8 [3, H, W]. parts: the part that each pixel shows, uint8 [H, W], counted from the farthest, 0 is the
    background; only where they are exact. caption: its text. silhouette: uint8 [H, W] in {0, 1}, and strokes: float32
    [H, W] in [0, 1], in place of what would be found in the image.
    """

    image: np.ndarray | None = None
    parts: np.ndarray | None = None
    silhouette: np.ndarray | None = None
    strokes: np.ndarray | None = None
    caption: str | None = None


@dataclass(frozen=True)
class Compose:
    """One image, put together from conditions that a task takes from sources: "A", "B", "text", "edited", as far as the
    task needs them.

    known: bool [H, W], where A is known, for a task that has a hole. position: in [0, 1], of what lies between A and B.
    seed: in [0, 2**63).
    """

    task: Task
    sources: Mapping[str, Source]
    seed: int
    known: np.ndarray | None = None
    position: float = 0.5


@runtime_checkable
class ComposeMethod(Protocol):
    def compose(self, requests: Sequence[Compose]) -> Tensor:
        """One image per request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...


Of = Literal["nothing", "anything", "method"]


@dataclass(frozen=True)
class Contract:
    """What is known of a track before anything is imported that runs it.

    functions: what a method must have to take part. baselines: by name, whose images each of them takes: "nothing" (it
    has its own), "anything" (real ones, or a method's), "method" (a method's); default: those of a suite that names
    none. key: the suite's key for what is asked. above: for a group of samples (what stands before a "/" in its name),
    the group whose sample of the same k is shown above each of its images.
    """

    functions: tuple[str, ...]
    baselines: Mapping[str, Of]
    key: str
    default: tuple[str, ...] = ()
    above: Mapping[str, str] = field(default_factory=dict)


TRACKS: Mapping[str, Contract] = {
    "text_to_image": Contract(
        functions=("text_to_image",),
        baselines={"real": "nothing", "shuffled": "anything", "unconditional": "anything"},
        key="prompts",
        default=("real", "shuffled", "unconditional"),
    ),
    "edit": Contract(
        functions=("edit", "unedited"),
        baselines={"exact": "nothing", "unedited": "method", "resampled": "method"},
        key="edits",
        above={"edits": "sources"},
    ),
    "adapt": Contract(
        functions=("adapt", "unadapted"),
        baselines={"real": "nothing", "unadapted": "method"},
        key="adapt",
        default=("real",),
        above={"adapted": "sources"},
    ),
    "compose": Contract(
        functions=("compose",),
        baselines={"source": "nothing", "other": "nothing"},
        key="compose",
        default=("source", "other"),
        above={"composed": "sources"},
    ),
}


@dataclass(frozen=True)
class Sample:
    """One image to be made: the k-th of a prompt.

    `seed` is all of its randomness, and follows from the run seed, prompt id and k.
    """

    prompt: Prompt
    k: int
    seed: int

    @cached_property
    def id(self) -> str:
        """H(prompt id, k): the same in every run."""
        return hashlib.sha256(f"{self.prompt.id}\x1f{self.k}".encode()).hexdigest()[:20]


class Maker(Protocol):
    """Who makes the images of a cell.

    identity: everything beside prompts and seeds that decides them. weights, trained_on: of the networks in it, for the
    record.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...

    @property
    def weights(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def trained_on(self) -> Sequence[str]: ...

    @property
    def cost(self) -> Mapping[str, float]:
        """Seconds that images are not charged with; empty where nothing is prepared or trained. A method may have it as
        `cost`.

        preparation_seconds: once for its weights; training_seconds_per_prompt: their mean, and prompts_trained: of how
        many; also where what they made lay in the cache. spent_seconds: what this process has spent of it so far.
        """
        ...

    def source(self, sample: Sample) -> str:
        """What this sample is made from; a sample of another source is another image."""
        ...

    def make(self, samples: Sequence[Sample]) -> Tensor:
        """The images of samples, all of one group of prompts: uint8 [B, 3, H, W]; row i depends on sample i alone (see
        t2ibench/tracks).
        """
        ...


@dataclass(frozen=True)
class Asked:
    """What a suite asks of a track. settings: the suite's own of this track, a class of the track's module. where:
    begins error lines.

    prompts: those that metrics ask for while the track makes its own, and from then on all of them.
    """

    settings: Any
    data: Dataset
    prompts: Sequence[Prompt]
    where: str = ""


@dataclass(frozen=True)
class Track:
    """How a track goes from a suite to images. `t2ibench/tracks/<name>.py` has its own as TRACK; the contracts are in
    this module.

    prompts: everything that is asked for, what metrics ask for included. facts: what a record says of the prompts.
    samples: of prompts, under a run seed. source: what a method makes the images of a prompt from, beside their seeds.
    make: asks a method for samples of one group, with the data set where requests hold real images. baseline: by its
    name, from the maker it is `of` (None: real images), under a run seed.
    """

    prompts: Callable[[Asked], list[Prompt]]
    facts: Callable[[Asked], dict[str, Any]]
    samples: Callable[[Sequence[Prompt], int], list[Sample]]
    source: Callable[[Prompt], str]
    make: Callable[[Any, Sequence[Sample], Dataset | None], Tensor]
    baseline: Callable[[str, Maker | None, Asked, int], Maker]


def load_track(name: str) -> Track:
    """A track by name."""
    return importlib.import_module(f"t2ibench.tracks.{name}").TRACK
