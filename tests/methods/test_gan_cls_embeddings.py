"""Embeddings of a split's captions: in their places, kept, and made again where the file is damaged or the encoder is
another.
"""

import numpy as np
import pytest
import torch
from gan_cls_data import colour_split, tiny_encoder

from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.methods.gan_cls import embeddings
from t2ibench.methods.gan_cls.embeddings import embed_captions, rectangular


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path))
    return tmp_path / "gan_cls"


def test_each_caption_is_embedded_in_its_place():
    train, encoder = colour_split(8), tiny_encoder()
    found = embed_captions(encoder, train, home())
    assert found.shape == (8, 2, 5)
    torch.testing.assert_close(found[3, 1], encoder.embed([train.captions[3][1]])[0])
    assert torch.equal(found[0], found[4])  # the same colour, so the same texts


def test_embeddings_are_made_once_for_an_encoder_and_a_split(monkeypatch, cache):
    train, encoder = colour_split(8), tiny_encoder()
    first = embed_captions(encoder, train, home())
    calls = []

    def embed(*given: object) -> np.ndarray:
        calls.append(given)
        return first.numpy()

    monkeypatch.setattr(embeddings, "_embed", embed)
    assert torch.equal(embed_captions(encoder, train, home()), first)
    assert not calls
    encoder.out.bias.add_(1)
    embed_captions(encoder, train, home())
    embed_captions(encoder, colour_split(4), home())
    assert len(calls) == 2


def test_a_damaged_file_is_made_again(cache):
    first = embed_captions(tiny_encoder(), colour_split(8), home())
    [file] = cache.glob("*.npy")
    for content in (b"", file.read_bytes()[:-100], b"not an array"):
        file.write_bytes(content)
        assert torch.equal(embed_captions(tiny_encoder(), colour_split(8), home()), first)


def test_a_cache_that_cannot_be_written_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written .* set T2IBENCH_CACHE"):
        embed_captions(tiny_encoder(), colour_split(4), home())


def test_images_with_fewer_captions_repeat_theirs():
    assert rectangular([["a"], ["b", "c"]]) == [["a", "a"], ["b", "c"]]
    with pytest.raises(UserError, match="image 1 has no caption"):
        rectangular([["a"], []])
