"""Small trainings of every recipe, for one process or several: the losses of some steps.

python ranked.py STORE RANK SIZE STEPS DTYPE NAME…   prints {name: [losses]} as JSON
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from scripts import loaded

from t2ibench.networks import ranks

# Adam makes whole steps of gradients that are 0 but for rounding, as those of a convolution before batch normalisation.
# Small steps keep that out of the losses of ten steps in float32.
SLOW = 1e-6


def helpers(name: str) -> Any:
    """A test module, for the small networks that it makes."""
    return loaded(f"tests/{name}.py")


def judge() -> Any:
    of = helpers("networks/test_attribute_judge")
    given = {**of.TINY, "learning_rate": SLOW / 10}
    return of.recipe("attribute-judge", given, of.squares(120), of.squares(20, "val"), of.Models(), 0)


def clip(**settings: Any) -> Any:
    of = helpers("networks/test_clip")
    given = {**of.TINY, "batch": 9, **settings}
    return of.recipe("judge", given, of.squares(40, size=32), of.squares(20, "val", size=32), of.Models(), 0)


def tiny_models() -> Any:
    of = helpers("networks/test_stylegan2_recipe")
    models = of.Models()
    models._clips["clip-guide-avatars"] = of.Clip.from_zoo(of.tiny_weights())
    return models


def stylegan2(**settings: Any) -> Any:
    return helpers("networks/test_stylegan2_recipe").made(tiny_models(), **{"batch": 8, **settings})


def encoder() -> Any:
    of = helpers("networks/test_stylegan2_inversion")
    models = of.Models()
    torch.manual_seed(0)
    generator, seen = of.Generator(of.TINY).eval().requires_grad_(False), of.Clip.from_zoo(of.tiny_weights())
    models.stylegan2 = lambda name: (models.used.update({name: {"sha256": "00"}}), generator)[1]
    models.clip = lambda name: seen
    return of.recipe("encoder", {"batch": 4, "bfloat16": False}, of.colour_split(12), of.colour_split(4), models, 0)


def mapper() -> Any:
    of = helpers("methods/test_styleclip_mapper")
    return of.recipe(of.tiny_models())


def gan(variant: str, **settings: Any) -> Any:
    made = helpers("methods/test_gan_cls_training").gan(variant, **settings)
    if torch.get_default_dtype() == torch.float64:  # torch's convolution of doubles takes no other order
        for network in (made.generator, made.discriminator):
            network.to(memory_format=torch.contiguous_format)
    return made


def gan_text() -> Any:
    of = helpers("methods/test_gan_cls_training")
    given = {"preset": "reference", "batch": 4, "image_width": 2, "out": 4, "learning_rate": SLOW}
    return of.recipe("text-encoder", given, of.colour_split(), of.colour_split(8, "val"), of.Models(), 0)


def gan_style() -> Any:
    of = helpers("methods/test_gan_cls_style")
    chosen = of.StyleSettings(generator="linear", width=2, batch=8, learning_rate=SLOW)
    parts = (of.colour_split(), of.colour_split(20, "val"), of.tiny_encoder(), of.LinearGenerator(), "sha")
    return of.StyleRecipe(chosen, *parts, torch.device("cpu"), seed=0, cache=Path(os.environ["T2IBENCH_CACHE"]))


def nada() -> Any:
    from stylegan_nada_tiny import recipe

    return recipe(learning_rate=SLOW)


def stylet2i(part: str, **settings: Any) -> Any:
    from stylet2i_tiny import TinyModels, tiny_recipe

    if part == "clip":
        return helpers("methods/test_stylet2i_clip").tuned()
    return tiny_recipe(part, TinyModels(), **settings)


def prior() -> Any:
    of = helpers("methods/test_composer_prior")
    of.settings.PRIORS["xs"] = {**of.dataclasses.asdict(of.SHAPE), "embed_dim": 128}
    given = {
        "clip": "clip-guide-avatars",
        "precision": "float32",
        "batch": 8,
        "warmup": 1,
        "ema": 0.5,
    }
    made = of.recipe("prior", given, of.half_split(), of.half_split(4, "val"), of.Models(), seed=0)
    dtype = torch.get_default_dtype()  # the embeddings come from files of float32
    made.train = replace(made.train, images=made.train.images.to(dtype), sentences=made.train.sentences.to(dtype))
    return made


def base() -> Any:
    """Composer's denoiser."""
    of = helpers("methods/test_composer_method")
    tiny = {field.name: getattr(of.TINY, field.name) for field in of.dataclasses.fields(of.TINY)}
    of.settings.SHAPES["xs"] = {**tiny, "max_words": 8}
    made = of.training(of.Models(), precision="float32", learning_rate=SLOW)
    batch, dtype = made.batch, torch.get_default_dtype()  # the conditions come from files of float32

    def in_dtype(*given: Any) -> Any:
        x0, conditions = batch(*given)
        values = {
            key: value.to(dtype) if value.is_floating_point() else value for key, value in conditions.values.items()
        }
        return x0.to(dtype), replace(conditions, values=values)

    made.batch = in_dtype
    return made


