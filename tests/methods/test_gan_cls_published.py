"""Files of Reed's release in Lua Torch: they draw what the same weights set by hand draw, in every spelling."""

import numpy as np
import pytest
import torch
from reed_files import SIZES, draw, embed, encoder_file, encoder_numbers, generator_file, generator_numbers

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_uint8
from t2ibench.core.seeds import latents
from t2ibench.methods.gan_cls import Config, Method
from t2ibench.methods.gan_cls.published import read_encoder, read_generator
from t2ibench.methods.gan_cls.text_encoder import characters
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import TextToImage

TEXTS = ["a small bird with a red head, and a long-ish beak", "", "a Flower: 5 petals!" * 20]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    "spelling",
    [
        {"package": "nn", "kind": "Float"},
        {"package": "cudnn", "kind": "Cuda"},
        {"package": "nn", "kind": "Double", "version": "V 1"},
        {"package": "nn", "kind": "Float", "long": "i"},
    ],
)
def test_a_released_generator_draws_as_the_same_weights_set_by_hand(tmp_path, large, spelling):
    numbers = generator_numbers(large)
    network = read_generator(generator_file(tmp_path / "net_G.t7", numbers, **spelling))
    random = torch.Generator().manual_seed(0)
    z, text = torch.randn(5, SIZES["nz"], generator=random), torch.randn(5, SIZES["text"], generator=random)
    images = network(z, text)
    assert images.shape == (5, 3, 64, 64)
    assert images.std() > 0.05
    torch.testing.assert_close(images, draw(numbers, z, text), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_a_released_text_encoder_embeds_as_its_equations_say(tmp_path, gated, pool, bare):
    numbers = encoder_numbers(gated)
    encoder = read_encoder(encoder_file(tmp_path / "net_T.t7", numbers, pool, bare))
    embeddings = encoder.embed(TEXTS)
    assert (embeddings[0] - embeddings[2]).abs().max() > 0.1
    torch.testing.assert_close(embeddings, embed(numbers, characters(TEXTS), pool), atol=1e-5, rtol=1e-4)


def test_the_method_draws_with_both_files(tmp_path):
    numbers, words = generator_numbers(), encoder_numbers(gated=True)
    generator = generator_file(tmp_path / "net_G.t7", numbers)
    encoder = encoder_file(tmp_path / "lm_sje.t7", words, pool=False)
    models = Models()
    method = Method(Config(weights=str(generator), text_encoder=str(encoder)), models)
    images = method.text_to_image([TextToImage(text, 7 + i) for i, text in enumerate(TEXTS)])
    expected = draw(numbers, latents([7, 8, 9], SIZES["nz"]), embed(words, characters(TEXTS), pool=False))
    torch.testing.assert_close(images, to_uint8(expected), atol=1, rtol=0)
    assert {str(generator), str(encoder)} == {*models.used}
    assert method.trained_on == ["net_G.t7"]
    assert [encoder.cut([*TEXTS]) for encoder in method.reads.values()] == [[False, False, True]]
    with pytest.raises(UserError, match="no style encoder was released"):
        method.style_of(images)


def test_what_is_no_such_network_is_one_line(tmp_path):
    generator = generator_file(tmp_path / "net_G.t7", generator_numbers())
    encoder = encoder_file(tmp_path / "lm_sje.t7", encoder_numbers(gated=True, out=5), pool=False)
    with pytest.raises(UserError, match=r"lm_sje\.t7: another network than a generator"):
        read_generator(encoder)
    with pytest.raises(UserError, match=r"net_G\.t7: another network than a text encoder"):
        read_encoder(generator)
    with pytest.raises(UserError, match="does not say which text encoder it reads"):
        Method(Config(weights=str(generator)), Models())
    with pytest.raises(UserError, match=r"embeddings of 5 numbers, .*net_G\.t7 was trained on embeddings of 6"):
        Method(Config(weights=str(generator), text_encoder=str(encoder)), Models())
    with pytest.raises(UserError, match=r"gone\.t7 cannot be read"):
        Method(Config(weights=str(tmp_path / "gone.t7"), text_encoder=str(encoder)), Models())


def test_another_stride_or_slope_than_the_release_is_named(tmp_path):
    numbers = generator_numbers()
    path = generator_file(tmp_path / "net_G.t7", numbers)
    content = path.read_bytes()
    slope = np.float64(0.2).tobytes()
    assert content.count(slope) == 1
    path.write_bytes(content.replace(slope, np.float64(0.01).tobytes()))
    with pytest.raises(UserError, match=r"negval of nn\.LeakyReLU at text\.1 is 0\.01, expected 0\.2"):
        read_generator(path)
