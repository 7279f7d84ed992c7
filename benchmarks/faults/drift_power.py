"""The drift gate: are planted faults caught, and do unchanged methods pass? About ten minutes of one idle core.

    python benchmarks/faults/drift_power.py [--parts machinery methods other_seeds] [--seeds 1 100] [--out
    results/studies/drift_power.json]

machinery: T0 and T1 are asked about faults of metrics and networks, against the shipped baseline. methods: T2 is asked
about faults of a method (`gan-int-cls`, 250 captions) under equal seeds; of small ones so few samples may also be
unable to tell (exit code 3), but they do not pass. other_seeds: T2 is asked about the method unchanged under other run
seeds, where every image is another one; what --out holds is not made again. Exit code 1 where a fault passes or is
found elsewhere than expected, where the unchanged method under its own seeds does not pass, or where other seeds raise
more than one alarm in a hundred.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from t2ibench.checks.drift import baseline, gate, methods, reports
from t2ibench.core import environment
from t2ibench.core.progress import track
from t2ibench.core.storage import publish
from t2ibench.methods import gan_cls
from t2ibench.metrics import clip_score
from t2ibench.networks.attribute_judge import AttributeJudge
from t2ibench.networks.clip import model, preprocess
from t2ibench.runner import plan, run, suite
from t2ibench.runner.journal import Store
from t2ibench.scoring.evidence import Evidence
from t2ibench.stats import frechet

SUITE = {
    "dataset": {"name": "avatars"},
    "reference": {"split": "val", "limit": 500},
    "methods": ["gan-int-cls"],
    "baselines": [],
    "prompts": {"split": "test", "captions": 250},
    "metrics": [{"name": "fid", "extractor": "attribute-judge-avatars"}, "clip_score", "r_precision"],
    "columns": ["fd_avatars", "clip_score", "r_precision"],
}
PARTS = ("machinery", "methods", "other_seeds")
USUAL = {"*": 0.01, "clip_score": 0.001}
WIDE = {"fd_avatars": 0.2, "clip_score": 0.08, "r_precision": 0.4}  # what 250 other images can show
MARGINS = {"usual margins": USUAL, "wide margins": WIDE}
Fault = contextlib.AbstractContextManager[object]


def jpeg(images: np.ndarray, quality: int = 95) -> np.ndarray:
    """uint8 [B, 3, H, W] as a JPEG file gives them back."""
    found = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(buffer)).transpose(2, 0, 1))
    return np.stack(found)


def lanczos() -> Fault:
    """Pillow resizes by another filter."""
    original = Image.Image.resize

    def resize(self: Image.Image, size: tuple[int, int], *rest: Any, **named: Any) -> Image.Image:
        return original(self, size, Image.Resampling.LANCZOS)

    return patch.object(Image.Image, "resize", resize)


def interpolated(**changed: Any) -> Fault:
    """CLIP's resize with other settings."""
    original = F.interpolate
    return patch.object(
        preprocess.F, "interpolate", lambda images, size, **given: original(images, size, **{**given, **changed})
    )


def shifted() -> Fault:
    """A crop that begins one pixel too far to the right."""
    original = preprocess.Preprocess.resize
    return patch.object(
        preprocess.Preprocess, "resize", lambda self, images, *rest: torch.roll(original(self, images, *rest), -1, -1)
    )


@contextlib.contextmanager
def bfloat16() -> Iterator[None]:
    """Networks that compute in bfloat16, features stored as float32."""

    def half(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, images: Tensor, *rest: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                found = original(self, images, *rest)
            return found.float() if isinstance(found, Tensor) else tuple(part.float() for part in found)

        return call

    with (
        patch.object(AttributeJudge, "logits", half(AttributeJudge.logits)),
        patch.object(model.Clip, "_embeddings", half(model.Clip._embeddings)),
    ):
        yield


def activation() -> Fault:
    """The CLIP with QuickGELU in the place of GELU."""
    original = model.build

    def swapped(*arguments: Any) -> nn.Module:
        network = original(*arguments)
        for module in network.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.GELU):
                    setattr(module, name, QuickGELU())
        return network

    return patch.object(model, "build", swapped)


@contextlib.contextmanager
def compressed() -> Iterator[None]:
    """Images that pass through a JPEG before networks see them."""
    judge, clip = AttributeJudge.logits, model.Clip.encode_images
    seen = lambda images: torch.from_numpy(jpeg(images.numpy()))  # noqa: E731
    with (
        patch.object(AttributeJudge, "logits", lambda self, images, *rest: judge(self, seen(images), *rest)),
        patch.object(model.Clip, "encode_images", lambda self, images, *rest: clip(self, seen(images), *rest)),
    ):
        yield


