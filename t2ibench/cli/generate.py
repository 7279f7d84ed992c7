"""`generate` draws your texts with a method, `show` shows a data set, and `prompts` writes what a suite asks for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from t2ibench.cli.options import DATASET, Device, ForDataset, png_file
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.records import cut_lines

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from t2ibench.core.plugins import Entry
    from t2ibench.data.split import Split
    from t2ibench.runner.methods import Method

    Row = tuple[str, list[np.ndarray]]  # its label and images

BATCH, MOST = 64, 10_000
TEXT_TO_IMAGE, EDIT, ADAPT = "text_to_image", "edit", "adapt"
R = TypeVar("R")  # a request of a track, or an image


def generate(
    method: Annotated[str, typer.Argument(help="A method; see `t2ibench list methods`.")],
    prompts: Annotated[list[str] | None, typer.Argument(help="One or more texts.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the images, as 0-15 or 0,3,7.")] = "0-7",
    out: Annotated[
        Path, typer.Option(callback=png_file, help="The PNG to write: a row a prompt, a column a seed.")
    ] = Path("sheet.png"),
    images: Annotated[
        Path | None,
        typer.Option(help="Also write each image as a file of this folder, with a metadata.jsonl that `score` reads."),
    ] = None,
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
    dataset: ForDataset = DATASET,
    device: Device = "cpu",
) -> None:
    """Write a sheet of images that a method makes of your texts; of one that edits or adapts, under the images
    before.
    """
    from t2ibench.report import sheets

    if not target and not prompts:
        raise UserError("generate: a text is missing: give one or more, or --target for methods that adapt a generator")
    entry = entry_of(method, set or [], dataset)
    columns = columns_of(image or [], seeds)
    if target:
        rows = adapted(entry, source, target, columns, device)
    elif image and neutral is None and only_takes_styles(entry):
        rows = in_style(entry, prompts or [], columns, device)
    else:
        rows = drawn(entry, neutral, prompts or [], columns, device)
    titles = [column.title for column in columns]
    sheets.save(sheets.table([row for _, row in rows], [label for label, _ in rows], titles, margin=220), out)
    print(out)
    if images is not None:
        save_single(rows[-len(target or prompts or []) :], columns, images)
        print(images)


def save_single(rows: Sequence[Row], columns: Sequence[Column], folder: Path) -> None:
    """Write the image of each text and column as a PNG, and a metadata.jsonl with its text and seed."""
    from t2ibench.core import files, storage
    from t2ibench.core.images import encode_png

    files.check_folder(folder)
    lines = []
    for number, (text, row) in enumerate(rows):
        for column, image in zip(columns, row, strict=True):
            source = str(column.seed) if column.image is None else Path(column.title).stem
            name = f"{number:03}-{source}.png"
            storage.publish(folder / name, encode_png(image))
            seed = {"seed": column.seed} if column.image is None else {"source": column.title}
            lines.append(json.dumps({"file_name": name, "text": text, **seed}, ensure_ascii=False) + "\n")
    storage.publish(folder / "metadata.jsonl", "".join(lines).encode())


def show(
    dataset: Annotated[str, typer.Argument(help="A data set, or a folder of images.")] = DATASET,
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many images.")] = 24,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images in a row.")] = 6,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A setting of the data set, such as size=256; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(callback=png_file, help="The PNG to write; NAME-SPLIT.png unless given.")
    ] = None,
) -> None:
    """Write a sheet of a data set's images with their captions, and say what its split holds."""
    from t2ibench.core.settings import settings_of
    from t2ibench.data.dataset import opened
    from t2ibench.report import sheets

    data = opened(dataset, settings_of(set or []))
    of_split = data.split(split)
    rows = range(min(count, len(of_split)))
    captions = [next(iter(of_split.captions[row]), "(no caption)") for row in rows]
    path = out or Path(f"{data.name}-{split}.png")
    sheets.save(sheets.captioned(list(of_split.images.read(rows)), captions, min(columns, len(rows))), path)
    print(path)
    print(holds(of_split))
    for line in examples(of_split):
        print(line)


def holds(split: Split) -> str:
    """What a split holds, in one line."""
    parts = [f"{len(split):,} images", f"{sum(map(len, split.captions)):,} captions"]
    if split.attributes is not None:
        count = split.attributes.shape[1]
        parts.append(f"{count:,} attribute{'s' * (count != 1)}")
    if split.masks is not None:
        parts.append(f"masks of {len(split.masks.parts):,} parts")
    return f"{split.dataset} {split.name}: {', '.join(parts)}"


