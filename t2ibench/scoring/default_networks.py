"""Which network a metric takes where nobody names one: those that a data set brings, else the published ones, else
none.

The networks of a data set score images of that data set alone. A CLIP that was trained on drawn faces knows no word of
a photograph's caption, and gives every image the same score.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.data.split import Networks
from t2ibench.networks import zoo
from t2ibench.scoring.feature_sets import AUTO
from t2ibench.scoring.score import Metric

CLIP = "ViT-L-14-quickgelu:openai"  # what a metric that reads texts takes where it has no PUBLISHED of its own


def networks_of(module: Any, dataset: str) -> Networks:
    """The networks of a data set: those trained for it by name, else those that its plug-in ships in NETWORKS; each may
    be None.
    """
    return trained_for(getattr(module, "NETWORKS", Networks()), dataset)


def trained_for(shipped: Networks, dataset: str) -> Networks:
    """The networks that a data set brings, or in place of each the one that was trained for the data set by name."""
    there = zoo.available()
    judge, clip = f"attribute-judge-{dataset}", f"clip-judge-{dataset}"
    return Networks(judge if judge in there else shipped.judge, clip if clip in there else shipped.clip)


def settled(metrics: Sequence[Metric], networks: Networks, dataset: str, where: str) -> list[Metric]:
    """The metrics with `clip: auto` replaced by a network's name: the data set's, else the published one that lies on
    this disk.

    Raises UserError where there is neither; `where` begins the line.
    """
    return [_settled(metric, networks, dataset, where) for metric in metrics]


def _settled(metric: Metric, networks: Networks, dataset: str, where: str) -> Metric:
    if getattr(metric.config, "clip", None) != AUTO:
        return metric
    if networks.clip is not None:
        return replace(metric, config=replace(metric.config, clip=networks.clip))
    from t2ibench.networks.clip import published

    name = getattr(metric.module, "PUBLISHED", CLIP)
    if published.on_disk(name) is None:
        raise UserError(
            f"{where}: {metric.name}: {dataset} brings no CLIP to judge it, and the published {name} is not on this "
            f"disk: "
            f"{published.advice(name)}; or name another with `clip`: model:FILE of open_clip, or weights of the zoo"
        )
    return replace(metric, config=replace(metric.config, clip=name))


def takes(metric: Any, option: str) -> bool:
    """Whether a metric's settings have an option, such as `clip` or `extractor`."""
    return option in {field.name for field in fields(metric.Config)}
