"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from t2ibench.core.errors import UserError
from t2ibench.core.mirrors import folder_of

DATASET = "avatars"  # the data set of a command that is given none; no other module of the rooms names one
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[
    Path,
    typer.Option(parser=folder_of, metavar="PATH", help="Folder of the records and leaderboards, or s3://…"),
]
Batch = Annotated[
    int,
    typer.Option(min=1, help="Images made at once. Others may move pixels by one grey level of rounding.", metavar="N"),
]
ForDataset = Annotated[
    str, typer.Option("--dataset", help="The data set whose networks guide the method, where it names none.")
]
Work = Annotated[
    Path,
    typer.Option(parser=folder_of, metavar="PATH", help="Folder of images, journals and the HTML page, or s3://…"),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=0, help="Threads that decode images beside the network; else one a processor, at most 8.", metavar="N"
    ),
]


def names_of(text: str, option: str) -> list[str]:
    """The names of a list such as "fid, kid,prdc". Raises UserError for a list without any, which would do nothing."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"{option} {text!r}: found no name, expected names separated by commas")
    return names


def device_of(name: str) -> str:
    """The name of a device. Raises UserError for one that does not exist here, before anything else is done."""
    if name != "cpu":
        import torch

        try:
            torch.empty(1, device=name)
        except (RuntimeError, AssertionError) as error:
            raise UserError(
                f"--device {name!r} cannot be used ({str(error).splitlines()[0]}): use cpu, cuda or cuda:N"
            ) from error
    return name


def png_file(path: Path | None) -> Path | None:
    if path is not None and (path.suffix.lower() != ".png" or path.is_dir()):
        raise UserError(
            f"--out {path}: a sheet is one PNG, so a file name that ends in .png is expected: {path / 'sheet.png'}"
        )
    return path


Device = Annotated[str, typer.Option(callback=device_of, help="cpu, cuda or cuda:N.", metavar="NAME")]