def scaled_distance(factor: float = 1.02) -> Fault:
    original = frechet.frechet_distance
    return patch.object(frechet, "frechet_distance", lambda *sides: factor * original(*sides))


def scaled_cosines(factor: float = 0.998) -> Fault:
    original = clip_score.cosines
    return patch.object(clip_score, "cosines", lambda *sides: factor * original(*sides))


def other_texts() -> Fault:
    """The metrics read the prompts in another order than the images."""
    original = Evidence.text_features
    return patch.object(
        Evidence, "text_features", lambda self, clip, texts: original(self, clip, [*texts[1:], texts[0]])
    )


MACHINERY: dict[str, tuple[Callable[[], Fault], str]] = {  # the fault, and the layer where it must be found first
    "Pillow resize by Lanczos": (lanczos, "resize"),
    "CLIP resize bilinear": (lambda: interpolated(mode="bilinear"), "resize"),
    "CLIP resize without antialias": (lambda: interpolated(antialias=False), "resize"),
    "crop off by one": (shifted, "resize"),
    "features in bfloat16": (bfloat16, "features"),
    "JPEG before the networks": (compressed, "features"),
    "CLIP with QuickGELU for GELU": (activation, "features"),
    "Fréchet distance x 1.02": (scaled_distance, "estimator"),
    "CLIP score x 0.998": (scaled_cosines, "metrics"),
    "prompts in another order": (other_texts, "metrics"),
}


def machinery() -> list[dict[str, Any]]:
    """What T0 and T1 say of every fault, and of none."""
    known, rows = baseline.read(baseline.SHIPPED), []
    for name, (fault, layer) in {"nothing": (contextlib.nullcontext, ""), **MACHINERY}.items():
        with fault():
            findings = list(track(gate.recompute(known, (0, 1)), name, len(known.measured)))
            verdict = gate.verdict(findings, known, "shipped")
        where = f"drift in {verdict.first_layer}" if verdict.first_layer else reports.HEADLINES[verdict.exit_code]
        rows.append(
            {
                "fault": name,
                "found": where,
                "expected": f"drift in {layer}" if layer else "no drift",
                "checks": len(verdict.drifted),
            }
        )
    return rows


class Cells:
    """The method of SUITE, made again and again; its data are read once."""

    def __init__(self, folder: Path) -> None:
        self.suite = suite.parse(SUITE, "drift-power", "", "drift_power")
        [self.plan] = plan.prepare(self.suite)
        self.folder, self.count = folder, 0

    def record(self, seed: int = 0, change: Callable[[Tensor], Tensor] | None = None, order: int = 0) -> methods.Record:
        """A record. change: of the images made. order: by how many places the method confuses its requests."""
        original = gan_cls.Method.text_to_image

        def make(method: Any, requests: Any) -> Tensor:
            images = original(method, [*requests[order:], *requests[:order]])
            return images if change is None else change(images)

        self.count += 1
        here = self.folder / str(self.count)
        with patch.object(gan_cls.Method, "text_to_image", make):
            return run.run_cell(self.plan, self.plan.entries[0], seed, run.RunOptions(here, here, 250)).record


def faded(strength: float) -> Callable[[Tensor], Tensor]:
    """Images mixed with their own 3 x 3 mean."""

    def change(images: Tensor) -> Tensor:
        floats = images.float()
        blurred = F.avg_pool2d(F.pad(floats, (1, 1, 1, 1), "replicate"), 3, 1)
        return ((1 - strength) * floats + strength * blurred + 0.5).floor().clamp(0, 255).to(torch.uint8)

    return change


def flickering(images: Tensor) -> Tensor:
    """One value in fifty is a level higher, as another processor may round."""
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) < 0.02
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


def strength_for(cells: Cells, id: str, share: float, then: methods.Record) -> tuple[float, float]:
    """The fading that moves a value by about `share` of itself, and by how much it does."""
    low, high, moved = 0.0, 0.5, 0.0
    middle = high
    for _ in range(7):
        middle = (low + high) / 2
        value = cells.record(change=faded(middle))["values"][id]["value"]
        moved = abs(value / then["values"][id]["value"] - 1)
        if abs(moved - share) < 0.05 * share:
            break
        low, high = (middle, high) if moved < share else (low, middle)
    return middle, moved


