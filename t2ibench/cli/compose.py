"""`compose`: tasks of conditions tried on your own images and texts, with a sheet of what went in and what came
out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2ibench.cli.options import Device
from t2ibench.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from t2ibench.tracks.compose_tasks import Task
    from t2ibench.tracks.contract import Compose, Source

COMPOSE = "compose"
GIVE = {"A": "--image", "B": "--other", "text": "--text"}


@dataclass(frozen=True)
class Given:
    """What the user gave beside tasks: paths of images or DATASET/SPLIT/ROW, a text, and what stands in for a
    standard hole or edit.
    """

    image: str | None = None
    other: str | None = None
    text: str | None = None
    mask: str = "middle"
    edit: str | None = None
    sketch: Path | None = None
    silhouette: Path | None = None


def compose_images(
    names: Sequence[str], given: Given, id: str, seeds: str, out: Path, settings: Sequence[str], device: str
) -> None:
    """A row a task, a column a seed; tasks that go from A to B do so from the first column to the last, with the
    first noise.

    Writes `out`/sheet.png, and every image as `out`/<task>-<seed>.png (its number from A to B).
    """
    from t2ibench.cli.generate import entry_of, made_by, seeds_of
    from t2ibench.core.files import write_whole
    from t2ibench.core.images import encode_png
    from t2ibench.report import sheets
    from t2ibench.runner import methods
    from t2ibench.tracks import compose_tasks

    tasks = {name: edited(compose_tasks.find(name, "compose: --task"), given.edit) for name in names}
    for name, task in tasks.items():
        check(name, task, given)
    numbers = seeds_of(seeds)
    a, b = (None if path is None else source_of(path) for path in (given.image, given.other))
    maker = methods.method_maker(entry_of(id, settings), COMPOSE, COMPOSE, device)
    left, rows = [], []
    for name, task in tasks.items():
        asked = requests(task, a, b, given, numbers)
        left_out(name, task, asked[0], id, exact=getattr(maker.method, "needs_parts", False))
        made = made_by(id, maker.method.compose, asked)
        for i, image in enumerate(made):
            number = i if asked[0].position != asked[-1].position else numbers[i]
            write_whole(out / f"{name}-{number}.png", encode_png(image))
        left.append(f"{name}: {task.about}")
        rows.append([*before(task, asked[0]), *made])
    top = ["A", "B", "edited or known", *(f"seed {seed}" for seed in numbers)]
    there = [column for column in range(len(top)) if column > 2 or any(row[column] is not None for row in rows)]
    sheets.save(
        sheets.table([[row[c] for c in there] for row in rows], left, [top[c] for c in there], margin=220),
        out / "sheet.png",
    )
    print(out / "sheet.png")


def edited(task: Task, edit: str | None) -> Task:
    """The task with the user's kind of edit. Raises UserError for an unknown one."""
    from t2ibench.tracks import compose_tasks

    if edit is None or not task.edit:
        return task
    if edit not in compose_tasks.EDITS:
        raise UserError(
            f"--edit {edit!r}: expected one of "
            f"{', '.join(compose_tasks.EDITS)}{did_you_mean(edit, compose_tasks.EDITS)}"
        )
    return replace(task, edit=edit)  # type: ignore[arg-type]  # one of EDITS


def check(name: str, task: Task, given: Given) -> None:
    """Raises UserError for a source that a task needs and that is not given."""
    letters = task.c2.get("edited", "")
    drawn = any(
        path is not None and letter in letters for letter, path in (("S", given.sketch), ("G", given.silhouette))
    )
    there = {"A": given.image, "B": "drawn" if drawn and task.edit == "other" else given.other, "text": given.text}
    for source, option in GIVE.items():
        if source in task.needs and there[source] is None:
            raise UserError(f"compose: {name} is made of {task.about}: give {option}")


def requests(task: Task, a: Source | None, b: Source | None, given: Given, seeds: Sequence[int]) -> list[Compose]:
    """One for each seed; of what lies between A and B, from A to B with the noise of the first seed."""
    import numpy as np

    from t2ibench.tracks.compose import request
    from t2ibench.tracks.contract import Source

    side = next((source.image.shape[-1] for source in (a, b) if source is not None and source.image is not None), 64)
    hole = known(given.mask, side) if task.has_hole else None
    moves = "between" in task.c2
    positions = np.linspace(0, 1, len(seeds)).tolist() if moves and len(seeds) > 1 else [0.5] * len(seeds)
    asked = []
    for seed, position in zip([seeds[0]] * len(seeds) if moves else seeds, positions, strict=True):
        one = request(task, a or Source(), b, seed, hole, position, drawn(given))
        sources = dict(one.sources) | ({"text": Source(caption=given.text)} if "text" in task.needs else {})
        asked.append(replace(one, sources=sources))
    return asked


def drawn(given: Given) -> Source | None:
    """What the user drew in place of an edit: dark strokes on white, or a white silhouette on black."""
    import numpy as np

    from t2ibench.tracks.contract import Source

    if given.sketch is None and given.silhouette is None:
        return None
    strokes = None if given.sketch is None else (1 - square(given.sketch).mean(0) / 255).astype(np.float32)
    silhouette = None if given.silhouette is None else (square(given.silhouette).mean(0) > 127).astype(np.uint8)
    return Source(strokes=strokes, silhouette=silhouette)


