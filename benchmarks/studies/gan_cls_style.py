"""Does the noise of the GAN-CLS family hold style? Images are drawn again from another caption, with their own noise
and with fresh noise.

    python benchmarks/studies/gan_cls_style.py [--images 400] [--out results/studies/gan_cls_style]

For each GAN of the zoo, on test captions: the share of visible attributes left open by the new caption that stay
(judged), the change in grey levels, and how often it is smaller than with fresh noise. The true noise is the ceiling of
style transfer. A generator that has a style encoder gets its row as well. About 2 minutes.
"""

import argparse
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.progress import track
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.core.storage import publish
from t2ibench.data.attributes import Covers, covers, likeliest
from t2ibench.data.split import Split
from t2ibench.datasets import avatars
from t2ibench.methods.gan_cls import BATCH, Config, Method
from t2ibench.methods.gan_cls.settings import VARIANTS
from t2ibench.methods.gan_cls.style_transfer import Recaption, change, kept, mentions_of, other_captions, reworded
from t2ibench.networks.models import Models
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.stats.paired import between_samples

COLUMNS = (
    "generator",
    "new caption",
    "noise",
    "images",
    "open attributes kept",
    "more than fresh noise",
    "grey levels changed",
    "nearer",
)


def one_said_otherwise(split: Split, seed: int) -> list[Recaption]:
    """One recaption for each image that has a caption in which one literal can be exchanged for another value of its
    attribute; images without such a caption are left out.

    The exchange is drawn uniformly from all that are possible. Raises ValueError as `other_captions` does.
    """
    recaptions = []
    for row, mentions in enumerate(mentions_of(split)):
        possible = [
            Recaption(caption, text, frozenset(set(literals) - {literal} | {other}))
            for caption, literals in zip(split.captions[row], mentions, strict=True)
            for literal in literals
            for other, text in reworded(caption, literal, split.vocabulary)  # type: ignore[arg-type]
        ]
        if possible:
            recaptions.append(possible[int(uniform(derive_seed(seed, "otherwise", row), 1)[0] * len(possible))])
    return recaptions


KINDS = {"one attribute said otherwise": one_said_otherwise, "another image's caption": other_captions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--out", type=Path, help="also write OUT.json and OUT.md")
    arguments = parser.parse_args()
    train, test = (avatars.load(avatars.Config(), split) for split in ("train", "test"))
    assert train.attributes is not None
    covered_by, models = covers(train.attributes), Models()
    asked = {kind: make(test, seed=0)[: arguments.images] for kind, make in KINDS.items()}
    rows = []
    for variant in track(VARIANTS, "generators"):
        method = Method(Config(weights=f"{variant}-avatars"), models)
        for kind, recaptions in asked.items():
            rows += [
                {"generator": variant, "new caption": kind, **row} for row in compared(method, recaptions, covered_by)
            ]
    lines = [[written(row[name]) for name in COLUMNS] for row in rows]
    table = Table(*COLUMNS)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    if arguments.out:
        markdown = [
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *(f"| {' | '.join(line)} |" for line in lines),
        ]
        publish(arguments.out.with_suffix(".json"), (json.dumps(rows, indent=1) + "\n").encode())
        publish(arguments.out.with_suffix(".md"), ("\n".join(markdown) + "\n").encode())


def compared(method: Method, recaptions: list[Recaption], covered_by: Covers) -> list[dict[str, Any]]:
    """A row for each noise: the true one, S of the image where this generator has an S, and fresh noise."""
    first, second = (
        method.encoder.embed(texts, BATCH) for texts in zip(*((r.before, r.after) for r in recaptions), strict=True)
    )
    z, fresh = (method.noise([derive_seed(name, k) for k in range(len(recaptions))]) for name in ("style", "fresh"))
    source = method.draw(z, first)
    noises = {"true": z, "fresh": fresh}
    with contextlib.suppress(UserError):  # there is no style encoder of this generator
        noises["S(image)"] = method.style_of(source)
    values, values_after, changed = judged(method, source), {}, {}
    for name, noise in noises.items():
        images = method.draw(noise, second)
        values_after[name], changed[name] = (
            kept(values, judged(method, images), recaptions, covered_by),
            change(source, images),
        )
    counts = ~np.isnan(values_after["true"])
    rows = []
    for name in noises:
        share, base = values_after[name][counts], values_after["fresh"][counts]
        row: dict[str, Any] = {"noise": name, "images": int(counts.sum()), "open attributes kept": float(share.mean())}
        row["grey levels changed"] = float(changed[name].mean())
        if name == "fresh":
            row |= {"more than fresh noise": None, "nearer": None}
        else:
            gap = between_samples(share, base)
            interval = cluster_mean_interval(share - base, np.arange(len(share)), seed=0)
            row["more than fresh noise"] = {"value": gap.value, "ci": list(interval), "p": gap.p}
            row["nearer"] = float((changed[name] < changed["fresh"]).mean())
        rows.append(row)
    return rows


def judged(method: Method, images: Tensor) -> pd.DataFrame:
    """The judge's value of every attribute."""
    judge = method.models.judge("attribute-judge-avatars")
    found = judge.predict(images)
    columns = {
        f"{name}={value}": p[:, i].numpy()
        for name, p in found.items()
        for i, value in enumerate(judge.attributes[name])
    }
    return likeliest(pd.DataFrame(columns), judge.attributes)


def written(value: str | int | float | Mapping[str, Any] | None) -> str:
    """A cell of the table."""
    if isinstance(value, Mapping):
        low, high = value["ci"]
        return f"{value['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
    if isinstance(value, float):
        return f"{value:.1f}" if value > 1 else f"{value:.3f}"
    return "—" if value is None else f"{value}"


if __name__ == "__main__":
    torch.set_num_threads(min(2, torch.get_num_threads()))
    main()
