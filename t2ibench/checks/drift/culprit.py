"""What may have caused a drift: the differences between the environment of a baseline and this one.

They are sorted by how likely each of them is to change the layer that drifts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from t2ibench.checks.drift.probes import Layer

# What can change a layer, the most likely first. Files are given by the beginnings of their paths.
PACKAGES: dict[Layer, tuple[str, ...]] = {
    "decode": ("pillow", "jpg", "jpeg turbo", "zlib"),
    "resize": ("pillow", "torch", "numpy", "open_clip_torch", "torchvision"),
    "estimator": ("torch", "scipy", "numpy", "blas"),
    "features": ("torch", "open_clip_torch", "numpy", "safetensors", "torchvision"),
    "metrics": ("torch", "scipy", "numpy", "pandas", "open_clip_torch"),
    "methods": ("torch", "numpy", "open_clip_torch", "dicebear-core", "dicebear-styles", "resvg-py", "scipy"),
}
FILES: dict[Layer, tuple[str, ...]] = {
    "decode": ("core/images.py",),
    "resize": ("networks/clip/preprocess.py", "networks/inception.py", "data/folders.py", "core/images.py"),
    "estimator": ("stats/frechet.py", "stats/mmd.py", "stats/intervals.py", "metrics/"),
    "features": ("networks/", "core/images.py"),
    "metrics": (
        "metrics/",
        "scoring/feature_sets.py",
        "scoring/evidence.py",
        "networks/extractors.py",
        "core/cache.py",
        "stats/intervals.py",
        "stats/mmd.py",
        "core/seeds.py",
    ),
    "methods": ("methods/", "networks/", "core/seeds.py", "runner/generate.py", "tracks/", "datasets/"),
}


KINDS = {
    "weights": "weights",
    "packages": "package",
    "libraries": "library",
    "switches": "switch",
    "files": "file",
    "machine": "machine",
}


@dataclass(frozen=True)
class Change:
    """One difference between two environments.

    what: package | library | weights | file | switch | machine.
    name: its name.
    before, now: its version, hash or setting; empty where it is absent.
    """

    what: str
    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.what} {self.name}: {self.before or 'absent'} → {self.now or 'absent'}"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Everything that differs, weights first, then packages, libraries, switches, files and the machine."""
    result = []
    for key, what in KINDS.items():
        then, here = before.get(key, {}), now.get(key, {})
        names = dict.fromkeys([*then, *here])
        result += [
            Change(what, n, str(then.get(n, "")), str(here.get(n, "")))
            for n in names
            if then.get(n, "") != here.get(n, "")
        ]
    return result


def suspects(differences: list[Change], layer: Layer, weights: frozenset[str] = frozenset()) -> list[Change]:
    """The changes that can have moved a layer, most likely first. weights: the names of the weights that it uses."""
    ranked = []
    for change in differences:
        if change.what == "weights" and change.name in weights:
            ranked.append((0, change))
        elif change.what in ("package", "library") and change.name in PACKAGES[layer]:
            ranked.append((1 + PACKAGES[layer].index(change.name), change))
        elif change.what == "file" and change.name.startswith(FILES[layer]):
            ranked.append((20, change))
        elif change.what == "switch" and layer in ("features", "metrics", "methods", "estimator"):
            ranked.append((30, change))
        elif change.what == "machine":
            ranked.append((40, change))
    return [change for _, change in sorted(ranked, key=lambda entry: entry[0])]


def verdict(differences: list[Change], layer: Layer, weights: frozenset[str] = frozenset()) -> str:
    """One line about the cause of a drift in a layer.

    It names the culprit where there is one suspect, and the suspects in order where there are more. Without a suspect
    it says what is ruled out.
    """
    ranked = suspects(differences, layer, weights)
    if len(ranked) == 1:
        return f"culprit: {ranked[0]}"
    if ranked:
        more = f"; and {len(ranked) - 4} more" if len(ranked) > 4 else ""
        return "suspects, most likely first: " + "; ".join(map(str, ranked[:4])) + more
    return (
        "no package, weight, switch or file that this layer uses differs from the baseline's: the drift comes from "
        "outside them"
    )
