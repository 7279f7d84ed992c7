"""Fine-tuning of the critic: which tensors move, as released and as meant, and that the base stays as it was."""

import copy
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from clip_tiny import tiny_weights
from styleclip_tiny import TinyModels
from stylet2i_tiny import squares

from t2ibench.core.errors import UserError
from t2ibench.methods.stylet2i import recipe
from t2ibench.methods.stylet2i.train_clip import ClipRecipe, cropped_to, trained_tensors
from t2ibench.networks.clip import Clip
from t2ibench.networks.training import loop
from t2ibench.networks.weights import Weights

VIT = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8}
TEXT = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 3}


class ZooModels(TinyModels):
    def weights(self, name: str) -> Weights:
        return tiny_weights()


def tuned(models: TinyModels | None = None, **settings: Any) -> ClipRecipe:
    given = {"base": "c", "batch": 4, "steps": 2, "learning_rate": 1e-2, **settings}
    made = recipe("clip", given, squares(), squares("val", 6), models or ZooModels(), 0)
    assert isinstance(made, ClipRecipe)
    return made


def test_as_released_two_matrices_and_the_scale_are_trained():
    model = open_clip.CLIP(8, dict(VIT), dict(TEXT))
    assert set(trained_tensors(model, "projections")) == {"visual.proj", "text_projection", "logit_scale"}
    meant = trained_tensors(model, "last_block")
    block = len(list(model.transformer.resblocks[2].parameters()))
    assert len(meant) == 3 + 2 * block + 2 + 2  # the two blocks, ln_post and ln_final with weight and bias
    assert {name for name in meant if "resblocks" in name} == {
        f"{side}.{name}"
        for side, of in (
            ("transformer.resblocks.2", model.transformer.resblocks[2]),
            ("visual.transformer.resblocks.1", model.visual.transformer.resblocks[1]),
        )
        for name, _ in of.named_parameters()
    }


def test_of_a_resnet_only_the_text_projection_and_the_scale():
    model = TinyModels().clip().model
    assert set(trained_tensors(model, "projections")) == {"text_projection", "logit_scale"}
    assert {name.split(".")[1] for name in trained_tensors(model, "last_block") if name.startswith("visual")} == {
        "layer4",
        "attnpool",
    }


@pytest.mark.parametrize("finetune", ["projections", "last_block"])
def test_only_those_move_and_the_base_stays(finetune):
    models = ZooModels()
    base = copy.deepcopy(models.clip().model.state_dict())
    made = tuned(models, finetune=finetune)
    made.step(0, 0.0)
    moved = {name for name, value in made.model.named_parameters() if not torch.equal(value, base[name])}
    assert {"text_projection", "logit_scale"} <= moved <= set(made.trained)
    assert {name for name, value in made.model.named_parameters() if value.requires_grad} == set(made.trained)
    assert all(torch.equal(value, base[name]) for name, value in models.clip().model.state_dict().items())


def test_the_scale_stays_at_most_100_and_a_resumed_run_is_the_same():
    first, second = tuned(), tuned()
    with torch.no_grad():
        first.trained["logit_scale"].fill_(9.0)
    assert first.step(0, 0.0)["scale"] == pytest.approx(100, rel=1e-4)
    second.load_state(copy.deepcopy(first.state()))
    assert first.step(1, 0.5) == second.step(1, 0.5)


def test_a_fitted_clip_is_read_as_any_other_of_the_zoo(tmp_path):
    made = tuned()
    weights = loop.fit(made, "stylet2i-clip-squares", tmp_path, steps=1)
    assert weights.card["validation"]["n"] == 4
    images = torch.zeros(1, 3, 32, 32)
    fitted, base = Clip.from_zoo(weights), ZooModels().clip()
    torch.testing.assert_close(fitted.image_features(images), base.image_features(images), atol=1e-2, rtol=0)
    assert not torch.equal(fitted.encode_texts(["a hat"]), base.encode_texts(["a hat"]))


def test_a_crop_covers_most_of_the_image():
    image = torch.linspace(-1, 1, 40)[None, None, None].expand(1, 3, 40, 40)
    for numbers in np.random.Generator(np.random.Philox(0)).random((20, 4)):
        part = cropped_to(image, 16, numbers)
        assert part.shape == (1, 3, 16, 16)
        assert float(part.max() - part.min()) > 2 * 0.75  # at least the narrowest side that the ratio allows


def test_bad_data_is_one_line():
    with pytest.raises(UserError, match="squares train has 12 images, expected 13, each with a caption"):
        tuned(batch=13)
    with pytest.raises(UserError, match="stylet2i clip: steps is 0, expected at least 1"):
        tuned(steps=0)
