"""`compose`: tries tasks of composition on your own images and texts, and writes a sheet of inputs and results.

The sheet has a row a task and a column a seed. A task that goes from A to B does so from the first column to the last,
with the noise of the first seed. Its images are numbered from 0 instead of by their seeds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2ibench.cli.options import DATASET, Device, ForDataset
from t2ibench.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from t2ibench.tracks.compose_tasks import Task
    from t2ibench.tracks.contract import Compose, Source

COMPOSE = "compose"
GIVE = {"A": "--image", "B": "--other", "text": "--text"}


@dataclass(frozen=True)
class Given:
    """The sources that the user gave.

    image, other: A and B, each the path of an image or DATASET/SPLIT/ROW.
    text: a caption.
    mask: which part is drawn anew: the name of a region, or the path of an image.
    edit: the kind of edit in place of the task's own.
    sketch, silhouette: images that the user edited, in place of such an edit.
    """

    image: str | None = None
    other: str | None = None
    text: str | None = None
    mask: str = "middle"
    edit: str | None = None
    sketch: Path | None = None
    silhouette: Path | None = None


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
    dataset: ForDataset = DATASET,
    device: Device = "cpu",
) -> None:
    """Put images together from conditions of your images and texts: colouring, variations, style, poses, regions and
    more.
    """
    from t2ibench.cli.generate import entry_of, made_by, say_cut, seeds_of
    from t2ibench.runner.methods import method_maker

    given = Given(image=image, other=other, text=text, mask=mask, edit=edit, sketch=sketch, silhouette=silhouette)
    tasks = {name: task_of(name, given) for name in task}
    numbers = seeds_of(seeds)
    a, b = (None if source is None else source_of(source) for source in (image, other))
    maker = method_maker(entry_of(method, set or [], dataset), COMPOSE, COMPOSE, device)
    say_cut(maker, [text] if text else [])
    rows = []
    for name, what in tasks.items():
        wanted = requests(what, a, b, given, numbers)
        left_out(name, what, wanted[0], method, exact=maker.method.needs_parts)
        made = made_by(method, maker.method.compose, wanted)
        moves = wanted[0].position != wanted[-1].position
        write_images(out, name, made, range(len(made)) if moves else numbers)
        rows.append([*before(what, wanted[0]), *made])
    write_sheet(out / "sheet.png", tasks, rows, numbers)
    print(out / "sheet.png")


def task_of(name: str, given: Given) -> Task:
    """The task of this name, with the user's kind of edit.

    Raises UserError for an unknown name or edit, and for a source that the task needs and the user did not give.
    """
    from t2ibench.tracks import compose_tasks

    task = edited(compose_tasks.find(name, "compose: --task"), given.edit)
    check(name, task, given)
    return task


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
    """Raises UserError for a source that the task needs and the user did not give."""
    letters = task.c2.get("edited", "")
    drawn = any(
        path is not None and letter in letters for letter, path in (("S", given.sketch), ("G", given.silhouette))
    )
    sources = {"A": given.image, "B": "drawn" if drawn and task.edit == "other" else given.other, "text": given.text}
    for source, option in GIVE.items():
        if source in task.needs and sources[source] is None:
            raise UserError(f"compose: {name} is made of {task.about}: give {option}")


def requests(task: Task, a: Source | None, b: Source | None, given: Given, seeds: Sequence[int]) -> list[Compose]:
    """One request for each seed.

    For a task between A and B, the requests go in steps from A to B instead, all with the noise of the first seed.
    """
    import numpy as np

    from t2ibench.tracks.compose import request
    from t2ibench.tracks.contract import Source

    side = next((source.image.shape[-1] for source in (a, b) if source is not None and source.image is not None), 64)
    hole = known(given.mask, side) if task.has_hole else None
    moves = "between" in task.c2
    positions = np.linspace(0, 1, len(seeds)).tolist() if moves and len(seeds) > 1 else [0.5] * len(seeds)
    result = []
    for seed, position in zip([seeds[0]] * len(seeds) if moves else seeds, positions, strict=True):
        one = request(task, a or Source(), b, seed, hole, position, drawn(given))
        sources = dict(one.sources) | ({"text": Source(caption=given.text)} if "text" in task.needs else {})
        result.append(replace(one, sources=sources))
    return result


def drawn(given: Given) -> Source | None:
    """What the user drew in place of an edit: a sketch, dark on white, or a silhouette, white on black; else None."""
    import numpy as np

    from t2ibench.tracks.contract import Source

    if given.sketch is None and given.silhouette is None:
        return None
    strokes = None if given.sketch is None else (1 - square(given.sketch).mean(0) / 255).astype(np.float32)
    silhouette = None if given.silhouette is None else (square(given.silhouette).mean(0) > 127).astype(np.uint8)
    return Source(strokes=strokes, silhouette=silhouette)


def source_of(text: str) -> Source:
    """The source that a text names: an image file, or DATASET/SPLIT/ROW, which has a caption and exact parts.

    Raises UserError for anything else.
    """
    from t2ibench.data.dataset import opened
    from t2ibench.tracks.compose import caption
    from t2ibench.tracks.contract import Source

    match = re.fullmatch(r"([A-Za-z_]\w*)/([\w-]+)/(\d+)", text)
    if Path(text).exists() or match is None:
        return Source(square(Path(text)))
    name, split_name, row = match[1], match[2], int(match[3])
    split = opened(name).split(split_name)
    if row >= len(split):
        raise UserError(f"{text}: {name} {split_name} has {len(split):,} images, the last is {len(split) - 1}")
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
    """Where A is known, bool [side, side].

    mask: "middle" (a hole in the middle), the half that is drawn anew, or an image file: where it is white, A is drawn
    anew. Raises UserError where nothing or everything would be drawn anew.
    """
    import numpy as np
    import torch

    from t2ibench.data.representations.masks import middle

    kept = middle(1, side)[0, 0].numpy() > 0
    half = side // 2
    halves: dict[str, Any] = {
        "upper": np.s_[:half],
        "lower": np.s_[half:],
        "left": np.s_[:, :half],
        "right": np.s_[:, half:],
    }
    if mask in halves:
        kept[:] = True
        kept[halves[mask]] = False
    elif mask != "middle":
        if not Path(mask).is_file():
            near = did_you_mean(mask, ["middle", *halves])
            raise UserError(f"--mask {mask}: no such file, and no region is called {mask!r}{near}")
        white = torch.from_numpy(square(Path(mask)).mean(0) > 127)[None, None].float()
        kept = torch.nn.functional.interpolate(white, (side, side), mode="area")[0, 0].numpy() == 0
    if kept.all() or not kept.any():
        raise UserError(
            f"--mask {mask}: {'nothing' if kept.all() else 'everything'} is to be drawn anew: white is, black stays"
        )
    return kept


def left_out(name: str, task: Task, asked: Compose, id: str, *, exact: bool) -> None:
    """Print which conditions a source lacks. Raises UserError where the task has no other condition."""
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
    parts = ", and no exact parts, which the method reads" if exact else ""
    why = f"a file has no caption{parts}: give an image of a data set, such as {DATASET}/test/3"
    if len(lacking) == len(task.given):
        raise UserError(f"compose: {name} is made of {names} alone; {why}")
    print(f"{name}: without {names}: {why}", file=sys.stderr)


def before(task: Task, asked: Compose) -> list[np.ndarray | None]:
    """The inputs that the sheet shows: A, B, and the edited drawing or the known part; None where there is none."""
    import numpy as np

    a, b = (asked.sources[end].image if end in asked.sources else None for end in "AB")
    shown: Any = None
    if "edited" in asked.sources:
        source = asked.sources["edited"]
        shown = 255 - 255 * source.strokes if source.strokes is not None else 255.0 * (source.silhouette > 0)  # type: ignore[operator]
    elif asked.known is not None and a is not None:
        return [a, b, np.where(asked.known, a, 255).astype(np.uint8)]
    return [a, b, None if shown is None else np.repeat(shown.astype(np.uint8)[None], 3, 0)]


def write_images(out: Path, name: str, images: Sequence[np.ndarray], numbers: Sequence[int]) -> None:
    """Write every image of a task as `out`/<task>-<number>.png."""
    from t2ibench.core.images import encode_png
    from t2ibench.core.storage import publish

    for number, image in zip(numbers, images, strict=True):
        publish(out / f"{name}-{number}.png", encode_png(image))


def write_sheet(
    path: Path, tasks: Mapping[str, Task], rows: Sequence[Sequence[np.ndarray | None]], seeds: Sequence[int]
) -> None:
    """Write a sheet with a row for each task. The columns of inputs that no task has are left out."""
    from t2ibench.report import sheets

    left = [f"{name}: {task.about}" for name, task in tasks.items()]
    top = ["A", "B", "edited or known", *(f"seed {seed}" for seed in seeds)]
    used = [column for column in range(len(top)) if column > 2 or any(row[column] is not None for row in rows)]
    sheets.save(sheets.table([[row[c] for c in used] for row in rows], left, [top[c] for c in used], margin=220), path)
