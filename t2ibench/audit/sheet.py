"""An audit's images are drawn: as many of each judged cell, in an order that tells nothing."""

import base64
import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from t2ibench import pair_prompts, records
from t2ibench.audit import COLUMNS, FORM, KEY, TEMPLATE, Audit, Item
from t2ibench.correction import cell_index
from t2ibench.data import Vocabulary
from t2ibench.errors import UserError
from t2ibench.evidence import Evidence
from t2ibench.images import encode_png
from t2ibench.metrics.compositional_accuracy import Config, literal_hits
from t2ibench.pair_judge import pair_judge
from t2ibench.seeds import derive_seed, permutation

ROLES = ("rare", "near_unseen")  # the pairs that the headline is of


def drawn(evidence: Evidence, config: Config, suite: str, method: str, count: int, seed: int) -> tuple[Audit, np.ndarray]:
    """An audit of `count` images of under-represented pairs, and the images, uint8 [n, 3, H, W].

    Raises UserError where the suite asks for no such pairs, and for fewer images than judged cells.
    """
    if count < 4:
        raise UserError(f"audit: {count} images, expected 4 or more: one of each judged cell")
    samples = evidence.samples(pair_prompts.GROUP)
    rows = [row for row in samples.rows if set(ROLES) & set(samples.prompts[row].tags["roles"])]
    if not rows:
        raise UserError(f"audit: {method} has no image of an under-represented pair in {suite}")
    pairs = [tuple(samples.prompts[row].tags["literals"]) for row in rows]
    literals = tuple(dict.fromkeys(itertools.chain(*pairs)))
    judge = pair_judge(evidence, config.probe, config.groups)
    hits = literal_hits(evidence, judge, pair_prompts.GROUP, literals)[rows]
    places = np.array([[literals.index(literal) for literal in pair] for pair in pairs])
    cells = cell_index(*np.take_along_axis(hits, places, axis=1).T)
    own = derive_seed("audit", suite, method, seed)
    chosen = stratified(cells, count, own)
    chosen = [chosen[place] for place in permutation(derive_seed(own, "order"), len(chosen))]
    vocabulary = evidence.train.vocabulary
    assert vocabulary is not None  # else there are no pairs
    items = [
        Item(
            image=f"{number:03d}",
            pair=(pairs[at][0], pairs[at][1]),
            said=(statement(vocabulary, pairs[at][0]), statement(vocabulary, pairs[at][1])),
            cell=int(cells[at]),
            prompt=samples.prompts[rows[at]].id,
            k=int(samples.k[rows[at]]),
        )
        for number, at in enumerate(chosen, 1)
    ]
    images = samples.store.read([rows[at] for at in chosen])
    population = tuple(int(n) for n in np.bincount(cells, minlength=4))
    facts = [
        suite,
        method,
        seed,
        dict(judge.protocol),
        population,
        [asdict(item) for item in items],
        [samples.hashes[rows[at]] for at in chosen],
    ]
    return Audit(records.digest(facts)[:16], suite, method, seed, dict(judge.protocol), population, items), images


def stratified(cells: np.ndarray, count: int, seed: int) -> list[int]:
    """Rows of `count` images, or of all there are: equally many of each cell, drawn at random; a cell that has less leaves its share."""
    order = permutation(seed, len(cells))
    turns = itertools.zip_longest(*(order[cells[order] == cell].tolist() for cell in np.unique(cells)))
    return [row for turn in turns for row in turn if row is not None][:count]


def statement(vocabulary: Vocabulary, literal: str) -> str:
    """What a rater is asked to confirm: "this person has long hair"."""
    return pair_prompts.single_text(vocabulary, literal, 0)


def write(audit: Audit, images: np.ndarray, folder: Path) -> None:
    """The form, its images, a table to fill in, and the key that raters do not need. Raises UserError where another audit lies there."""
    key = folder / KEY
    if key.exists() and json.loads(key.read_text("utf-8")).get("id") != audit.id:
        raise UserError(f"{folder} holds another audit: choose another folder with --out")
    files = [encode_png(image) for image in images]
    for item, content in zip(audit.items, files, strict=True):
        records.write_whole(folder / "images" / f"{item.image}.png", content)
    rows = [
        {"image": item.image, "said": item.said, "png": base64.b64encode(content).decode()}
        for item, content in zip(audit.items, files, strict=True)
    ]
    records.write_whole(folder / FORM, form(audit.id, rows).encode())
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*COLUMNS, "first says", "second says"])
    writer.writerows([audit.id, "", item.image, "", "", *item.said] for item in audit.items)
    records.write_whole(folder / TEMPLATE, table.getvalue().encode())
    records.write_whole(key, (json.dumps(records.seal(asdict(audit)), indent=1, ensure_ascii=False) + "\n").encode())


def form(id: str, rows: Sequence[Mapping[str, object]]) -> str:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.PackageLoader("t2ibench", "audit"), autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("form.html.j2").render(audit=id, rows=rows)
