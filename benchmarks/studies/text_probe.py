"""What of a caption stands in its embedding? A linear probe of every attribute that captions name.

python benchmarks/studies/text_probe.py [ENCODER ...] [--out results/studies]

ENCODER: the name of a CLIP or of a character encoder of GAN-CLS.

Writes text_probe.json and .md. For each attribute of `avatars`, ridge regression onto its values, from the embeddings
of the captions of the split `train` that name it (the first caption of each image); the figure is how often the
largest output is the right value, on captions of `val`. All encoders see the same captions. Minutes.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2ibench.core import storage
from t2ibench.data.dataset import opened
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.loading import text_encoder
from t2ibench.networks.models import Models

ENCODERS = ["char-cnn-rnn-avatars", "char-cnn-rnn-avatars-2", "clip-guide-avatars", "clip-guide-avatars-2"]
RIDGE = 1e-3  # of the mean of the squared features
Named = tuple[list[int], list[str]]  # rows of captions that name an attribute, and the values that they name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", default=ENCODERS, metavar="ENCODER")
    parser.add_argument("--out", type=Path, help="also write the table there")
    arguments = parser.parse_args()
    data, models = opened("avatars", {}), Models()
    splits = [data.split(name) for name in ("train", "val")]
    found = {name: probed(embedder(name, models), *splits) for name in arguments.encoders}
    text = page(found)
    print(text)
    if arguments.out is not None:
        content = (json.dumps(found, indent=1) + "\n").encode()
        storage.publish(arguments.out / "text_probe.json", [content])
        storage.publish(arguments.out / "text_probe.md", [text.encode()])


def embedder(name: str, models: Models) -> Callable[[list[str]], Tensor]:
    """From N texts to float [N, D]."""
    if name.startswith("clip-"):
        return models.clip(name).encode_texts
    return text_encoder(name, models).embed


def probed(embed: Callable[[list[str]], Tensor], learned: Split, held_out: Split) -> dict[str, float]:
    """The accuracy of every attribute on captions of `held_out`, of a probe that learned from those of `learned`."""
    sides = []
    for split in (learned, held_out):
        texts = [captions[0] for captions in split.captions]
        unique = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(unique)}
        with torch.no_grad():
            features = embed(unique).double().numpy()
        sides.append((features[[place[text] for text in texts]], named(split)))
    (x, said), (x_test, said_test) = sides
    return {
        attribute: accuracy(x, said[attribute], x_test, said_test[attribute])
        for attribute in sorted(said)
        if len(set(said[attribute][1])) > 1
    }


def named(split: Split) -> dict[str, Named]:
    """For each attribute the rows whose first caption names it, and its value there."""
    assert split.mentions is not None
    found: dict[str, Named] = {}
    for row, mentions in enumerate(split.mentions):
        for literal in mentions[0]:
            attribute, _, value = literal.partition("=")
            rows, values = found.setdefault(attribute, ([], []))
            rows.append(row)
            values.append(value)
    return found


def accuracy(x: np.ndarray, said: Named, x_test: np.ndarray, said_test: Named) -> float:
    """Ridge regression from features onto values; the share of test rows whose largest output is right."""
    rows, values = said
    names = sorted(set(values))
    features, mean = x[rows], x[rows].mean(0)
    targets = np.array([[value == name for name in names] for value in values], float)
    centred = features - mean
    gram = centred.T @ centred
    penalty = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + penalty, centred.T @ (targets - targets.mean(0)))
    outputs = (x_test[said_test[0]] - mean) @ weights + targets.mean(0)
    return float(
        np.mean([names[column] == value for column, value in zip(outputs.argmax(1), said_test[1], strict=True)])
    )


def page(found: dict[str, dict[str, float]]) -> str:
    """The table as Markdown: a row an attribute, and the worst."""
    encoders: Sequence[str] = list(found)
    attributes = list(found[encoders[0]])
    lines = [
        "# What of a caption stands in its embedding",
        "",
        "Made by `python benchmarks/studies/text_probe.py --out results/studies`.",
    ]
    lines += [
        "",
        f"| attribute | {' | '.join(f'`{Path(name).name}`' for name in encoders)} |",
        f"|---|{'---:|' * len(encoders)}",
    ]
    for attribute in attributes:
        lines.append(f"| {attribute} | {' | '.join(f'{found[name][attribute]:.3f}' for name in encoders)} |")
    lines.append(f"| *worst* | {' | '.join(f'{min(found[name].values()):.3f}' for name in encoders)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
