"""A sheet of drawn samples for each cell, which stays beside the records where the images do not.

It shows DRAWN samples at even distances in the list of all, never chosen by their look. A file beside it names them.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.core.mirrors import fetched
from t2ibench.core.storage import publish
from t2ibench.report.gallery import cell_folder
from t2ibench.runner import journal
from t2ibench.runner.journal import Outcome

DRAWN, COLUMNS, SIDE, GAP = 48, 8, 96, 4
EMPTY = (226, 228, 234)  # the colour of a sample without an image
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """A sheet and what is on it, row by row.

    record: the cell.
    content: the image file, a WebP.
    width, height: its pixels.
    texts: the prompt of each sample, with the outcome behind it where that is not "ok".
    total: how many samples the cell has.
    """

    record: Record
    content: bytes
    width: int
    height: int
    texts: Sequence[str]
    total: int


def path_of(folder: Path, record: Record) -> Path:
    """Where the sheet of a cell lies in an output folder. A JSON file beside it says what is on it."""
    names = (record["suite"], record["track"], record["method"])
    return folder.joinpath("sheets", *names, f"{record['seed']}.webp")


def draw(record: Record, work: Path, out: Path) -> Path | None:
    """Write the sheet of a cell, unless it is there, and return its path. None where the images are not there.

    work: the folder of the images. out: the folder of the records.
    """
    path, folder = path_of(out, record), cell_folder(work, record)
    if read(record, out) is not None:
        return path
    outcomes = list(journal.read(folder / "journal.jsonl").values())
    if not outcomes:
        return None
    places = np.linspace(0, len(outcomes) - 1, min(DRAWN, len(outcomes))).astype(int)
    chosen = [outcomes[place] for place in places]
    buffer = io.BytesIO()
    sheet(chosen, folder).save(buffer, "WEBP", quality=80, method=4)
    said = {
        "images": record["images"],
        "total": len(outcomes),
        "texts": [o.text if o.status == "ok" else f"{o.text} ({o.status})" for o in chosen],
    }
    publish(path, buffer.getvalue())
    publish(path.with_suffix(".json"), (json.dumps(said, indent=1) + "\n").encode())
    return path


def sheet(chosen: Sequence[Outcome], folder: Path) -> Image.Image:
    """The images of samples in rows of COLUMNS; an empty square for one without an image."""
    rows = -(-len(chosen) // COLUMNS)
    size = (COLUMNS * (SIDE + GAP) - GAP, rows * (SIDE + GAP) - GAP)
    drawn = Image.new("RGB", size, (255, 255, 255))
    for i, outcome in enumerate(chosen):
        at = (i % COLUMNS * (SIDE + GAP), i // COLUMNS * (SIDE + GAP))
        path = folder / "images" / f"{outcome.sample}.png"
        if outcome.sha256 and fetched(path).exists():
            with Image.open(path) as image:
                drawn.paste(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), at)
        else:
            drawn.paste(EMPTY, (*at, at[0] + SIDE, at[1] + SIDE))
    return drawn


def read(record: Record, out: Path) -> Sheet | None:
    """The sheet of a cell; None where there is none of these images. Raises UserError for a damaged one."""
    path = path_of(out, record)
    if not path.exists() or not path.with_suffix(".json").exists():
        return None
    try:
        said = json.loads(path.with_suffix(".json").read_text("utf-8"))
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            size, kind = image.size, image.format
        texts, total = [str(text) for text in said["texts"]], int(said["total"])
        if kind != "WEBP" or len(texts) > DRAWN:
            raise ValueError(f"found {kind} with {len(texts)} texts")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a sound sheet of samples ({error}): remove it, a run draws it anew") from error
    return Sheet(record, content, *size, texts, total) if said["images"] == record["images"] else None
