"""The training loop of all networks in the zoo. It can be resumed and stops after a number of minutes or steps.

A recipe says what one step does. All random numbers of step i come from `derive_seed(seed, i)`, so a resumed run sees
the same batches as a run that was never stopped. At the end the loop writes the weights and their card.
"""

import hashlib
import io
import json
import logging
import platform
import signal
import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from t2ibench.core import plugins, storage
from t2ibench.core.errors import SIGNALS, Terminated, UserError
from t2ibench.core.storage import publish
from t2ibench.core.version import __version__
from t2ibench.data.split import Split
from t2ibench.networks import ranks, weights
from t2ibench.networks.models import Models

HASH = 32  # bytes of sha256, with which a checkpoint ends
log = logging.getLogger(__name__)


class Recipe(Protocol):
    """The training of one network.

    settings: everything that decides the result. A checkpoint with other settings is refused.
    """

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]: ...

    @abstractmethod
    def step(self, index: int, progress: float) -> dict[str, float]:
        """Do optimisation step `index` and return its losses by name.

        progress: the share of the budget that is spent, in [0, 1).
        """
        ...

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors, numbers, strings, and lists and dicts of them."""
        ...

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None: ...

    @abstractmethod
    def preview(self) -> Tensor | None:
        """Images that show the progress, uint8 [N, 3, H, W]; None for a network that makes no images."""
        ...

    @abstractmethod
    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The final weights, and the config of the network that they belong to."""
        ...

    @abstractmethod
    def validate(self) -> dict[str, Any]:
        """Validation numbers on held-out data, for the card."""
        ...


class FullRecipe(Recipe, Protocol):
    """A recipe with what it may have besides. The values are the defaults.

    facts: entries of the card that only the recipe knows, such as `data`, `seed` and `optimised_for`.
    keep_every: the weights are also written after every so many steps; 0: only at the end.
    split: the calls of networks whose rows several processes share out (`ranks.sharing`); without any, the training
        takes one process.
    name: the name of the weights; None: that of the part.
    steps: the budget if the command `train` is given none.
    """

    facts: Mapping[str, Any] = {}
    keep_every: int = 0
    split: Sequence[ranks.Call] = ()
    name: str | None = None
    steps: int | None = None


class Training(Protocol):
    """What a module has from which `t2ibench train` makes weights: a method, or one of this folder.

    PARTS: the names of the networks that it can train.
    NAMES: the name of the weights of a part, where it is not that of the part. "-<data set>" is added to it.
    SPLITS: for a part, the splits that it learns from, and the one that it is checked on. Those that a data set does
        not have are left out.
    PRESETS: the values of the setting `preset` that its parts have: "embedded", "reference", "paper". A data set says
        which of them suits it.
    """

    PARTS: Sequence[str]
    NAMES: Mapping[str, str] = {}
    SPLITS: Mapping[str, tuple[Sequence[str], str]] = {}
    PRESETS: Collection[str] = ()

    @abstractmethod
    def recipe(
        self, part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int
    ) -> Recipe:
        """The training of a part. Raises UserError for a wrong setting, and for data from which it cannot learn."""


def fit(
    recipe: Recipe,
    name: str,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    save_every: float = 60.0,
    card: Mapping[str, Any] | None = None,
    accumulate: int = 1,
) -> weights.Weights:
    """Train a network, write its weights to `out/<name>.safetensors`, and return them.

    minutes: budget of training time, over all resumptions.
    steps: budget of optimisation steps; training stops at whichever budget is spent first.
    save_every: seconds between two checkpoints.
    card: further entries of the card.
    accumulate: in how many parts the networks get a batch, for less memory; the batch stays the same (`ranks.sharing`).

    A checkpoint consists of `checkpoint.pt`, `log.jsonl` and `progress.png` in `out/<name>/`. It is also written on
    SIGINT, SIGTERM and SIGUSR1, and the same call resumes from it. A recipe with `keep_every` also gets
    `out/<name>/step-00050.safetensors` and so on. Raises UserError if no budget is given, if the checkpoint has other
    settings, and if a loss is not finite (the last good checkpoint is kept).
    """
    if minutes is None and steps is None:
        raise UserError("training needs a budget: --minutes or --steps")
    if ranks.rank():
        return _fit(plugins.complete(FullRecipe, recipe), name, out, minutes, steps, save_every, card or {}, accumulate)
    folder = out / name
    busy = f"{folder}: another process is training {name} there: wait for it, or use another --out"
    with storage.held(folder / "lock", storage.OUT, busy):
        return _fit(plugins.complete(FullRecipe, recipe), name, out, minutes, steps, save_every, card or {}, accumulate)


