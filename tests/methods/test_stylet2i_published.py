"""Sentence directions that StyleT2I's released code trained: equal steps, words from GloVe's file, or one line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from styleclip_tiny import TINY, TinyModels
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.settings import recorded
from t2ibench.methods.stylet2i import Config, Method
from t2ibench.methods.stylet2i.published import read
from t2ibench.tracks.contract import TextToImage

WORDS = {"a": 1, "man": 2, "smiling": 3, "hat": 4}
SIZE, HIDDEN = 6, 5
TEXTS = ("a smiling man", "a man with a hat", "hat")


class Released(nn.Module):
    """The network as the released code names it, computed anew."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(SIZE, HIDDEN, bidirectional=True)
        self.mlp = nn.Sequential(
            nn.Linear(HIDDEN + TINY.w_dim, out), nn.ReLU(), nn.Linear(out, out), nn.ReLU(), nn.Linear(out, out)
        )

    def forward(self, vectors: Tensor, w: Tensor) -> Tensor:
        _, final = self.recurrent(vectors[:, None])  # one text: no packing
        return self.mlp(torch.cat([final.mean(0)[0], w]))


def vector(word: str) -> Tensor:
    """That of a word of the file; zeros for any other."""
    if word not in WORDS:
        return torch.zeros(SIZE)
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(WORDS[word]))


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    lines = [" ".join([word, *(f"{value:.8f}" for value in vector(word).tolist())]) for word in ("other", *WORDS)]
    path.write_text("\n".join(lines) + "\n")
    return path


def released(out: int = TINY.rows * TINY.w_dim) -> Released:
    torch.manual_seed(0)
    return Released(out)


def saved(path: Path, network: nn.Module) -> Path:
    optimiser = torch.optim.Adam(network.parameters())
    torch.save({"sentence_encoder": network.state_dict(), "sentence_encoder_optimizer": optimiser.state_dict()}, path)
    return path


@pytest.mark.parametrize("out", [TINY.rows * TINY.w_dim, TINY.w_dim])
@torch.no_grad()
def test_a_released_network_takes_the_steps_of_its_own_code(out: int, glove: Path, tmp_path: Path):
    network = released(out)
    steps = read(saved(tmp_path / "last.pt", network), glove, TINY)
    w = torch.randn(len(TEXTS), TINY.w_dim)
    expected = torch.stack(
        [network(torch.stack([vector(word) for word in text.split()]), row) for text, row in zip(TEXTS, w, strict=True)]
    )
    rows = expected.view(len(TEXTS), -1, TINY.w_dim).expand(-1, TINY.rows, -1)
    torch.testing.assert_close(steps.apart(TEXTS, w), rows, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(steps.apart(TEXTS[1:2], w[1:2]), rows[1:2], atol=1e-5, rtol=1e-5)  # words are known now


@torch.no_grad()
def test_the_method_draws_the_truncated_latent_and_its_step(glove: Path, tmp_path: Path):
    network, models = released(), TinyModels()
    path = saved(tmp_path / "last.pt", network)
    config = Config(sentence=str(path), vectors=str(glove), generator="g", caa=False)
    method = Method(config, models)
    images = method.text_to_image([TextToImage(text, seed) for seed, text in enumerate(TEXTS)])
    assert method.psi == 0.5
    w = method.latents(range(len(TEXTS)))
    steps = torch.stack(
        [network(torch.stack([vector(word) for word in text.split()]), row) for text, row in zip(TEXTS, w, strict=True)]
    )
    expected = method.drawn(w, steps.view(len(TEXTS), TINY.rows, TINY.w_dim))
    assert (images.int() - expected.int()).abs().max() <= 1
    assert {str(path), str(glove)} <= models.used.keys()
    assert method.trained_on == ["last.pt"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"caa": False}, "holds no word vectors: name GloVe's file with `vectors`"),
        ({"vectors": "glove.txt"}, "the authors released no attribute directions: set caa to false"),
    ],
)
def test_what_the_file_lacks_is_asked_for(given: dict[str, Any], says: str):
    with pytest.raises(UserError, match=says):
        Config(sentence="last.pt", **given)


@pytest.mark.parametrize("given", [{"vectors": "glove.txt"}, {"truncation_psi": 0.7}])
def test_what_our_weights_have_themselves_is_refused(given: dict[str, Any]):
    with pytest.raises(UserError, match="stylet2i-sentence-avatars has its own: leave them out"):
        Config(**given)


def test_records_of_our_weights_stay_what_they_are():
    assert not {"vectors", "truncation_psi"} & recorded(Config()).keys()


@torch.no_grad()
def test_words_that_the_file_has_not_are_zeros_alone_and_in_company(glove: Path, tmp_path: Path):
    network = released()
    w = torch.randn(2, TINY.w_dim)
    expected = [
        network(torch.stack([vector(word) for word in words]), row)
        for words, row in zip((["zebra"], ["a", "zebra"]), w, strict=True)
    ]
    for texts in (["zebra", "a zebra"], ["a zebra", "zebra"]):
        steps = read(saved(tmp_path / "last.pt", network), glove, TINY)
        order = [0, 1] if texts[0] == "zebra" else [1, 0]
        made = steps.apart(texts, w[order])
        wanted = torch.stack(expected)[order].view(2, -1, TINY.w_dim)
        torch.testing.assert_close(made, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("text", ["", "a 1 2 3", "a b c d e f g", None])
def test_word_vectors_of_another_kind_are_one_line(text: str | None, tmp_path: Path):
    path = tmp_path / "glove.txt"
    if text is not None:
        path.write_text(text + "\n")
    with pytest.raises(UserError, match="word") as error:
        read(saved(tmp_path / "last.pt", released()), path, TINY)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def broken() -> dict[str, tuple[Any, str]]:
    state = released().state_dict()
    return {
        "generator": ({"g_ema": {}, "step": 3}, "holds a generator, to be named as `generator`"),
        "another": ({"mlp.0.weight": torch.zeros(1)}, "expected StyleT2I's sentence directions"),
        "no layers": ({"sentence_encoder": {}}, "no recurrent.weight_ih_l0 among its 0 tensors"),
        "size": (
            {"sentence_encoder": released(3 * TINY.w_dim).state_dict()},
            f"steps of {3 * TINY.w_dim} numbers, expected {TINY.rows} rows of {TINY.w_dim} or one",
        ),
        "part": (
            {"sentence_encoder": {k: v for k, v in state.items() if k != "mlp.2.bias"}},
            "layers.1.bias is missing",
        ),
        "more": ({"sentence_encoder": {**state, "extra": torch.zeros(1)}}, "extra is unexpected"),
    }


@pytest.mark.parametrize("name", broken())
def test_another_file_is_one_line(name: str, glove: Path, tmp_path: Path):
    content, says = broken()[name]
    path = tmp_path / "last.pt"
    torch.save(content, path)
    with pytest.raises(UserError, match=says) as error:
        read(path, glove, TINY)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
