"""Drawing with trained networks: guided sampling, inversion and the way back, and regions that stay as they are.

Every pass has BATCH rows, so that the same kernels run however many images are drawn: see t2ibench/networks/passes.py.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.seeds import derive_seed, latents
from t2ibench.methods.composer import diffusion
from t2ibench.methods.composer.conditions import Conditions
from t2ibench.methods.composer.network import Denoiser
from t2ibench.methods.composer.prior import Prior
from t2ibench.methods.composer.settings import Config
from t2ibench.methods.composer.upsampler import Upsampler
from t2ibench.networks.passes import in_passes

BATCH = 8
# an image x_0 [B, 3, R, R] in [-1, 1], and k [B, 1, R, R]: 1 for a pixel that stays, 0 for one that is drawn anew
Known = tuple[Tensor, Tensor]


class Drawing:
    """Draws images from sets of conditions: float [B, 3, R, R], on the model's device, a little beyond [-1, 1]."""

    def __init__(
        self, model: Denoiser, config: Config, upsampler: Upsampler | None = None, prior: Prior | None = None
    ) -> None:
        self.model, self.config, self.upsampler, self.prior = model, config, upsampler, prior

    def sample(self, noise: Tensor, c1: Conditions, c2: Conditions, scale: float, known: Known | None = None) -> Tensor:
        """Images of c2, guided away from c1 by scale w, from noise x_T; pixels that are known stay, bit for bit."""
        return put_back(self.uncomposited(noise, c1, c2, scale, known), known)

    def uncomposited(
        self, noise: Tensor, c1: Conditions, c2: Conditions, scale: float, known: Known | None = None
    ) -> Tensor:
        """The same before known pixels are put back into the result, so that `leak` can tell how far they moved."""
        config = self.config
        return self._run(
            lambda: diffusion.sampler(config.sampler, config.steps, config.threshold), noise, c1, c2, scale, known
        )

    def invert(self, x0: Tensor, conditions: Conditions, steps: int = 50) -> Tensor:
        """The noise x_T from which DDIM draws x0 [B, 3, R, R] under conditions, without guidance or thresholds."""
        times = self.config.inversion_iterations
        return self._run(lambda: diffusion.inverse_sampler(steps), x0, conditions, conditions, 1.0, iterations=times)

    def reconfigure(
        self,
        x0: Tensor,
        c1: Conditions,
        c2: Conditions,
        scale: float = 1.0,
        steps: int = 50,
        known: Known | None = None,
    ) -> Tensor:
        """Bidirectional guidance: x0 is inverted under c1 and drawn again under c2. Their difference is the edit.

        A scale above 1 also guides the way back from c1 to c2, with the threshold that guidance needs. At scale 1,
        equal c1 and c2 give x0 back, up to the error of the round trip.
        """
        return put_back(self.way_back(self.invert(x0, c1, steps), c1, c2, scale, steps, known), known)

    def way_back(
        self, noise: Tensor, c1: Conditions, c2: Conditions, scale: float, steps: int, known: Known | None = None
    ) -> Tensor:
        """The second half of a reconfiguration, before known pixels are put back: DDIM on the grid of the inversion."""
        threshold = 0.0 if scale == 1 else self.config.threshold
        return self._run(lambda: diffusion.sampler("ddim", steps, threshold), noise, c1, c2, scale, known)

    @torch.no_grad()
    def upsample(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Images drawn anew at the size of the upsampler; without an upsampler they stay as they are.

        The upsampler reads them clamped to [-1, 1].
        """
        if self.upsampler is None:
            return images
        model, config, low = self.upsampler, self.config, images.clamp(-1, 1)
        noise = latents(seeds, 3, model.shape.image_size, model.shape.image_size).to(images.device)

        def one_pass(rows: Tensor) -> Tensor:
            return model.sampled(noise[rows], low[rows], config.upsampler_steps)

        return in_passes(one_pass, torch.arange(len(images), device=images.device), BATCH)

    @torch.no_grad()
    def embedding(self, sentences: Tensor, seeds: Sequence[int]) -> Tensor:
        """Image embeddings that the prior makes from captions, [B, D] of unit RMS.

        Of several candidates the one nearest to its caption is taken. sentences: [B, D], of unit RMS.
        """
        model, config, drawn = self.prior, self.config, []
        assert model is not None, "there is no prior: name one in the config"
        for candidate in range(config.prior_candidates):
            noise = latents([derive_seed(seed, "prior", candidate) for seed in seeds], model.shape.embed_dim).to(
                sentences.device
            )

            def one_pass(rows: Tensor, noise: Tensor = noise) -> Tensor:
                return model.sampled(noise[rows], sentences[rows], config.prior_steps, config.prior_scale)

            drawn.append(in_passes(one_pass, torch.arange(len(sentences), device=sentences.device), BATCH))
        candidates = torch.stack(drawn)  # [K, B, D]
        best = (candidates * sentences).sum(2).argmax(0)
        return candidates[best, torch.arange(len(sentences), device=best.device)]

    @torch.no_grad()
    def _run(
        self,
        scheduler: Callable[[], Any],
        start: Tensor,
        c1: Conditions,
        c2: Conditions,
        scale: float,
        known: Known | None = None,
        iterations: int = 1,
    ) -> Tensor:
        def one_pass(rows: Tensor) -> Tensor:
            x, contexts = start[rows], (self.model.conditioner(c1.rows(rows)), self.model.conditioner(c2.rows(rows)))
            keep = (
                None
                if known is None
                else functools.partial(composited, noise=x, known=(known[0][rows], known[1][rows]))
            )
            return diffusion.sample(
                lambda x, t: self.model.guided(x, t, *contexts, scale), x, scheduler(), keep, iterations
            )

        return in_passes(one_pass, torch.arange(len(start), device=start.device), BATCH)


def composited(x: Tensor, t: int, noise: Tensor, known: Known) -> Tensor:
    """x_t in which known pixels are the source's at time t, made with the same noise at every step."""
    x0, k = known
    return torch.where(k > 0, diffusion.noised(x0, noise, torch.tensor([t]), diffusion.alphas_bar()), x)


def put_back(images: Tensor, known: Known | None) -> Tensor:
    """Images with the source's values in known pixels, bit for bit."""
    return images if known is None else torch.where(known[1] > 0, known[0], images)


def leak(images: Tensor, known: Known) -> Tensor:
    """Root mean square difference between images before `put_back` and the source, over its known pixels: [B].

    0 for an image without known pixels.
    """
    x0, k = known
    return ((images - x0).square() * k).sum((1, 2, 3)).div(3 * k.sum((1, 2, 3)).clamp(min=1)).sqrt()


def renoised(x: Tensor, noise: Tensor, share: float) -> Tensor:
    """sqrt(1 - r^2) x_T + r noise, the start of a freer way back. share: r in [0, 1]; 0 gives x_T itself."""
    return math.sqrt(1 - share**2) * x + share * noise
