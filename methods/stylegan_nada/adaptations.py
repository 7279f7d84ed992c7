"""Adapted generators by their texts: from the zoo, from the cache, or trained when they are first needed.

Weights of the zoo are used only if their card says that they were made with the same settings from the same networks.
"""

import copy
import hashlib
import json
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from t2ibench.core import storage
from t2ibench.core.containers import NAMES, kind_of
from t2ibench.core.errors import UserError
from t2ibench.methods.stylegan_nada.coding import decode
from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.methods.stylegan_nada.training import AdaptationRecipe, name_of, settings_of
from t2ibench.networks import weights, zoo
from t2ibench.networks.models import Models
from t2ibench.networks.stylegan2 import Generator, rosinality
from t2ibench.networks.stylegan2.difference import adapted, difference
from t2ibench.networks.stylegan2.rosinality import SAME
from t2ibench.networks.stylegan2.shapes import build
from t2ibench.networks.training import loop

PREFIX = name_of("")
SMALL_WORDS = frozenset(
    ("a", "an", "the", "of", "in", "on", "by", "with", "and", "to", "is", "this", "image", "picture")
)


class Adaptations:
    """Generators that were moved from a source to a target text.

    cost: what training them took, even if it was done earlier; `spent_seconds` is what was spent now.
    """

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError if the setting `weights` names a file that is missing, damaged, or of another generator."""
        self.config, self.models = config, models
        self.parent: Generator = models.stylegan2(config.generator)
        self.known: dict[tuple[str, str], Generator] = {}
        self.seconds: dict[tuple[str, str], float] = {}  # of training
        self.made_of: dict[tuple[str, str], str] = {}  # hashes of the weights
        self.spent = 0.0
        self.child = self._child() if config.weights and Path(config.weights).suffix != ".safetensors" else None
        self.given = self._given() if config.weights and self.child is None else None

    @property
    def cost(self) -> dict[str, float]:
        if not self.seconds:
            return {}
        total = sum(self.seconds.values())
        counts = {"training_seconds": total, "prompts_trained": len(self.seconds)}
        return {**counts, "training_seconds_per_prompt": total / len(self.seconds), "spent_seconds": self.spent}

    def generator(self, source: str, target: str) -> Generator:
        """The parent moved from source to target, frozen."""
        key = (source, target)
        if key not in self.known and self.child is not None:  # what its training took is not known
            self.known[key], self.made_of[key] = self.child, self.models.used[self.config.weights]["sha256"]
        elif key not in self.known:
            weights = self.given or self._shipped(source, target) or self._trained(source, target)
            self.known[key], self.made_of[key] = self._adapted(weights), weights.sha256
            self.seconds[key] = weights.card["training_seconds"]
        return self.known[key]

    def facts(self, source: str, target: str) -> dict[str, Any]:
        """Everything that decides the adapted generator of two texts. `generator` must have made it before."""
        return {"adaptation_sha256": self.made_of[source, target], "strength": self.config.strength}

    def named(self, prompt: str) -> str | None:
        """The target that a prompt names, or None.

        A prompt names a target if it has all words of it, except small words and words of the source. Of several
        targets the one with the most words is taken; of equals the first, with the settings' before the zoo's by name.
        """
        plain, in_prompt = SMALL_WORDS | words(self.config.source), words(prompt)
        telling = {
            target: words(target) - plain for target in dict.fromkeys([*self.config.domains, *self._shipped_targets()])
        }
        named = {target: len(terms) for target, terms in telling.items() if terms and terms <= in_prompt}
        return max(named, key=lambda target: named[target], default=None)

    def _adapted(self, weights: weights.Weights) -> Generator:
        config = weights.config
        if config.get("kind") != "stylegan2-difference":
            raise UserError(
                f"{weights.name}: these are no weights of an adaptation: give one that `t2ibench train stylegan_nada` "
                f"wrote"
            )
        if config["generator_sha256"] != self.models.used[self.config.generator]["sha256"]:
            raise UserError(
                f"{weights.name} was made from another {config['generator']} than {self.config.generator} here: train "
                f"it again"
            )
        try:
            changes = decode(weights.tensors)
            if not changes:
                raise ValueError("it changes nothing")
        except ValueError as error:
            raise UserError(f"{weights.name}: not a whole adaptation ({error}): train or fetch it again") from error
        return adapted(self.parent, changes, self.config.strength, weights.name).to(self.models.device)

    def _child(self) -> Generator | None:
        """The generator of a file that the released code wrote, {g_ema, g_optim}; None where `weights` is of the zoo.

        The file has no mean w, which the parent gives, as it gives the latents. What the release never trains must be
        the parent's: the mapping. Raises UserError for a child of another parent.
        """
        path = Path(self.config.weights)
        if not path.is_file() and path.suffix not in (".pt", ".pth"):
            return None
        kind = kind_of(path, "an adapted generator")
        if kind not in ("torch", "legacy torch"):
            raise UserError(f"{path}: {NAMES[kind]}, expected a generator that StyleGAN-NADA's released code adapted")
        config, state = rosinality.read(path, self.parent.mapping.w_avg.cpu())
        if config.resolution != self.parent.config.resolution:
            raise UserError(
                f"{path}: makes images of {config.resolution} pixels, its parent {self.config.generator} of "
                f"{self.parent.config.resolution}: name the generator that it was adapted from"
            )
        child = build(path, config, state)
        before, after = self.parent.state_dict(), child.state_dict()
        for name, value in before.items():
            apart = (after[name] - value.cpu()).abs().max() if after[name].shape == value.shape else torch.inf
            if name.startswith("mapping.") and not float(apart) <= SAME * float(value.abs().max().clamp(min=1e-3)):
                raise UserError(
                    f"{path}: its {name} is not that of {self.config.generator}, so it was adapted from another "
                    f"generator: name that one"
                )
        changes = {key: change.cpu() for key, change in difference(copy.deepcopy(self.parent).cpu(), child).items()}
        changes = {key: change for key, change in changes.items() if not key.startswith("mapping.")}
        if not changes:
            raise UserError(f"{path}: is {self.config.generator} itself, not adapted: give a child of it")
        self.models.file(str(path))
        return adapted(self.parent, changes, self.config.strength, str(path)).to(self.models.device)

    def _given(self) -> weights.Weights:
        path = Path(self.config.weights)
        if path.suffix != ".safetensors":
            return self.models.weights(self.config.weights)
        if not path.is_file():
            raise UserError(f"{path} is missing, expected the weights of an adaptation: correct `weights`")
        given = weights.read(path)
        self.models.used[str(path)] = {
            "sha256": given.sha256,
            **{key: given.card.get(key) for key in ("data", "optimised_for")},
        }
        return given

    @cached_property
    def _cards(self) -> dict[str, dict[str, Any]]:
        """The cards of the zoo's adaptations that were made with these settings, to any target, by name."""
        cards = {name: zoo.card(path) for name, path in sorted(zoo.available().items()) if name.startswith(PREFIX)}
        wanted = comparable(settings_of(self.config, "", "", self.models))
        return {
            name: card
            for name, card in cards.items()
            if card.get("steps") == self.config.steps
            and comparable({**card.get("recipe", {}), "source": "", "target": ""}) == wanted
        }

    def _shipped_targets(self) -> list[str]:
        return [
            card["config"]["target"] for card in self._cards.values() if card["config"]["source"] == self.config.source
        ]

    def _shipped(self, source: str, target: str) -> weights.Weights | None:
        for name, card in self._cards.items():
            if (card["config"]["source"], card["config"]["target"]) == (source, target):
                return self.models.weights(name)
        return None

    def _trained(self, source: str, target: str) -> weights.Weights:
        """The weights of two texts, from the cache or trained now.

        Weights that a longer training kept after the same number of steps are used, too. A killed training loses a
        minute at most.
        """
        recipe = comparable(settings_of(self.config, source, target, self.models))
        stem = f"{name_of(target)}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
        steps, folder = self.config.steps, self.models.cache / "stylegan_nada"

        def look() -> weights.Weights | None:
            for path in (
                folder / f"{stem}-{steps}.safetensors",
                *sorted(folder.glob(f"{stem}-*/step-{steps:05d}.safetensors")),
            ):
                try:
                    return weights.read(path)
                except (FileNotFoundError, UserError):  # none, or a damaged one
                    continue
            return None

        return storage.once(
            folder / f"{stem}.lock", look, lambda: self._train(source, target, folder, f"{stem}-{steps}")
        )

    def _train(self, source: str, target: str, folder: Path, name: str) -> weights.Weights:
        started = time.perf_counter()
        try:
            with torch.enable_grad():
                weights = loop.fit(
                    AdaptationRecipe(self.config, source, target, self.models), name, folder, steps=self.config.steps
                )
        finally:
            self.spent += time.perf_counter() - started
        (folder / name / "checkpoint.pt").unlink()
        return weights


def words(text: str) -> set[str]:
    """Lower-case words and numbers of a text."""
    return set(re.findall(r"[^\W_]+", text.lower()))


def comparable(settings: dict[str, Any]) -> str:
    """Settings as one text, so that settings read from a file compare equal."""
    return json.dumps(settings, sort_keys=True)
