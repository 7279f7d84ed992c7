"""`generate`, `show` and `prompts`: what a method makes of your texts, what is in a data set, and what a suite asks for."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from t2ibench import plugins, records, runner, sheets, suite
from t2ibench.cells import Sample
from t2ibench.commands.datasets import opened, settings_of
from t2ibench.errors import UserError, did_you_mean
from t2ibench.progress import counter
from t2ibench.suite import Entry
from t2ibench.tracks import Prompt

BATCH, MOST = 64, 10_000
TEXT_TO_IMAGE = "text_to_image"


def generate_sheet(id: str, prompts: Sequence[str], seeds: str, out: Path, settings: Sequence[str], device: str) -> None:
    """A row a prompt, a column a seed."""
    known = plugins.method_ids()
    if id not in known:
        raise UserError(f"no method is called {id!r}{did_you_mean(id, known)}")
    plugin, variant = known[id]
    columns = seeds_of(seeds)
    maker = runner.method_maker(Entry(id, plugin, {**variant, **settings_of(settings)}, "method"), TEXT_TO_IMAGE, "generate", device)
    samples = [Sample(Prompt(text, text), k, seed) for text in prompts for k, seed in enumerate(columns)]
    images: list[np.ndarray] = []
    with counter(f"{id}: images", total=len(samples)) as advance:
        for start in range(0, len(samples), BATCH):
            block = samples[start : start + BATCH]
            try:
                images.extend(maker.make(block).cpu().numpy())
            except (ValueError, ArithmeticError) as error:
                raise UserError(f"{id} cannot make these images: {error}") from error
            advance(len(block))
    rows = [images[start : start + len(columns)] for start in range(0, len(images), len(columns))]
    sheets.save(sheets.table(rows, prompts, [f"seed {seed}" for seed in columns], margin=220), out)
    print(out)


def seeds_of(text: str) -> list[int]:
    """ "0-3,7" is 0, 1, 2, 3, 7. Raises UserError for anything else, and for more than ten thousand."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"--seeds {text!r}: found {part!r}, expected numbers and ranges such as 0-15 or 0,3,7")
        if int(last or first) - int(first) >= MOST:
            raise UserError(f"--seeds {text!r}: at most {MOST:,} are drawn at once")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def show_dataset(name: str, split: str, count: int, columns: int, out: Path | None) -> None:
    """The first images of a split, with the first of their captions."""
    load, facts = opened(name)
    found = load(split)
    rows = range(min(count, len(found)))
    captions = [next(iter(found.captions[row]), "(no caption)") for row in rows]
    path = out or Path(f"{facts['name']}-{split}.png")
    sheets.save(sheets.captioned(list(found.images.read(rows)), captions, min(columns, len(rows))), path)
    print(path)


def write_prompts(name: str, seed: int, out: Path) -> None:
    """A line for every image of text that a suite asks for, in the format of the method image_folder."""
    plans = {plan.track: plan for plan in runner.prepare(suite.load(name))}
    if TEXT_TO_IMAGE not in plans:
        raise UserError(f"{name} has no track {TEXT_TO_IMAGE}, and other tracks ask for more than images of texts")
    asked = plans[TEXT_TO_IMAGE].of_track.samples(plans[TEXT_TO_IMAGE].prompts, seed)
    rows = [{"file_name": f"{s.id}.png", "text": s.prompt.text, "seed": s.seed, "prompt": s.prompt.id, "k": s.k} for s in asked]
    records.write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    print(f"{out}: {len(rows):,} images")
