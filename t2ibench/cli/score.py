"""`score`: scores images that were made elsewhere, by the same evidence, metrics and checks as those of a method."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from t2ibench.cli.console import out as stdout
from t2ibench.cli.options import Device, Json, Workers, names_of
from t2ibench.core import tables


class Turning(StrEnum):
    turn = "turn"
    ignore = "ignore"


def score(
    folder: Annotated[Path, typer.Argument(help="A folder of images, or a .npz of them (arr_0).")],
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Their texts: a file (.txt with a text a line, .jsonl, .json, .csv, .tsv, .parquet), or a folder of "
            ".txt or metadata; joined by file name where it names files, else in the order of the file names."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Names, separated by commas; unless given clip_score,r_precision, and with real images fid,kid,prdc."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="The real images: a data set, whose networks then score, or a folder of images with captions."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="The real images instead: any folder of images, or another package's statistics (.npz, .pt)."
        ),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(help="Whose features are compared: inception, inception-legacy-tf, dinov2:FILE, model:tag …"),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="Which CLIP scores: a published file, model:tag or model:FILE of open_clip, the zoo's; else OpenAI's."
        ),
    ] = None,
    vqa: Annotated[
        str | None,
        typer.Option(
            help="Which model answers questions (vqa_score): a folder of transformers, hub:owner/name, the zoo's."
        ),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(help="Labels of people, 0 or 1: texts or file names with a column label; for vqa_score."),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            help="Another setting of a metric, such as image_reward.weights=FILE. Repeat it for more.",
            metavar="METRIC.SETTING=VALUE",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pixels a side to squash images to; else the data set's, or with --reference their own."
        ),
    ] = None,
    exif: Annotated[
        Turning, typer.Option(help="Turn photos as their EXIF orientation says, or not, as clean-fid and its peers.")
    ] = Turning.ignore,
    alpha: Annotated[
        str,
        typer.Option(
            help="Transparent pixels: refuse; drop, as clean-fid; or a colour to lay them on (white, #808080)."
        ),
    ] = "refuse",
    out: Annotated[Path | None, typer.Option(help="Also write the record to this file.")] = None,
    device: Device = "cpu",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Score images that somebody else made, by the same metrics and on the same path."""
    from t2ibench.cli.console import print_json
    from t2ibench.core import readers
    from t2ibench.core.settings import settings_of
    from t2ibench.runner.score_folder import score_folder

    readers.use(workers)
    record, lines = score_folder(
        folder,
        prompts=prompts,
        metrics=None if metrics is None else names_of(metrics, "--metrics"),
        dataset=dataset,
        reference=reference,
        extractor=extractor,
        clip=clip,
        vqa=vqa,
        people=people,
        settings=settings_of(set or []),
        size=size,
        exif=exif.value,
        alpha=alpha,
        out=out,
        device=device,
    )
    print_json(record) if json else show(record, lines)


def show(record: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Print the values of a record, then the lines that say how they were made."""
    from t2ibench.report.board import decimals_of

    table = tables.table(title=f"{record['method']}")
    for name in ("metric", "value", "95 % interval", "n", "protocol"):
        table.add_column(name, justify="left" if name in ("metric", "protocol") else "right", no_wrap=True)
    arrows = {"higher": " ↑", "lower": " ↓"}
    for name, value in record["values"].items():
        low, high = value["ci"]
        decimals = decimals_of((high - low) / 2)
        figures = (
            f"{value['value']:.{decimals}f}",
            f"[{low:.{decimals}f}, {high:.{decimals}f}]",
            f"{value['n']:,}",
            value["protocol_id"],
        )
        table.add_row(Text(name + arrows.get(value["better"], ""), "bold"), *figures)
    stdout().print(table)
    for line in lines:
        stdout().print(Text(line), style="dim")
    counts = record["counts"]
    stdout().print(f"{counts['ok']:,} of {counts['requested']:,} images; {counts['black']:,} black", style="dim")
    for name, reason in record["unscored"].items():
        stdout().print(Text(f"{name} is not there: {reason}"), style="yellow")
