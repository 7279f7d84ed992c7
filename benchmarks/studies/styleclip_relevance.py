"""The relevance of style channels from finite differences, from the Jacobian, and from gradients of one text:
agreement, edits, cost.

    python benchmarks/studies/styleclip_relevance.py results/studies [--channels N]
    python benchmarks/studies/styleclip_relevance.py FOLDER --ship

Needs the zoo's StyleGAN2. Writes styleclip_relevance.json and .md. `--channels`: so many, drawn at random, are compared
and edited instead of all, since the table costs 2 N renders a channel. Edits are judged by the CLIP that scores, which
guided none of them. `--ship` writes the table of the default settings as weights of the zoo, and stops.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from t2ibench.core import storage
from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.methods.styleclip import global_directions
from t2ibench.methods.styleclip.directions import channel_directions, directed
from t2ibench.methods.styleclip.global_directions import gradients, table_recipe
from t2ibench.methods.styleclip.prepared import ship
from t2ibench.methods.styleclip.relevance import jacobian_directions
from t2ibench.methods.styleclip.selection import kept_channels, style_step
from t2ibench.methods.styleclip.settings import Config
from t2ibench.methods.styleclip.sources import Sources
from t2ibench.methods.styleclip.space import PASS, StyleSpace
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.templates import TEMPLATES
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes

TEXTS = (
    "a person wearing glasses",
    "a smiling person",
    "a person with a beard",
    "a person with long hair",
    "a person with blond hair",
    "a person wearing a hoodie",
    "a person with a green background",
    "a person with dark skin",
)
DATASET, GUIDE = "avatars", "clip-guide-avatars"
SOURCES, KEPT = 32, 50  # edited images a text; channels of a top list


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--channels", type=int)
    parser.add_argument("--ship", action="store_true")
    arguments = parser.parse_args()
    config, models = Config(clip=GUIDE, relevance="table"), Models()
    if arguments.ship:
        space = StyleSpace(config, models)
        made, spent = global_directions.table(space, config)
        ship(
            arguments.out / f"styleclip-table-{DATASET}.safetensors", "table", table_recipe(space, config), made, spent
        )
    else:
        compare(arguments.out, arguments.channels, config, models)


def compare(out: Path, count: int | None, config: Config, models: Models) -> None:
    space = StyleSpace(config, models)
    if count is not None:
        space.channels = (
            space.channels[torch.from_numpy(permutation(0, len(space.channels))[:count].copy())].sort().values
        )
    seconds, directions = {}, {}
    for name, make in {"table": table, "jacobian": jacobian}.items():
        started = perf_counter()
        directions[name] = make(space, config)
        seconds[name] = perf_counter() - started
    started = perf_counter()
    of_text = gradients(space, config.probes)
    seconds["vjp, once"] = perf_counter() - started
    delta_t = space.clip.text_direction([config.neutral] * len(TEXTS), TEXTS, TEMPLATES[config.templates])
    started = perf_counter()
    relevance = {"vjp": torch.stack([of_text(row) for row in delta_t])}
    seconds["vjp, a text"] = (perf_counter() - started) / len(TEXTS)
    relevance |= {name: delta_t @ found.T for name, found in directions.items()}
    s = space.generator.style(Sources(config, models).of_seeds([derive_seed("benchmark", k) for k in range(SOURCES)]))
    judge = models.clip("clip-judge-avatars")
    content = {
        "config": dataclasses.asdict(config),
        "weights": {**space.weights, "judge": judge.sha256},
        "channels": len(space.channels),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "against_table": {name: agreement(relevance["table"], relevance[name], config) for name in ("jacobian", "vjp")},
        "edits": {name: edit_quality(space, found, s, judge, config) for name, found in relevance.items()},
    }
    storage.publish(out / "styleclip_relevance.json", (json.dumps(content, indent=1) + "\n").encode())
    text = "\n".join(markdown(content)) + "\n"
    storage.publish(out / "styleclip_relevance.md", text.encode())
    print(text)


def table(space: StyleSpace, config: Config) -> Tensor:
    rows = range(len(space.channels))
    return channel_directions(
        space.embed_stored, space.codes, space.mean, space.sigma, space.channels, rows, step=config.step
    )


def jacobian(space: StyleSpace, config: Config) -> Tensor:
    parts = space.codes.split(PASS)
    return directed(
        sum(jacobian_directions(space.embed, part, space.sigma, space.channels, space.dimension) for part in parts)
    )


def agreement(reference: Tensor, found: Tensor, config: Config) -> dict[str, float]:
    """Means over texts, of relevance [texts, E]: Spearman's rho, equal signs among the top, shared top, shared kept
    channels.
    """
    numbers = []
    for a, b in zip(reference, found, strict=True):
        top_a, top_b = (set(row.abs().topk(min(KEPT, len(row))).indices.tolist()) for row in (a, b))
        rows = torch.tensor(sorted(top_a))
        kept_a, kept_b = (kept_channels(row, "beta", config.beta, 0) for row in (a, b))
        either = int((kept_a | kept_b).sum())
        numbers.append(
            {
                "spearman": float(spearmanr(a.numpy(), b.numpy()).statistic),
                "sign_of_top": float((a[rows].sign() == b[rows].sign()).float().mean()),
                "shared_top": len(top_a & top_b) / len(top_a),
                "shared_kept": int((kept_a & kept_b).sum()) / either if either else 1.0,
            }
        )
    return {key: round(sum(row[key] for row in numbers) / len(numbers), 4) for key in numbers[0]}


@torch.no_grad()
def edit_quality(space: StyleSpace, relevance: Tensor, s: Tensor, judge: Clip, config: Config) -> dict[str, float]:
    """By the judge: mean cosine of the change with its own text direction; and how many channels move, mean over
    texts.
    """
    before = judge.encode_images(to_uint8(in_passes(space.generator.synthesis, s)))
    wanted = judge.text_direction([config.neutral] * len(TEXTS), TEXTS)
    cosines, moved = [], []
    for row, delta_t in zip(relevance, wanted, strict=True):
        kept = kept_channels(row, config.select, config.beta, config.channels)
        step = torch.zeros_like(space.mean)
        step[space.channels] = style_step(row, kept, space.sigma[space.channels], config.scaling)
        after = judge.encode_images(to_uint8(in_passes(space.generator.synthesis, s + config.alpha * step)))
        cosines.append(float((F.normalize(after - before, dim=1, eps=1e-6) @ delta_t).mean()))
        moved.append(int(kept.sum()))
    return {
        "directional_similarity": round(sum(cosines) / len(cosines), 4),
        "channels": round(sum(moved) / len(moved), 1),
    }


def markdown(content: dict[str, Any]) -> list[str]:
    seconds = content["seconds"]
    lines = [
        f"{content['channels']:,} channels, {content['config']['images']} images, {len(TEXTS)} texts, {SOURCES} edits "
        f"a text.",
        "",
    ]
    lines += ["| relevance | seconds | directional similarity (judge) | channels moved |", "|---|---|---|---|"]
    spent = {
        "table": f"{seconds['table']:,.1f}",
        "jacobian": f"{seconds['jacobian']:,.1f} ({seconds['table'] / seconds['jacobian']:,.0f} times faster)",
        "vjp": f"{seconds['vjp, once']:,.1f}, and {seconds['vjp, a text']:,.2f} a text",
    }
    lines += [
        f"| {name} | {spent[name]} | {row['directional_similarity']:.3f} | {row['channels']:g} |"
        for name, row in content["edits"].items()
    ]
    lines += [
        "",
        "| against the table | Spearman | equal signs in its top 50 | shared top 50 | shared at equal beta |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {name} | " + " | ".join(f"{v:.3f}" for v in row.values()) + " |"
        for name, row in content["against_table"].items()
    ]


if __name__ == "__main__":
    main()
