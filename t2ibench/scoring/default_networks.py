"""Which network a metric uses if the user names none: that of the data set, or else the published one.

The networks of a data set score only images of that data set. A CLIP that was trained on drawn faces knows no word of
the caption of a photograph, and gives every image the same score.
"""

from collections.abc import Sequence
from dataclasses import fields, replace

from t2ibench.core.errors import UserError
from t2ibench.data.contract import load_dataset
from t2ibench.data.split import AUTO, Networks
from t2ibench.networks import inception, zoo
from t2ibench.scoring.contract import MetricPlugin
from t2ibench.scoring.feature_sets import no_extractor
from t2ibench.scoring.score import Metric


def networks_of(dataset: str) -> Networks:
    """The networks for a data set by its name, without opening it. Raises UserError for an unknown name."""
    return trained_for(load_dataset(dataset).NETWORKS, dataset)


def trained_for(shipped: Networks, dataset: str) -> Networks:
    """The networks that a data set ships, or those of the zoo that were trained for a data set of this name.

    Each may be None. A network that was trained for the name is preferred.
    """
    available = zoo.available()
    judge, clip, vqa = (zoo.trained_name(part, dataset) for part in ("attribute-judge", "clip-judge", "vqa-judge"))
    named = [zoo.trained_name(part, dataset) for part in ("clip-guide", "clip-guide-styles")]
    guides = tuple(name for name in named if name in available)
    return Networks(
        judge=judge if judge in available else shipped.judge,
        clip=clip if clip in available else shipped.clip,
        guides=guides or shipped.guides,
        vqa=vqa if vqa in available else shipped.vqa,
    )


def settled(metrics: Sequence[Metric], networks: Networks, dataset: str, where: str) -> list[Metric]:
    """The metrics, with the settings `clip: auto` and `vqa: auto` replaced by the name of a network.

    The CLIP is that of the data set, or else the published one if its file is on this disk. The model that answers
    questions is that of the data set. Raises UserError if there is none; `where` begins the line.
    """
    return [_settled(_asked(metric, networks, dataset, where), networks, dataset, where) for metric in metrics]


def _asked(metric: Metric, networks: Networks, dataset: str, where: str) -> Metric:
    if metric.settings.get("vqa") != AUTO:
        return metric
    if networks.vqa is None:
        raise UserError(
            f"{where}: {metric.name}: {dataset} brings no model that answers questions about its images: name one with "
            f"`vqa`: a folder of an image-text-to-text model of transformers, or hub:owner/name"
        )
    return replace(metric, config=replace(metric.config, vqa=networks.vqa))


def _settled(metric: Metric, networks: Networks, dataset: str, where: str) -> Metric:
    if metric.settings.get("clip") != AUTO:
        return metric
    if networks.clip is not None:
        return replace(metric, config=replace(metric.config, clip=networks.clip))
    from t2ibench.networks.clip import published

    name = metric.plugin.PUBLISHED
    if published.on_disk(name) is None:
        raise UserError(
            f"{where}: {metric.name}: {dataset} brings no CLIP to judge it, and the published {name} is not on disk: "
            f"{published.advice(name)}; or name another with `clip`: model:FILE of open_clip, or weights of the zoo"
        )
    return replace(metric, config=replace(metric.config, clip=name))


def check_extractors(metrics: Sequence[Metric], networks: Networks, dataset: str, where: str) -> None:
    """Raises UserError if a metric has `extractor: auto` and there is none: no judge of the data set, and no Inception.

    `where` begins the line.
    """
    if networks.judge is not None or inception.weights() is not None:
        return
    for metric in metrics:
        if metric.settings.get("extractor") == AUTO:
            raise UserError(f"{where}: {metric.name}: {no_extractor(dataset)}")


def takes(metric: MetricPlugin, option: str) -> bool:
    """Whether the settings of a metric have an option such as `clip` or `extractor`."""
    return option in {field.name for field in fields(metric.Config)}
