"""What a metric may look at: made images, real images, prompts, and what networks say about them.

Features and embeddings are computed once for all metrics.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from t2ibench.core import cache
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.progress import track
from t2ibench.core.seeds import derive_seed
from t2ibench.data.attributes import likeliest
from t2ibench.data.dataset import Regions, Render
from t2ibench.data.originals import has_originals, originals
from t2ibench.data.split import Split
from t2ibench.data.stores import ImageStore, each
from t2ibench.networks import extractors
from t2ibench.networks.extractors import Extractor, find
from t2ibench.networks.models import Models
from t2ibench.networks.vqa.contract import Answers, Sets
from t2ibench.scoring.answers import Answering
from t2ibench.scoring.reference_files import ReferenceFile
from t2ibench.tracks.contract import Prompt, Target

MANY_UNKNOWN = 0.2  # a warning is logged if a network does not know a larger share of the words than this
NO_REAL_IMAGES = "there are no real images to compare with: give --reference, or --dataset"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Samples:
    """The N samples of one group of prompts. Row i of every field describes sample i.

    prompts: the prompt of each sample.
    k: its number among the samples of that prompt.
    ok: whether it has an image, bool [N]. It has none if the image was black, not a number, or could not be made.
    hashes: hash of its pixels; empty for a sample without an image.
    store: the images. Only rows of samples with an image may be read.
    """

    prompts: Sequence[Prompt]
    k: Sequence[int]
    ok: np.ndarray
    hashes: Sequence[str]
    store: ImageStore

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def rows(self) -> np.ndarray:
        """The rows with an image, int [M]."""
        return np.flatnonzero(self.ok)

    @cached_property
    def images(self) -> np.ndarray:
        """The images of `rows`, uint8 [M, 3, H, W], all in memory at once. `store.read` reads some of them."""
        return self.store.read(self.rows)

    @cached_property
    def digest(self) -> str:
        """sha256 over the hashes of the images, in order."""
        return _digest([self.hashes[row] for row in self.rows])


class Evidence:
    """What the function `score` of every metric gets to see of a cell.

    train: the training split of the data set.
    reference: the real images that made ones are compared with.
    prompts: all prompts of the cell.
    models: the networks.
    seed: the seed of a metric's random choices.
    judge: name of the data set's attribute judge.
    reading: how the files of the scored images became pixels, where that changed the pixels; empty where it did not.
    files: whether networks that were published with a protocol for files get those of the reference
        (`Extractor.reads_files`), and not what the data set makes of them.
    pieces: a folder in which other processes have put features of some images (`t2ibench.scoring.part`).
    can_render: whether the data set can make real images of chosen attribute values (`pair_images`).
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
        targets: Mapping[str, Target] | None = None,
        reading: Mapping[str, Any] | None = None,
        files: bool = False,
        pieces: Path | None = None,
    ) -> None:
        self.train, self.reference, self.prompts = train, reference, list(prompts)
        self.models, self.seed, self._judge, self._samples = models, seed, judge, samples
        self._render, self._regions, self._targets = render, regions, targets or {}
        self.reading, self._files, self._pieces = reading or {}, files, pieces
        self._held: dict[tuple[Any, ...], Tensor] = {}
        self._extractors: dict[str, Extractor] = {}
        self._answering = Answering(self.in_parts, models.cache)

    @property
    def judge(self) -> str:
        """The name of the attribute judge.

        Raises UserError if the data set has none: the judge of another data set would be wrong.
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
        """The samples of a group of prompts. Raises UserError if the suite asked for no prompt of this group."""
        if group not in self._samples:
            raise UserError(f"no prompts of the group {group!r} were asked for{did_you_mean(group, self._samples)}")
        return self._samples[group]

    def fake_features(self, extractor: str, group: str = "captions") -> Tensor:
        """Features of the made images of a group, float32 [M, D], in the order of `samples(group).rows`."""
        samples = self.samples(group)
        return self._features(extractor, samples.store, samples.rows, samples.digest)

    def real_features(self, extractor: str, split: Split | None = None) -> Tensor:
        """Features of the images of a split (None: the reference), float32 [N, D].

        If a file of features stands for the images, these are the features of the file. Raises UserError if there are
        no images.
        """
        split = split or self.reference
        if not len(split):
            raise UserError(NO_REAL_IMAGES)
        if isinstance(split.images, ReferenceFile) and split.images.features is not None:
            return split.images.features
        return self._features(extractor, split.images, range(len(split)), _digest(split.images.digests()))

    def reference_for(self, extractor: str) -> Split:
        """The reference as an extractor is to see it: files as they are, where its protocol is one for files."""
        if not self._files or not has_originals(self.reference.images) or not self._extractor(extractor).reads_files:
            return self.reference
        return self._of_files

    @cached_property
    def _of_files(self) -> Split:
        return replace(self.reference, images=originals(self.reference.images, "reference"))

    def dimension(self, extractor: str, group: str = "captions") -> int:
        """How many features an extractor gives for an image. It is tried on one image."""
        samples = self.samples(group)
        if (features := self._extractor(extractor).features) is not None:
            return features
        with torch.no_grad():
            [image] = each(samples.store, samples.rows[:1])
            return self._extractor(extractor).network(torch.from_numpy(np.ascontiguousarray(image))[None]).shape[1]

    def fake_image_features(self, clip: str, group: str = "captions") -> Tensor:
        """CLIP embeddings of the made images of a group, unit norm, float32 [M, D]; rows as in `fake_features`."""
        return self.fake_features(clip, group)

    def real_image_features(self, clip: str, split: Split | None = None) -> Tensor:
        """CLIP embeddings of the images of a split (None: the reference), unit norm, float32 [N, D]."""
        return self.real_features(clip, split)

    def text_features(self, clip: str, texts: Sequence[str]) -> Tensor:
        """CLIP embeddings of texts, unit norm, float32 [len(texts), D]. Equal texts are embedded once.

        Raises UserError for an empty text, and for a text of which the CLIP knows no word.
        """
        unique = list(dict.fromkeys(texts))
        if "" in unique:
            raise UserError("the images came without texts: give --prompts, or metrics that read none")
        network = self.models.clip(clip)
        self._check_words(clip, unique)
        rows = self._once(
            clip,
            "text",
            ("texts", _digest(unique), network.sha256),
            lambda: network.encode_texts(unique).float().cpu().numpy(),
        )
        place = {text: i for i, text in enumerate(unique)}
        return rows[[place[text] for text in texts]]

    def words(self, clip: str, texts: Sequence[str]) -> dict[str, Any]:
        """What a CLIP does not read of texts, for the details of a value; empty for a CLIP that reads all of them.

        unknown_words: the share of their words that it never learned; not for the published ones, which read any word.
        cut_texts, of_texts: how many of how many texts are longer than its context, if any is; `labels` says so.
        """
        unique = list(dict.fromkeys(texts))
        details: dict[str, Any] = {}
        if (counts := self.models.clip(clip).unknown_words(unique)) is not None:
            unknown, total = (sum(column) for column in zip(*counts, strict=True))
            details["unknown_words"] = round(unknown / max(total, 1), 4)
        cut = self._cut(clip, unique)
        if count := sum(text in cut for text in texts):
            tokens = self.models.clip(clip).context_length
            label = f"{count:,} of {len(texts):,} texts were cut: {clip} reads {tokens} tokens"
            details |= {"cut_texts": count, "of_texts": len(texts), "labels": [label]}
        return details

    def _cut(self, clip: str, texts: Sequence[str]) -> set[str]:
        """Those of the texts that a CLIP does not read to their end."""
        return {text for text, cut in zip(texts, self.models.clip(clip).cut(texts), strict=True) if cut}

    def _check_words(self, clip: str, texts: Sequence[str]) -> None:
        """Raise UserError for a text of which a CLIP knows no word.

        Log a warning if it knows less than 80 % of all words, and for texts that it does not read to their end: texts
        that differ behind it are one text.
        """
        if cut := self._cut(clip, texts):
            log.warning(
                "%s reads %d tokens: %d of %d texts are longer and were cut, the first %r",
                clip,
                self.models.clip(clip).context_length,
                len(cut),
                len(texts),
                f"{next(text for text in texts if text in cut)[:60]}…",
            )
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
        """The judge's value of every attribute for the made images of a group. The index is `samples(group).rows`."""
        samples = self.samples(group)
        return self._values(self._judged(samples.store, samples.rows, samples.digest)).set_index(samples.rows)

    def fake_probabilities(self, group: str = "captions") -> pd.DataFrame:
        """The judge's probability of every literal for the made images of a group.

        One column "attribute=value" for each literal; the index is `samples(group).rows`.
        """
        samples = self.samples(group)
        return self._judged(samples.store, samples.rows, samples.digest).set_index(samples.rows)

    def real_attributes(self, split: Split | None = None) -> pd.DataFrame:
        """The judge's value of every attribute for the images of a split (None: the reference)."""
        split = split or self.reference
        return self._values(self._judged(split.images, range(len(split)), _digest(split.images.digests())))

    def real_probabilities(self, split: Split | None = None) -> pd.DataFrame:
        """The judge's probability of every literal for the images of a split (None: the reference).

        One column "attribute=value" for each literal.
        """
        split = split or self.reference
        return self._judged(split.images, range(len(split)), _digest(split.images.digests()))

    def fake_answers(
        self, vqa: str, asked: Sequence[tuple[int, str]], sets: Sets, group: str = "captions", first: bool = False
    ) -> Answers:
        """What a model answers to questions about the made images of a group.

        vqa, first: as of `Models.vqa`.
        asked: the row of a sample that has an image, and the question; N of them.
        sets: the spellings of each answer.
        """
        samples = self.samples(group)
        model = self.models.vqa(vqa, first)
        return self._answering.ask(model, samples.store, samples.hashes, asked, sets)

    def real_answers(
        self, vqa: str, asked: Sequence[tuple[int, str]], sets: Sets, split: Split | None = None, first: bool = False
    ) -> Answers:
        """What a model answers to questions about the images of a split (None: the reference); see `fake_answers`."""
        split = split or self.reference
        model = self.models.vqa(vqa, first)
        return self._answering.ask(model, split.images, split.images.digests(), asked, sets)

    def vqa_protocol(self, vqa: str, sets: Sets, first: bool = False) -> dict[str, Any]:
        """What decides the answers of a model besides the questions."""
        return self.models.vqa(vqa, first).protocol(sets)

    def in_parts(
        self,
        key: Sequence[Any],
        batches: Sequence[range],
        make: Callable[[range], np.ndarray],
        what: str,
        width: int = 0,
    ) -> np.ndarray:
        """What a slow network of a metric says of N things, in batches that other processes may have made.

        key: what decides it besides the images of the cell.
        batches: the numbers of the things of each batch, at least one, from 0 to N (`in_batches`).
        make: from a batch of M things to floats [M], or [M, width] where a `width` is given.
        what: what the progress bar says.
        Returns float32 [N] or [N, width]. A metric that calls it says so with `IN_PARTS`.
        """
        parts = self._parts(key)

        def rows_of(numbers: range) -> np.ndarray:
            known = None if parts is None else parts.read((numbers.start, numbers.stop))
            return np.asarray(make(numbers), np.float32) if known is None else known

        return np.concatenate([rows_of(numbers) for numbers in track(batches, what)])

    def _parts(self, key: Sequence[Any]) -> cache.Pieces | None:
        """Where other processes put their batches of something that is decided by a key and by all samples."""
        if self._pieces is None:
            return None
        return cache.Pieces(self._pieces, [*key, *(samples.digest for samples in self._samples.values())])

    @property
    def targets(self) -> dict[str, str]:
        """The group of samples of each target domain; empty in tracks whose samples are compared with the reference."""
        return {domain: target.group for domain, target in self._targets.items()}

    def target(self, domain: str) -> Split:
        """Real images of a target domain, none of which a network was trained on. Only for domains in `targets`."""
        if (real := self._targets[domain].real) is None:
            raise _without_images(domain)
        return real()

    def has_real(self, domain: str) -> bool:
        """Whether there are real images of a target domain. Only for domains in `targets`."""
        return self._targets[domain].real is not None

    def lessons(self, domain: str, count: int) -> Split:
        """`count` other real images of a target domain, for a metric to learn from. Only for domains in `targets`."""
        if (lessons := self._targets[domain].lessons) is None:
            raise _without_images(domain)
        return lessons(count)

    @property
    def can_render(self) -> bool:
        return self._render is not None

    def pair_images(self, conditions: Mapping[str, str], count: int) -> Split:
        """`count` real images that show these attribute values, the same images for every method.

        Raises UserError if the data set cannot make them (see `can_render`).
        """
        if self._render is None:
            raise UserError(f"{self.train.dataset} cannot make real images of chosen attributes")
        return self._render(conditions, count, derive_seed("evidence"))

    def region(self, attribute: str) -> np.ndarray | None:
        """The pixels that the part of an attribute can cover with any of its values: bool [H, W], real images' size.

        None if the data set does not know them. Raises UserError for an attribute that the data set does not have.
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
        """What decides an extractor's features: its name, the hash of its weights, and the resize before it."""
        return self._extractor(name).protocol

    def short(self, name: str) -> str:
        """How the id of a metric names an extractor: `Extractor.short`."""
        return self._extractor(name).short

    def _extractor(self, name: str) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = find(self.models, name)
        return self._extractors[name]

    def _features(self, name: str, store: ImageStore, rows: Sequence[int] | np.ndarray, digest: str) -> Tensor:
        return self._looked_at(name, store, rows, digest)[:, : self._extractor(name).features]

    def _looked_at(self, name: str, store: ImageStore, rows: Sequence[int] | np.ndarray, digest: str) -> Tensor:
        extractor = self._extractor(name)
        if len(rows) == 0:
            raise UserError(f"{name}: there is no image to look at")
        key = key_of(extractor, digest)
        parts = None if self._pieces is None else cache.Pieces(self._pieces, key)
        what = f"{name}: {len(rows):,} images"
        return self._once(
            name,
            "image",
            key,
            lambda: extractors.extract(extractor.network, store.read, rows, what, parts=parts),
        )

    def _judged(self, store: ImageStore, rows: Sequence[int] | np.ndarray, digest: str) -> pd.DataFrame:
        judge = self.models.judge(self.judge)
        literals = [f"{name}={value}" for name, values in judge.attributes.items() for value in values]
        return pd.DataFrame(
            self._looked_at(self.judge, store, rows, digest)[:, judge.dimension :].numpy(), columns=literals
        )

    def _values(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        return likeliest(probabilities, self.models.judge(self.judge).attributes)

    def _once(self, what: str, kind: str, key: tuple[Any, ...], make: Callable[[], np.ndarray]) -> Tensor:
        """The output of a network, computed once.

        what, kind: the network, and what it looks at, for the UserError that NaN and infinity in the output raise.
        """

        def checked(output: np.ndarray) -> np.ndarray:
            bad = ~np.isfinite(output.reshape(len(output), -1)).all(1)
            if bad.any():
                raise UserError(
                    f"{what}: its output is NaN or infinite for {int(bad.sum()):,} of {len(bad):,} {kind}s, the first "
                    f"is number {int(bad.argmax())}: check its weights, or run it in full precision"
                )
            return output

        if key not in self._held:
            array = cache.cached(self.models.cache, key, lambda: checked(make()))
            self._held[key] = torch.from_numpy(checked(array))
        return self._held[key]


def key_of(extractor: Extractor, digest: str) -> tuple[Any, ...]:
    """What decides the features of images: theirs, and what looks at them."""
    return ("images", digest, extractor.sha256, extractor.resize, *([extractor.output] if extractor.output else []))


def in_batches(count: int, size: int) -> list[range]:
    """The numbers from 0 to `count`, at most `size` in a batch."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _without_images(domain: str) -> UserError:
    return UserError(f"the target {domain} is a text alone, without real images: leave out what compares with them")
