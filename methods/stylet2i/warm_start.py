"""A start for trainings with a small budget, from the guide's features of generated images (ours).

CLIP embeds images and texts in one space (LAFITE, Zhou et al., CVPR 2022, trains on that), and the latent of a
generated image is known. So a linear map from embeddings to latents has a closed form, and the network is first fitted
to it:
- A sentence describes a whole image. Its step is the map of the difference between the text and the image at the start.
- An attribute should leave the rest of an image as it is. Its step is the map of what tells its text from the mean one.
This training draws images only once, before it, so a thousand of its steps cost as much as a few dozen of the others.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from t2ibench.core.progress import track
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.methods.stylet2i.directions import DirectionNetwork
from t2ibench.networks.clip import Clip
from t2ibench.networks.passes import in_passes
from t2ibench.networks.stylegan2 import Generator

CAPTIONS = 2000  # their mean embedding says where texts lie in CLIP's space; images lie elsewhere
RIDGE = 0.003  # penalty per image, for features of unit norm
STEPS, BATCH, RATE = 1500, 64, 1e-3


def sentence_start(
    network: DirectionNetwork,
    generator: Generator,
    clip: Clip,
    captions: Sequence[str],
    images: int,
    psi: float,
    seed: int,
) -> None:
    """Trains `network` in place to step from a w to another generated image, which stands for a caption.

    captions: their mean embedding moves image features to where texts lie.
    images: how many are drawn to start from, truncated by psi, and how many to go to, untruncated.
    """
    starts, start_features = drawn(generator, clip, images, psi, derive_seed(seed, "starts"))
    goals, goal_features = drawn(generator, clip, images, 1.0, derive_seed(seed, "goals"))
    onto, mean = regression(goal_features, goals), goal_features.mean(0)
    from_w, to_w = (start_features - mean) @ onto, (goal_features - mean) @ onto  # as the guide sees them, [N, w_dim]
    texts = goal_features - mean + clip.encode_texts(captions[:CAPTIONS]).to(clip.device).mean(0)
    _fit(network, texts, starts, lambda b, a: to_w[b] - from_w[a], seed)


def attribute_start(
    network: DirectionNetwork,
    generator: Generator,
    clip: Clip,
    texts: Sequence[str],
    images: int,
    psi: float,
    length: float,
    seed: int,
) -> None:
    """Trains `network` in place to make a step of a given length in the direction of a text.

    The direction is the regression of the guide's embedding of the text minus that of the mean text.
    texts: those of all attributes.
    images: how many are drawn for the regression, untruncated, and how many to start from, truncated by psi.
    length: of a step, over all rows of W+.
    """
    starts, _ = drawn(generator, clip, images, psi, derive_seed(seed, "starts"))
    goals, goal_features = drawn(generator, clip, images, 1.0, derive_seed(seed, "goals"))
    embedded = clip.encode_texts(texts).to(clip.device)
    ways = (embedded - embedded.mean(0)) @ regression(goal_features, goals)
    ways *= length / (network.shape.rows**0.5 * torch.linalg.vector_norm(ways, dim=1, keepdim=True).clamp_min(1e-12))
    _fit(network, embedded, starts, lambda b, _: ways[b], seed)


def _fit(
    network: DirectionNetwork, texts: Tensor, starts: Tensor, step: Callable[[Tensor, Tensor], Tensor], seed: int
) -> None:
    """Fits `network` by least squares to the same step [B, w_dim] in every row of W+.

    texts: unit embeddings [T, D].
    starts: latents w [N, w_dim].
    step: the wanted step [B, w_dim], given rows of `texts` and rows of `starts`.
    """
    encoder: Any = network.text  # ClipText
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    stream = torch.Generator().manual_seed(derive_seed(seed, "pairs"))
    for index in track(range(STEPS), "warm start", STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - index / STEPS)
        a, b = (torch.randint(len(rows), (BATCH,), generator=stream) for rows in (starts, texts))
        s = network.step(network.inputs(encoder.scaled(texts[b]), starts[a]))
        loss = (s - step(b, a)[:, None]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def drawn(generator: Generator, clip: Clip, images: int, psi: float, seed: int) -> tuple[Tensor, Tensor]:
    """Latents w [N, w_dim] and the unit features [N, D] of their images."""
    z = latents([derive_seed(seed, row) for row in range(images)], generator.config.z_dim).to(clip.device)
    w = generator.mapping.w_avg.lerp(in_passes(generator.mapping, z), psi)

    def features(w: Tensor) -> Tensor:
        rows = w[:, None].expand(-1, generator.config.rows, -1)
        return clip.image_features(generator.synthesis(generator.style(rows)))

    return w, in_passes(features, w)


def regression(features: Tensor, w: Tensor) -> Tensor:
    """The ridge regression of w [N, w_dim] on features [N, D], both about their means: [D, w_dim]."""
    x, y = features - features.mean(0), w - w.mean(0)
    penalty = RIDGE * len(x) * torch.eye(x.shape[1], device=x.device)
    return torch.linalg.solve(x.T @ x + penalty, x.T @ y)