def examples(split: Split) -> list[str]:
    """Texts that ask for attributes of a split, as its vocabulary says them: one value of each attribute."""
    from t2ibench.tracks.pair_texts import single_text

    if split.vocabulary is None:
        return []
    lines = [f"{split.dataset} {split.name}: texts that ask for attributes"]
    for attribute, values in split.vocabulary.phrases.items():
        for value in list(values)[:1]:
            texts = [single_text(split.vocabulary, f"{attribute}={value}", template) for template in (0, 2)]
            lines.append(f"  {attribute}={value}: {' | '.join(texts)}")
    return lines


def prompts(
    suite: Annotated[str, typer.Argument(help="A shipped suite or a YAML file.")] = "quick",
    seed: Annotated[int | None, typer.Option(min=0, help="One run seed; otherwise all of the suite.")] = None,
    out: Annotated[Path, typer.Option(help="The file to write, a JSON line for every image.")] = Path("metadata.jsonl"),
) -> None:
    """Write every image that a suite asks for (file name, text, seed), to be made elsewhere and run as the method
    image_folder.
    """
    from t2ibench.core import storage
    from t2ibench.runner.plan import data_of, prompts_of
    from t2ibench.runner.suite import load
    from t2ibench.tracks.contract import load_track

    asked = load(suite)
    if TEXT_TO_IMAGE not in asked.tracks:
        raise UserError(f"{suite} has no track {TEXT_TO_IMAGE}, and other tracks ask for more than images of texts")
    texts = prompts_of(asked, TEXT_TO_IMAGE, data_of(asked))
    seeds = asked.seeds if seed is None else (seed,)
    rows = [
        {
            "file_name": f"{s.id}.png" if len(seeds) == 1 else f"{of_run}/{s.id}.png",
            "text": s.prompt.text,
            "seed": s.seed,
            "prompt": s.prompt.id,
            "k": s.k,
        }
        for of_run in seeds
        for s in load_track(TEXT_TO_IMAGE).samples(texts, of_run)
    ]
    storage.publish(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    print(f"{out}: {len(rows):,} images")


@dataclass(frozen=True)
class Column:
    """A column of the sheet: images that begin from the noise of a seed, or from an image that the user gave."""

    title: str
    seed: int = 0
    image: np.ndarray | None = None  # uint8 [3, H, W]


def columns_of(images: Sequence[Path], seeds: str) -> list[Column]:
    """A column for each image, else for each seed. Raises UserError for what is no image, or no list of seeds."""
    import numpy as np

    from t2ibench.core.images import read_image

    if images:
        return [Column(path.name, image=np.ascontiguousarray(read_image(path).transpose(2, 0, 1))) for path in images]
    return [Column(f"seed {seed}", seed) for seed in seeds_of(seeds)]


def scaled(columns: Sequence[Column], size: Sequence[int]) -> list[Column]:
    """The columns with their images at the size [H, W] that the method draws: the middle is cut out and scaled."""
    import numpy as np
    from PIL import Image, ImageOps

    height, width = size
    fitted = []
    for column in columns:
        if column.image is None or column.image.shape[1:] == (height, width):
            fitted.append(column)
            continue
        was = f"{column.image.shape[2]}x{column.image.shape[1]}"
        print(f"t2ibench: {column.title}: {was} pixels, cut and scaled to {width}x{height}", file=sys.stderr)
        picture = Image.fromarray(np.ascontiguousarray(column.image.transpose(1, 2, 0)))
        pixels = np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC))
        fitted.append(replace(column, image=np.ascontiguousarray(pixels.transpose(2, 0, 1))))
    return fitted


def only_takes_styles(entry: Entry) -> bool:
    """Whether all that the method does with an image is to take its style."""
    from t2ibench.core import plugins
    from t2ibench.runner.methods import has_functions
    from t2ibench.tracks.contract import load_method

    return not has_functions(entry, EDIT) and plugins.has(load_method(entry.name).Method, ["transfer_style"])


