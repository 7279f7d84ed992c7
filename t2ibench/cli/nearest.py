"""`nearest`: images beside the training images that they are nearest to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from t2ibench.cli.console import out as stdout
from t2ibench.cli.console import print_json
from t2ibench.cli.options import Device, Json, png_file
from t2ibench.core import tables

if TYPE_CHECKING:
    from t2ibench.data.split import Split
    from t2ibench.scoring.nearest import Copies


def nearest(
    folder: Annotated[Path, typer.Argument(help="A folder of images, or a .npz of them (arr_0).")],
    reference: Annotated[
        Path, typer.Option("--reference", help="The images that were trained on: a folder or a .npz.")
    ],
    held_out: Annotated[
        Path | None, typer.Option(help="Real images that were not trained on, whose numbers stand beside.")
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="Whose features are compared: inception, dino:FILE, dinov2:FILE, model:tag …")
    ] = "inception",
    top: Annotated[int, typer.Option(min=1, help="How many pairs to show, the nearest first.", metavar="N")] = 12,
    out: Annotated[
        Path | None, typer.Option(callback=png_file, metavar="FILE", help="Draw the pairs on this sheet, a PNG.")
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Show the nearest training image of each image: is it a copy?

    By the features of a network, which find the same scene, and by pixels, which find the same picture. --held-out says
    how near images come that are no copies.
    """
    from t2ibench.networks.models import Models
    from t2ibench.scoring.nearest import copies, pairs, summary
    from t2ibench.scoring.score_images import real_images

    train, made, models = real_images(reference, None), real_images(folder, None), Models(device)
    found = copies(made, train, extractor, models)
    sides = {"images": summary(found)}
    if held_out is not None:
        sides["held out"] = summary(copies(real_images(held_out, None), train, extractor, models))
    shown = pairs(found, made, train, top)
    if out is not None:
        _draw(found, made, train, shown, out)
    if json:
        print_json({"training_images": len(found.rows), "of": len(train), "summary": sides, "pairs": shown})
        return
    table = tables.table("Nearest training images")
    for number, head in enumerate(("image", "by features", "cosine", "by pixels", "grey levels")):
        table.add_column(head, justify="right" if number in (2, 4) else "left")
    for pair in shown:
        names = [escape(pair[key]) for key in ("image", "by_features", "by_pixels")]
        table.add_row(names[0], names[1], f"{pair['cosine']:.3f}", names[2], f"{pair['grey_levels']:.1f}")
    stdout().print(table)
    for side, numbers in sides.items():
        stdout().print(f"{side}: {_line(numbers)}")
    repeated = len(train) - len(found.rows)
    stdout().print(
        f"[dim]{len(found.rows):,} training images{f', {repeated:,} duplicates left out' * (repeated > 0)}[/]"
    )
    if held_out is None:
        stdout().print("[dim]--held-out, with real images that nobody trained on, says how near those come[/]")


def _line(numbers: Mapping[str, Any]) -> str:
    return (
        f"{numbers['auth_pct']:.0f} % of {numbers['n']:,} authentic; cosine {numbers['cosine']['median']:.3f} in the "
        f"middle, {numbers['cosine']['nearest']:.3f} at most; grey levels {numbers['grey_levels']['median']:.1f} and "
        f"{numbers['grey_levels']['nearest']:.1f} at least"
    )


def _draw(found: Copies, made: Split, train: Split, shown: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The sheet: each image, its nearest training image by features, and that by pixels."""
    from t2ibench.report import sheets

    rows = []
    for place in found.order[: len(shown)]:
        near = [found.rows[int(by.row[place])] for by in (found.nearest.features, found.nearest.pixels)]
        rows.append([made.images.read([int(place)])[0], *(train.images.read([row])[0] for row in near)])
    left = [f"{pair['image']} cosine {pair['cosine']:.3f}, grey levels {pair['grey_levels']:.1f}" for pair in shown]
    sheets.save(sheets.table(rows, left, ["image", "nearest by features", "nearest by pixels"]), out)
