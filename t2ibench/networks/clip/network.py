"""Small CLIP models: `open_clip`'s class with a config for small images and a small token table.

The table holds only the words of the training texts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn


class TokenTable(nn.Module):
    """Embeddings of the tokens `ids`, and one last row for all other tokens, the unknown word.

    It replaces `token_embedding`, whose 49,408 rows a small data set would hardly train. From tokens [B, L] to
    embeddings [B, L, D].
    """

    ids: Tensor

    def __init__(self, ids: Iterable[int], width: int) -> None:
        super().__init__()
        self.register_buffer("ids", torch.tensor(sorted(set(ids))))
        self.weight = nn.Parameter(torch.randn(len(self.ids) + 1, width) * 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(self.rows(tokens), self.weight)

    def rows(self, tokens: Tensor) -> Tensor:
        """The row of each token, `len(ids)` for an unknown one."""
        near = torch.searchsorted(self.ids, tokens).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[near] == tokens, near, len(self.ids))


def build(config: Mapping[str, Any], ids: Iterable[int]) -> CLIP:
    """An untrained model for the tokens `ids`.

    config: `embed_dim`, `vision_cfg` and `text_cfg`, as in open_clip.
    """
    text = {**config["text_cfg"], "vocab_size": 1}  # the table takes the place of these rows
    model = CLIP(config["embed_dim"], dict(config["vision_cfg"]), text)
    model.token_embedding = TokenTable(ids, text["width"])
    return model


def tokens_of(texts: Iterable[str], context_length: int) -> Tensor:
    """Tokens of texts by the standard CLIP tokeniser: int64 [N, context_length].

    Texts that are too long are cut; their end token is kept.
    """
    return SimpleTokenizer(context_length=context_length)(list(texts))