def _fit(
    recipe: FullRecipe,
    name: str,
    out: Path,
    minutes: float | None,
    steps: int | None,
    save_every: float,
    card: Mapping[str, Any],
    accumulate: int,
) -> weights.Weights:
    folder = out / name
    index, spent = _resume(recipe, folder / "checkpoint.pt")
    ranks.wait()  # before the first of them writes another checkpoint
    saved = time.monotonic()
    from t2ibench.core.progress import bar

    with _stop_flag() as stop, bar(f"train {name}", total=steps, minutes=minutes, done=index) as advance:
        while True:
            ended, spent = ranks.agreed([max(stop, default=0), spent])  # the clock and the signals of the first process
            if ended and not stop:
                stop.append(int(ended))
            if (steps is not None and index >= steps) or (minutes is not None and spent >= 60 * minutes) or ended:
                break
            started = time.monotonic()
            progress = max(index / steps if steps else 0.0, spent / (60 * minutes) if minutes else 0.0)
            with ranks.sharing(recipe.split, name, accumulate):
                losses = recipe.step(index, progress)
            bad = [key for key, value in losses.items() if value != value or abs(value) == float("inf")]
            if bad:
                raise UserError(
                    f"train {name}: {bad[0]} is {losses[bad[0]]} at step {index}: lower the learning rate, or go on "
                    f"from {folder}"
                )
            index, spent = index + 1, spent + time.monotonic() - started
            if not ranks.rank():
                advance(spent, losses)
            if ranks.rank():
                continue
            if recipe.keep_every and index % recipe.keep_every == 0:
                _write(recipe, folder / f"step-{index:05d}.safetensors", index, spent, card)
            if time.monotonic() - saved > save_every:
                _save(recipe, folder, index, spent, losses)
                saved = time.monotonic()
    if not ranks.rank():
        _save(recipe, folder, index, spent, {})
    if stop:
        kind = Terminated if set(stop) & {*SIGNALS} else KeyboardInterrupt
        raise kind(f"train {name}: stopped at step {index}; the same command goes on from there")
    if ranks.rank():
        return weights.Weights(name, {}, {}, {}, "")
    return _write(recipe, out / f"{name}.safetensors", index, spent, card)


def _write(recipe: FullRecipe, path: Path, index: int, spent: float, card: Mapping[str, Any]) -> weights.Weights:
    tensors, config = recipe.result()
    run = {"steps": index, "minutes": round(spent / 60, 2), "recipe": dict(recipe.settings), "machine": _machine()}
    full = {**run, **recipe.facts, **card, "validation": recipe.validate()}
    return weights.write(path, tensors, config, full)


def _resume(recipe: Recipe, checkpoint: Path) -> tuple[int, float]:
    if not checkpoint.exists():
        return 0, 0.0
    content = checkpoint.read_bytes()
    if hashlib.sha256(content[:-HASH]).digest() != content[-HASH:]:
        raise UserError(f"{checkpoint} cannot be read (damaged, or of an older version): delete it to begin again")
    stored = torch.load(io.BytesIO(content[:-HASH]), map_location="cpu", weights_only=True)
    wanted = json.dumps(dict(recipe.settings), sort_keys=True, default=str)
    if stored["settings"] != wanted:
        raise UserError(
            f"{checkpoint} is of another recipe ({stored['settings']}), this one is {wanted}: use another --out"
        )
    recipe.load_state(stored["state"])
    log.info("going on from step %d of %s", stored["index"], checkpoint)
    return stored["index"], stored["spent"]


def _save(recipe: Recipe, folder: Path, index: int, spent: float, losses: dict[str, float]) -> None:
    settings, content = json.dumps(dict(recipe.settings), sort_keys=True, default=str), io.BytesIO()
    torch.save({"index": index, "spent": spent, "settings": settings, "state": recipe.state()}, content)
    data = content.getbuffer()
    publish(folder / "checkpoint.pt", [data, hashlib.sha256(data).digest()])
    if losses:
        with (folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": index, "seconds": round(spent, 1), **losses}) + "\n")
    if (images := recipe.preview()) is not None:
        from t2ibench.core.images import save_grid

        save_grid(images, folder / "progress.png")


@contextmanager
def _stop_flag() -> Iterator[list[int]]:
    """A list that becomes non-empty when the process gets SIGINT, SIGTERM or SIGUSR1. The current step can finish."""
    flag: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: flag.append(number)) for number in (signal.SIGINT, *SIGNALS)
    }
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _machine() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, t2ibench {__version__}"
