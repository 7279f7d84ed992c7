"""The contract of a method: what its module and its class hold, what a request of each track holds, and what a method
must have to take part.

A method takes part in a track if it has the functions of that track. It returns images as uint8 [B, 3, H, W]: what is
scored is what is saved. The module t2ibench/tracks/<track>.py says how a track asks for its samples.

"Row i depends on request i alone" is a rule about what a method may read: no other request may influence row i. One
difference is allowed. The other requests of a batch may change a pixel by one grey level, because a kernel adds numbers
in an order that depends on the shape of the batch and on the position of the row. On one machine with the same number
of threads, the same requests in the same order give the same images, bit for bit.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean

if TYPE_CHECKING:  # suites are listed without torch
    import numpy as np
    from torch import Tensor

    from t2ibench.data.dataset import Dataset
    from t2ibench.data.split import Split
    from t2ibench.tracks.compose_tasks import Task


ADAPTED = "adapted"  # track `adapt`: the images of a target are the group "adapted/<domain>"
COMPOSED = "composed"  # track `compose`: the images of a task are the group "composed/<task>"
SOURCES, EDITS = "sources", "edits"  # groups of the track `edit`
PAIRS = "pairs"  # the group of prompts for attribute pairs


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text that a track asks for, with the facts about it that metrics need.

    id: unique among the prompts of a run; seeds are derived from it.
    text: what a method reads.
    group: the name under which metrics find the samples of the prompt:
        - "captions": one text of each reference image;
        - "pairs": attribute pairs;
        - "sources" and "edits": the track `edit`;
        - "sources" and "adapted/<domain>": the track `adapt`;
        - "sources" and "composed/<task>": the track `compose`.
    images: how many samples are made for the prompt, k = 0 … images - 1.
    reference: id of the real image that the text came with; None if it came with none.
    tags: facts that a metric needs again when it scores the samples (JSON values).
    """

    id: str
    text: str
    group: str = "captions"
    images: int = 1
    reference: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


