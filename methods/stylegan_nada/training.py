"""How a generator learns a domain that only a text names: from the same latents as its frozen copy, in a few hundred
steps.

It differs from the released code in three ways that no setting changes. Every random number belongs to its step, so
that runs can be repeated and resumed. Both generators have one stored mean w. Layers that do not learn are left out of
Adam, so they keep their values and moments.
"""

import copy
import re
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.methods.stylegan_nada import layers
from t2ibench.methods.stylegan_nada.coding import encode
from t2ibench.methods.stylegan_nada.images import Texture, patches, target_files
from t2ibench.methods.stylegan_nada.losses import direction_loss, global_loss, guides, total_loss, views
from t2ibench.methods.stylegan_nada.settings import Config, training_settings
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.state import resume
from t2ibench.networks.stylegan2 import Generator
from t2ibench.networks.stylegan2.difference import difference

BETAS, EPS = (0.0, 0.99**0.8), 1e-8  # of the release: those of StyleGAN2 with its lazy regularisation's share of 4/5
HELD_OUT, SHOWN, ACROSS = 64, 32, 8  # latents behind a card's numbers, in the progress image, and in a line of it


class AdaptationRecipe:
    """Trains one adaptation; a `loop.Recipe` whose weights are the differences to the parent generator."""

    def __init__(self, config: Config, source: str, target: str, models: Models) -> None:
        """Raises UserError for texts without a direction between them, missing weights, and an empty set of layers."""
        self.config, self.source, self.target, self.models = config, source, target, models
        self.name, self.keep_every, self.steps = name_of(target), config.keep_every, config.steps
        self.frozen: Generator = models.stylegan2(config.generator)
        self.child = copy.deepcopy(self.frozen)
        self.device, self.seed, self.seconds = models.device, derive_seed("stylegan_nada", config.seed), 0.0
        self.guides = guides(config, source, target, models, self._start() if config.target_images else None)
        self.texture = Texture(config, models) if config.lambda_texture else None
        layout = self.frozen.config
        self.table = layers.row_table(layout, config.row_map)
        self.k = int(config.layers if config.layers >= 1 else config.layers * layout.rows)
        self.ranked = 0 < self.k < len(self.table)
        self.learning = self.table if config.layers else layers.phase_layers(layout, config.phase)
        self.layer_steps: dict[str, int] = {}  # the number of steps in which each layer learned
        self.parameters = dict(self.child.named_parameters())
        self._learned()  # refuses an empty set before anything is made
        self.optimiser = torch.optim.Adam(self.parameters.values(), config.learning_rate, betas=BETAS, eps=EPS)
        self.settings = settings_of(config, source, target, models)

    @property
    def facts(self) -> dict[str, Any]:
        """What the card says about the training."""
        used = self.models.used[self.config.generator]["data"]
        return {
            "data": used,
            "seed": self.config.seed,
            "optimised_for": [guide.clip.name for guide in self.guides],
            "training_seconds": round(self.seconds, 3),
            "layer_steps": self.layer_steps,
        }

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.frozen, self.frozen, "synthesis"), (self.child, self.child, "synthesis")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        started = time.perf_counter()
        self._choose(index)
        learning = self._learned()
        for key, parameter in self.parameters.items():
            parameter.requires_grad_(key in learning)
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "step", index))
        whole = before, after = self.pair(stream)
        if self.config.views:
            before, after = views(before, after, self.config.views, self.config.view_scale, stream)
        cut = patches(*whole, self.config.patch_side, stream) if self.config.lambda_patch else None
        texture = None if self.texture is None else self.texture.loss(whole[1])
        losses = total_loss(self.config, self.guides, before, after, cut, texture)
        gradients = torch.autograd.grad(losses["loss"], list(learning.values()), allow_unused=True)
        for parameter, gradient in zip(learning.values(), gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.child.requires_grad_(False)
        for layer in self.learning:
            self.layer_steps[layer] = self.layer_steps.get(layer, 0) + 1
        self.seconds += time.perf_counter() - started
        return {key: value.item() for key, value in losses.items()}

    def _learned(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that learn: of the chosen layers, those that the settings allow."""
        config = self.config
        return layers.parameters_of(
            self.child, self.learning, config.train_affine, config.train_kernels, config.train_noise
        )

    def pair(self, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images of the frozen and of the learning generator from the same latents, floats [batch, 3, H, W].

        They also share noise and crossover, unless the setting `paired` is False. All random numbers come from
        `stream`.
        """
        config, layout = self.config, self.frozen.config
        z = torch.randn(2, config.batch, layout.z_dim, generator=stream)
        mixed = bool(torch.rand([], generator=stream) < config.mixing)
        shared, images = stream.get_state(), []
        for generator in (self.frozen, self.child):
            if config.paired:
                stream.set_state(shared)
            with torch.no_grad():
                first, second = (
                    self.frozen.truncate(self.frozen.mapping(latent.to(self.device)), config.training_psi)
                    for latent in z
                )
                crossing = int(torch.randint(1, layout.rows, (), generator=stream)) if mixed else layout.rows
                w_plus = torch.cat([first[:, :crossing], second[:, crossing:]], dim=1)
            with torch.set_grad_enabled(generator is self.child):
                images.append(generator.synthesis(generator.style(w_plus), self._noise(config.batch, stream)))
        return images[0], images[1]

    @torch.no_grad()
    def _start(self) -> Tensor:
        """The generator's own images, from which the direction to images of the target starts."""
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "start"))
        z = torch.randn(self.config.target_latents, self.frozen.config.z_dim, generator=stream).to(self.device)
        w_plus = self.frozen.truncate(self.frozen.mapping(z), self.config.training_psi)
        return self.frozen.synthesis(self.frozen.style(w_plus), self._noise(len(z), stream))

    def _noise(self, count: int, stream: torch.Generator) -> Any:
        if self.config.noise == "const":
            return "const"
        return [torch.randn(count, *shape, generator=stream).to(self.device) for shape in self.frozen.noise_shapes()]

    def _choose(self, index: int) -> None:
        """Choose the layers that learn, in the steps where they are chosen anew."""
        config = self.config
        if not self.ranked or index % config.layers_every:
            return
        stream = torch.Generator().manual_seed(derive_seed(self.seed, "layers", index))
        z = torch.randn(config.layers_batch, self.frozen.config.z_dim, generator=stream).to(self.device)
        with torch.no_grad():
            w_plus = self.frozen.truncate(self.frozen.mapping(z))
        scores = layers.row_scores(lambda moved: self._global(moved, stream), w_plus, config.layers_iterations)
        self.learning = layers.chosen(scores, self.table, self.k)

    def _global(self, w_plus: Tensor, stream: torch.Generator) -> Tensor:
        """The global loss of the learning generator's images of latents [B, L, w_dim], a scalar."""
        images = self.child.synthesis(self.child.style(w_plus), self._noise(len(w_plus), stream))
        losses = [guide.weight * global_loss(guide.features(images), guide.target).mean() for guide in self.guides]
        return torch.stack(losses).sum()

    def state(self) -> dict[str, Any]:
        networks = {"child": self.child.state_dict(), "optimiser": self.optimiser.state_dict()}
        return {**networks, "learning": list(self.learning), "layer_steps": self.layer_steps, "seconds": self.seconds}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"child": self.child, "optimiser": self.optimiser}, state)
        self.learning, self.layer_steps, self.seconds = state["learning"], state["layer_steps"], state["seconds"]

    def preview(self) -> Tensor:
        """Images of fixed latents: a line of the parent's images above each line of the adapted generator's."""
        before, after = (images.unflatten(0, (-1, ACROSS)) for images in self._held_out(SHOWN))
        return to_uint8(torch.stack([before, after], dim=1).flatten(0, 2)).cpu()

    @torch.no_grad()
    def _held_out(self, count: int) -> tuple[Tensor, Tensor]:
        """Images of both generators from latents that no step and no sample uses, drawn as they are when scored."""
        z = latents([derive_seed(self.seed, "held out", k) for k in range(count)], self.frozen.config.z_dim).to(
            self.device
        )
        w_plus = self.frozen.truncate(self.frozen.mapping(z), self.config.truncation_psi)
        before, after = (generator.synthesis(generator.style(w_plus)) for generator in (self.frozen, self.child))
        return before, after

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        texts = {"source": self.source, "target": self.target}
        generator = {"generator": self.config.generator, "generator_sha256": self.settings["generator_sha256"]}
        return encode(difference(self.frozen, self.child)), {"kind": "stylegan2-difference", **texts, **generator}

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """On held-out latents, under each CLIP that was optimised: the direction loss, and how much spread is kept.

        The spread is the mean of 1 - cos over all pairs of images; what is kept is a share of the parent's. A loss near
        0 with little spread is a collapse.
        """
        before, after = self._held_out(HELD_OUT)
        numbers: dict[str, Any] = {"n": HELD_OUT}
        for guide in self.guides:
            start, end = guide.features(before), guide.features(after)
            loss = direction_loss(start, end, guide.delta_t, self.config.floor).mean()
            numbers[guide.clip.name] = {
                "direction": round(float(loss), 4),
                "spread_kept": round(float(spread(end) / spread(start)), 4),
            }
        return numbers


