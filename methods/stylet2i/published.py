"""What StyleT2I's released code writes, `last.pt`: the Text-to-Direction network that a user trained with it.

The file has neither word vectors, which are GloVe's and frozen, nor the truncation, which is 0.5 in that code, nor the
generator. Attribute directions were never released, so with such a file there is no adjustment unless ours are named.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from t2ibench.core import pickles, tensor_files
from t2ibench.core.errors import UserError
from t2ibench.methods.stylet2i.directions import DirectionNetwork, Shape
from t2ibench.methods.stylet2i.lexicon import words
from t2ibench.methods.stylet2i.text import TextEncoder, check_vectors, file_vectors
from t2ibench.networks.state import fill
from t2ibench.networks.stylegan2.layout import Config as Layout

EXPECTED = "StyleT2I's sentence directions, last.pt ({sentence_encoder, …})"
LAYERS = {"mlp.0.": "layers.0.", "mlp.2.": "layers.1.", "mlp.4.": "layers.2.", "recurrent.": "text.gru."}


class FileText(TextEncoder):
    """A text encoder whose word vectors are looked up in a file, [D] each, when texts ask for them."""

    def __init__(self, path: Path, size: int, hidden: int) -> None:
        super().__init__([], torch.zeros(0, size), hidden, learned=False)
        self.path, self.size, self.absent = path, size, set[str]()
        check_vectors(path, size)

    def look_up(self, texts: Sequence[str]) -> None:
        """Have the vectors of all words of these texts. The file is read once for all that are new.

        A word that the file has not is a vector of zeros, as in the released code.
        """
        new = {word for text in texts for word in words(text)} - self.known.keys() - self.absent
        if not new:
            return
        found, vectors = file_vectors(sorted(new), self.path, self.size, needed=False)
        self.absent |= new - set(found)
        self.known |= {word: len(self.vectors) + row for row, word in enumerate(found, 1)}
        self.vectors = torch.cat([self.vectors, vectors.to(self.vectors)])

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        self.look_up(texts)
        return super().embed(texts)


def read(path: Path, vectors: Path, layout: Layout) -> DirectionNetwork:
    """The network of a file, frozen, for a generator with this layout.

    vectors: a file of word vectors in GloVe's format. Raises UserError for a file that is missing, damaged or of
    another kind, and for a network for a generator of another size.
    """
    content = tensor_files.read(path, EXPECTED)
    state = content.get("sentence_encoder") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        kind = "a generator, to be named as `generator`" if isinstance(content, Mapping) and "g_ema" in content else ""
        raise UserError(f"{path}: holds {kind or pickles.kind_of(content)}, expected {EXPECTED}: give another file")
    sizes = {name: _size(path, state, name) for name in ("recurrent.weight_ih_l0", "mlp.0.weight", "mlp.4.weight")}
    (gates, word_size), (width, inputs), (out, _) = sizes.values()
    if out not in (layout.w_dim, layout.rows * layout.w_dim):
        raise UserError(
            f"{path}: steps of {out:,} numbers, expected {layout.rows} rows of {layout.w_dim} or one: name the "
            f"generator that it was trained for"
        )
    space: Literal["w", "w_plus"] = "w" if out == layout.w_dim else "w_plus"
    shape = Shape(layout.rows, layout.w_dim, word_size, gates // 3, width, space)
    with torch.random.fork_rng(devices=[]):
        text = FileText(vectors, word_size, gates // 3)
        network = DirectionNetwork(shape, text)
    tensors = {"text.vectors": text.vectors}  # none yet
    for key, value in state.items():
        start = next((start for start in LAYERS if str(key).startswith(start)), "")
        tensors[f"{LAYERS.get(start, '')}{str(key).removeprefix(start)}"] = cast(Tensor, value)
    fill(network, tensors, path, f"the sentence directions of {inputs - layout.w_dim} + {layout.w_dim} inputs")
    return network.eval().requires_grad_(False)


def _size(path: Path, state: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    value = state.get(name)
    if not isinstance(value, Tensor) or value.ndim != 2:
        raise UserError(f"{path}: no {name} among its {len(state)} tensors, expected {EXPECTED}: get the file again")
    return int(value.shape[0]), int(value.shape[1])