class TextNetwork(Protocol):
    """A network that reads texts, and cuts those that are longer than its context.

    context: how much of a text it reads, in words: "77 tokens".
    """

    @property
    def context(self) -> str: ...

    def cut(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether its end is not read."""
        ...


class Method(Protocol):
    """What the class `Method` of a method may have besides the functions of its tracks, which are stated below.

    trained_on: the data sets that its networks were trained on, as text, for the record.
    cost: seconds that do not count as the time of any image, as `Maker.cost` states them.
    needs_parts: whether it cannot compose an image from an instance map without the exact parts of the sources.
    reads: the networks that read the texts of its requests and may cut them, by name. The runner counts the texts that
        are cut, for the record.
    unseeded: whether its images do not follow from the seeds of the requests. A record says it, and no comparison pairs
        such images by seed.
    """

    trained_on: str | Sequence[str] = ()
    cost: Mapping[str, float] = {}
    needs_parts: bool = False
    reads: Mapping[str, TextNetwork] = {}
    unseeded: bool = False


class MethodPlugin(Protocol):
    """The module `methods/<name>.py`. One that can be trained also has what `t2ibench.networks.training` asks for.

    Config: the settings, a frozen dataclass. They decide the images: no path of a cache, no device and no batch size.
        Two of them have a meaning of their own: `clip` names a CLIP that guides, `clips` several. There "auto" is
        replaced, before the method is made, by the guide of the data set (in `clips` by all of its guides).
    PUBLISHED: the CLIPs that "auto" is on data that brings no guides.
    PRESETS: settings under one word, which a suite names as `preset`: "embedded" for what ships, "reference" for those
        of the authors' released code, and "paper" where the paper differs from it. Settings beside it override them.
    REVISION: raised by 1 when its images change on purpose. It is part of the identity of every record of the method.
    Method: its class, (config, models) -> a method. It takes its networks from `models`, an object of
        `t2ibench.networks.models.Models`, which notes them for the record and holds the device. Raises UserError for
        settings that do not fit together.
    """

    Config: type[Any]
    Method: Callable[[Any, Any], Any]
    REVISION: int = 1
    PUBLISHED: Sequence[str] = ("ViT-B-32-quickgelu:openai",)
    PRESETS: Mapping[str, Mapping[str, Any]] = {}


def load_method(name: str) -> MethodPlugin:
    """A method by its name. Raises UserError for an unknown name, and for a module without a `Config` or `Method`."""
    return plugins.by_contract(MethodPlugin, plugins.load("methods", name), f"methods: {name}")


@runtime_checkable
class StyleTransferMethod(Protocol):
    """A method that draws images anew, in the words of a text. No track asks for it, only the command `generate`."""

    def transfer_style(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """uint8 [B, 3, H, W] in and out. Row i depends on image i and prompt i alone."""
        ...


@dataclass(frozen=True)
class TextToImage:
    """A request for one image of one text.

    prompt: the text.
    seed: in [0, 2**63), the only source of randomness of the image.
    """

    prompt: str
    seed: int


@runtime_checkable
class TextToImageMethod(Protocol):
    """A method of the track `text_to_image`."""

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...


@dataclass(frozen=True)
class Edit:
    """A request to change one image as two texts say, and to change nothing else.

    neutral: the text that describes the image before the edit.
    target: the text that describes the image after the edit.
    seed: in [0, 2**63); the method makes the image before the edit from it, unless `image` is given.
    image: a real image to edit, uint8 [3, H, W], or None.
    """

    neutral: str
    target: str
    seed: int
    image: np.ndarray | None = None


@runtime_checkable
class EditMethod(Protocol):
    """A method of the track `edit`."""

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
    """A request for one image of a generator that two texts move to another domain.

    source: the text that describes what the generator draws before the adaptation.
    target: the text that describes what it should draw.
    seed: in [0, 2**63), gives the latent. All targets, and the image before the adaptation, share it.
    """

    source: str
    target: str
    seed: int


@runtime_checkable
class AdaptMethod(Protocol):
    """A method of the track `adapt`."""

    def adapt(self, requests: Sequence[Adapt]) -> Tensor:
        """One image of the target domain per request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...

    def unadapted(self, requests: Sequence[Adapt]) -> Tensor:
        """The image that the generator drew from the same latent before the adaptation: uint8, [B, 3, H, W].

        It depends on the seed alone, never on the texts.
        """
        ...


@dataclass(frozen=True)
class Source:
    """One source from which a task takes conditions. A field that is not known is None.

    image: uint8 [3, H, W].
    parts: number of the part that each pixel shows, uint8 [H, W]; 0 is the background, then from far to near. None
        unless the data set knows the parts exactly.
    silhouette: uint8 [H, W] in {0, 1}, used in place of the silhouette of `image`.
    strokes: a sketch, float32 [H, W] in [0, 1], used in place of the sketch of `image`.
    caption: the text of the image.
    """

    image: np.ndarray | None = None
    parts: np.ndarray | None = None
    silhouette: np.ndarray | None = None
    strokes: np.ndarray | None = None
    caption: str | None = None


@dataclass(frozen=True)
class Compose:
    """A request for one image that is put together from conditions.

    task: which conditions are taken from which source.
    sources: the sources that the task needs, by name: "A", "B", "text", "edited".
    seed: in [0, 2**63), the only source of randomness of the image.
    known: true where A is known, bool [H, W]; None if the task has no hole.
    position: in [0, 1], from A to B, for conditions that the task takes from between the two.
    """

    task: Task
    sources: Mapping[str, Source]
    seed: int
    known: np.ndarray | None = None
    position: float = 0.5


@runtime_checkable
class ComposeMethod(Protocol):
    """A method of the track `compose`."""

    def compose(self, requests: Sequence[Compose]) -> Tensor:
        """One image per request: uint8, [B, 3, H, W]. Row i depends on request i alone."""
        ...


@dataclass(frozen=True)
class Sample:
    """One image to be made: the k-th of a prompt.

    seed: the only source of randomness of the image. Each track derives it from the run seed.
    """

    prompt: Prompt
    k: int
    seed: int

    @cached_property
    def id(self) -> str:
        """H(prompt id, k): the same in every run."""
        return hashlib.sha256(f"{self.prompt.id}\x1f{self.k}".encode()).hexdigest()[:20]


class Maker(Protocol):
    """What makes the images of a cell: a method or a baseline.

    identity: everything that decides the images, except prompts and seeds.
    weights: the networks that it holds, for the record.
    trained_on: the data sets that these networks were trained on, for the record.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...

    @property
    def weights(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def trained_on(self) -> Sequence[str]: ...

    @property
    def cost(self) -> Mapping[str, float]:
        """Seconds that do not count as the time of any image; empty if nothing is prepared or trained.

        A method may state them as its attribute `cost`. The first three are stated also if the work was done earlier
        and its result was read from the cache.

        preparation_seconds: spent once on the weights.
        training_seconds_per_prompt: mean over the prompts that were trained for.
        prompts_trained: number of these prompts.
        spent_seconds: what this process has spent so far on preparation and training.
        """
        ...

    def source(self, sample: Sample) -> str:
        """What the image is made from, in words. Two samples with different sources have different images."""
        ...

    def make(self, samples: Sequence[Sample]) -> Tensor:
        """The images of samples of one group of prompts: uint8 [B, 3, H, W]. Row i depends on sample i alone."""
        ...


@dataclass(frozen=True)
class Asked:
    """What a suite asks of a track.

    settings: how the suite configures the track, an instance of the settings class in the module of the track.
    data: the opened data set.
    prompts: for `Track.prompts` the prompts that metrics ask for; for every other function all prompts of the track.
    where: how error lines begin.
    """

    settings: Any
    data: Dataset
    prompts: Sequence[Prompt]
    where: str = ""


@dataclass(frozen=True)
class Group:
    """How the gallery shows a group of prompts. It goes by the part of the group's name before "/".

    above: the group whose images stand above those of this one; two images with the same k belong together.
    shown: how many of its prompts are shown.
    """

    above: str | None = None
    shown: int = 6


@dataclass(frozen=True)
class Target:
    """A group of prompts whose images are compared with real images of their own, not with the reference.

    group: the name of the group.
    real: these real images, none of which a network was trained on; None where the target is a text alone.
    lessons: (count) -> other real images of this kind, which networks may have learned from; None likewise.
    """

    group: str
    real: Callable[[], Split] | None
    lessons: Callable[[int], Split] | None


Of = Literal["nothing", "anything", "method"]


@dataclass(frozen=True)
class Track:
    """A track: all facts and functions that lead from a suite to the images of its cells. Those with a value are
    optional.

    Each module t2ibench/tracks/<name>.py has one of these as TRACK. Another package adds a track through the entry
    point group `t2ibench.tracks`.

    key: the key of a suite file under which the track is configured.
    settings: the frozen dataclass of these settings. A whole number in it is a count, which is at least 1, and a list
        names nothing twice.
    functions: the functions that a method must have to take part.
    prompts: all prompts of the track, those that metrics ask for included.
    samples: the samples of prompts, given a run seed.
    make: asks a method for samples of one group. It gets the data set because a request may hold real images.
    facts: what a record says about the prompts.
    source: what a method makes the images of a prompt from, except their seeds, in words.
    baselines: for each baseline, by name, which images it takes: "nothing" (it brings its own), "anything" (real images
        or those of a method), or "method" (those of a method).
    default_baselines: the baselines of a suite that names none.
    baseline: makes a baseline from its name, the maker whose images it takes (None: no method's) and a run seed.
    groups: how the gallery shows the groups of prompts.
    targets: the groups that are compared with real images of their own, by the names of their domains.
    """

    key: str
    settings: type[Any]
    functions: tuple[str, ...]
    prompts: Callable[[Asked], list[Prompt]]
    samples: Callable[[Sequence[Prompt], int], list[Sample]]
    make: Callable[[Any, Sequence[Sample], Dataset | None], Tensor]
    facts: Callable[[Asked], dict[str, Any]] = lambda asked: {}
    source: Callable[[Prompt], str] = lambda prompt: prompt.text
    baselines: Mapping[str, Of] = field(default_factory=dict)
    default_baselines: tuple[str, ...] = ()
    baseline: Callable[[str, Maker | None, Asked, int], Maker] | None = None
    groups: Mapping[str, Group] = field(default_factory=dict)
    targets: Callable[[Asked], Mapping[str, Target]] = lambda asked: {}


class TrackPlugin(Protocol):
    """The module `tracks/<name>.py`."""

    TRACK: Track


def track_names() -> list[str]:
    """The names of all tracks, found without importing one: modules of this folder with a TRACK, and entry points."""
    paths = Path(__file__).parent.glob("*.py")
    return sorted({*(path.stem for path in paths if "\nTRACK = " in path.read_text("utf-8")), *_elsewhere()})


def load_track(name: str) -> Track:
    """A track by name. Raises UserError for an unknown name, with the nearest known one."""
    if name not in (known := track_names()):
        raise UserError(f"no track is called {name!r}{did_you_mean(name, known)}")
    elsewhere = _elsewhere()
    if name in elsewhere:
        module = plugins.import_foreign(elsewhere[name], f"the track {name!r}")
    else:
        module = importlib.import_module(f"t2ibench.tracks.{name}")
    return plugins.by_contract(TrackPlugin, module, f"tracks: {name}").TRACK


def installed(name: str) -> Track | None:
    """A track by name; None if it is not installed, as may be with a record that somebody else made."""
    return load_track(name) if name in track_names() else None


def _elsewhere() -> dict[str, str]:
    """The modules of tracks that other packages bring, by the name of the track."""
    return {point.name: point.value for point in plugins.entry_points("t2ibench.tracks")}