def spread(features: Tensor) -> Tensor:
    """Mean of 1 - cos over all pairs of different rows of [N, D], of unit norm; 0 where all are equal."""
    count = len(features)
    return 1 - (features.sum(0).square().sum() - count) / (count * (count - 1))


def settings_of(config: Config, source: str, target: str, models: Models) -> dict[str, Any]:
    """Everything that decides an adaptation, except its number of steps.

    These are the settings, both texts, and the hashes of the networks behind it.
    """
    models.stylegan2(config.generator)
    weighted = [(name, weight) for name, weight in zip(config.clips, config.clip_weights, strict=True) if weight]
    clips = [[models.clip(name).sha256, weight] for name, weight in weighted]
    networks: dict[str, Any] = {"generator_sha256": models.used[config.generator]["sha256"], "clips": clips}
    if config.target_images:
        networks["target_images"] = [models.file(str(path)) for path in target_files(config)]
    if config.texture:
        networks["texture"] = [models.file(config.texture), models.clip(config.texture_clip).sha256]
    return {**training_settings(config), "source": source, "target": target, **networks}


def name_of(target: str) -> str:
    """The name of an adaptation: "a pencil sketch of a face" to "stylegan-nada-a-pencil-sketch-of-a-face"."""
    return f"stylegan-nada-{re.sub('[^a-z0-9]+', '-', target.lower()).strip('-')[:60]}"
