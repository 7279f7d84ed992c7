"""T and E: a CLIP's embeddings of a caption and of an image.

The paper uses ViT-L/14 at 336 pixels. Here it may be any CLIP of the zoo or of open_clip.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.networks.clip import Clip


def unit_rms(features: Tensor) -> Tensor:
    """Embeddings [B, D] scaled so that their coordinates have a mean square of 1, as the noise has."""
    return nn.functional.normalize(features, dim=-1) * features.shape[-1] ** 0.5


@torch.no_grad()
def image_embeddings(clip: Clip, images: Tensor) -> Tensor:
    """E of uint8 images [B, 3, H, W]: float32 [B, D] on the CPU."""
    return unit_rms(clip.encode_images(images))


@torch.no_grad()
def text_embeddings(clip: Clip, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """T of captions, three tensors on the CPU: words, word mask and sentences.

    words: [B, L, D_w], the last hidden states. L is the model's context length.
    word mask: bool [B, L], which of the states belong to words.
    sentences: [B, D].

    Raises UserError for a text tower that is not one of open_clip's transformers.
    """
    tower = clip.model if hasattr(clip.model, "ln_final") else getattr(clip.model, "text", None)
    if not isinstance(getattr(tower, "ln_final", None), nn.Module):
        raise UserError(
            f"composer: {clip.name} has no text transformer of open_clip, whose last states are the words: use "
            f"another CLIP"
        )
    states: list[Tensor] = []
    tokens: list[Tensor] = []
    hooks = [
        tower.ln_final.register_forward_hook(lambda module, inputs, output: states.append(output.cpu())),  # type: ignore[union-attr]
        tower.token_embedding.register_forward_hook(lambda module, inputs, output: tokens.append(inputs[0].cpu())),  # type: ignore[union-attr]
    ]
    try:
        sentences = clip.encode_texts(list(texts))
    finally:
        for hook in hooks:
            hook.remove()
    numbers = torch.cat(tokens)  # [B, L]
    ends = numbers.argmax(1, keepdim=True)  # the end token has the highest number
    return torch.cat(states), torch.arange(numbers.shape[1]) <= ends, unit_rms(sentences)
