"""What can be trained, by name, and on which splits."""

import importlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from t2ibench.core import plugins
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.seeds import derive_seed
from t2ibench.data.dataset import Dataset
from t2ibench.data.split import Split, join
from t2ibench.networks.training.loop import Training

ONE_IN = 20  # images that are checked on where a data set has no split for it
TRAINING = Path(__file__).parent.parent / "networks" / "training"


def splits_of(part: str, module: Training, available: Collection[str] | None) -> tuple[list[str], str]:
    """The splits that a part learns from, and the split that it is checked on.

    These are the splits that its recipe asks for, as far as the data set has them; else train and val.

    available: the splits of the data set; None where it does not list them.
    """
    wanted, check = module.SPLITS.get(part, (("train",), "val"))
    if available is None:
        return ["train"], "val"
    learn = [split for split in wanted if split in available]
    return learn or ["train"], check if check in available else "val"


def learned_and_checked(data: Dataset, learn: Sequence[str], check: str) -> tuple[Split, Split]:
    """The split that is learned from, and the one that the result is checked on.

    Of a data set that lists its splits and has no `check` among them, such as CUB, each ONE_IN-th image of those that
    would be learned from is checked on instead, and not learned from. A hash of its id decides.
    """
    learned = join([data.split(name) for name in learn])
    if not data.splits or check in data.splits:
        return learned, data.split(check)
    kept = [derive_seed("checked", id) % ONE_IN == 0 for id in learned.ids]
    rows = [row for row, one in enumerate(kept) if one] or [0]
    checked = set(rows)
    return learned.take([row for row in range(len(learned)) if row not in checked]), learned.take(rows)


def asked(name: str, variant: str | None) -> tuple[str, str | None]:
    """The names of the module and the part to be trained: `gan-cls` is the part of this name of `gan_cls`."""
    known, ids = plugins.find("methods"), plugins.method_ids()
    if name not in known and name in ids:
        return ids[name][0], variant or name
    under = name.replace("-", "_")
    return (under if under in known or (TRAINING / f"{under}.py").is_file() else name), variant


def recipes(name: str) -> Training:
    """The module of a method, or of a network that methods share, that can be trained."""
    networks = {path.stem for path in TRAINING.glob("*.py") if "\ndef recipe(" in path.read_text("utf-8")}
    known = plugins.find("methods")
    if name not in networks and name not in known:
        raise UserError(f"nothing to train is called {name!r}{did_you_mean(name, [*networks, *known])}")
    module: Any = (
        importlib.import_module(f"t2ibench.networks.training.{name}")
        if name in networks
        else plugins.load("methods", name)
    )
    if not plugins.has(module, ["recipe"]):
        raise UserError(f"{name} has no recipe, so it cannot be trained")
    return plugins.by_contract(Training, module, f"train {name}")


def part_of(name: str, module: Training, variant: str | None) -> str:
    """The part to train. Where none is named, it is the only part, or the part with the name of the module.

    Raises UserError where a name is needed, or is unknown.
    """
    parts = list(module.PARTS)
    if variant is None and (len(parts) == 1 or name in parts):
        return name if name in parts else parts[0]
    if variant is None or variant not in parts:
        problem = "is missing" if variant is None else f"is {variant!r}"
        raise UserError(f"train {name}: --variant {problem}{did_you_mean(variant or '', parts)}")
    return variant
