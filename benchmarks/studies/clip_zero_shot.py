"""What makes a small CLIP see a mouth: short trainings with and without the heads, and the networks of the zoo.

python benchmarks/studies/clip_zero_shot.py results/studies [--steps 300] [--clips NAME ...] [--set bfloat16=false]

The arm "minimal pairs" fills half of each batch with groups of images of one face that differ in one attribute alone,
with captions that differ in the phrase for it alone.

Writes clip_zero_shot.json and .md. An arm that the file holds with the same settings is not trained again, so a study
that was stopped goes on by the same command. All figures are of the first 1,000 images of the split `val`, which no
CLIP learned from.

- zero-shot: the accuracy of every attribute over the vocabulary's own phrases (`networks/clip/zero_shot.py`).
- texts: the mean cosine between the texts of two different mouths. At 1 the text tower knows no mouth.
- one word wrong: how often the cosine of an image is higher with its own caption than with the same caption in which
  one phrase names another value. Chance is 0.5.
"""

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from t2ibench.core import storage
from t2ibench.core.images import pixel_hash
from t2ibench.core.seeds import derive_seed, permutation
from t2ibench.core.settings import configure, settings_of
from t2ibench.data.split import Split, join
from t2ibench.data.stores import ArrayImages
from t2ibench.datasets import avatars
from t2ibench.datasets.avatars.grammar import Choices, caption
from t2ibench.datasets.avatars.model import read_model
from t2ibench.networks import weights
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.zero_shot import value_texts, zero_shot
from t2ibench.networks.models import Models
from t2ibench.networks.schedule import batch_rows
from t2ibench.networks.training import clip as training
from t2ibench.networks.training.clip_validation import retrieval_numbers

ARMS: dict[str, dict[str, Any]] = {
    "captions and values": {"heads": 0.0, "attributes": 1.0},  # the losses of the first guide and judge
    "values ten times": {"heads": 0.0, "attributes": 10.0},
    "minimal pairs": {"heads": 0.0, "attributes": 1.0, "faces": 600},
    "heads": {},
}
CLIPS = ["clip-guide-avatars", "clip-judge-avatars", "clip-guide-avatars-2", "clip-judge-avatars-2"]
ATTRIBUTES = ("mouth", "clothing", "facial_hair")
IMAGES, CAPTIONS = 1000, 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--clips", nargs="*", default=CLIPS)
    parser.add_argument("--set", nargs="*", default=[], help="settings of all arms, key=value")
    arguments = parser.parse_args()
    path = arguments.out / "clip_zero_shot.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {"clips": {}, "arms": {}}
    val = avatars.load(avatars.Config(), "val").take(range(IMAGES))
    for name in arguments.clips:
        content["clips"][name] = figures(Models().clip(name), val)
        write(arguments.out, content)
    for name in arguments.arms:
        settings = {**settings_of(arguments.set), **ARMS[name], "steps": arguments.steps}
        if content["arms"].get(name, {}).get("settings") != settings:
            content["arms"][name] = {"settings": settings, **figures(trained(settings), val)}
            write(arguments.out, content)


def trained(settings: Mapping[str, Any]) -> Clip:
    """A guide after so many steps of the usual schedule, whose other settings are the recipe's own."""
    given = {**asdict(training.DEFAULTS["guide"]), **settings}
    steps, faces = given.pop("steps"), given.pop("faces", 0)
    learn, check = training.SPLITS["guide"]
    *splits, val = (avatars.load(avatars.Config(), split) for split in (*learn, check))
    config, device = configure(training.Config, given, "study"), torch.device("cpu")
    if faces:
        pairs, sizes = minimal_pairs(faces)
        recipe: training.ClipRecipe = PairsRecipe(sizes, config, join([*splits, pairs]), val)
    else:
        recipe = training.ClipRecipe("guide", config, join(splits), val, 0, device)
    for index in range(steps):
        recipe.step(index, index / steps)
    tensors, network = recipe.result()
    return Clip.from_zoo(weights.Weights("study", tensors, json.loads(json.dumps(network)), {}, ""))


