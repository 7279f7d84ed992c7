"""Where weights files are, and what their cards say. No tensor is loaded, so listing them is quick."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.core.files import weight_folders

SEAL = "card_sha256"
SHIPPED = Path(__file__).parent


def folders() -> list[Path]:
    """The folders that are searched for weights, in order: those named in T2IBENCH_WEIGHTS, then the package."""
    return [*weight_folders(), SHIPPED]


def available() -> dict[str, Path]:
    """Every weights file by name; an earlier folder hides a later one."""
    return {path.stem: path for folder in reversed(folders()) for path in sorted(folder.glob("*.safetensors"))}


def trained_name(part: str, dataset: str) -> str:
    """The name of the weights of a part that learned from a data set: "char-cnn-rnn-birds".

    dataset: the data set's own name (`Split.dataset`). Trainings write under this name, and what builds on them looks
    for it.
    """
    return f"{part}-{dataset}"


def card(path: Path) -> dict[str, Any]:
    """The card beside a weights file. Raises UserError if it is missing or damaged."""
    beside = path.with_suffix(".json")
    try:
        content = json.loads(beside.read_text("utf-8"))
        for key in [SEAL] if SEAL in content else [*content]:  # the name of the hash may be what was damaged
            rest = {name: value for name, value in content.items() if name != key}
            if (key == SEAL) != (content[key] == seal_of(rest)):
                raise ValueError("it does not match its own hash")
        content.pop(SEAL, None)
        return content
    except FileNotFoundError as error:
        raise UserError(
            f"{beside} is missing: weights need the card that `t2ibench train` writes beside them"
        ) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{beside} is no sound card ({error}): get the file again") from error


def seal_of(card: Mapping[str, Any]) -> str:
    """The hash that a card holds of its other entries."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