def of_methods(cells: Cells, then: methods.Record) -> list[dict[str, Any]]:
    """What T2 says of faults of a method under equal seeds."""
    fd, fd_moved = strength_for(cells, "fd_avatars", 0.02, then)
    clip, clip_moved = strength_for(cells, "clip_score", 0.002, then)
    saved = Store.save

    def save(self: Store, sample: str, image: np.ndarray) -> str:
        return saved(self, sample, jpeg(image[None])[0])

    with patch.object(Store, "save", save):
        through_jpeg = cells.record()
    made = {
        "nothing": (cells.record(), "pass"),
        "one level of rounding in 2 % of the values": (cells.record(change=flickering), "pass"),
        "JPEG of quality 95 in between": (through_jpeg, "no pass"),
        f"blur that moves the Fréchet distance by {fd_moved:.1%}": (cells.record(change=faded(fd)), "no pass"),
        f"blur that moves the CLIP score by {clip_moved:.2%}": (cells.record(change=faded(clip)), "no pass"),
        "images shifted by one pixel": (cells.record(change=lambda images: torch.roll(images, 1, -1)), "no pass"),
        "requests answered in another order": (cells.record(order=1), "drift"),
    }
    rows = []
    for name, (now, expected) in made.items():
        findings = methods.compare(then, now, USUAL, True, 3)
        status = worst(findings)
        found = "no pass" if expected == "no pass" and status != "pass" else status
        rows.append(
            {"fault": name, "found": found, "expected": expected, "status": status, "said": [f.said for f in findings]}
        )
    return rows


def repeated(cells: Cells, then: methods.Record, seeds: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What T2 says of the unchanged method under other run seeds, with its usual margins and with those that so few
    images can show.
    """
    for seed in seeds:
        now = cells.record(seed)
        findings = {name: methods.compare(then, now, margins, True, 3) for name, margins in MARGINS.items()}
        moved = {id: now["values"][id]["value"] / then["values"][id]["value"] - 1 for id in SUITE["columns"]}
        yield seed, {**{name: worst(found) for name, found in findings.items()}, "moved": moved}


def worst(findings: list[gate.Finding]) -> str:
    statuses = {finding.status for finding in findings}
    return next(status for status in ("drift", "inconclusive", "pass") if status in statuses)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 100), metavar=("FIRST", "LAST"))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--out", type=Path, default=Path("results/studies/drift_power.json"), help="where what was found is kept"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = (
        json.loads(arguments.out.read_text("utf-8")) if arguments.out.exists() else {"suite": SUITE, "margins": MARGINS}
    )
    if found["suite"] != SUITE or found["margins"] != MARGINS:
        parser.error(f"{arguments.out} is of another suite or of other margins: move it away")

    def keep(part: str, content: Any) -> None:
        found.update({part: content, "environment": environment.fingerprint(), "code": environment.code()})
        publish(arguments.out, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())

    if "machinery" in arguments.parts:
        keep("machinery", machinery())
    if {"methods", "other_seeds"} & set(arguments.parts):
        with tempfile.TemporaryDirectory() as folder:
            cells = Cells(Path(folder))
            then = cells.record()
            if "methods" in arguments.parts:
                keep("methods", of_methods(cells, then))
            if "other_seeds" in arguments.parts:
                known = found.get("other_seeds", {})
                left = [seed for seed in range(arguments.seeds[0], arguments.seeds[1] + 1) if str(seed) not in known]
                for seed, outcome in track(repeated(cells, then, left), "other seeds", len(left)):
                    known[str(seed)] = outcome
                    keep("other_seeds", known)
    return show(found)


def show(found: dict[str, Any]) -> int:
    """Say what is known so far; the exit code."""
    console, sound = Console(highlight=False), True
    for part in ("machinery", "methods"):
        table = Table(f"fault ({'T0, T1' if part == 'machinery' else 'T2'})", "found", "as expected")
        for row in found.get(part, []):
            table.add_row(
                row["fault"], row.get("status", row["found"]), "yes" if row["found"] == row["expected"] else "NO"
            )
            sound &= row["found"] == row["expected"]
        console.print(table)
    outcomes = found.get("other_seeds", {}).values()
    for name in MARGINS:
        counts = Counter(outcome[name] for outcome in outcomes)
        console.print(f"unchanged, {len(outcomes)} other seeds, {name}: {dict(counts)}")
        sound &= counts["drift"] <= max(1, len(outcomes) // 100)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
