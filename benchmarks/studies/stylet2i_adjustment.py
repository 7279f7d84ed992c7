"""What Compositional Attribute Adjustment can do for StyleT2I's directions, and what it does: pairs of attributes,
drawn and judged.

    python benchmarks/studies/stylet2i_adjustment.py [--images 16] [--attribute stylet2i-attribute-avatars] [--out
    results/studies/stylet2i_adjustment]

On the rare and near-unseen pairs of avatars, from seeds of no suite: how often the direction of an attribute alone
draws it, how often the sentence's direction draws what the adjustment adds (cosine of at most 0) and what it leaves
alone, and pairs drawn whole by the length added (the paper: 1). A minute or two.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from t2ibench.core.seeds import derive_seed
from t2ibench.core.storage import publish
from t2ibench.data.rare_pairs import find_pairs
from t2ibench.datasets import avatars
from t2ibench.methods.stylet2i import Config, Method
from t2ibench.methods.stylet2i.adjustment import adjust
from t2ibench.networks.models import Models
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.stats.paired import between_samples
from t2ibench.tracks.pair_texts import TEMPLATES, pair_text

SCALES = (1.0, 2.0, 4.0, 8.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16, help="for each pair")
    parser.add_argument("--attribute", default=Config.attribute, help="weights of the attributes' directions")
    parser.add_argument("--out", type=Path, help="also write OUT.json and OUT.md")
    arguments = parser.parse_args()
    content = measured(Probe(arguments.attribute, arguments.images))
    lines = list(told(content))
    table = Table("", "images", "value", "against the sentence alone")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    if arguments.out:
        markdown = [
            "| | images | value | against the sentence alone |",
            "|---|---|---|---|",
            *(f"| {' | '.join(line)} |" for line in lines),
        ]
        publish(arguments.out.with_suffix(".json"), (json.dumps(content, indent=1) + "\n").encode())
        publish(arguments.out.with_suffix(".md"), ("\n".join(markdown) + "\n").encode())


class Probe:
    """Latents w [N, w_dim], the sentences' steps and the steps of both attributes of each pair [2, N, L, w_dim]."""

    def __init__(self, attribute: str, images: int) -> None:
        train = avatars.load(avatars.Config(), "train")
        assert train.attributes is not None
        assert train.vocabulary is not None
        found = find_pairs(train.attributes, train.vocabulary)
        pairs = [(pair.i, pair.j) for pair in (*found.rare, *found.near_unseen)]
        asked = [(i, j, k) for i, j in pairs for k in range(images)]
        self.method = Method(Config(attribute=attribute), Models())
        self.weights = {
            name: self.method.models.weights(name).sha256 for name in (attribute, self.method.config.sentence)
        }
        self.prompts = [pair_text(train.vocabulary, i, j, k % TEMPLATES) for i, j, k in asked]
        self.literals = [[row[side] for row in asked] for side in (0, 1)]
        self.w = self.method.latents([derive_seed("adjustment", *row) for row in asked])
        self.sentence = self.method.sentence.apart(self.prompts, self.w)
        self.attributes = torch.stack([self.method.directions(literals, self.w) for literals in self.literals])

    def drawn(self, steps: Tensor) -> np.ndarray:
        """Whether w plus steps [N, L, w_dim] shows the first and the second attribute, by the judge: bool [2, N]."""
        judge, images = self.method.models.judge("attribute-judge-avatars"), self.method.drawn(self.w, steps)
        said = {name: p.argmax(1).tolist() for name, p in judge.predict(images).items()}

        def shows(literal: str, row: int) -> bool:
            name, _, value = literal.partition("=")
            return judge.attributes[name][said[name][row]] == value

        return np.array([[shows(literal, row) for row, literal in enumerate(literals)] for literals in self.literals])


def measured(probe: Probe) -> dict[str, Any]:
    """All values: JSON content."""
    start, alone = probe.drawn(torch.zeros_like(probe.sentence)), np.empty((2, len(probe.w)), bool)
    for side in (0, 1):
        alone[side] = probe.drawn(probe.attributes[side])[side]
    sentence = probe.drawn(probe.sentence)
    added = (F.cosine_similarity(probe.attributes.flatten(2), probe.sentence.flatten(1)[None], dim=2) <= 0).numpy()
    whole, pairs = {0.0: sentence.all(0)}, np.array(["+".join(names) for names in zip(*probe.literals, strict=True)])
    for scale in SCALES:
        sides = zip(probe.sentence, *probe.attributes, strict=True)
        whole[scale] = probe.drawn(torch.stack([adjust(s, directions, scale) for s, *directions in sides])).all(0)
    _, pair_of_image = np.unique(pairs, return_inverse=True)
    images = np.bincount(pair_of_image)
    share = {scale: np.bincount(pair_of_image, hits) / images for scale, hits in whole.items()}  # of each pair, [P]
    rows = []
    for scale in SCALES:
        gap = between_samples(share[scale], share[0.0])
        interval = cluster_mean_interval(share[scale] - share[0.0], np.arange(len(images)), seed=0)
        rows.append(
            {"added": scale, "whole": float(whole[scale].mean()), "more": gap.value, "ci": list(interval), "p": gap.p}
        )
    length = {
        name: float(steps.flatten(-2).norm(dim=-1).mean())
        for name, steps in (("sentence", probe.sentence), ("attribute", probe.attributes))
    }
    return {
        "weights": probe.weights,
        "pairs": len(set(pairs)),
        "images": len(pairs),
        "length": length,
        "start": float(start.mean()),
        "attribute_alone": float(alone.mean()),
        "sentence": float(sentence.mean()),
        "share_added": float(added.mean()),
        "sentence_where_added": float(sentence[added].mean()),
        "sentence_elsewhere": float(sentence[~added].mean()),
        "sentence_whole": float(whole[0.0].mean()),
        "attributes_whole": float(probe.drawn(probe.attributes.sum(0)).all(0).mean()),
        "adjusted": rows,
    }


def told(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """Lines of the table."""
    count, length = f"{2 * content['images']:,}", content["length"]
    lines = [
        ("the latent as it is shows an attribute", count, f"{content['start']:.3f}", ""),
        (
            f"an attribute's direction alone (length {length['attribute']:.1f}) draws it",
            count,
            f"{content['attribute_alone']:.3f}",
            "",
        ),
        (
            f"the sentence's direction (length {length['sentence']:.1f}) draws an attribute",
            count,
            f"{content['sentence']:.3f}",
            "",
        ),
        ("attributes that the adjustment adds: cosine of at most 0", count, f"{content['share_added']:.3f}", ""),
        ("the sentence's direction draws those", "", f"{content['sentence_where_added']:.3f}", ""),
        ("the sentence's direction draws the others", "", f"{content['sentence_elsewhere']:.3f}", ""),
        (
            "the sentence's direction draws the pair whole",
            f"{content['images']:,}",
            f"{content['sentence_whole']:.3f}",
            "",
        ),
    ]
    lines.append(
        (
            "both attributes' directions, without the sentence's, draw it whole",
            "",
            f"{content['attributes_whole']:.3f}",
            "",
        )
    )
    for row in content["adjusted"]:
        low, high = row["ci"]
        gap = f"{row['more']:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(
            (
                f"the sentence's, with directions of length {row['added']:.0f} added",
                f"{content['images']:,}",
                f"{row['whole']:.3f}",
                gap,
            )
        )
    return lines


if __name__ == "__main__":
    main()
