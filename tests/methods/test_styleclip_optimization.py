"""Latent optimisation: the schedule, what each term and switch does, which entries never move, and independence of the
batch.
"""

from typing import Any

import pytest
import torch
from styleclip_models import TEXTS, tiny_models

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import latents
from t2ibench.methods.styleclip.optimization import Optimization, l2_term, schedule
from t2ibench.methods.styleclip.settings import Config
from t2ibench.networks.models import Models

AFRO, SMILE, PERSON = TEXTS


@pytest.fixture(scope="module")
def models() -> Models:
    return tiny_models()


def optimization(models: Models, **settings: Any) -> Optimization:
    given = {"steps": 6, "batch": 2, "lambda_id": 0.0, **settings}
    return Optimization(Config(variant="optimization", generator="tiny", clip="tiny-clip", **given), models)


def codes(models: Models, count: int = 2) -> torch.Tensor:
    generator = models.stylegan2("tiny")
    return generator.truncate(generator.mapping(latents(range(count), generator.config.z_dim)), 0.7)


def descend(editor: Optimization, v0: torch.Tensor) -> torch.Tensor:
    texts = ([SMILE, AFRO] * len(v0))[: len(v0)]
    return editor.descend(v0, editor.distance.text_features(texts), texts)


def test_the_learning_rate_of_300_steps():
    rate = [0.1 * schedule(step / 300) for step in range(300)]
    assert rate[0] == 0
    assert rate[7] == pytest.approx(0.04667, abs=1e-5)
    assert rate[15:226] == pytest.approx([0.1] * 211)
    assert rate[262] == pytest.approx(0.05105, abs=1e-5)
    assert rate[299] == pytest.approx(4.386e-5, rel=1e-3)


@pytest.mark.parametrize("latent", ["w_plus", "s"])
def test_the_first_step_moves_nothing_and_the_next_do(models: Models, latent: Any):
    w_plus = codes(models)
    v0 = w_plus if latent == "w_plus" else models.stylegan2("tiny").style(w_plus)
    assert torch.equal(descend(optimization(models, steps=1, latent=latent), v0), v0)
    assert not torch.equal(descend(optimization(models, steps=3, latent=latent), v0), v0)


def test_an_edit_lowers_the_distance_and_leaves_the_networks_alone(models: Models):
    generator, clip = models.stylegan2("tiny"), models.clip("tiny-clip")
    state = {**generator.state_dict(), **clip.model.state_dict()}
    before = {key: value.clone() for key, value in state.items()}
    editor, w_plus = optimization(models, steps=20, lambda_id=0.1), codes(models)
    s = editor.edited(w_plus, [PERSON] * 2, [SMILE, AFRO])
    texts = editor.distance.text_features([SMILE, AFRO])
    assert (
        editor.distance(generator.synthesis(s), texts)
        < editor.distance(generator.synthesis(generator.style(w_plus)), texts)
    ).all()
    assert all(
        torch.equal(value, before[key]) for key, value in {**generator.state_dict(), **clip.model.state_dict()}.items()
    )
    assert all(p.grad is None for p in (*generator.parameters(), *clip.model.parameters()))
    assert not s.requires_grad


def test_the_square_of_the_reference_and_the_norm_of_the_paper():
    v0 = torch.zeros(2, 3, 4)
    v = v0.clone()
    v[0, 0, :2] = torch.tensor([3.0, 4.0])
    assert l2_term(v, v0, "reference").tolist() == [25, 0]
    assert l2_term(v, v0, "paper").tolist() == [5, 0]
    v0.requires_grad_()
    l2_term(v0, v0.detach(), "paper").sum().backward()
    assert v0.grad is not None
    assert torch.equal(v0.grad, torch.zeros(2, 3, 4))  # a root has no slope at 0, and must not give NaN


@pytest.mark.parametrize("setting", ["lambda_l2", "lambda_id"])
def test_a_large_weight_keeps_the_code_near(models: Models, setting: str):
    v0 = codes(models)
    free = descend(optimization(models, lambda_l2=0.0, steps=20), v0)
    held = descend(optimization(models, **{"lambda_l2": 0.0, "steps": 20, setting: 1e4}), v0)
    if setting == "lambda_l2":
        assert float((held - v0).norm()) < 0.5 * float((free - v0).norm())
    features, synthesis, style = (
        optimization(models).identity,
        models.stylegan2("tiny").synthesis,
        models.stylegan2("tiny").style,
    )
    source, far, near = (features(synthesis(style(v))) for v in (v0, free, held))
    assert float((near * source).sum()) > float((far * source).sum())


def test_from_the_mean_neither_the_source_nor_the_weights_count(models: Models):
    w_plus = codes(models)
    editors = [optimization(models, start="mean", lambda_l2=weight, lambda_id=weight) for weight in (0.0, 100.0)]
    first, second = (
        editor.edited(source, [PERSON] * 2, [AFRO] * 2)
        for editor, source in zip(editors, (w_plus, -w_plus), strict=True)
    )
    assert torch.equal(first, second)
    still = optimization(models, start="mean", steps=1).edited(w_plus, [PERSON] * 2, [AFRO] * 2)
    generator = models.stylegan2("tiny")
    torch.testing.assert_close(still, generator.style(generator.mapping.w_avg.expand_as(w_plus)))


