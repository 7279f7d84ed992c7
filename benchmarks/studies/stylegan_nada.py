"""StyleGAN-NADA's rate, choice of layers and number of steps: what each variant comes to on the way, for several
targets.

    python benchmarks/studies/stylegan_nada.py [--generator stylegan2-avatars] [--targets sepia pencil-sketch …]
        [--steps 600] [--out FOLDER] [--variants "learning_rate=0.005" "train_noise=true" …]
    python benchmarks/studies/stylegan_nada.py --shipped [--out results/studies]  # trains nothing: those of the package
    python benchmarks/studies/stylegan_nada.py --page results/studies/stylegan_nada_far.json  # a file of rows as a page

Every variant is trained once for each target, and looked at after 50, 100, 150, 200, 300, … steps: the Fréchet distance
to real images of the target, over that of the unadapted generator (half is what we ask for), and the diversity over
that of the sources, both in the judge's features, which guide nothing. Latents and real images are others than those of
any suite, so that defaults that are chosen here are not chosen on what the board shows. `--out` also writes
stylegan_nada.json. About a minute for each training of 600 steps, and as long for its looks, on an idle core.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from t2ibench.core import settings, storage
from t2ibench.core.images import to_uint8
from t2ibench.core.progress import track
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.core.settings import settings_of
from t2ibench.datasets import avatars
from t2ibench.methods.stylegan_nada.adaptations import Adaptations
from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.methods.stylegan_nada.training import AdaptationRecipe
from t2ibench.metrics.diversity import mean_distances
from t2ibench.networks.models import Models
from t2ibench.networks.passes import in_passes
from t2ibench.networks.stylegan2 import Generator
from t2ibench.stats.frechet import Moments, frechet_distance

TARGETS = ("sepia", "pencil-sketch", "pixel-art", "micah", "open-peeps", "lorelei")
VARIANTS = (
    "",
    "learning_rate=0.005",
    "learning_rate=0.02",
    "views=0",
    "train_noise=true",
    "learning_rate=0.004 train_kernels=true",
    "learning_rate=0.004 train_kernels=true layers=0.667",
)
LOOKS = (25, 50, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000)
DRAWN = 1_000_003  # seed of the real images: that of no split, reference or baseline
IMAGES, REAL = 400, 1000


class Looks:
    """Judges generators beside their parent, on one set of latents. sources: features of the parent's images."""

    def __init__(self, models: Models, generator: str) -> None:
        self.judge, self.parent, self.models = (
            models.judge("attribute-judge-avatars"),
            models.stylegan2(generator),
            models,
        )
        z = latents([derive_seed("tuning of stylegan_nada", k) for k in range(IMAGES)], self.parent.config.z_dim)
        with torch.no_grad():
            self.w_plus = self.parent.truncate(
                in_passes(self.parent.mapping, z.to(models.device)), Config.truncation_psi
            )
        self.sources = self.features(self.parent)
        self.spread = mean_distances(self.sources)[0]

    @torch.no_grad()
    def features(self, generator: Generator) -> Tensor:
        return self.judge.features(
            to_uint8(in_passes(lambda part: generator.synthesis(generator.style(part)), self.w_plus)).cpu()
        )

    def real(self, domain: str) -> Moments:
        split = avatars.domain_images(avatars.Config(), domain, REAL, DRAWN)
        return Moments.of(self.judge.features(torch.from_numpy(split.images.read(range(REAL)))))

    def of(self, generator: Generator, real: Moments) -> dict[str, float]:
        """Distance to the real images, the same over the parent's, and diversity over the parent's."""
        seen = self.features(generator)
        distance = frechet_distance(seen, real)
        share = distance / frechet_distance(self.sources, real)
        return {"fd_avatars": distance, "of_unadapted": share, "diversity": mean_distances(seen)[0] / self.spread}


def on_the_way(
    looks: Looks, config: Config, source: str, target: str, real: Moments, what: str
) -> Iterator[dict[str, Any]]:
    """Trains one adaptation, and looks at it after every number of steps in LOOKS."""
    recipe = AdaptationRecipe(config, source, target, looks.models)
    for index in track(range(config.steps), what, config.steps):
        recipe.step(index, index / config.steps)
        if index + 1 in LOOKS or index + 1 == config.steps:
            yield {"steps": index + 1, "training_seconds": recipe.seconds, **looks.of(recipe.child, real)}


