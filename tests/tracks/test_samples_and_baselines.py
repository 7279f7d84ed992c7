"""t2ibench/runner/methods.py: what a sample is, and what the baselines make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from t2ibench.core.seeds import derive_seed
from t2ibench.tracks.contract import Prompt, Sample
from t2ibench.tracks.text_to_image import RealImages, Shuffled, Unconditional
from t2ibench.tracks.text_to_image import samples as samples_of


@pytest.fixture
def data(squares):
    squares()
    from t2ibench.checks.contracts import squares as made_squares

    return made_squares


def captions(split) -> list[Prompt]:
    return [
        Prompt(f"captions/{id}/0", texts[0], reference=id) for id, texts in zip(split.ids, split.captions, strict=True)
    ]


def pair(colour: str, tone: str, style: int, images: int = 3) -> Prompt:
    return Prompt(
        f"pairs/{colour}+{tone}/{style}",
        f"{colour} {tone}",
        "pairs",
        images,
        None,
        {"literals": [f"colour={colour}", f"tone={tone}"]},
    )


def test_a_sample_depends_on_its_prompt_and_place_alone():
    few, many = (samples_of([Prompt("a", "x", images=n), Prompt("b", "y")], 5) for n in (2, 4))
    assert [s for s in many if s.prompt.id == "a"][:2] != few  # prompts differ in `images`
    assert [(s.id, s.seed) for s in many][:2] == [(s.id, s.seed) for s in few][:2]
    assert few[0].seed == derive_seed(5, "a", 0)
    assert len({s.id for s in many}) == 5


def test_a_caption_gets_the_real_image_it_came_with(data):
    split = data.load(data.Config(), "test")
    prompts = captions(split)
    made = RealImages([split], prompts, None, 0).make(samples_of(prompts, 0))
    np.testing.assert_array_equal(made.numpy(), split.images.array)


@pytest.mark.parametrize("rendered", [True, False])
def test_a_pair_gets_real_images_that_carry_it_and_no_image_twice(data, rendered):
    split = data.load(data.Config(), "train")
    prompts = [pair("red", "light", style) for style in (0, 1)]
    render = (
        (lambda conditions, count, seed: data.pair_images(data.Config(), conditions, count, seed)) if rendered else None
    )
    made = RealImages([split], prompts, render, 0).make(samples_of(prompts, 0)).numpy()
    assert made[:, 0].min() >= 200
    assert made[:, 1:].max() < 30
    assert len(np.unique(made.reshape(6, -1), axis=0)) == 6


def test_a_pair_that_no_real_image_carries_is_a_failure_of_that_sample(data):
    split = data.load(data.Config(), "test").take([0])
    colour = next(c for c in data.COLOURS if c != split.attributes["colour"][0])
    prompts = [pair(colour, "light", 0)]
    with pytest.raises(ValueError, match=f"no real image carries colour={colour} and tone=light"):
        RealImages([split], prompts, None, 0).make(samples_of(prompts, 0))


def test_shuffling_answers_every_prompt_once_and_none_with_its_own(data):
    split = data.load(data.Config(), "test")
    prompts = captions(split) + [pair(c, t, style) for c in data.COLOURS for t in data.TONES for style in (0, 1)]
    shuffled = Shuffled(RealImages([split], prompts, None, 0), prompts, 0)
    taken = {id: other for id, other in shuffled.taken.items()}
    assert sorted(other.id for other in taken.values()) == sorted(prompt.id for prompt in prompts)
    for prompt in prompts:
        other = taken[prompt.id]
        assert other.group == prompt.group
        assert other.id != prompt.id
        assert prompt.group == "captions" or other.tags["literals"] != prompt.tags["literals"]


@dataclass(frozen=True)
class Echo:
    """Makes nothing, and says what it would make it from."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    cost: Mapping[str, float] = field(default_factory=dict)

    def source(self, sample: Sample) -> str:
        return f"{sample.prompt.text} {sample.seed}"

    def make(self, samples: Sequence[Sample]) -> Tensor:
        raise AssertionError("nothing here is made")


def test_the_unconditional_baseline_draws_training_captions_from_the_sample_and_not_from_its_prompt(data):
    train = data.load(data.Config(), "train")
    baseline = Unconditional(Echo(), train, [])
    seeds = [derive_seed(0, "p", k) for k in range(300)]
    texts = [baseline.source(Sample(Prompt("p", "a red thing"), 0, seed)) for seed in seeds]
    other = [baseline.source(Sample(Prompt("p", "something else"), 0, seed)) for seed in seeds]
    assert texts == other
    drawn = {text.rsplit(" ", 1)[0] for text in texts}
    assert drawn <= {caption for row in train.captions for caption in row}
    assert len(drawn) >= 10  # of 12: two starts, three colours, two tones
