"""Hybrid character CNN-RNN text encoder (Reed et al., CVPR 2016; the variants of the ICML 2016 release).

No released model has an LSTM. They have a ReLU RNN or a gated unit, whose states are averaged over time. torch.nn.GRU
can represent neither: here the reset gate multiplies the state before the linear map, and the update gate weighs the
candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from t2ibench.core.ranges import Count

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
COLUMN = {
    character: column for column, character in enumerate(ALPHABET)
}  # '-' stands twice: 59 wins, column 36 never fires


@dataclass(frozen=True)
class EncoderShape:
    """The defaults are the ICML encoder of CUB (hybrid_gru18_a1_c512)."""

    # of the convolutions; the last is also the width of the recurrent core
    channels: tuple[Count, Count, Count] = (384, 512, 512)
    core: Literal["gru", "rnn"] = "gru"
    third_pool: bool = False  # HybridCNN pools a third time (CVPR release, ICML Flowers); HybridCNNLong does not
    length: Count = 201  # characters read; the rest of a text is cut off
    out: Count = 1024


def characters(texts: Sequence[str], length: int = 201) -> Tensor:
    """The column of each character in the alphabet, counted from 1: int64 [B, length].

    It is 0 past the end of a text and for an unknown character. Texts are lower-cased; the released demos forget this,
    and drop capitals.
    """
    codes = np.zeros((len(texts), length), np.int64)
    for row, text in zip(codes, texts, strict=True):
        known = [COLUMN.get(character, -1) + 1 for character in text.lower()[:length]]
        row[: len(known)] = known
    return torch.from_numpy(codes)


class GatedUnit(nn.Module):
    """u gates the candidate: h = u * cand + (1 - u) * h, cand = tanh(W x + U (r * h)).

    The first state is tanh(W x), without gates.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(width, 3 * width)  # update, reset, candidate
        self.gates = nn.Linear(width, 2 * width)
        self.candidate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, steps, C] to the states [B, steps, C]."""
        mapped = self.inputs(x)
        h = mapped[:, 0].chunk(3, dim=-1)[2].tanh()
        states = [h]
        for step in range(1, x.shape[1]):
            update_x, reset_x, candidate_x = mapped[:, step].chunk(3, dim=-1)
            update_h, reset_h = self.gates(h).chunk(2, dim=-1)
            update, reset = (update_x + update_h).sigmoid(), (reset_x + reset_h).sigmoid()
            h = update * (candidate_x + self.candidate(reset * h)).tanh() + (1 - update) * h
            states.append(h)
        return torch.stack(states, dim=1)


class ReluUnit(nn.Module):
    """h = relu(W x + b + U h + c); the first state has no recurrent term and no c."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs, self.recurrent = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, steps, C] to the states [B, steps, C]."""
        mapped = self.inputs(x)
        states = [mapped[:, 0].relu()]
        for step in range(1, x.shape[1]):
            states.append((mapped[:, step] + self.recurrent(states[-1])).relu())
        return torch.stack(states, dim=1)


class TextEncoder(nn.Module):
    """phi(t): character codes [B, length] to embeddings [B, out], not normalised."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        a, b, c = shape.channels

        def threshold() -> nn.Module:
            return nn.Threshold(1e-6, 0.0)

        layers: list[nn.Module] = [nn.Conv1d(len(ALPHABET), a, 4), threshold(), nn.MaxPool1d(3, 3)]  # 201 -> 198 -> 66
        layers += [
            nn.Conv1d(a, b, 4),
            threshold(),
            nn.MaxPool1d(3, 3),
            nn.Conv1d(b, c, 4),
            threshold(),
        ]  # -> 63 -> 21 -> 18
        layers += [nn.MaxPool1d(3, 2)] if shape.third_pool else []  # -> 8
        self.convolutions = nn.Sequential(*layers)
        self.core = GatedUnit(c) if shape.core == "gru" else ReluUnit(c)
        self.out = nn.Linear(c, shape.out)

    def forward(self, codes: Tensor) -> Tensor:
        rows = one_hot(codes, len(ALPHABET) + 1)[..., 1:].to(
            self.out.weight.dtype
        )  # [B, length, 70], code 0 is an empty row
        steps = self.convolutions(rows.transpose(1, 2)).transpose(1, 2)
        return self.out(self.core(steps).mean(dim=1))

    @property
    def context(self) -> str:
        """How much of a text it reads, in words."""
        return f"{self.shape.length} characters"

    def cut(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether its end is not read."""
        return [len(text) > self.shape.length for text in texts]

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch: int = 64) -> Tensor:
        """Embeddings of texts, float32 [len(texts), out], on the CPU.

        All batches have one size, and row i depends on text i alone.
        """
        codes = characters(texts, self.shape.length)
        filled = torch.cat([codes, codes.new_zeros(-len(codes) % batch, codes.shape[1])])
        device = self.out.weight.device
        rows = (
            [self(block.to(device)).cpu() for block in filled.split(batch)]
            if len(filled)
            else [torch.zeros(0, self.shape.out)]
        )
        return torch.cat(rows)[: len(texts)]
