"""The diffusion process: cosine schedule, epsilon-prediction, guided sampling by DDIM or DPM-Solver++."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TIMES = 1000
COSINE: dict[str, Any] = {
    "num_train_timesteps": TIMES,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
}
# half log signal-to-noise ratio at which DPM-Solver starts; below it epsilon says nothing about the image
CLIPPED = -5.1
BEYOND = 1e6  # a threshold that is never reached; diffusers' own, 1, would make thresholding dynamic in name alone


def alphas_bar() -> Tensor:
    """Signal power abar_t for t = 0 ... 999, float32: cos^2((t / T + 0.008) / 1.008 * pi / 2).

    Each beta is at most 0.999.
    """
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler(**COSINE)
    return scheduler.alphas_cumprod


def noised(x0: Tensor, noise: Tensor, t: Tensor, abar: Tensor) -> Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise; t: integers [B]."""
    signal = abar.to(x0.device)[t].view(-1, *[1] * (x0.ndim - 1))
    return signal.sqrt() * x0 + (1 - signal).sqrt() * noise


def loss(predicted: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of the predicted noise, [B, 3 or more, R, R], of each sample: [B] (eq. 1 of the paper)."""
    return F.mse_loss(predicted[:, :3].float(), noise, reduction="none").mean(dim=(1, 2, 3))


def draws(seed: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Noise of the shape of `like`, [B, ...], and times in 0 ... 999, [B], for one step of training."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(like.shape, generator=generator)
    return noise.to(like.device), torch.randint(TIMES, (len(like),), generator=generator).to(like.device)


def sampler(name: str, steps: int, threshold: float, prediction: str = "epsilon", highest: float = BEYOND) -> Any:
    """diffusers' scheduler for one run of sampling.

    threshold: quantile of the dynamic thresholding; 0: none.
    prediction: what the network predicts, the noise ("epsilon") or x_0 itself ("sample").
    highest: the most that |x_0| is divided by; 1 clips it.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    limit = {"thresholding": threshold > 0, "dynamic_thresholding_ratio": threshold or 1.0, "sample_max_value": highest}
    process = {**COSINE, "prediction_type": prediction}
    scheduler: Any
    if name == "ddim":
        scheduler = DDIMScheduler(**process, **limit, clip_sample=False, timestep_spacing="leading")
    else:
        scheduler = DPMSolverMultistepScheduler(
            **process, **limit, algorithm_type="dpmsolver++", solver_order=2, lambda_min_clipped=CLIPPED
        )
    scheduler.set_timesteps(steps)
    return scheduler


def inverse_sampler(steps: int) -> Any:
    """diffusers' scheduler that goes from x_0 to x_T on the grid of DDIM. It clips nothing on the way."""
    from diffusers import DDIMInverseScheduler

    scheduler: Any = DDIMInverseScheduler(**COSINE, clip_sample=False, timestep_spacing="leading")
    scheduler.set_timesteps(steps)
    return scheduler


def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    scheduler: Any,
    keep: Callable[[Tensor, int], Tensor] | None = None,
    iterations: int = 1,
) -> Tensor:
    """x_0 from x_T [B, 3, R, R], or the other way with an inverse scheduler. Each row depends on itself alone.

    predict: a function from (x_t, t as integers [B]) to the noise.
    keep: a function that changes each x_t before it is denoised further, given its t.
    iterations: of an inverse scheduler, the times that each step is made. The sampler's step back to x_t takes the
    noise of where it comes from, x_s with s > t; an inversion knows x_t alone. Every further time it takes the noise
    of the x_s that it found last, which is the fixed-point iteration of Pan et al. (ICCV 2023) and of ReNoise (ECCV
    2024).
    """
    x, times = start, scheduler.timesteps.tolist()
    for t, following in zip(times, [*times[1:], None], strict=True):
        found = x
        for _ in range(iterations):
            eps = predict(found, torch.full((len(x),), t, device=x.device))
            found = scheduler.step(eps, t, x).prev_sample
        x = found
        if keep is not None and following is not None:
            x = keep(x, following)
    return x
