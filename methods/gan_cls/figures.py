"""Figures of the paper made with trained weights: style transfer (figure 6), and interpolation of sentences and of
noise (figure 8).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from t2ibench.core.images import save_grid
from t2ibench.methods.gan_cls import Method


def save_style_transfer(method: Method, images: Tensor, prompts: Sequence[str], path: Path) -> None:
    """Images uint8 [N, 3, 64, 64] in the first row; below, a row for each prompt, drawn in the style of the image
    above.
    """
    rows = [method.transfer_style(images, [prompt] * len(images)) for prompt in prompts]
    save_grid(torch.cat([images, *rows]), path, columns=len(images))


def save_sentence_interpolation(
    method: Method, pairs: Sequence[tuple[str, str]], path: Path, steps: int = 8, seed: int = 0
) -> None:
    """A row for each pair of sentences, from the first on the left to the second on the right; one noise for all."""
    save_grid(
        torch.cat([method.interpolate_sentences(first, second, steps, seed) for first, second in pairs]),
        path,
        columns=steps,
    )


def save_noise_interpolation(
    method: Method, prompts: Sequence[str], path: Path, steps: int = 8, seeds: tuple[int, int] = (0, 1)
) -> None:
    """A row for each sentence, from the noise of one seed to that of another."""
    save_grid(torch.cat([method.interpolate_noise(prompt, steps, seeds) for prompt in prompts]), path, columns=steps)
