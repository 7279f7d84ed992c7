"""`generate` draws your texts with a method, `show` shows a data set, and `prompts` writes what a suite asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from t2ibench.cli.options import Device, png_file
from t2ibench.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from t2ibench.core.plugins import Entry

BATCH, MOST = 64, 10_000
TEXT_TO_IMAGE, EDIT, ADAPT = "text_to_image", "edit", "adapt"
R = TypeVar("R")  # a request of a track, or an image


def generate_sheet(
    id: str,
    prompts: Sequence[str],
    seeds: str,
    out: Path,
    settings: Sequence[str],
    device: str,
    neutral: str | None = None,
    images: Sequence[Path] = (),
) -> None:
    """Write a sheet with a row a prompt, and a column a seed or a real image.

    Where the method edits, a row above shows the images that the edits start from.
    """
    import numpy as np

    from t2ibench.core import plugins
    from t2ibench.core.images import read_image
    from t2ibench.report import sheets
    from t2ibench.runner import methods
    from t2ibench.runner.methods import has_functions
    from t2ibench.tracks.contract import Edit, TextToImage

    entry = entry_of(id, settings)
    can_edit = has_functions(entry, EDIT)
    if (
        images
        and neutral is None
        and not can_edit
        and hasattr(plugins.load("methods", entry.name).Method, "transfer_style")
    ):
        generate_transfers(entry, prompts, images, out, device)
        return
    track = (
        EDIT
        if neutral is not None or images or (can_edit and not has_functions(entry, TEXT_TO_IMAGE))
        else TEXT_TO_IMAGE
    )
    maker = methods.method_maker(entry, track, "generate", device)
    before = maker.identity["config"].get("neutral") if neutral is None else neutral
    if track == EDIT and before is None:
        raise UserError(
            f"{id} changes what a neutral text says to what yours says: give the neutral one, --neutral 'a person'"
        )
    real = [np.ascontiguousarray(read_image(path).transpose(2, 0, 1)) for path in images]
    sources: list[tuple[int, np.ndarray | None]] = [(0, image) for image in real] or [
        (seed, None) for seed in seeds_of(seeds)
    ]
    rows = [("image", list(real))] if real else []
    if can_edit:
        starts = [Edit(before or "", before or "", seed, image) for seed, image in sources]
        rows.append(("unedited", made_by(id, maker.method.unedited, starts)))
    for text in prompts:
        if track == EDIT:
            row = made_by(id, maker.method.edit, [Edit(before or "", text, seed, image) for seed, image in sources])
        else:
            row = made_by(id, maker.method.text_to_image, [TextToImage(text, seed) for seed, _ in sources])
        rows.append((text, row))
    top = [path.name for path in images] or [f"seed {seed}" for seed, _ in sources]
    sheets.save(sheets.table([row for _, row in rows], [label for label, _ in rows], top, margin=220), out)
    print(out)


def generate_transfers(entry: Entry, prompts: Sequence[str], images: Sequence[Path], out: Path, device: str) -> None:
    """Write a sheet of a method that takes the style of an image.

    Each image has a column, and under it each text is drawn in its style.
    """
    import numpy as np
    import torch

    from t2ibench.core.images import read_image
    from t2ibench.report import sheets
    from t2ibench.runner import methods

    maker = methods.method_maker(entry, TEXT_TO_IMAGE, "generate", device)
    real = [np.ascontiguousarray(read_image(path).transpose(2, 0, 1)) for path in images]
    rows = [("image", real)]
    for text in prompts:

        def drawn(sources: Sequence[np.ndarray], text: str = text) -> Tensor:
            return torch.cat(
                [maker.method.transfer_style(torch.from_numpy(source[None]), [text]) for source in sources]
            )

        rows.append((text, made_by(entry.id, drawn, real)))
    sheets.save(
        sheets.table(
            [row for _, row in rows], [label for label, _ in rows], [path.name for path in images], margin=220
        ),
        out,
    )
    print(out)


def generate_pairs(
    id: str, source: str | None, targets: Sequence[str], seeds: str, out: Path, settings: Sequence[str], device: str
) -> None:
    """Write a sheet of a method that adapts a generator, with a column a seed.

    The first row is drawn before the adaptation, and there is one more row for each target.
    """
    from t2ibench.report import sheets
    from t2ibench.runner import methods
    from t2ibench.tracks.contract import Adapt

    entry = entry_of(id, settings)
    maker = methods.method_maker(entry, ADAPT, "generate", device)
    before = maker.identity["config"].get("source") if source is None else source
    if before is None:
        raise UserError(
            f"{id} goes from what a source text says to what yours says: give the source, --source 'a face avatar'"
        )
    numbers = seeds_of(seeds)
    rows = [(before, made_by(id, maker.method.unadapted, [Adapt(before, before, seed) for seed in numbers]))]
    rows += [
        (text, made_by(id, maker.method.adapt, [Adapt(before, text, seed) for seed in numbers])) for text in targets
    ]
    top = [f"seed {seed}" for seed in numbers]
    sheets.save(sheets.table([row for _, row in rows], [label for label, _ in rows], top, margin=220), out)
    print(out)


def entry_of(id: str, settings: Sequence[str]) -> Entry:
    """The entry of a method or of a plug-in, with these settings. Raises UserError for an unknown name."""
    from t2ibench.core import plugins
    from t2ibench.core.plugins import Entry
    from t2ibench.core.settings import settings_of

    known = {**{name: (name, {}) for name in plugins.find("methods")}, **plugins.method_ids()}
    if id not in known:
        raise UserError(f"no method is called {id!r}{did_you_mean(id, known)}")
    plugin, variant = known[id]
    return Entry(id, plugin, {**variant, **settings_of(settings)}, "method")


def made_by(id: str, make: Callable[[Sequence[R]], Tensor], requests: Sequence[R]) -> list[np.ndarray]:
    """The images that a method makes for requests, in batches. Raises UserError where it cannot make them."""
    from t2ibench.core.progress import counter

    images: list[np.ndarray] = []
    with counter(f"{id}: images", total=len(requests)) as advance:
        for start in range(0, len(requests), BATCH):
            block = requests[start : start + BATCH]
            try:
                images.extend(make(block).cpu().numpy())
            except (ValueError, ArithmeticError) as error:
                raise UserError(f"{id} cannot make these images: {error}") from error
            advance(len(block))
    return images


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
    """Write a sheet of the first images of a split, each with its first caption."""
    from t2ibench.data.dataset import opened
    from t2ibench.report import sheets

    load, facts = opened(name)
    dataset = load(split)
    rows = range(min(count, len(dataset)))
    captions = [next(iter(dataset.captions[row]), "(no caption)") for row in rows]
    path = out or Path(f"{facts['name']}-{split}.png")
    sheets.save(sheets.captioned(list(dataset.images.read(rows)), captions, min(columns, len(rows))), path)
    print(path)


def write_prompts(name: str, seed: int, out: Path) -> None:
    """Write a line for every text-to-image sample of a suite, in the format that the method image_folder reads."""
    from t2ibench.core import files
    from t2ibench.runner import run, suite

    plans = {plan.track: plan for plan in run.prepare(suite.load(name))}
    if TEXT_TO_IMAGE not in plans:
        raise UserError(f"{name} has no track {TEXT_TO_IMAGE}, and other tracks ask for more than images of texts")
    samples = plans[TEXT_TO_IMAGE].of_track.samples(plans[TEXT_TO_IMAGE].prompts, seed)
    rows = [
        {"file_name": f"{s.id}.png", "text": s.prompt.text, "seed": s.seed, "prompt": s.prompt.id, "k": s.k}
        for s in samples
    ]
    files.write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    print(f"{out}: {len(rows):,} images")


def generate(
    method: Annotated[str, typer.Argument(help="A method; see `t2ibench list methods`.")],
    prompts: Annotated[list[str] | None, typer.Argument(help="One or more texts.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the images, as 0-15 or 0,3,7.")] = "0-7",
    out: Annotated[
        Path, typer.Option(callback=png_file, help="The PNG to write: a row a prompt, a column a seed.")
    ] = Path("sheet.png"),
    set: Annotated[list[str] | None, typer.Option("--set", help="A setting of the method, key=value.")] = None,
    neutral: Annotated[str | None, typer.Option(help="Edit from this text to yours; for methods that edit.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(help="Edit this image (or take its style) instead of the seeds'; may be given again."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Adapt a generator of what this text says; see --target.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Adapt it to what this text says; may be given again.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Write a sheet of images that a method makes of your texts; of one that edits or adapts, under the images
    before.
    """

    if target:
        if prompts or neutral is not None or image:
            raise UserError(
                "generate: --target adapts a generator, which takes neither texts to draw nor --neutral nor --image: "
                "leave them out"
            )
        generate_pairs(method, source, target, seeds, out, set or [], device)
        return
    if not prompts or source is not None:
        raise UserError("generate: a text is missing: give one or more, or --target for methods that adapt a generator")
    generate_sheet(method, prompts, seeds, out, set or [], device, neutral, image or [])


def prompts(
    suite: Annotated[str, typer.Argument(help="A shipped suite or a YAML file.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="The run seed; those of the images follow from it.")] = 0,
    out: Annotated[Path, typer.Option(help="The file to write, a JSON line for every image.")] = Path("metadata.jsonl"),
) -> None:
    """Write every image that a suite asks for (file name, text, seed), to be made elsewhere and run as the method
    image_folder.
    """

    write_prompts(suite, seed, out)


def show(
    dataset: Annotated[str, typer.Argument(help="A data set, or a folder of images.")] = "avatars",
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many images.")] = 24,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images in a row.")] = 6,
    out: Annotated[
        Path | None, typer.Option(callback=png_file, help="The PNG to write; NAME-SPLIT.png unless given.")
    ] = None,
) -> None:
    """Write a sheet of a data set's images with their captions."""

    show_dataset(dataset, split, count, columns, out)
