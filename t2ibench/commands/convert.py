"""`convert`: one StyleGAN2 checkpoint as another kind of file."""

from pathlib import Path

from t2ibench.core.errors import UserError
from t2ibench.networks.stylegan2 import checkpoints


def convert_checkpoint(source: Path, target: Path, *, half: bool, replace: bool) -> None:
    """Write the generator of `source` to `target`; the suffixes say the kinds. Images stay the same, unless in half precision."""
    if target.suffix not in checkpoints.WRITTEN:
        raise UserError(f"{target}: the suffix is {target.suffix!r}, expected one of {', '.join(checkpoints.WRITTEN)}")
    if target.exists() and not replace:
        raise UserError(f"{target} exists: name another file, or add --replace")
    if half and target.suffix != ".safetensors":
        raise UserError(f"{target}: --half is for .safetensors: leave it out")
    generator = checkpoints.load(source)
    card = {"recipe": "converted", "converted_from": {"file": source.name, "sha256": checkpoints.sha256(source)}}
    checkpoints.save(target, generator, card | checkpoints.facts(source), half=half)
    config = generator.config
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    print(f"{target}: {config.resolution} pixels, {config.mapping_layers} mapping layers, {parameters:,} parameters")
