"""The network of StyleT2I: its size, its steps, its sentence vectors."""

import torch
import torch.nn.functional as F
from stylet2i_tiny import KNOWN, network

from t2ibench.methods.stylet2i.directions import DirectionNetwork, Shape
from t2ibench.methods.stylet2i.text import TextEncoder


def test_the_released_network_has_the_released_size():
    with torch.device("meta"):
        text = TextEncoder(KNOWN, torch.zeros(5, 300), 512, learned=False)
        made = DirectionNetwork(Shape(), text)
        assert sum(p.numel() for p in text.gru.parameters()) == 2_500_608
        assert sum(p.numel() for p in made.layers.parameters()) == 110_121_984
        in_w = DirectionNetwork(Shape(space="w"), text)
    assert [layer.out_features for layer in in_w.layers] == [512, 512, 512]  # type: ignore[union-attr]


def test_each_row_gets_its_slice_of_the_step():
    texts, w = ["a hat", "long hair"], torch.randn(2, 4)
    made = network()
    s = made(texts, w)
    flat = made.layers[2](F.relu(made.layers[1](F.relu(made.layers[0](torch.cat([made.text(texts), w], dim=1))))))
    assert flat.shape == (2, 24)
    for row in range(6):
        torch.testing.assert_close(s[:, row], flat[:, 4 * row : 4 * row + 4])
    one = network(space="w")(texts, w)
    assert torch.equal(one, one[:, :1].expand(-1, 6, -1))


def test_inputs_of_one_scale_give_texts_and_latents_the_same_say():
    made, texts, w = network(inputs="normalized"), ["a hat", "long hair"], 50 * torch.randn(2, 4)
    x = made.inputs(made.text(texts), w)
    for part in x.split((8, 4), dim=1):
        torch.testing.assert_close(part.mean(1), torch.zeros(2), atol=1e-6, rtol=0)
        torch.testing.assert_close(part.std(1, correction=0), torch.ones(2), atol=1e-2, rtol=0)
    assert torch.equal(network().inputs(made.text(texts), w)[:, 8:], w)


def test_texts_of_different_lengths_keep_their_places():
    texts = ["hat", "a long hair a long bob hat", "a bob", "unheard-of", ""]
    made = network().text
    together = made(texts)
    for row, text in enumerate(texts):
        torch.testing.assert_close(together[row : row + 1], made([text]), atol=1e-6, rtol=0)
    torch.testing.assert_close(together[3], together[4])  # unknown words are zeros, as is no word
    assert not torch.allclose(made(["long hair"]), made(["hair long"]))


def test_a_sentence_vector_is_the_mean_of_both_final_states():
    made = TextEncoder(KNOWN, torch.randn(5, 3), 4, learned=False)
    _, final = made.gru(made.vectors[[4, 2]][None])
    torch.testing.assert_close(made(["long hair"]), (final[0] + final[1]) / 2)
