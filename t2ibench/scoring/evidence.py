"""What a metric may look at: the made images, the real ones, their prompts, and what the judges say of them, each
computed once.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from t2ibench.core import cache
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import likeliest
from t2ibench.data.dataset import Regions, Render
from t2ibench.data.split import Split
from t2ibench.data.stores import ImageStore
from t2ibench.networks import extractors
from t2ibench.networks.extractors import Extractor, find
from t2ibench.networks.models import Models
from t2ibench.scoring.reference_files import ReferenceFile
from t2ibench.tracks.contract import ADAPTED, Prompt

MANY_UNKNOWN = 0.2  # the share of words that a network may not know before its numbers come with a warning
NO_REAL_IMAGES = "there are no real images to compare with: give --reference, or --dataset"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Samples:
    """The samples of one group, one row each. ok: whether there is an image (false: it was black, not a number, or
    failed).
    """

    prompts: Sequence[Prompt]
    k: Sequence[int]
    ok: np.ndarray
    hashes: Sequence[str]  # of the pixels, empty where there is no image
    store: ImageStore  # rows of `ok` samples may be read

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def rows(self) -> np.ndarray:
        """The rows with an image, int [M]."""
        return np.flatnonzero(self.ok)

    @cached_property
    def images(self) -> np.ndarray:
        """The images of the rows with one, uint8 [M, 3, H, W], all in memory; `store.read` takes them in parts."""
        return self.store.read(self.rows)

    @cached_property
    def digest(self) -> str:
        """sha256 over the images in order."""
        return _digest([self.hashes[row] for row in self.rows])


class Evidence:
    """Handed to `score` of every metric of a cell. `reference`: the real test images. `seed` names the random choices
    of a metric.

    judge: the name of the data set's attribute judge, None where it has none.
    can_render: whether real images of any attribute values can be made (`pair_images`).
    """

    def __init__(
        self,
        *,
        train: Split,
        reference: Split,
        prompts: Sequence[Prompt],
        samples: Mapping[str, Samples],
        models: Models,
        seed: int = 0,
        judge: str | None = None,
        render: Render | None = None,
        regions: Regions | None = None,
        target: Callable[[str], Split] | None = None,
        lessons: Callable[[str, int], Split] | None = None,
    ) -> None:
        self.train, self.reference, self.prompts = train, reference, list(prompts)
        self.models, self.seed, self._judge, self._samples = models, seed, judge, samples
        self._render, self._regions, self._target, self._lessons = render, regions, target, lessons
        self._held: dict[tuple[Any, ...], Tensor] = {}
        self._extractors: dict[str, Extractor] = {}

    @property
    def judge(self) -> str:
        """The name of the attribute judge.

        Raises UserError where the data set has none: that of another one would be wrong.
        """
        if self._judge is None:
            raise UserError(
                f"{self.train.dataset} has no attribute judge, and that of another data set never saw such images: "
                "train one (`t2ibench train attribute_judge --dataset …`), or take a metric that needs none"
            )
        return self._judge

    @property
    def has_judge(self) -> bool:
        return self._judge is not None

    def samples(self, group: str = "captions") -> Samples:
        """The samples of a group of prompts. Raises UserError where the suite asked for none."""
        if group not in self._samples:
            raise UserError(f"no prompts of the group {group!r} were asked for{did_you_mean(group, self._samples)}")
        return self._samples[group]

    def fake_features(self, extractor: str, group: str = "captions") -> Tensor:
        """Features of the made images, float32 [M, D]: the rows of `samples(group).rows`, in that order."""
        samples = self.samples(group)
        return self._features(extractor, samples.store, samples.rows, samples.digest)

    def real_features(self, extractor: str, split: Split | None = None) -> Tensor:
        """Features of the images of a split (the reference), float32 [N, D]; of a file of features, those."""
        split = split or self.reference
        if not len(split):
            raise UserError(NO_REAL_IMAGES)
        if isinstance(split.images, ReferenceFile) and split.images.features is not None:
            return split.images.features
        return self._features(extractor, split.images, range(len(split)), _digest(split.images.digests()))

    def dimension(self, extractor: str, group: str = "captions") -> int:
        """How many features an extractor gives of an image; looks at one."""
        samples = self.samples(group)
        if extractor.startswith("attribute-judge"):
            return self.models.judge(extractor).dimension
        with torch.no_grad():
            return self._extractor(extractor).network(torch.from_numpy(samples.store.read(samples.rows[:1]))).shape[1]

    def fake_image_features(self, clip: str, group: str = "captions") -> Tensor:
        """CLIP embeddings of the made images, of unit norm, float32 [M, D]; rows as in `fake_features`."""
        return self.fake_features(clip, group)

    def real_image_features(self, clip: str, split: Split | None = None) -> Tensor:
        """CLIP embeddings of the images of a split (the reference), of unit norm, float32 [N, D]."""
        return self.real_features(clip, split)

    def text_features(self, clip: str, texts: Sequence[str]) -> Tensor:
        """CLIP embeddings of texts, of unit norm, float32 [len(texts), D]; equal texts are embedded once."""
        unique = list(dict.fromkeys(texts))
        if "" in unique:
            raise UserError("the images came without texts: give --prompts, or metrics that read none")
        network = self.models.clip(clip)
        self._check_words(clip, unique)
        rows = self._once(
            ("texts", _digest(unique), network.sha256), lambda: network.encode_texts(unique).float().cpu().numpy()
        )
        place = {text: i for i, text in enumerate(unique)}
        return rows[[place[text] for text in texts]]

    def words(self, clip: str, texts: Sequence[str]) -> dict[str, float]:
        """For the details of a value: `unknown_words`, the share of the words of texts that a CLIP never learned.

        Empty for a CLIP that knows every word, as published ones do.
        """
        counts = self.models.clip(clip).unknown_words(list(dict.fromkeys(texts)))
        if counts is None:
            return {}
        unknown, total = (sum(column) for column in zip(*counts, strict=True))
        return {"unknown_words": round(unknown / max(total, 1), 4)}

    def _check_words(self, clip: str, texts: Sequence[str]) -> None:
        """Raises UserError for a text of which a CLIP knows no word; warns where it knows less than four fifths of all
        words.
        """
        counts = self.models.clip(clip).unknown_words(texts)
        if counts is None:
            return
        for text, (unknown, total) in zip(texts, counts, strict=True):
            if unknown == total:
                raise UserError(
                    f"{clip} knows no word of {text!r}, so it would read it as any other such text: name a CLIP that "
                    f"does, "
                    f"with `clip` (--clip), such as ViT-L-14-quickgelu:openai or model:FILE"
                )
        if (share := self.words(clip, texts)["unknown_words"]) > MANY_UNKNOWN:
            log.warning(
                "%s never learned %.0f %% of the words of these texts: its scores say little of them", clip, 100 * share
            )

    def fake_attributes(self, group: str = "captions") -> pd.DataFrame:
        """The judge's value of every attribute, one row for each of `samples(group).rows`, which are its index."""
        samples = self.samples(group)
        return self._values(self._judged(samples.store, samples.rows, samples.digest)).set_index(samples.rows)

    def fake_probabilities(self, group: str = "captions") -> pd.DataFrame:
        """The judge's probability of every literal, a column "attribute=value" each, one row for each of
        `samples(group).rows`.
        """
        samples = self.samples(group)
        return self._judged(samples.store, samples.rows, samples.digest).set_index(samples.rows)

    def real_attributes(self, split: Split | None = None) -> pd.DataFrame:
        """The judge's value of every attribute of the images of a split (the reference)."""
        split = split or self.reference
        return self._values(self._judged(split.images, range(len(split)), _digest(split.images.digests())))

    def real_probabilities(self, split: Split | None = None) -> pd.DataFrame:
        """The judge's probability of every literal, a column "attribute=value" each, of the images of a split (the
        reference).
        """
        split = split or self.reference
        return self._judged(split.images, range(len(split)), _digest(split.images.digests()))

    @property
    def targets(self) -> dict[str, str]:
        """The groups of samples of the track `adapt`, by target domain; none in other tracks."""
        return {
            prompt.tags["domain"]: prompt.group for prompt in self.prompts if prompt.group.partition("/")[0] == ADAPTED
        }

    def target(self, domain: str) -> Split:
        """Real images of a target domain, which no network has learned from. Only for `targets`."""
        assert self._target is not None
        return self._target(domain)

    def lessons(self, domain: str, count: int) -> Split:
        """Other real images of a target domain, for a metric to learn from. Only for `targets`."""
        assert self._lessons is not None
        return self._lessons(domain, count)

    @property
    def can_render(self) -> bool:
        return self._render is not None

    def pair_images(self, conditions: Mapping[str, str], count: int) -> Split:
        """`count` real images that carry attribute values, the same for every method. Only where `can_render`."""
        if self._render is None:
            raise UserError(f"{self.train.dataset} cannot make real images of chosen attributes")
        return self._render(conditions, count, derive_seed("evidence"))

    def region(self, attribute: str) -> np.ndarray | None:
        """The pixels that an attribute's part can cover, whatever its value: bool [H, W] at the size of the real
        images.

        None where the data set does not know. Raises UserError for an attribute that it does not have.
        """
        if self._regions is None or self.train.attributes is None:
            return None
        table = self.train.attributes
        if attribute not in table:
            raise UserError(
                f"{self.train.dataset} has no attribute {attribute!r}{did_you_mean(attribute, map(str, table.columns))}"
            )
        return self._regions(attribute, tuple(sorted(table[attribute].dropna().astype(str).unique())))

    def extractor_protocol(self, name: str) -> dict[str, Any]:
        """What decides an extractor's features: its name, the hash of its weights, the resize before it."""
        return self._extractor(name).protocol

    def _extractor(self, name: str) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = find(self.models, name)
        return self._extractors[name]

    def _features(self, name: str, store: ImageStore, rows: Sequence[int] | np.ndarray, digest: str) -> Tensor:
        found = self._looked_at(name, store, rows, digest)
        return found[:, : self.models.judge(name).dimension] if name.startswith("attribute-judge") else found

    def _looked_at(self, name: str, store: ImageStore, rows: Sequence[int] | np.ndarray, digest: str) -> Tensor:
        extractor = self._extractor(name)
        if len(rows) == 0:
            raise UserError(f"{name}: there is no image to look at")
        key = ("images", digest, extractor.sha256, extractor.resize, *([extractor.output] if extractor.output else []))
        return self._once(
            key, lambda: extractors.extract(extractor.network, store.read, rows, f"{name}: {len(rows):,} images")
        )

    def _judged(self, store: ImageStore, rows: Sequence[int] | np.ndarray, digest: str) -> pd.DataFrame:
        judge = self.models.judge(self.judge)
        literals = [f"{name}={value}" for name, values in judge.attributes.items() for value in values]
        return pd.DataFrame(
            self._looked_at(self.judge, store, rows, digest)[:, judge.dimension :].numpy(), columns=literals
        )

    def _values(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        return likeliest(probabilities, self.models.judge(self.judge).attributes)

    def _once(self, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> Tensor:
        if key not in self._held:
            self._held[key] = torch.from_numpy(cache.cached(key, make))
        return self._held[key]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
