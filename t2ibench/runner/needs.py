"""What a suite needs on this disk, before anything of it is opened: the files of its data set, published networks."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from t2ibench.core.settings import FILES, configure
from t2ibench.data.contract import load_dataset
from t2ibench.data.needs import Need
from t2ibench.networks import inception, published, torchvision_inception
from t2ibench.runner.methods import configured
from t2ibench.runner.suite import Suite
from t2ibench.scoring.default_networks import takes, trained_for
from t2ibench.scoring.feature_sets import AUTO
from t2ibench.scoring.score import metrics_of

HUB, SHEET = "hub:", "model_index.json"  # how an address of the hub begins; the file that every pipeline of it has
ASKED, MODEL = "vqa:", "config.json"  # how a judge begins that is asked questions; the file that every such model has
HELD_OUT = "held_out"  # a setting that every data set takes


def needs_of(suite: Suite) -> list[Need]:
    """The needs of a suite: of its data set, of its methods, and of its metrics where the data set brings no network.

    Raises UserError for a wrong setting of either.
    """
    plugin = load_dataset(suite.dataset.name)
    settings = {key: value for key, value in suite.dataset.settings.items() if key != HELD_OUT}
    config = configure(plugin.Config, settings, f"{suite.name}: dataset")
    needs = [] if plugin.needs is None else list(plugin.needs(config))
    for entry in suite.methods:
        settings = asdict(configured(entry, suite.name)[1])
        needs += [*files_of(settings), *models_of(settings)]
    networks = trained_for(plugin.NETWORKS, suite.dataset.name)
    for metric in metrics_of(suite.metrics, f"{suite.name}: metrics"):
        if takes(metric.plugin, "clip") and metric.settings.get("clip") == AUTO and networks.clip is None:
            from t2ibench.networks.clip import published as clips

            name = metric.plugin.PUBLISHED
            needs.append(Need(f"CLIP {name}", clips.on_disk(name), source=f"elsewhere: {clips.advice(name)}"))
        settings = asdict(metric.config)
        asked = {key: str(settings.get(key, "")).removeprefix(ASKED) for key in ("vqa", "judge")}
        needs += [*files_of(settings), *models_of(asked, MODEL)]
        extractor = str(metric.settings.get("extractor", ""))
        if extractor.startswith("inception-torchvision"):
            there, file = torchvision_inception.weights(), torchvision_inception.FILE
            needs.append(Need("torchvision's Inception", there, file, source="torchvision, as Inception_V3_Weights"))
        elif extractor.startswith("inception") or (extractor == AUTO and networks.judge is None):
            needs.append(Need("Inception of FID", inception.weights(), inception.FILE, source="NVIDIA's StyleGAN"))
    return list(dict.fromkeys(needs))


def files_of(settings: Any) -> Iterator[Need]:
    """The files that settings name, alone or in lists."""
    if isinstance(settings, dict):
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from files_of(value)
    elif isinstance(settings, str | Path) and Path(settings).suffix in FILES:
        path = Path(str(settings).rpartition(":")[2])
        facts = published.known().get(path.name)
        what = "file of weights" if facts is None else facts.what
        yield Need(what, path if path.exists() else None, path.name, source=published.source(path.name))


def models_of(settings: Mapping[str, Any], sheet: str = SHEET) -> Iterator[Need]:
    """The models of the hub that settings name as `hub:owner/name`, with or without `@revision`.

    sheet: a file that each of them has.
    """
    for value in settings.values():
        if isinstance(value, str) and value.startswith(HUB):
            name, _, revision = value.removeprefix(HUB).partition("@")
            which = f"commit {revision}" if revision else "its newest commit; add @COMMIT behind the name to pin one"
            yield Need(f"model {name}", snapshot(name, revision, sheet), source=f"the hub, {which}", by_itself=True)
        elif isinstance(value, Mapping):
            yield from models_of(value, sheet)


def snapshot(name: str, revision: str, sheet: str = SHEET) -> Path | None:
    """The folder of a model in the hub's cache, which has the file `sheet`; None if it is not there."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:  # without it nothing was fetched, either
        return None
    found = try_to_load_from_cache(name, sheet, revision=revision or None)
    return Path(found).parent if isinstance(found, str) else None
