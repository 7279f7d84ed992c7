"""The warm start of StyleT2I's directions: a linear map from the guide's features, and where it leads."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.seeds import latents
from t2ibench.methods.stylet2i.directions import DirectionNetwork, Shape
from t2ibench.methods.stylet2i.text import ClipText
from t2ibench.methods.stylet2i.warm_start import RIDGE, attribute_start, drawn, regression, sentence_start


def test_a_regression_of_latents_on_features_finds_a_linear_map():
    stream = torch.Generator().manual_seed(0)
    features, known = torch.randn(2000, 3, generator=stream), torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
    found = regression(features + 5, features @ known - 7)  # means are of no account
    torch.testing.assert_close(found, known / (1 + RIDGE), atol=0.01, rtol=0)


class Line:
    """A generator whose images are their latents, and a guide that sees them through a fixed map; texts lie at one
    place for it.
    """

    device = torch.device("cpu")
    config = SimpleNamespace(z_dim=4, rows=6)
    through = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))

    def __init__(self) -> None:
        self.mapping = lambda z: z
        self.mapping.w_avg = torch.zeros(4)  # type: ignore[attr-defined]

    def style(self, rows: Tensor) -> Tensor:
        return rows.mean(1)

    synthesis = staticmethod(lambda s: s)

    def image_features(self, images: Tensor) -> Tensor:
        return F.normalize(images @ self.through, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return F.one_hot(torch.zeros(len(texts), dtype=torch.int64), 8).float()


class Axes(Line):
    """A text is the number of an axis of the latents, beside which nothing counts."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return self.image_features(torch.eye(4)[[int(text) for text in texts]])


def read_by(guide: Any) -> DirectionNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DirectionNetwork(
            Shape(rows=6, w_dim=4, text_width=8, width=32, inputs="normalized", text="clip"), ClipText(guide)
        )


def test_a_warm_start_for_sentences_leads_where_the_guide_sees_what_is_asked():
    line: Any = Line()
    made = read_by(line)
    sentence_start(made, line, line, ["a person"], images=256, psi=0.7, seed=0)
    (w, shown), (_, wanted) = drawn(line, line, 64, 0.7, 11), drawn(line, line, 64, 1.0, 12)
    texts = wanted + line.encode_texts(["a person"])  # the mean of images is 0 here: captions lie elsewhere by as much
    with torch.no_grad():
        moved = w + made.step(made.inputs(ClipText.scaled(texts), w))[:, 0]
    reached = (line.image_features(moved) * wanted).sum(1).mean()
    assert float((shown * wanted).sum(1).mean()) < 0.3
    assert float(reached) > 0.85


def test_a_warm_start_for_attributes_goes_the_way_that_tells_a_text_from_the_others_from_wherever_it_starts():
    axes: Any = Axes()
    made, texts = read_by(axes), ["0", "1", "2", "3"]
    attribute_start(made, axes, axes, texts, images=256, psi=0.7, length=5.0, seed=0)
    w = latents(range(40), 4)
    steps = made.apart(texts * 10, w)
    away = F.normalize(torch.eye(4) - 0.25, dim=1).repeat(10, 1)  # from the mean of the four texts
    assert torch.linalg.vector_norm(steps.flatten(1), dim=1).mean() == pytest.approx(5.0, rel=0.1)
    assert float(F.cosine_similarity(steps[:, 0], away).min()) > 0.75
