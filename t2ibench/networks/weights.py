"""Small trained weights: a file `<name>.safetensors`, and beside it a card `<name>.json`.

The package ships some, in half precision. A card says how the weights were made (recipe, data hash, seed, minutes,
machine) and gives their validation numbers. The folders named in the environment variable T2IBENCH_WEIGHTS are searched
before the package, so weights that you train can replace those that ship.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as dump_safetensors
from torch import Tensor

from t2ibench.core.errors import MissingWeights, UserError, similar
from t2ibench.core.files import without_homes
from t2ibench.core.storage import publish
from t2ibench.networks import zoo
from t2ibench.networks.zoo import available, folders


class CardConfig(dict[str, Any]):
    """The config on a card. An entry that is asked for and missing is a UserError."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.name = name

    def __missing__(self, key: str) -> Any:
        raise UserError(
            f"{self.name}: weights do not fit the config of their card ({key!r} is missing): train or fetch them again"
        )


@dataclass(frozen=True)
class Weights:
    """The content of a weights file and its card.

    name: of the file, without its suffix.
    tensors: by key; floating-point ones are in float32.
    config: of the network that the tensors belong to.
    card: the whole card, as read.
    sha256: of the file.
    """

    name: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    sha256: str


def seen_by(facts: Mapping[str, Any]) -> list[str]:
    """The data sets that weights were trained on, such as "birds train", then those of the weights they began with.

    facts: a card, or an entry of `Models.used`.
    """
    data = facts["data"]
    own = " ".join(data[key] for key in ("dataset", "train")) if isinstance(data, Mapping) else str(data)
    return list(dict.fromkeys([own, *facts.get("before", ())]))


def load(name: str) -> Weights:
    """Read the weights of a name, and their card.

    Raises MissingWeights for an unknown name, and UserError for a file that is damaged or does not match its card.
    """
    files = available()
    if name not in files:
        where = f"{', '.join(map(str, folders()))}{similar(name, files)}"
        raise MissingWeights(
            f"no weights are called {name!r} in {where}; `t2ibench list weights` shows those that are there, `t2ibench "
            f"train` makes them, T2IBENCH_WEIGHTS names more folders"
        )
    return read(files[name])


def read(path: Path) -> Weights:
    """Read one weights file and the card beside it."""
    data, card = path.read_bytes(), zoo.card(path)
    if (
        not isinstance(card, dict)
        or not isinstance(card.get("sha256"), str)
        or not isinstance(card.get("config"), dict)
    ):
        raise UserError(
            f"{path.with_suffix('.json')} is no card, expected at least sha256 and config: get the file again"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != card["sha256"]:
        raise UserError(
            f"{path}: {len(data):,} bytes with sha256 {sha256[:12]}…, its card expects {card['sha256'][:12]}…: get "
            f"the file again"
        )
    try:
        tensors = parse_safetensors(data)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error}): get the file again") from error
    full = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    return Weights(path.stem, full, CardConfig(path.stem, card["config"]), card, sha256)


def write(
    path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: Mapping[str, Any], half: bool = True
) -> Weights:
    """Write weights and their card. Each file is written whole or not at all.

    half: store floating-point tensors in half precision; otherwise in float32.
    Raises UserError for a tensor that is not finite in that precision.
    """
    dtype, precision = (torch.float16, "half precision") if half else (torch.float32, "float32")
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value.to(dtype)).all():
            raise UserError(
                f"{path}: {key} holds values that are not finite in {precision}: train again with a lower learning rate"
            )
    data = dump_safetensors(
        {k: v.detach().to("cpu", dtype if v.is_floating_point() else v.dtype).contiguous() for k, v in tensors.items()}
    )
    parameters = sum(value.numel() for value in tensors.values())
    full = {
        "name": path.stem,
        "sha256": hashlib.sha256(data).hexdigest(),
        "parameters": parameters,
        "config": dict(config),
        **without_homes(card),
    }
    plain = json.loads(json.dumps(full))
    sealed = {**plain, zoo.SEAL: zoo.seal_of(plain)}
    for target, content in (
        (path, data),
        (path.with_suffix(".json"), (json.dumps(sealed, indent=1, sort_keys=True) + "\n").encode()),
    ):
        publish(target, content)
    return read(path)
