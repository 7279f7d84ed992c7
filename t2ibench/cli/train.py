"""`train`: finds a recipe by name, reads its data, and hands both to the training loop.

The loop writes OUT/<part>-<dataset>.safetensors and its card.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from t2ibench.cli.options import DATASET, Device, Workers


def train(
    name: Annotated[
        str,
        typer.Argument(
            help="A method or one of its variants, or a network that methods share: gan-cls, attribute_judge, clip …"
        ),
    ],
    variant: Annotated[str | None, typer.Option(help="Which of its parts; may be left out where there is one.")] = None,
    dataset: Annotated[str, typer.Option(help="The data set to learn from.")] = DATASET,
    minutes: Annotated[float | None, typer.Option(min=0, help="Minutes of training, over all resumptions.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of training.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of weights, cards and checkpoints.")] = Path("trained"),
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and noise.")] = 0,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the recipe, key=value; dataset.key=value of the data."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The text to train for, of methods that take one; as the setting target.")
    ] = None,
    save_every: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 60.0,
    device: Device = "cpu",
    devices: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="How many train together, of the kind of --device; or by torchrun or srun."
        ),
    ] = 1,
    accumulate: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Give a batch to the networks in N parts: less memory, the same batch."),
    ] = 1,
    workers: Workers = None,
) -> None:
    """Train weights, with a card. A run that was stopped goes on by the same command."""
    from t2ibench.core import plugins, readers
    from t2ibench.core.settings import settings_of
    from t2ibench.data.dataset import opened
    from t2ibench.networks import ranks
    from t2ibench.networks.models import Models
    from t2ibench.networks.training import loop
    from t2ibench.networks.zoo import trained_name
    from t2ibench.runner.train import asked, learned_and_checked, part_of, recipes, splits_of

    device = ranks.joined(devices, device)
    readers.use(workers)
    look_first_in(out)
    name, variant = asked(name, variant)
    module = recipes(name)
    part = part_of(name, module, variant)
    given = settings_of(set or []) | ({} if target is None else {"target": target})
    of_data = {key.removeprefix("dataset."): given.pop(key) for key in [*given] if key.startswith("dataset.")}
    data = opened(dataset, of_data)
    if data.preset in module.PRESETS:
        given = {"preset": data.preset, **given}
    learn, check = splits_of(part, module, data.splits)
    splits = learned_and_checked(data, learn, check)
    recipe = plugins.complete(loop.FullRecipe, module.recipe(part, given, *splits, Models(device), seed))
    if minutes is None and steps is None:
        steps = recipe.steps
    weights = trained_name(recipe.name or module.NAMES.get(part, part), splits[0].dataset)
    result = loop.fit(recipe, weights, out, minutes=minutes, steps=steps, save_every=save_every, accumulate=accumulate)
    if ranks.rank():
        return
    print(
        f"{out / weights}.safetensors: sha256 {result.sha256[:12]}…, {result.card['steps']:,} steps in "
        f"{result.card['minutes']} minutes"
    )


def look_first_in(folder: Path) -> None:
    """Have the weights that a recipe builds on, such as those of a text encoder, looked for in this folder first."""
    earlier = os.environ.get("T2IBENCH_WEIGHTS")
    os.environ["T2IBENCH_WEIGHTS"] = os.pathsep.join([str(folder), *([earlier] if earlier else [])])