def test_in_s_the_styles_of_torgb_never_move(models: Models):
    generator = models.stylegan2("tiny")
    v0 = generator.style(codes(models))
    v = descend(optimization(models, latent="s", lambda_l2=0.0), v0)
    for layer in generator.layers:
        same = torch.equal(v[:, layer.start : layer.stop], v0[:, layer.start : layer.stop])
        assert same == layer.is_rgb, layer.name


@pytest.mark.parametrize("latent", ["w_plus", "s"])
def test_only_the_rows_that_are_named_move(models: Models, latent: Any):
    generator, w_plus = models.stylegan2("tiny"), codes(models)
    v0 = w_plus if latent == "w_plus" else generator.style(w_plus)
    v = descend(optimization(models, latent=latent, rows=(2, 5), lambda_l2=0.0), v0)
    if latent == "w_plus":
        assert [row for row in range(generator.config.rows) if not torch.equal(v[:, row], v0[:, row])] == [2, 5]
    else:
        moved = {
            layer.row
            for layer in generator.layers
            if not torch.equal(v[:, layer.start : layer.stop], v0[:, layer.start : layer.stop])
        }
        assert moved == {2, 5}


def test_rows_that_are_not_there_are_one_line(models: Models):
    with pytest.raises(UserError, match=r"rows are \[8\], expected rows of W\+ from 0 to 7"):
        optimization(models, rows=(8,))


def test_a_code_stays_once_its_image_is_near_enough(models: Models):
    v0 = codes(models)
    assert torch.equal(descend(optimization(models, stop_at=-1.0), v0), v0)
    assert torch.equal(descend(optimization(models, stop_at=1.5), v0), descend(optimization(models), v0))
    editor = optimization(models, lambda_l2=0.0, steps=20)
    texts = editor.distance.text_features([SMILE, AFRO])
    start = 1 - editor.distance(editor.generator.synthesis(editor.generator.style(v0)), texts)
    middle = start.mean()  # of two codes: one is beyond it, and neither is so near that rounding could decide
    first_only = optimization(models, lambda_l2=0.0, steps=20, stop_at=float(middle))
    moved = descend(first_only, v0) != v0
    assert moved.flatten(1).any(1).tolist() == (start < middle).tolist()


@pytest.mark.parametrize("resolution", [32, 64])
@pytest.mark.parametrize("clip_input", ["normalized", "reference"])
def test_every_size_and_both_inputs_work(resolution: int, clip_input: Any):
    models = tiny_models(resolution)
    s = optimization(models, steps=2, clip_input=clip_input).edited(codes(models, 1), [PERSON], [AFRO])
    assert models.stylegan2("tiny").synthesis(s).shape == (1, 3, resolution, resolution)


@pytest.mark.parametrize("latent", ["w_plus", "s"])
def test_a_row_depends_on_itself_alone_and_twice_is_the_same(models: Models, latent: Any):
    editor, w_plus, targets = (
        optimization(models, latent=latent, steps=30),
        codes(models, 5),
        [AFRO, SMILE, AFRO, PERSON, SMILE],
    )
    together = editor.edited(w_plus, [PERSON] * 5, targets)
    assert torch.equal(together, editor.edited(w_plus, [PERSON] * 5, targets))
    synthesis = models.stylegan2("tiny").synthesis
    for row in (0, 3, 4):
        alone = editor.edited(w_plus[row : row + 1], [PERSON], targets[row : row + 1])
        grey = 127.5 * (synthesis(alone) - synthesis(together[row : row + 1])).abs().max()
        assert float(grey) < 1, row


def test_a_loss_that_is_not_finite_names_step_and_text(models: Models):
    editor, w_plus = optimization(models), codes(models)
    plain, calls = editor.distance, []

    def broken(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return plain(images, texts) * torch.tensor([1.0, float("nan") if len(calls) > 2 else 1.0])

    editor.distance = type("Broken", (), {"__call__": staticmethod(broken), "text_features": plain.text_features})()
    with pytest.raises(
        FloatingPointError, match="the loss is nan at step 2 of 'a person with an afro': lower learning_rate"
    ):
        editor.edited(w_plus, [PERSON] * 2, [SMILE, AFRO])


def test_the_weights_of_a_face_network_are_asked_for_only_where_they_count(models: Models):
    optimization(models, identity="nowhere.pth", steps=2).edited(codes(models), [PERSON] * 2, [AFRO] * 2)
    with pytest.raises(UserError, match=r"nowhere\.pth is missing"):
        optimization(models, identity="nowhere.pth", steps=2, lambda_id=0.1).edited(
            codes(models), [PERSON] * 2, [AFRO] * 2
        )


def test_settings_that_make_no_sense_are_one_line(models: Models):
    with pytest.raises(UserError, match="steps is 0, expected at least 1"):
        optimization(models, steps=0)
