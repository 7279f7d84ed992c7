"""Scores of existing images, whoever made them, against real images or their statistics. No data set is needed.

A set of images is a folder, a `.npz` of ADM's samples (arr_0, uint8 [N, H, W, 3]), or images in memory: uint8
[N, 3, H, W] or [N, H, W, 3], or a list of PIL images. Images are used as they are unless a size is given, because
extractors resize; those of a folder may have several sizes. Files are read as clean-fid, pytorch-fid and torch-fidelity
read them, but for transparent pixels, which are an error until somebody says what lies behind them.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from t2ibench.core import plugins
from t2ibench.core.decode import PEERS, REFUSE, Decoding
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import BLACK
from t2ibench.core.plugins import Entry
from t2ibench.core.progress import track
from t2ibench.core.records import Estimate
from t2ibench.data import folders
from t2ibench.data.folders import Images, only_images
from t2ibench.data.given_images import GivenImages, Texts, images_of, lines_on_reading, made_images
from t2ibench.data.split import Networks, Split
from t2ibench.data.stores import ArrayImages, ImageStore, each
from t2ibench.networks.models import Models
from t2ibench.scoring import reference_files
from t2ibench.scoring.contract import load_metric
from t2ibench.scoring.default_networks import settled, takes
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.score import Metric, estimates_of, metrics_of
from t2ibench.tracks.contract import Prompt

TRACK = "text_to_image"
T = TypeVar("T")
log = logging.getLogger(__name__)


def score_images(
    images: Images,
    reference: Images,
    metrics: Sequence[str] = ("fid", "kid", "prdc"),
    prompts: Texts | None = None,
    *,
    extractor: str | None = None,
    clip: str | None = None,
    vqa: str | None = None,
    people: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    size: int | None = None,
    exif: Literal["turn", "ignore"] = PEERS.exif,
    alpha: str = REFUSE,
    device: str = "cpu",
) -> dict[str, Estimate]:
    """Score images against real ones: metric id -> value, interval, n and protocol.

    images: a folder, a `.npz`, uint8 [N, 3, H, W] or [N, H, W, 3], or a list of PIL images.
    reference: the real images, given in the same ways, or a file of statistics that another package wrote.
    metrics: names of metrics.
    prompts: one text for each image, a mapping from file names to texts, or a file or folder of texts
        (`t2ibench.data.texts`), for metrics that read texts. None: the texts that lie in the folder of the images.
    extractor: the network whose features are compared (`inception`, `dinov2:FILE`, …); None: Inception.
    clip: the CLIP that compares images with texts (`ViT-L-14-quickgelu:openai`, `model:FILE`, …); None: the published
        one of each metric.
    vqa: the model that answers questions about images, for metrics that ask (`t2ibench.networks.models.Models.vqa`).
    people: a file of labels that people gave the images (`t2ibench.data.people`), for metrics that compare with them.
    settings: other settings of metrics, by `metric.setting`, such as {"image_reward.weights": "ImageReward.pt"}.
    size: side in pixels to which images of folders are squashed; None: they stay as they are.
    exif, alpha: how files are read (`t2ibench.core.decode.Decoding`).
    device: where networks run.

    Raises UserError for images that cannot be scored, and for a network that is not on this disk.
    """
    images, reference, prompts = _at_home(images), _at_home(reference), _at_home(prompts)
    decoding = Decoding(exif, alpha)
    people = _at_home(people)
    configured = asked_metrics(metrics, extractor, clip, vqa, None if people is None else str(people), settings)
    made = made_images(images, prompts, size, decoding)
    check_texts(made, configured)
    configured = settled(configured, Networks(), made.dataset, "score_images")
    real = real_images(reference, size, decoding)
    evidence = evidence_of(made, real, Models(device))
    estimates: dict[str, Estimate] = {}
    for metric in configured:
        try:
            estimates |= estimates_of(metric, evidence)
        except ValueError as error:
            raise UserError(f"{metric.name}: {error}") from error
    for line in [*lines_on_reading(made), *lines_on_reading(real)]:
        log.warning("%s", line)
    return estimates


def _at_home(given: T) -> T:
    """A path that was given, with the user's home in place of `~`; all else as it is."""
    if isinstance(given, str | Path):
        return type(given)(os.path.expanduser(given))  # type: ignore[arg-type]
    return given


