"""The probes: named arrays that are measured layer by layer. Each changes if its own layer changes.

- decode: from files to pixels.
- resize: from pixels to other sizes, by the code that metrics and data sets call.
- estimator: from fixed features, which are block means of the frozen images, to numbers. No network is involved.
- features: the features of each network on frozen images.
- metrics: whole metrics on frozen images.

The first layer that drifts is where to search. The drift of later layers follows from it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from t2ibench.checks.drift.golden import DATASET, FOLDER, JPEG, SHEETS, Golden, networks
from t2ibench.core import plugins, settings
from t2ibench.core.images import read_image, to_float, to_uint8
from t2ibench.metrics import cmmd, inception_score, kid, prdc, r_precision
from t2ibench.networks import inception
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.preprocess import Preprocess
from t2ibench.networks.extractors import find
from t2ibench.networks.models import Models
from t2ibench.scoring.contract import load_metric
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats import frechet, intervals

Layer = Literal["decode", "resize", "estimator", "features", "metrics", "methods"]
LAYERS: tuple[Layer, ...] = ("decode", "resize", "estimator", "features", "metrics", "methods")
TIERS: dict[Layer, int] = {"decode": 0, "resize": 0, "estimator": 0, "metrics": 0, "features": 1, "methods": 2}
Kind = Literal["pixels", "floats", "features", "number", "share"]
STEP = 251  # of the values of a picture, every 251st is kept
FEATURED = 16  # how many images have their features kept
SHARES = ("precision", "recall", "coverage", "r_precision")


@dataclass(frozen=True)
class Probe:
    """One thing to measure.

    name, layer: its name, and the layer it belongs to.
    kind: what its values are; the limits depend on it.
    measure: computes the array.
    """

    name: str
    layer: Layer
    kind: Kind
    measure: Callable[[], np.ndarray]

    @property
    def tier(self) -> int:
        return TIERS[self.layer]


class Probes:
    """All probes that can be measured with the weights of this machine."""

    def __init__(self, golden: Golden, models: Models) -> None:
        self.golden, self.models = golden, models
        self.judge, self.clip = networks()
        self._scores: dict[str, dict[str, float]] = {}

    @cached_property
    def evidence(self) -> Evidence:
        return self.golden.evidence(self.models)

    def all(self) -> Iterator[Probe]:
        """All probes, in the order of the layers. Nothing is computed until a probe is measured."""
        yield Probe("decode png", "decode", "pixels", lambda: _thin(read_image(FOLDER / SHEETS["made"])))
        yield Probe("decode jpeg", "decode", "pixels", lambda: _thin(read_image(JPEG)))
        yield from self._resizing()
        yield Probe("to 8 bits", "resize", "pixels", lambda: to_uint8(torch.linspace(-1.01, 1.01, 4001)).numpy())
        yield from (
            Probe(f"estimator {name}", "estimator", kind, measure) for name, kind, measure in self._estimators()
        )
        yield from self._features()
        for name, (_, ids) in self._metrics.items():
            for id in ids:
                kind: Kind = "share" if id in SHARES else "number"
                yield Probe(f"metric {id}", "metrics", kind, lambda name=name, id=id: np.array([self._score(name)[id]]))  # type: ignore[misc]

    def _resizing(self) -> Iterator[Probe]:
        for shape, picture in self.golden.scenes.items():
            batch = torch.from_numpy(np.ascontiguousarray(picture))[None]
            yield Probe(
                f"clean-fid resize, {shape}",
                "resize",
                "floats",
                lambda p=picture: _thin(inception.clean_resize(p, inception.SIDE)),  # type: ignore[misc]
            )
            for mode in ("shortest", "squash"):
                to = Preprocess(72, resize_mode=mode)  # type: ignore[arg-type]
                yield Probe(
                    f"CLIP resize {mode}, {shape}",
                    "resize",
                    "pixels",
                    lambda to=to, b=batch: _thin(to.resize(b).numpy()),  # type: ignore[misc]
                )
        to = Preprocess(72)
        tall = torch.from_numpy(np.ascontiguousarray(self.golden.scenes["tall"]))[None]
        yield Probe(
            "CLIP normalise, tall",
            "resize",
            "floats",
            lambda: _thin(to.normalise(to.resize(tall).float() / 255).numpy()),
        )
        yield Probe(
            "differentiable CLIP resize, tall",
            "resize",
            "floats",
            lambda: 255 * _thin(to.resize((to_float(tall) + 1) / 2).numpy()),
        )
        folder = plugins.load("datasets", "image_folder")
        yield Probe("image folder resize", "resize", "pixels", lambda: _thin(folder.Files([JPEG], 64).read([0])))

    def _estimators(self) -> Iterator[tuple[str, Kind, Callable[[], np.ndarray]]]:
        for blocks in (2, 4):  # 12 dimensions: full rank; 48: singular covariances
            made, real = (
                torch.from_numpy(block_means(images, blocks)) for images in (self.golden.made, self.golden.real)
            )
            d = made.shape[1]
            yield (
                f"Fréchet distance, d={d}",
                "number",
                lambda a=made, b=real: np.array([frechet.frechet_distance(a, b)]),  # type: ignore[misc]
            )
            yield f"kernel distance, d={d}", "number", lambda a=made, b=real: np.array([kid.kid(a, b)[0]])  # type: ignore[misc]
            for id in ("precision", "recall", "density", "coverage"):
                kind: Kind = "share" if id in SHARES else "number"
                yield f"{id}, d={d}", kind, lambda a=made, b=real, id=id: np.array([prdc.prdc(b, a)[id]])  # type: ignore[misc]
        made, real = (torch.from_numpy(block_means(images, 2)) for images in (self.golden.made, self.golden.real))
        yield "CMMD", "number", lambda: np.array([cmmd.cmmd(made - 0.5, real - 0.5).value])
        yield (
            "Inception Score",
            "number",
            lambda: np.array([inception_score.inception_score(made / made.sum(1, keepdim=True), 4).value]),
        )
        yield (
            "Fréchet influence",
            "number",
            lambda: np.array([float(frechet.influence(made, frechet.Moments.of(real)).std())]),
        )
        yield "Fréchet jackknife", "number", lambda: np.array(frechet.jackknife(made, real))
        means = made[:, 0].numpy()
        yield (
            "bootstrap interval",
            "number",
            lambda: np.array(intervals.cluster_mean_interval(means, range(len(means)), 0, draws=2000)),
        )
        yield "Wilson interval", "number", lambda: np.array([*intervals.wilson(37, 200), *intervals.wilson(0, 10)])
        centred = torch.nn.functional.normalize(made - made.mean(0))
        cosines = (centred @ centred.T).numpy()
        yield (
            "top-1 places",
            "share",
            lambda: np.array([float(r_precision.first_places(cosines[:, 5], cosines[:, 20:])[0].mean())]),
        )

    def _features(self) -> Iterator[Probe]:
        images = torch.from_numpy(
            np.concatenate([self.golden.made[: FEATURED // 2], self.golden.real[: FEATURED // 2]])
        )
        for name in (self.judge, self.clip, *(["inception"] if inception.weights() else [])):
            some = images if name != "inception" else images[::4]
            yield Probe(
                f"features {name}",
                "features",
                "features",
                lambda n=name, i=some: find(self.models, n).network(i).numpy(),  # type: ignore[misc]
            )
        for shape in ("tall", "wide"):
            scene = torch.from_numpy(np.ascontiguousarray(self.golden.scenes[shape]))[None]
            yield Probe(
                f"features {self.clip}, {shape}",
                "features",
                "features",
                lambda s=scene: self._clip().encode_images(s).numpy(),  # type: ignore[misc]
            )
        texts = list(self.golden.captions[:FEATURED])
        yield Probe(
            f"features {self.clip}, texts", "features", "features", lambda: self._clip().encode_texts(texts).numpy()
        )

    @property
    def _metrics(self) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
        """The settings of each metric, and the values it makes."""
        return {
            "fid": ({"extractor": self.judge, "fewest": 2}, (f"fd_{DATASET}",)),
            "kid": ({"extractor": self.judge, "fewest": 2}, (f"kd_{DATASET}",)),
            "cmmd": ({"clip": self.clip, "fewest": 2}, (f"cmmd_{DATASET}",)),
            "prdc": ({"extractor": self.judge}, ("precision", "recall", "density", "coverage")),
            "clip_score": ({"clip": self.clip}, ("clip_score",)),
            "r_precision": ({"clip": self.clip, "pool": 32}, ("r_precision",)),
        }

    def _clip(self) -> Clip:
        return self.models.clip(self.clip)

    def _score(self, name: str) -> dict[str, float]:
        if name not in self._scores:
            metric = load_metric(name)
            estimates = metric.score(
                self.evidence, settings.configure(metric.Config, self._metrics[name][0], f"drift: {name}")
            )
            self._scores[name] = {id: estimate.value for id, estimate in estimates.items()}
        return self._scores[name]


def block_means(images: np.ndarray, blocks: int) -> np.ndarray:
    """The mean colours of blocks x blocks parts of each image, divided by 255.

    images: uint8 [N, 3, H, W]. Returns float64 [N, 3 blocks^2], equal to the last bit on every machine.
    """
    n, _, height, width = images.shape
    parts = images.reshape(n, 3, blocks, height // blocks, blocks, width // blocks).astype(np.int64)
    return parts.sum((3, 5)).reshape(n, -1) / (255.0 * (height // blocks) * (width // blocks))


def _thin(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture).reshape(-1)[::STEP]