def vqa() -> Any:
    of = helpers("networks/test_vqa_judge")
    given = {**of.TINY, "batch": 8, "learning_rate": SLOW}
    return of.recipe("vqa-judge", given, of.squares(120), of.squares(20, "val"), of.Models(), 0)


def upsampler() -> Any:
    of = helpers("methods/test_composer_upsampler")
    of.settings.UPSAMPLERS["xs"] = of.dataclasses.asdict(of.SHAPE)
    given = {"judge": "attribute-judge-avatars", "precision": "float32", "batch": 4, "warmup": 1, "ema": 0.5}
    return of.recipe("upsampler", given, of.striped_split(), of.striped_split(4, "val"), of.Models(), seed=0)


RECIPES: dict[str, Callable[[], Any]] = {
    "attribute_judge": judge,
    "clip": clip,
    "clip adversarial": partial(clip, adversarial=0.5, learning_rate=SLOW),
    "stylegan2 small": partial(stylegan2, r1_every=2, learning_rate=SLOW, small_rate=SLOW),
    "stylegan2": partial(
        stylegan2, discriminator="stylegan2", loss="logistic", r1_every=2, path_length=2.0, path_every=2
    ),
    "stylegan2 projected": partial(stylegan2, discriminator="projected", learning_rate=SLOW),
    "encoder": encoder,
    "styleclip mapper": mapper,
    "gan-int-cls": partial(gan, "gan-int-cls", r1=1.0, r1_every=2),
    "gan": partial(gan, "gan", ema=0.9),
    "gan text": gan_text,
    "gan style": gan_style,
    "stylegan_nada": nada,
    "stylet2i clip": partial(stylet2i, "clip"),
    "stylet2i parts": partial(stylet2i, "parts"),
    "stylet2i attribute": partial(stylet2i, "attribute", segmenter="stylet2i_tiny:upper_half"),
    "stylet2i sentence": partial(stylet2i, "sentence"),
    "vqa_judge": vqa,
    "composer": base,
    "composer prior": prior,
    "composer upsampler": upsampler,
}


def losses(name: str, steps: int, accumulate: int = 1) -> list[dict[str, float]]:
    recipe = RECIPES[name]()
    with ranks.sharing(recipe.split, name, accumulate):
        return [recipe.step(index, index / steps) for index in range(steps)]


def main() -> None:
    store, rank, size, steps, dtype, *names = sys.argv[1:]
    os.environ["T2IBENCH_CACHE"] = tempfile.mkdtemp(prefix="t2ibench-")
    torch.set_num_threads(1)
    if dtype == "float64":
        torch.set_default_dtype(torch.float64)
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    if int(size) > 1:
        dist.init_process_group("gloo", store=dist.FileStore(store, int(size)), rank=int(rank), world_size=int(size))
        ranks._world = ranks._World(int(rank), int(size))
    print(json.dumps({name: losses(name, int(steps)) for name in names}))


if __name__ == "__main__":
    main()
