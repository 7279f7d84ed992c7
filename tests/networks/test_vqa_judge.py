"""The network that answers questions about a data set's images: its rules by hand, its training on squares, and the
shipped weights on real avatars.
"""

import judged
import numpy as np
import pytest
import torch

from t2ibench.core.errors import UserError
from t2ibench.datasets import avatars
from t2ibench.networks import weights
from t2ibench.networks.models import Models
from t2ibench.networks.training import loop
from t2ibench.networks.training.vqa_judge import UNSEEN, Literals, answer_loss, pairwise_answers, recipe
from t2ibench.networks.vqa.contract import FAILED, NO, YES
from t2ibench.networks.vqa.judge import Network, VqaJudge, numbered, words_of
from t2ibench.networks.vqa.questions import VQA_SCORE, about, filled, which


def squares(count, name="train", **settings):
    return judged.squares(count, name, size=32, **settings)


TINY = {
    "widths": [8, 8, 8, 8],
    "features": 16,
    "embedding": 16,
    "hidden": 16,
    "batch": 32,
    "texts": 8,
    "calibration": 64,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> weights.Weights:
    made = recipe("vqa-judge", TINY, squares(320, hide_ground=0.2), squares(100, "val"), Models(), 0)
    return loop.fit(made, "judge", tmp_path_factory.mktemp("vqa"), steps=240)


def pictures(count=6):
    split = squares(count, "val")
    return split, list(split.images.read(range(count)))


def test_it_learns_and_its_card_says_how_well(trained: weights.Weights):
    numbers = trained.card["validation"]
    assert min(numbers[name]["balanced_accuracy"] for name in ("colour", "ground")) > 0.95
    assert numbers["composed"]["true"] > 0.9
    assert numbers["composed"]["one_wrong"] > 0.9
    judge, split = VqaJudge(trained), squares(100, "val")
    assert split.attributes is not None
    images = list(split.images.read(range(100)))
    free = judge.answers(images, range(100), [which("colour")] * 100, (YES, NO))
    assert np.mean(np.array(free.free) == split.attributes["colour"].to_numpy()) > 0.9
    assert (free.chosen < 0).mean() > 0.9  # the answer to an open question is neither yes nor no: malformed


def test_an_answer_does_not_depend_on_the_other_questions(trained: weights.Weights):
    judge, (split, images) = VqaJudge(trained), pictures()
    questions = [filled(VQA_SCORE, f"this square is {colour}") for colour in ("red", "green", "blue")] * 2
    together = judge.answers(images, range(6), questions, (YES, NO))
    for row in range(6):
        alone = judge.answers(images[row : row + 1], [0], questions[row : row + 1], (YES, NO))
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[row], atol=1e-4)
    assert split.vocabulary is not None
    every = pairwise_answers(judge, split, questions[:3], block=4)
    np.testing.assert_allclose(every[1, 1], together.probabilities[1], atol=1e-4)


def test_probabilities_of_all_answers_sum_to_one(trained: weights.Weights):
    judge, (_, images) = VqaJudge(trained), pictures()
    asked = ["Is this square red?", which("ground")]
    given = judge.probabilities(images, np.array([0, 1, 2]), asked, np.array([0, 1, 0]))
    np.testing.assert_allclose(given.sum(1), 1, atol=1e-9)


def test_a_question_with_an_unknown_word_fails_and_says_so(trained: weights.Weights):
    judge, (_, images) = VqaJudge(trained), pictures()
    given = judge.answers(images, [0, 1, 2], ["Is this square red?", "Is this a dragon?", ""], (YES, NO))
    assert (given.chosen == FAILED).tolist() == [False, True, True]
    assert given.probabilities[1].tolist() == [0, 0]
    assert given.reasons == ["judge never learned the word 'dragon'"]


def test_images_and_answers_that_it_does_not_know_are_refused(trained: weights.Weights):
    judge, (_, images) = VqaJudge(trained), pictures()
    with pytest.raises(UserError, match="reads 32x32 images, got 16x32"):
        judge.answers([images[0][:, :16]], [0], ["Is this square red?"], (YES, NO))
    with pytest.raises(UserError, match=r"cannot answer .* it knows yes, no, blue"):
        judge.protocol((YES, ("seven",)))
    with pytest.raises(UserError, match="do not fit the config"):
        VqaJudge(weights.Weights("judge", trained.tensors, {**trained.config, "features": 8}, {}, ""))


