"""`convert`: writes a StyleGAN2 checkpoint as another kind of file.

The suffixes of the two files say which kinds they are. The new file draws the same images, except in half precision.
"""

from pathlib import Path
from typing import Annotated

import typer

from t2ibench.core.errors import UserError


def convert(
    source: Annotated[Path, typer.Argument(help="A StyleGAN2: NVlabs' .pkl, rosinality's .pt, or .safetensors.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .pt or .safetensors.")],
    half: Annotated[bool, typer.Option("--half", help="Half precision: half the size, slightly other images.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that exists.")] = False,
) -> None:
    """Write a StyleGAN2 checkpoint as another kind of file. Code inside a .pkl is never run."""
    from t2ibench.networks.stylegan2 import checkpoints

    if target.suffix not in checkpoints.WRITTEN:
        raise UserError(f"{target}: the suffix is {target.suffix!r}, expected one of {', '.join(checkpoints.WRITTEN)}")
    if target.exists() and not replace:
        raise UserError(f"{target} exists: name another file, or add --replace")
    generator = checkpoints.load(source)
    card = {"recipe": "converted", "converted_from": {"file": source.name, "sha256": checkpoints.sha256(source)}}
    checkpoints.save(target, generator, card | checkpoints.facts(source), half=half)
    config = generator.config
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    print(f"{target}: {config.resolution} pixels, {config.mapping_layers} mapping layers, {parameters:,} parameters")
