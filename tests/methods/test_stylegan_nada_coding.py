"""An adaptation in a byte a parameter: how far the decoded changes are off, and that what is stored stays what it
is.
"""

from pathlib import Path

import torch
from stylegan_nada_tiny import recipe

from t2ibench.methods.stylegan_nada.coding import SCALE, STEPS, decode, encode
from t2ibench.networks import weights

CHANGES = {
    "a": torch.tensor([[3.0, -1.0, 0.1], [0.0, 0.0, 0.0], [0.002, 0.001, -0.002]]),
    "bias": torch.tensor([0.5, -0.25]),
}


def test_changes_are_off_by_less_than_half_a_step_of_their_channel():
    coded = encode(CHANGES)
    assert (coded["a"].dtype, coded["a" + SCALE].shape, coded["bias"].dtype) == (torch.int8, (3,), torch.float32)
    back = decode(coded)
    assert back.keys() == CHANGES.keys()
    assert torch.equal(back["bias"], CHANGES["bias"])
    worst = (back["a"] - CHANGES["a"]).abs().amax(1) / CHANGES["a"].abs().amax(1).clamp(min=1e-9)
    assert (worst <= 0.5 / STEPS + 1e-3).all()
    assert torch.equal(back["a"][1], torch.zeros(3))


def test_what_is_read_from_a_file_decodes_to_what_was_coded(tmp_path: Path):
    coded = encode(CHANGES)
    read = weights.write(tmp_path / "x.safetensors", coded, {}, {}).tensors
    assert read["a"].dtype == torch.int8
    assert all(torch.equal(value, decode(coded)[key]) for key, value in decode(read).items())
    again = encode(decode(read))
    assert torch.equal(again["a"], coded["a"])


def test_a_channel_that_changed_by_next_to_nothing_holds_no_infinity():
    back = decode(encode({"a": torch.full((1, 4), 1e-9)}))
    assert torch.equal(back["a"], torch.zeros(1, 4))


def test_an_adaptation_takes_about_a_byte_a_parameter():
    made = recipe()
    made.step(0, 0.0)
    tensors, _ = made.result()
    stored = sum(value.numel() * (1 if value.dtype == torch.int8 else 2) for value in tensors.values())
    changed = sum(value.numel() for value in decode(tensors).values())
    assert changed < stored < 1.3 * changed
