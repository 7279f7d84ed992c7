"""Text to image: one image for one text.

The texts are captions of real images, and prompts that metrics add. The baselines answer with real images, or with the
images of a method under other texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Count
from t2ibench.core.records import digest
from t2ibench.core.seeds import derive_seed, permutation, uniform
from t2ibench.data.dataset import Dataset, Render
from t2ibench.data.split import Split
from t2ibench.tracks.contract import Asked, Group, Maker, Prompt, Sample, TextToImage, Track


def prompts(asked: Asked) -> list[Prompt]:
    """The captions of the suite, and the prompts that its metrics add."""
    plan: PromptPlan = asked.settings
    return prompts_of(plan.captions, asked.data.split(plan.split), asked.prompts)


def prompts_of(captions: int, split: Split, further: Sequence[Prompt]) -> list[Prompt]:
    """One caption of each of the first `captions` images of a split, then the prompts in `further`, each prompt once.

    The id of an image decides which of its captions is taken, so it is the same one in every run. Raises UserError if
    the split has too few images, an image has no caption, or two different prompts have the same id.
    """
    if captions > len(split):
        raise UserError(
            f"prompts: captions is {captions:,}, but {split.dataset} {split.name} has {len(split):,} images"
        )
    prompts: dict[str, Prompt] = {}
    for row in range(captions):
        id, texts = split.ids[row], split.captions[row]
        if not texts:
            raise UserError(
                f"{split.dataset} {split.name}: image {id} has no caption, expected at least one: write one"
            )
        which = derive_seed("caption", id) % len(texts)
        prompts[f"captions/{id}/{which}"] = Prompt(f"captions/{id}/{which}", texts[which], reference=id)
    for prompt in further:
        if prompts.setdefault(prompt.id, prompt) != prompt:
            raise UserError(f"two metrics ask for different prompts of the id {prompt.id!r}: take one of them out")
    return list(prompts.values())


def samples(prompts: Sequence[Prompt], run_seed: int) -> list[Sample]:
    """Every sample of a run, prompt by prompt. The seed of a sample is H(run seed, prompt id, k)."""
    return [Sample(prompt, k, derive_seed(run_seed, prompt.id, k)) for prompt in prompts for k in range(prompt.images)]


def make(method: Any, samples: Sequence[Sample], data: Dataset | None = None) -> Tensor:
    """Ask a method for the images of samples."""
    return method.text_to_image([TextToImage(sample.prompt.text, sample.seed) for sample in samples])


def baseline(name: str, maker: Maker | None, asked: Asked, seed: int) -> Maker:
    """A baseline by its name. `shuffled` and `unconditional` take the images of `maker`, or real ones if it is None."""
    if maker is None:
        data = asked.data
        maker = RealImages([data.split(asked.settings.split), data.train], asked.prompts, data.render, seed)
    if name == "real":
        return maker
    if name == "shuffled":
        return Shuffled(maker, asked.prompts, seed)
    return Unconditional(maker, asked.data.train, samples(asked.prompts, seed))


class RealImages:
    """Real images in place of made ones, which show the best value that a metric can reach.

    A caption is answered with the image that it came with. A prompt for attributes, which has the tag `literals`, a
    list of "attribute=value", is answered with images that show them, a different one for each sample. The data set
    renders these images if it can. Otherwise they come from its splits in random order, and repeat if there are too
    few.
    """

    weights: Mapping[str, Mapping[str, Any]] = {}
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = {}

    def __init__(self, splits: Sequence[Split], prompts: Sequence[Prompt], render: Render | None, seed: int) -> None:
        self.splits, self.render, self.seed = splits, render, seed
        self.rows = {id: (split, row) for split in reversed(splits) for row, id in enumerate(split.ids)}
        self.first: dict[str, int] = {}  # prompt id -> index of its first image in the pool of its literals
        self.count: dict[tuple[str, ...], int] = {}  # literals -> images that all their prompts ask for
        self.pools: dict[tuple[str, ...], Split] = {}
        for prompt in prompts:
            if prompt.reference is None:
                key = literals(prompt)
                self.first[prompt.id] = self.count.get(key, 0)
                self.count[key] = self.first[prompt.id] + prompt.images
        self.identity: Mapping[str, Any] = {
            "name": "real",
            "images": self.hashes([prompt.reference for prompt in prompts if prompt.reference is not None]),
            "pools": {"+".join(key): self._pool_hash(key) for key in self.count if render is None},
            "attributes": [split.described for split in splits],
        }

    def hashes(self, ids: Sequence[str]) -> str:
        """One hash for the pixels of real images, in order. ids: their ids."""
        known = [self.rows[id] for id in ids if id in self.rows]
        rows = [[row for owner, row in known if owner is split] for split in self.splits]
        return digest([split.images.digests(members) for split, members in zip(self.splits, rows, strict=True)])

    def _pool_hash(self, key: tuple[str, ...]) -> str:
        """One hash for the pixels of the images that answer all prompts for these literals; "" if there are none."""
        try:
            pool = self._pool(key)
        except ValueError:
            return ""
        return digest(pool.images.digests(range(min(self.count[key], len(pool)))))

    def source(self, sample: Sample) -> str:
        prompt = sample.prompt
        return (
            f"real {prompt.reference}"
            if prompt.reference is not None
            else f"real {'+'.join(literals(prompt))} {self._index(sample)}"
        )

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return torch.from_numpy(np.concatenate([self._image(sample) for sample in samples]))

    def _image(self, sample: Sample) -> np.ndarray:
        if sample.prompt.reference is not None:
            if sample.prompt.reference not in self.rows:
                raise ValueError(f"no real image has the id {sample.prompt.reference!r}")
            split, row = self.rows[sample.prompt.reference]
            return split.images.read([row])
        key = literals(sample.prompt)
        if key not in self.pools:
            self.pools[key] = self._pool(key)
        pool = self.pools[key]
        return pool.images.read([self._index(sample) % len(pool)])

    def _index(self, sample: Sample) -> int:
        return self.first[sample.prompt.id] + sample.k

    def _pool(self, key: tuple[str, ...]) -> Split:
        if not key:
            raise ValueError("the prompt names neither a real image nor attributes")
        conditions = dict(literal.split("=", 1) for literal in key)
        if self.render is not None:
            return self.render(conditions, self.count[key], derive_seed(self.seed, "real", *key))
        for split in self.splits:
            table = split.attributes
            if table is not None and set(conditions) <= set(table.columns):
                rows = np.flatnonzero(
                    np.all(
                        [(table[name].astype(str) == value).to_numpy() for name, value in conditions.items()], axis=0
                    )
                )
                if len(rows):
                    return split.take(rows[permutation(derive_seed("real", *key), len(rows))])
        raise ValueError(f"no real image carries {' and '.join(key)}")


class Shuffled:
    """The images of another maker under wrong prompts, which show what a metric gives when texts and images do not
    belong together.

    The prompts of each group are put on a ring in random order. A sample is answered with the image that the maker
    makes for the next prompt on the ring, with the sample's own seed. Prompts for the same attributes share one place
    on the ring, so that no prompt is answered with an image of its own attributes.
    """

    def __init__(self, maker: Maker, prompts: Sequence[Prompt], seed: int) -> None:
        self.maker, self.weights, self.trained_on = maker, maker.weights, maker.trained_on
        self.identity: Mapping[str, Any] = {"name": "shuffled", "of": maker.identity}
        self.taken: dict[str, Prompt] = {}
        for group in dict.fromkeys(prompt.group for prompt in prompts):
            alike: dict[tuple[str, ...], list[Prompt]] = {}
            for prompt in (prompt for prompt in prompts if prompt.group == group):
                alike.setdefault(literals(prompt) or (prompt.id,), []).append(prompt)
            members = list(alike.values())
            ring = [members[i] for i in permutation(derive_seed(seed, "shuffled", group), len(members))]
            for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
                self.taken |= {prompt.id: after[i % len(after)] for i, prompt in enumerate(here)}

    @property
    def cost(self) -> Mapping[str, float]:
        return self.maker.cost

    def _other(self, sample: Sample) -> Sample:
        other = self.taken[sample.prompt.id]
        return Sample(other, sample.k % other.images, sample.seed)

    def source(self, sample: Sample) -> str:
        return self.maker.source(self._other(sample))

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return self.maker.make([self._other(sample) for sample in samples])


class Unconditional:
    """The images of another maker without regard to the prompt.

    The seed of a sample chooses a training caption, and the image is made for this caption.
    """

    def __init__(self, maker: Maker, train: Split, samples: Sequence[Sample]) -> None:
        self.maker, self.train, self.weights, self.trained_on = maker, train, maker.weights, maker.trained_on
        self.identity: Mapping[str, Any] = {"name": "unconditional", "of": maker.identity, "captions": train.described}
        if isinstance(maker, RealImages):
            drawn = [str(self._drawn(sample).prompt.reference) for sample in samples]
            self.identity = {**self.identity, "images": maker.hashes(drawn)}

    @property
    def cost(self) -> Mapping[str, float]:
        return self.maker.cost

    def _drawn(self, sample: Sample) -> Sample:
        first, second = uniform(derive_seed(sample.seed, "unconditional"), 2)
        row = int(first * len(self.train))
        captions = self.train.captions[row]
        if not captions:
            raise UserError(
                f"{self.train.dataset}: {self.train.name} image {self.train.ids[row]} has no caption, expected at "
                f"least one"
            )
        prompt = replace(sample.prompt, text=captions[int(second * len(captions))], reference=self.train.ids[row])
        return replace(sample, prompt=prompt)

    def source(self, sample: Sample) -> str:
        return self.maker.source(self._drawn(sample))

    def make(self, samples: Sequence[Sample]) -> Tensor:
        return self.maker.make([self._drawn(sample) for sample in samples])


def literals(prompt: Prompt) -> tuple[str, ...]:
    """The literals "attribute=value" that a prompt asks for; empty for a prompt that names none."""
    return tuple(prompt.tags.get("literals", ()))


@dataclass(frozen=True)
class PromptPlan:
    """Settings of the track `text_to_image`. Metrics add prompts of their own.

    captions: number of captions that are asked for, one of each image.
    split: the split that the captions are taken from; None: the split of the reference. Another split than that of the
        reference is better: the baseline `real` answers a caption with the image that it came with, and would be
        compared with itself.
    """

    captions: Count = 2000
    split: str | None = None


TRACK = Track(
    key="prompts",
    settings=PromptPlan,
    functions=("text_to_image",),
    prompts=prompts,
    samples=samples,
    make=make,
    facts=lambda asked: {"captions": asked.data.split(asked.settings.split).name},
    baselines={"real": "nothing", "shuffled": "anything", "unconditional": "anything"},
    default_baselines=("real", "shuffled", "unconditional"),
    baseline=baseline,
    groups={"captions": Group(shown=8)},
)