class PairsRecipe(training.ClipRecipe):
    """A guide, half of whose batch are groups of `minimal_pairs`. These are the last rows of its split.

    sizes: of the groups.
    """

    def __init__(self, sizes: Sequence[int], config: training.Config, train: Split, val: Split) -> None:
        super().__init__("guide", config, train, val, 0, torch.device("cpu"))
        self.bounds = len(train) - sum(sizes) + np.cumsum([0, *sizes])  # the first row of each group, and the end

    def rows(self, index: int) -> np.ndarray:
        half = self.config.batch // 2
        groups = batch_rows(derive_seed(self.seed, "groups"), index, len(self.bounds) - 1, half // 2)
        grouped = np.concatenate([np.arange(self.bounds[k], self.bounds[k + 1]) for k in groups])[:half]
        return np.concatenate([batch_rows(self.seed, index, int(self.bounds[0]), half), grouped])


def minimal_pairs(faces: int) -> tuple[Split, list[int]]:
    """For each face and attribute a group of images, one for each value that has a name; and the sizes of the groups.

    The captions of a group differ only in how they name the value. An attribute that a face hides has no group.
    """
    model, seeds, changes, captions, sizes = read_model(), [], [], [], []
    for seed, attribute in itertools.product(range(faces), ATTRIBUTES):
        drawn = model.sample(derive_seed("avatars", "edited", seed))
        rows = [{attribute: value} for value in model.vocabulary.phrases[attribute]]
        if model.visible(drawn)[attribute] is None:
            continue
        for k in itertools.count():
            stream = derive_seed("pairs", seed, k)
            said = [caption(model, model.visible({**drawn, **row}), Choices(stream)) for row in rows]
            if any(literal.startswith(f"{attribute}=") for literal in said[0][1]):
                break
        seeds, changes, captions = seeds + [seed] * len(rows), changes + rows, captions + [(text,) for text, _ in said]
        sizes.append(len(rows))
    images = avatars.edited_images(avatars.Config(), seeds, changes)
    store = ArrayImages(images, [pixel_hash(image) for image in images])
    return Split("avatars", "pairs", [f"pairs-{row}" for row in range(len(seeds))], store, captions), sizes


def figures(clip: Clip, split: Split) -> dict[str, Any]:
    return {
        "zero_shot": zero_shot(clip, split),
        "texts": round(text_cosine(clip, split, "mouth"), 4),
        "one_word_wrong": {name: round(one_word_wrong(clip, split, name), 4) for name in ATTRIBUTES},
        "r_precision": retrieval_numbers(clip, split)["r_precision"],
    }


def text_cosine(clip: Clip, split: Split, attribute: str) -> float:
    """The mean cosine between the texts of two different values of an attribute."""
    assert split.vocabulary is not None
    means = [clip.encode_texts(texts).mean(0) for texts in value_texts(split.vocabulary)[attribute].values()]
    cosines = F.normalize(torch.stack(means), dim=1) @ F.normalize(torch.stack(means), dim=1).T
    return float(cosines[~torch.eye(len(means), dtype=torch.bool)].mean())


def one_word_wrong(clip: Clip, split: Split, attribute: str) -> float:
    """How often an image is nearer to its own caption than to one that names another value of the attribute."""
    triples = wrong_captions(split, attribute)
    chosen = [triples[k] for k in permutation(0, len(triples))[:CAPTIONS]]
    rows = sorted({row for row, _, _ in chosen})
    images = dict(zip(rows, clip.encode_images(torch.from_numpy(split.images.read(np.array(rows)))), strict=True))
    shown = torch.stack([images[row] for row, _, _ in chosen])
    right, wrong = (clip.encode_texts([triple[k] for triple in chosen]) for k in (1, 2))
    return float(((shown * right).sum(1) > (shown * wrong).sum(1)).double().mean())


def wrong_captions(split: Split, attribute: str) -> list[tuple[int, str, str]]:
    """Images, their captions, and the same captions with another value of the attribute.

    The phrase for the value is replaced by one of the same kind ("is", "has", "wears"), so the sentence stays right.
    """
    assert split.vocabulary is not None
    assert split.mentions is not None
    vocabulary, triples = split.vocabulary, []
    said = {
        value: [*phrases, *vocabulary.also.get(f"{attribute}={value}", ())]
        for value, phrases in vocabulary.phrases[attribute].items()
    }
    for row, (captions, mentions) in enumerate(zip(split.captions, split.mentions, strict=True)):
        for text, literals in zip(captions, mentions, strict=True):
            for value in (literal.partition("=")[2] for literal in literals if literal.startswith(f"{attribute}=")):
                present = [phrase for phrase in said[value] if phrase[1] in text]
                if not present:  # it is said together with a colour
                    continue
                kind, words = max(present, key=lambda phrase: len(phrase[1]))
                for other, phrases in said.items():
                    same_kind = [new for new_kind, new in phrases if new_kind == kind]
                    if other != value and same_kind:
                        triples.append((row, text, text.replace(words, same_kind[0], 1)))
    return triples


def write(out: Path, content: Mapping[str, Any]) -> None:
    storage.publish(out / "clip_zero_shot.json", (json.dumps(content, indent=1) + "\n").encode())
    storage.publish(out / "clip_zero_shot.md", ("\n".join(markdown(content)) + "\n").encode())


def markdown(content: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Zero-shot accuracy of the first {IMAGES:,} images of `val`; made by "
        "`python benchmarks/studies/clip_zero_shot.py results/studies --set bfloat16=false`.",
        "",
        "| CLIP | mouth | clothing | facial hair | least of the others | cosine of mouths' texts "
        "| one word wrong: mouth | clothing | facial hair | R-precision |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    arms = {f"{name}, {row['settings']['steps']} steps": row for name, row in content["arms"].items()}
    for name, row in {**content["clips"], **arms}.items():
        others = min(share for attribute, share in row["zero_shot"].items() if attribute not in ATTRIBUTES)
        numbers = [*(row["zero_shot"][name] for name in ATTRIBUTES), others, row["texts"]]
        numbers += [*row["one_word_wrong"].values(), row["r_precision"]]
        lines.append(f"| {name} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
    return lines


if __name__ == "__main__":
    main()