def source_of(text: str) -> Source:
    """An image file, or an image of a data set with its caption and its exact parts.

    Raises UserError for what is neither.
    """
    from t2ibench.data.dataset import opened
    from t2ibench.tracks.compose import caption
    from t2ibench.tracks.contract import Source

    found = re.fullmatch(r"([A-Za-z_]\w*)/([\w-]+)/(\d+)", text)
    if Path(text).exists() or found is None:
        return Source(square(Path(text)))
    name, part, row = found[1], found[2], int(found[3])
    split = opened(name)[0](part)
    if row >= len(split):
        raise UserError(f"{text}: {name} {part} has {len(split):,} images, the last is {len(split) - 1}")
    parts = None if split.masks is None else split.masks.read([row])[0]
    return Source(split.images.read([row])[0], parts, caption=caption(split, row))


def square(path: Path) -> np.ndarray:
    """The middle of an image file, uint8 [3, S, S]."""
    import numpy as np

    from t2ibench.core.images import read_image

    image = read_image(path).transpose(2, 0, 1)
    side = min(image.shape[1:])
    top, left = ((extent - side) // 2 for extent in image.shape[1:])
    return np.ascontiguousarray(image[:, top : top + side, left : left + side])


def known(mask: str, side: int) -> np.ndarray:
    """Where A is known, bool [side, side]: a hole in the middle, a half of the image, or where a file is not white."""
    import numpy as np
    import torch

    from t2ibench.data.representations.masks import middle

    found = middle(1, side)[0, 0].numpy() > 0
    half = side // 2
    halves: dict[str, Any] = {
        "upper": np.s_[:half],
        "lower": np.s_[half:],
        "left": np.s_[:, :half],
        "right": np.s_[:, half:],
    }
    if mask in halves:
        found[:] = True
        found[halves[mask]] = False
    elif mask != "middle":
        white = torch.from_numpy(square(Path(mask)).mean(0) > 127)[None, None].float()
        found = torch.nn.functional.interpolate(white, (side, side), mode="area")[0, 0].numpy() == 0
    if found.all() or not found.any():
        raise UserError(
            f"--mask {mask}: {'nothing' if found.all() else 'everything'} is to be drawn anew: white is, black stays"
        )
    return found


def left_out(name: str, task: Task, asked: Compose, id: str, *, exact: bool) -> None:
    """Says in one line which conditions a source lacks. Raises UserError where none is left."""
    from t2ibench.tracks.compose_tasks import NAMES

    lacking = [
        letter
        for letter, source in task.given.items()
        if (exact and letter in "GD" and source in asked.sources and asked.sources[source].parts is None)
        or (letter == "T" and source in asked.sources and asked.sources[source].caption is None)
    ]
    if not lacking:
        return
    names = " and ".join(NAMES[letter] for letter in lacking)
    why = (
        "a file has no caption, and no exact parts, which the method reads: give an image of a data set, such as "
        "avatars/test/3"
    )
    if len(lacking) == len(task.given):
        raise UserError(f"compose: {name} is made of {names} alone; {why}")
    print(f"{name}: without {names}: {why}", file=sys.stderr)


def before(task: Task, asked: Compose) -> list[np.ndarray | None]:
    """A, B, and what was edited or is known, as far as the task looks at them."""
    import numpy as np

    a, b = (asked.sources[end].image if end in asked.sources else None for end in "AB")
    shown: Any = None
    if "edited" in asked.sources:
        source = asked.sources["edited"]
        shown = 255 - 255 * source.strokes if source.strokes is not None else 255.0 * (source.silhouette > 0)  # type: ignore[operator]
    elif asked.known is not None and a is not None:
        return [a, b, np.where(asked.known, a, 255).astype(np.uint8)]
    return [a, b, None if shown is None else np.repeat(shown.astype(np.uint8)[None], 3, 0)]


def compose(
    task: Annotated[
        list[str],
        typer.Option(
            "--task", "--recipe", help="What to take from which source; see `t2ibench list tasks`. May be given again."
        ),
    ],
    image: Annotated[
        str | None, typer.Option(help="A: an image file, or DATASET/SPLIT/ROW, which has a caption and exact parts.")
    ] = None,
    other: Annotated[str | None, typer.Option(help="B: another one.")] = None,
    text: Annotated[str | None, typer.Option(help="A caption.")] = None,
    mask: Annotated[
        str, typer.Option(help="middle, upper, lower, left, right, or an image: white is drawn anew.")
    ] = "middle",
    edit: Annotated[
        str | None, typer.Option(help="How an edited sketch or silhouette differs: other, shift, mirror, erase.")
    ] = None,
    sketch: Annotated[Path | None, typer.Option(help="Your own edited sketch: dark strokes on white.")] = None,
    silhouette: Annotated[Path | None, typer.Option(help="Your own edited silhouette: white on black.")] = None,
    method: Annotated[str, typer.Option(help="A method of the track compose.")] = "composer",
    seeds: Annotated[str, typer.Option(help="Seeds of the images, as 0-15 or 0,3,7.")] = "0-3",
    out: Annotated[Path, typer.Option(help="Folder of the images and of sheet.png.")] = Path("composed"),
    set: Annotated[list[str] | None, typer.Option("--set", help="A setting of the method, key=value.")] = None,
    device: Device = "cpu",
) -> None:
    """Put images together from conditions of your images and texts: colouring, variations, style, poses, regions and
    more.
    """

    given = Given(image, other, text, mask, edit, sketch, silhouette)
    compose_images(task, given, method, seeds, out, set or [], device)
