"""A CLIP as OpenAI's code has it, written anew and small: the layout of its names, types and files, and its features.

It shares nothing with the package or with open_clip but torch, so features that agree were computed twice.
"""

import copy
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, SIDE, PATCH, CONTEXT, EMBED, LAYERS, TOKENS = 64, 32, 16, 77, 24, 2, 49_408


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ResidualAttentionBlock(nn.Module):
    def __init__(self, width: int, mask: Tensor | None) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64)
        self.ln_1 = nn.LayerNorm(width)
        parts = [
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", QuickGELU()),
            ("c_proj", nn.Linear(4 * width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(parts))
        self.ln_2 = nn.LayerNorm(width)
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=self.mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, mask: Tensor | None = None) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(ResidualAttentionBlock(width, mask) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)


class VisualTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH) * 0.1)
        self.positional_embedding = nn.Parameter(torch.randn((SIDE // PATCH) ** 2 + 1, WIDTH) * 0.1)
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Transformer(WIDTH, LAYERS)
        self.proj = nn.Parameter(torch.randn(WIDTH, EMBED) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x).permute(1, 0, 2)).permute(1, 0, 2)
        return self.ln_post(x[:, 0]) @ self.proj


class Multimodal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = VisualTransformer()
        mask = torch.full([CONTEXT, CONTEXT], float("-inf")).triu(1)
        self.transformer = Transformer(WIDTH, LAYERS, mask)
        self.token_embedding = nn.Embedding(TOKENS, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.1)
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, EMBED) * 0.1)
        self.logit_scale = nn.Parameter(torch.tensor(2.5))
        for name, value in (("input_resolution", SIDE), ("context_length", CONTEXT), ("vocab_size", TOKENS)):
            self.register_buffer(name, torch.tensor(value))

    def encode_image(self, images: Tensor) -> Tensor:
        return self.visual(images)

    def encode_text(self, tokens: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding
        x = self.ln_final(self.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
        return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ self.text_projection

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        image = F.normalize(self.encode_image(images), dim=-1)
        text = F.normalize(self.encode_text(tokens), dim=-1)
        logits = self.logit_scale.exp() * image @ text.T
        return logits, logits.T


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The types in which OpenAI stores: half where its `convert_weights` casts, otherwise float32."""
    parts = ("conv1.weight", "proj", "text_projection", "in_proj_weight", "in_proj_bias")
    modules = ("out_proj.", "c_fc.", "c_proj.")
    return {
        key: value.half() if key.endswith(parts) or any(name in key for name in modules) else value
        for key, value in state.items()
    }


def network(seed: int = 0) -> Multimodal:
    """A network with random weights that halves keep exactly. Norms and biases are away from 1 and 0."""
    torch.manual_seed(seed)
    model = Multimodal()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "ln_" in name or name.endswith("bias"):
                value.add_(torch.randn_like(value) * 0.1)
    state = {
        key: value.float() if value.is_floating_point() else value for key, value in halved(model.state_dict()).items()
    }
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def write_archive(path: Path, model: Multimodal) -> Path:
    """A TorchScript archive, as OpenAI publishes: traced, with the three buffers, tensors in the published types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(
            copy.deepcopy(model), (torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, CONTEXT, dtype=torch.int64))
        )
        types = {key: value.dtype for key, value in halved(model.state_dict()).items()}
        for key, value in traced.named_parameters():
            value.data = value.data.to(types[key])
        torch.jit.save(traced, path)
    return path


def plain(model: Multimodal) -> dict[str, Any]:
    """The state dict without the three extra keys, in float32."""
    return {
        k: v for k, v in model.state_dict().items() if k not in ("input_resolution", "context_length", "vocab_size")
    }