def test_p_of_yes_is_the_product_of_the_conditions():
    network = Network(3, 4, [4, 4, 4, 4], 2, 32, 4, 4)
    features, words = torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 2, 0]])
    conditions = torch.tensor([[[0.0, 0.0, 0.0], [2**0.5, 5.0, 1.0], [9.0, 9.0, 9.0]]])
    expected = 0.5 / (1 + np.exp(-2.0))  # the third place holds no word
    assert float(network.log_yes(features, conditions, words).exp()) == pytest.approx(expected, abs=1e-6)


def test_the_loss_is_the_cross_entropy_of_yes_and_no():
    log_yes = torch.log(torch.tensor([[0.25, 0.25]]))
    expected = [-np.log(0.25), -np.log(0.75)]
    np.testing.assert_allclose(answer_loss(log_yes, torch.tensor([[1, 0]]))[0], expected, rtol=1e-6)


def test_words_are_numbered_without_case_and_punctuation():
    assert words_of('Does "this" T-shirt, please?') == ["does", "this", "t-shirt", "please"]
    assert numbered(["a b", "b x a"], {"a": 1, "b": 2}).tolist() == [[1, 2, 0], [2, 0, 1]]


def test_a_text_is_true_if_all_that_it_says_is_and_unknown_where_that_cannot_be_seen():
    split = squares(200, hide_ground=0.5)
    assert split.vocabulary is not None
    assert split.attributes is not None
    literals = Literals(split, split.vocabulary)
    red, white = literals.place["colour=red"], literals.place["ground=white"]
    truth = literals.truth(np.arange(200), [[red], [red, white]])
    colour, ground = split.attributes["colour"], split.attributes["ground"]
    assert (truth[:, 0] == 1).tolist() == (colour == "red").tolist()
    expected = np.where((colour != "red") | (ground == "grey"), 0, np.where(ground.isna(), UNSEEN, 1))
    np.testing.assert_array_equal(truth[:, 1], expected)
    right = [literals.truth(np.array([row]), [literals.composed(row, row)[1]])[0, 0] for row in range(200)]
    assert 0.35 < np.mean(np.array(right) == 0) < 0.65  # half of the composed texts have one literal wrong


def test_a_stopped_training_equals_an_uninterrupted_one():
    def make():
        return recipe("vqa-judge", TINY, squares(120), squares(20, "val"), Models(), 0)

    whole, first, second = make(), make(), make()
    for index in range(4):
        whole.step(index, index / 4)
    for index in range(2):
        first.step(index, index / 4)
    second.load_state(first.state())
    for index in range(2, 4):
        second.step(index, index / 4)
    for key, value in whole.result()[0].items():
        torch.testing.assert_close(second.result()[0][key], value, atol=0, rtol=0)


def test_bad_recipes_are_one_line():
    with pytest.raises(UserError, match="has no part 'judge'"):
        recipe("judge", {}, squares(10), squares(10), Models(), 0)
    with pytest.raises(UserError, match="has 10 images, the VQA judge's recipe needs at least 96"):
        recipe("vqa-judge", TINY, squares(10), squares(10), Models(), 0)
    split = squares(200)
    bare = type(split)("squares", "train", split.ids, split.images, split.captions)
    with pytest.raises(UserError, match="has no attributes with a vocabulary"):
        recipe("vqa-judge", TINY, bare, bare, Models(), 0)


def test_the_shipped_judge_answers_on_avatars_and_its_card_says_so():
    judge = Models().vqa("vqa-judge-avatars")
    assert isinstance(judge, VqaJudge)
    card = weights.load("vqa-judge-avatars").card
    assert min(n["balanced_accuracy"] for name, n in card["validation"].items() if name != "composed") > 0.9
    split = avatars.pair_images(avatars.Config(), {"eyewear": "sunglasses"}, 40, 5)
    assert split.vocabulary is not None
    questions = [about(split.vocabulary, name) for name in ("eyewear=sunglasses", "eyewear=glasses")]
    given = pairwise_answers(judge, split, questions)
    assert (given[:, 0, 0] > 0.5).mean() > 0.9
    assert (given[:, 1, 0] > 0.5).mean() < 0.1
