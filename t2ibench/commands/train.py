"""`train`: finds a recipe by name, reads its data, and hands both to the training loop."""

import importlib
import os
import types
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.settings import settings_of
from t2ibench.data.dataset import available, opened
from t2ibench.data.split import join
from t2ibench.networks.models import Models
from t2ibench.networks.training import loop

TRAINING = Path(__file__).parent.parent / "networks" / "training"


def train_weights(
    name: str,
    variant: str | None,
    dataset: str,
    minutes: float | None,
    steps: int | None,
    out: Path,
    seed: int,
    pairs: Sequence[str],
    save_every: float,
    device: str,
    target: str | None = None,
) -> None:
    """Train a part of a method or of a backbone; writes `out`/<part>-<dataset>.safetensors and its card.

    Weights that it builds on (a text encoder, say) are first looked for in `out`.
    """
    earlier = os.environ.get("T2IBENCH_WEIGHTS")
    os.environ["T2IBENCH_WEIGHTS"] = os.pathsep.join([str(out), *([earlier] if earlier else [])])
    module = recipes(name)
    part = part_of(name, module, variant)
    given = settings_of(pairs) | ({} if target is None else {"target": target})
    of_data = {key.removeprefix("dataset."): given.pop(key) for key in [*given] if key.startswith("dataset.")}
    load, facts = opened(dataset, of_data)
    learn, check = splits_of(part, module, available(dataset, of_data))
    recipe = module.recipe(part, given, join([load(split) for split in learn]), load(check), Models(device), seed)
    if minutes is None and steps is None:
        steps = getattr(recipe, "steps", None)
    weights = f"{getattr(recipe, 'name', getattr(module, 'NAMES', {}).get(part, part))}-{facts['name']}"
    made = loop.fit(recipe, weights, out, minutes=minutes, steps=steps, save_every=save_every)
    print(f"{out / weights}.safetensors: sha256 {made.sha256[:12]}…, {made.card['steps']:,} steps in {made.card['minutes']} minutes")


def splits_of(part: str, module: Any, there: Collection[str] | None) -> tuple[list[str], str]:
    """What a part learns from and is checked on: the splits its recipe wants, where the data set has them, else train and val.

    there: the data set's splits; None where it does not say.
    """
    wanted, check = getattr(module, "SPLITS", {}).get(part, (("train",), "val"))
    if there is None:
        return ["train"], "val"
    learn = [split for split in wanted if split in there]
    return learn or ["train"], check if check in there else "val"


def recipes(name: str) -> types.ModuleType:
    """The module of a method, or of a network that methods share, that can be trained."""
    networks = {path.stem for path in TRAINING.glob("*.py") if "\ndef recipe(" in path.read_text("utf-8")}
    known = plugins.sources("methods")
    if name not in networks and name not in known:
        raise UserError(f"nothing to train is called {name!r}{did_you_mean(name, [*networks, *known])}")
    module: Any = importlib.import_module(f"t2ibench.networks.training.{name}") if name in networks else plugins.load("methods", name)
    if not hasattr(module, "recipe"):
        raise UserError(f"{name} has no recipe, so it cannot be trained")
    return module


def part_of(name: str, module: Any, variant: str | None) -> str:
    """Which part to train; where none is named, the only one, or the one that is called as the module."""
    parts = list(module.PARTS)
    if variant is None and (len(parts) == 1 or name in parts):
        return name if name in parts else parts[0]
    if variant is None or variant not in parts:
        found = "is missing" if variant is None else f"is {variant!r}"
        raise UserError(f"train {name}: --variant {found}{did_you_mean(variant or '', parts)}")
    return variant
