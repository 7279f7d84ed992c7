"""A start from which a small budget gets somewhere, by what the guide sees in generated images (ours).

Image and text have one space in CLIP (LAFITE, Zhou et al., CVPR 2022, trains on that), and of a generated image the
latent is known. So a linear map from embeddings to latents has a closed form, and the network begins as that map: for
sentences, which say all of an image, of the difference between what is asked and what the start shows; for attributes,
beside which the rest is to stay, of what tells one text from the others. No image is drawn in its training, so that a
thousand steps cost as much as a few dozen of the others.
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

CAPTIONS = 2000  # whose mean embedding says where texts lie in CLIP's space; images lie elsewhere
RIDGE = 0.003  # per image, beside features of unit norm
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
    """Trains `network`, in place, to go from w to where the guide sees what another generated image shows, which stands
    for a caption.

    images: how many are drawn of each kind, truncated by psi to start from and untruncated to go to.
    """
    starts, shown = drawn(generator, clip, images, psi, derive_seed(seed, "starts"))
    goals, wanted = drawn(generator, clip, images, 1.0, derive_seed(seed, "goals"))
    onto, mean = regression(wanted, goals), wanted.mean(0)
    there, here = (
        (wanted - mean) @ onto,
        (shown - mean) @ onto,
    )  # where the guide sees goals and starts to be, [N, w_dim]
    asked = wanted - mean + clip.encode_texts(captions[:CAPTIONS]).to(clip.device).mean(0)
    _fit(network, asked, starts, lambda b, a: there[b] - here[a], seed)


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
    """Trains `network`, in place, to step `length` the way that the guide's embedding of a text leads, beyond that of
    the mean text.

    images: how many are drawn for that, untruncated; and to start from, truncated by psi.
    """
    starts, _ = drawn(generator, clip, images, psi, derive_seed(seed, "starts"))
    goals, wanted = drawn(generator, clip, images, 1.0, derive_seed(seed, "goals"))
    asked = clip.encode_texts(texts).to(clip.device)
    ways = (asked - asked.mean(0)) @ regression(wanted, goals)
    ways *= length / (network.shape.rows**0.5 * torch.linalg.vector_norm(ways, dim=1, keepdim=True).clamp_min(1e-12))
    _fit(network, asked, starts, lambda b, _: ways[b], seed)


def _fit(
    network: DirectionNetwork, asked: Tensor, starts: Tensor, step: Callable[[Tensor, Tensor], Tensor], seed: int
) -> None:
    """Least squares to steps [B, w_dim], of rows of `asked` and of rows of `starts`, alike in every row of W+."""
    read: Any = network.text  # ClipText
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    stream = torch.Generator().manual_seed(derive_seed(seed, "pairs"))
    for index in track(range(STEPS), "warm start", STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - index / STEPS)
        a, b = (torch.randint(len(rows), (BATCH,), generator=stream) for rows in (starts, asked))
        s = network.step(network.inputs(read.scaled(asked[b]), starts[a]))
        loss = (s - step(b, a)[:, None]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def drawn(generator: Generator, clip: Clip, images: int, psi: float, seed: int) -> tuple[Tensor, Tensor]:
    """Latents w [N, w_dim] and the unit features [N, D] of their images."""
    z = latents([derive_seed(seed, row) for row in range(images)], generator.config.z_dim).to(clip.device)
    w = generator.mapping.w_avg.lerp(in_passes(generator.mapping, z), psi)

    def seen(part: Tensor) -> Tensor:
        rows = part[:, None].expand(-1, generator.config.rows, -1)
        return clip.image_features(generator.synthesis(generator.style(rows)))

    return w, in_passes(seen, w)


def regression(features: Tensor, w: Tensor) -> Tensor:
    """The ridge regression of w [N, w_dim] on features [N, D], both about their means: [D, w_dim]."""
    x, y = features - features.mean(0), w - w.mean(0)
    penalty = RIDGE * len(x) * torch.eye(x.shape[1], device=x.device)
    return torch.linalg.solve(x.T @ x + penalty, x.T @ y)