def trained(
    looks: Looks, texts: Mapping[str, str], targets: Sequence[str], configs: Mapping[str, Config]
) -> Iterator[dict[str, Any]]:
    """Every variant, trained for each target."""
    source = next(iter(texts.values()))
    for domain in targets:
        real = looks.real(domain)
        for variant, config in configs.items():
            for row in on_the_way(looks, config, source, texts[domain], real, f"{domain}, {variant or 'defaults'}"):
                yield {"target": domain, "variant": variant, **row}


def shipped(looks: Looks, texts: Mapping[str, str], targets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The adaptations of the package under the defaults, looked at as those that are trained here."""
    known, source = Adaptations(Config(clips=avatars.NETWORKS.guides), looks.models), next(iter(texts.values()))
    for domain in targets:
        generator = known.generator(source, texts[domain])
        spent = known.seconds[source, texts[domain]]
        row = {"target": domain, "variant": "of the package", "steps": Config.steps, "training_seconds": spent}
        yield {**row, **looks.of(generator, looks.real(domain))}


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Of each variant: the mean share of the distance, the targets that reach half with half of the diversity,
    seconds.
    """
    made = Table("variant", "steps", "FD / unadapted", "diversity", "targets at half", "training s")
    keys = [(row["variant"], row["steps"]) for row in rows]
    for key in dict.fromkeys(keys):
        own = [row for row, its in zip(rows, keys, strict=True) if its == key]
        means = {
            name: sum(row[name] for row in own) / len(own) for name in ("of_unadapted", "diversity", "training_seconds")
        }
        half = sum(row["of_unadapted"] <= 0.5 and row["diversity"] >= 0.5 for row in own)
        shown = (
            f"{means['of_unadapted']:.2f}",
            f"{means['diversity']:.2f}",
            f"{half} of {len(own)}",
            f"{means['training_seconds']:.0f}",
        )
        made.add_row(Text(key[0] or "defaults"), str(key[1]), *shown)
    return made


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where each training came to in the end, as Markdown."""
    last = {(row["target"], row["variant"]): row for row in rows}
    lines = [
        "# StyleGAN-NADA: what was tried for far targets",
        "",
        "With the [candidates](../../benchmarks/candidates/README.md) as T2IBENCH_WEIGHTS: `python "
        "benchmarks/studies/stylegan_nada.py --targets TARGET --steps STEPS --variants VARIANT --out FOLDER`. FOLDER "
        "in a variant holds 24 drawings of the target.",
        "",
        "Distance: `fd_avatars` to real images of the target, over that of the unadapted generator; 1 is where it "
        "began, at most .5 is asked for. Diversity: over that of the unadapted generator; at least .5 is asked for.",
        "",
        "| target | variant | steps | distance | diversity |",
        "|---|---|---:|---:|---:|",
    ]
    for (target, variant), row in sorted(last.items()):
        numbers = f"{row['steps']} | {row['of_unadapted']:.2f} | {row['diversity']:.2f}"
        lines.append(f"| {target} | `{variant}` | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default=Config.generator)
    parser.add_argument("--targets", nargs="*", default=TARGETS)
    parser.add_argument("--variants", nargs="*", default=VARIANTS)
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    if arguments.page:
        text = page(json.loads(arguments.page.read_text("utf-8")))
        storage.publish(arguments.page.with_suffix(".md"), [text.encode()])
        return
    shared = {"clips": avatars.NETWORKS.guides, "generator": arguments.generator, "steps": arguments.steps}
    configs = {
        text: settings.configure(Config, {**shared, **settings_of(text.split())}, text) for text in arguments.variants
    }
    looks = Looks(Models(arguments.device), arguments.generator)
    texts, rows = avatars.domain_texts(avatars.Config()), []
    found = (
        shipped(looks, texts, arguments.targets)
        if arguments.shipped
        else trained(looks, texts, arguments.targets, configs)
    )
    for row in found:
        rows.append(row)
        print(json.dumps(row), flush=True)
        if arguments.out is not None:
            storage.publish(arguments.out / "stylegan_nada.json", (json.dumps(rows, indent=1) + "\n").encode())
    Console().print(table(rows))


if __name__ == "__main__":
    main()