def asked_metrics(
    names: Sequence[str],
    extractor: str | None = None,
    clip: str | None = None,
    vqa: str | None = None,
    people: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Metric]:
    """Metrics by name. Every other argument is passed to those that have a setting of its name.

    settings: settings of single metrics, by `metric.setting`.

    Raises UserError for an unknown name, for a metric of another track, and for an argument that none of the metrics
    takes.
    """
    available, names = plugins.find("metrics"), [name.strip() for name in names]
    for name in names:
        if name not in available:
            raise UserError(f"--metrics: no metric is called {name!r}{did_you_mean(name, available)}")
    given = {"extractor": extractor, "clip": clip, "vqa": vqa, "people": people}
    options = {key: value for key, value in given.items() if value is not None}
    able = {name: [key for key in options if takes(load_metric(name), key)] for name in names}
    own: dict[str, dict[str, Any]] = {name: {key: options[key] for key in able[name]} for name in names}
    for place, value in (settings or {}).items():
        name, dot, key = place.partition(".")
        if not dot or name not in own:
            raise UserError(
                f"--set {place}: expected METRIC.SETTING=VALUE of one of the metrics {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )
        own[name][key] = value
    metrics = metrics_of([Entry(name, name, own[name], "metric") for name in names], "score")
    for metric in metrics:
        if TRACK not in metric.tracks:
            raise UserError(
                f"--metrics: {metric.name} scores the track {' and '.join(metric.tracks)}, a folder holds images of "
                f"texts"
            )
    for key in options:
        if not any(key in keys for keys in able.values()):
            raise UserError(
                f"--{key}: none of the metrics {', '.join(names)} takes it: leave it out, or add one that does to "
                f"--metrics"
            )
    return metrics


def check_texts(made: GivenImages, metrics: Sequence[Metric]) -> None:
    """Raise UserError if a metric reads texts and an image has none."""
    if unread := [m.name for m in metrics if m.plugin.READS_TEXTS and not all(any(texts) for texts in made.captions)]:
        if made.unread:
            raise UserError(made.unread)
        raise UserError(
            f"{unread[0]} reads the texts of the images, and there are none: give --prompts, or leave it out of "
            f"--metrics"
        )


def evidence_of(
    made: Split, reference: Split, models: Models, train: Split | None = None, judge: str | None = None
) -> Evidence:
    """What metrics see of given images.

    made: the images to be scored, with their texts.
    reference: the real images.
    models: the networks.
    train: the training split of the data set that they are scored with; None: the reference.
    judge: name of the attribute judge of that data set, or None.
    """
    samples = samples_of(made)
    return Evidence(
        train=train or reference,
        reference=reference,
        prompts=samples.prompts,
        samples={"captions": samples},
        models=models,
        judge=judge,
        reading=folders.reading_of(made.images),
    )


def samples_of(made: Split) -> Samples:
    """One sample for each image, whose prompt is the first of its texts. Black images are not `ok`.

    Raises UserError if all of them are black.
    """
    prompts = [Prompt(f"captions/{id}", texts[0]) for id, texts in zip(made.ids, made.captions, strict=True)]
    bright = np.array(_brightest(made.images)) > BLACK
    if not bright.any():
        raise UserError(
            f"{made.dataset}: all {len(made):,} images are black (no channel above {BLACK} of 255), as a safety "
            f"checker or NaN leaves them: there is nothing to score"
        )
    return Samples(prompts, [0] * len(made), bright, made.images.digests(), made.images)


def _brightest(store: ImageStore) -> list[int]:
    """The brightest channel value of each image."""
    if isinstance(store, folders.Files):
        return store.brightest()
    blocks = [range(start, min(start + 256, len(store))) for start in range(0, len(store), 256)]
    return [int(image.max()) for block in track(blocks, "read images") for image in each(store, block)]


def no_images() -> Split:
    """An empty reference, for metrics that compare with no real images."""
    return Split("no reference", "none", [], ArrayImages(np.empty((0, 3, 1, 1), np.uint8), []), [])


def real_images(reference: Images, size: int | None, decoding: Decoding = PEERS) -> Split:
    """A reference of images or statistics, without captions. Raises UserError for a file that holds neither."""
    path = Path(reference) if isinstance(reference, str | Path) else None
    if path is not None and path.is_file() and path.suffix in (".pkl", *folders.STATISTICS) and not only_images(path):
        file = reference_files.load(path)
        ids = [str(row) for row in range(len(file))]
        return Split(path.name, "statistics", ids, file, [("",)] * len(ids))
    given, _ = images_of(reference, size, decoding)
    return replace(given, name="reference")