def drawn(entry: Entry, neutral: str | None, texts: Sequence[str], columns: Sequence[Column], device: str) -> list[Row]:
    """A row for each text.

    Where the method edits, a row above shows the images that the edits start from.
    """
    from t2ibench.runner.methods import has_functions, method_maker
    from t2ibench.tracks.contract import Edit, TextToImage

    can_edit = has_functions(entry, EDIT)
    real = [column.image for column in columns if column.image is not None]
    edits = neutral is not None or bool(real) or (can_edit and not has_functions(entry, TEXT_TO_IMAGE))
    maker = method_maker(entry, EDIT if edits else TEXT_TO_IMAGE, "generate", device)
    before = maker.identity["config"].get("neutral") if neutral is None else neutral
    if edits and before is None:
        raise UserError(
            f"{entry.id} changes what a neutral text says to what yours says: give the neutral one, "
            f"--neutral 'a person'"
        )

    if real and can_edit:
        columns = scaled(columns, maker.method.unedited([Edit(before or "", before or "", 0)]).shape[-2:])
        real = [column.image for column in columns if column.image is not None]

    def edited(text: str) -> list[Edit]:
        return [Edit(before or "", text, column.seed, column.image) for column in columns]

    say_cut(maker, texts)
    rows: list[Row] = [("image", real)] if real else []
    if can_edit:
        rows.append(("unedited", made_by(entry.id, maker.method.unedited, edited(before or ""))))
    for text in texts:
        if edits:
            images = made_by(entry.id, maker.method.edit, edited(text))
        else:
            wanted = [TextToImage(text, column.seed) for column in columns]
            images = made_by(entry.id, maker.method.text_to_image, wanted)
        rows.append((text, images))
    return rows


def in_style(entry: Entry, texts: Sequence[str], columns: Sequence[Column], device: str) -> list[Row]:
    """The images, and under them a row for each text, drawn in the style of each image."""
    import torch

    from t2ibench.runner.methods import method_maker

    maker = method_maker(entry, TEXT_TO_IMAGE, "generate", device)
    real = [column.image for column in columns if column.image is not None]
    say_cut(maker, texts)
    rows: list[Row] = [("image", real)]
    for text in texts:

        def styled(images: Sequence[np.ndarray], text: str = text) -> Tensor:
            return torch.cat([maker.method.transfer_style(torch.from_numpy(image[None]), [text]) for image in images])

        rows.append((text, made_by(entry.id, styled, real)))
    return rows


def adapted(
    entry: Entry, source: str | None, targets: Sequence[str], columns: Sequence[Column], device: str
) -> list[Row]:
    """A row that is drawn before the generator is adapted, and one for each target."""
    from t2ibench.runner.methods import method_maker
    from t2ibench.tracks.contract import Adapt

    maker = method_maker(entry, ADAPT, "generate", device)
    before = maker.identity["config"].get("source") if source is None else source
    if before is None:
        raise UserError(
            f"{entry.id} goes from what a source text says to what yours says: give the source, "
            f"--source 'a face avatar'"
        )

    say_cut(maker, targets)

    def requests(target: str) -> list[Adapt]:
        return [Adapt(before, target, column.seed) for column in columns]

    rows = [(before, made_by(entry.id, maker.method.unadapted, requests(before)))]
    return rows + [(text, made_by(entry.id, maker.method.adapt, requests(text))) for text in targets]


def say_cut(maker: Method, texts: Sequence[str]) -> None:
    """Say how many of these texts the networks of a method cut, if they cut any."""
    for line in cut_lines(maker.cut_texts(texts)):
        print(f"t2ibench: {line}", file=sys.stderr)


def entry_of(id: str, settings: Sequence[str], dataset: str) -> Entry:
    """The entry of a method or of a plug-in, with these settings, and guided by the networks of a data set.

    dataset: its name, or a folder of images. Raises UserError for an unknown name, and where there is no guide.
    """
    from t2ibench.core import plugins
    from t2ibench.core.plugins import Entry
    from t2ibench.core.settings import settings_of
    from t2ibench.data.dataset import opened
    from t2ibench.runner.methods import guided
    from t2ibench.scoring.default_networks import networks_of, trained_for

    known = {**{name: (name, {}) for name in plugins.find("methods")}, **plugins.method_ids()}
    if id not in known:
        raise UserError(f"no method is called {id!r}{did_you_mean(id, known)}")
    plugin, variant = known[id]
    entry = Entry(id, plugin, {**variant, **settings_of(settings)}, "method")
    if dataset in plugins.find("datasets"):
        return guided(entry, networks_of(dataset), "generate")
    data = opened(dataset)
    return guided(entry, trained_for(data.networks, data.train.dataset), "generate")


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
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text!r}: names a seed twice")
    return seeds
