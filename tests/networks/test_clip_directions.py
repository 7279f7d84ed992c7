"""Text directions: templates and their average, articles, and texts that a model cannot tell apart."""

import pytest
import torch
from clip_tiny import tiny_weights

from t2ibench.core.errors import UserError
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.templates import IMAGENET, PLAIN, fill


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.from_zoo(tiny_weights())


def test_the_released_code_has_79_templates_with_one_place_each():
    assert len(set(IMAGENET)) == 79
    assert all(template.count("{}") == 1 for template in IMAGENET)
    assert "a photo of a {}." in IMAGENET
    assert "a photo of many {}." not in IMAGENET


@pytest.mark.parametrize(
    ("template", "text", "filled"),
    [
        ("a photo of a {}.", "a smiling person", "a photo of a smiling person."),
        ("the {}.", "An avatar", "the avatar."),
        ("a photo of my {}.", "theory", "a photo of my theory."),
        ("a photo of a {}.", "a", "a photo of a a."),
        ("{}", "a smiling person", "a smiling person"),
    ],
)
def test_a_template_takes_the_text_without_its_article(template, text, filled):
    assert fill(template, text) == filled


def test_class_features_are_the_mean_direction_of_all_templates(clip):
    texts = ["a red square", "square on white", "blue"]
    expected = clip.encode_texts(texts).sum(0)
    [found] = clip.class_features(["square"], ("a red {}", "{} on white", "blue"))
    torch.testing.assert_close(found, expected / expected.norm(), atol=1e-6, rtol=0)
    torch.testing.assert_close(clip.class_features(["this"], PLAIN), clip.encode_texts(["this"]), atol=1e-6, rtol=0)


def test_the_order_of_templates_does_not_matter(clip):
    there = clip.text_direction(["a square"], ["a red square"], IMAGENET)
    back = clip.text_direction(["a square"], ["a red square"], IMAGENET[::-1])
    torch.testing.assert_close(there, back, atol=1e-6, rtol=0)


def test_directions_are_of_unit_length_turn_with_their_texts_and_do_not_depend_on_the_batch(clip):
    neutral, target = ["square", "blue"], ["red square", "a square on white"]
    directions = clip.text_direction(neutral, target)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(2))
    assert torch.equal(clip.text_direction(target, neutral), -directions)
    torch.testing.assert_close(clip.text_direction(neutral[1:], target[1:]), directions[1:], atol=1e-6, rtol=0)


@pytest.mark.parametrize("target", ["a square", "a   square", "A Square"])
def test_two_texts_that_read_the_same_have_no_direction(clip, target):
    with pytest.raises(UserError, match=r"reads 'a square' and .* as the same text.*use another target") as caught:
        clip.text_direction(["blue", "a square"], ["red", target])
    assert "\n" not in str(caught.value)


def test_texts_beyond_the_context_are_cut_and_counted(clip):
    before = clip.truncated
    directions = clip.text_direction(["square"], ["red " * 30])
    assert torch.isfinite(directions).all()
    assert clip.truncated == before + 1
