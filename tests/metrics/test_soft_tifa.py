"""Soft-TIFA by hand, and against the numbers of GenEval 2's own analysis."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from face_words import VOCABULARY
from no_images import NoImages
from scripted_vqa import Scripted, evidence_of

from t2ibench.core.errors import UserError
from t2ibench.core.settings import configure
from t2ibench.data.question_lists import Question, read
from t2ibench.data.split import Split
from t2ibench.metrics.soft_tifa import Config, forms, per_image, prompts, score, sets_of
from t2ibench.networks.vqa.contract import FAILED, MALFORMED, NO, YES

GOLDEN = [[0.9, 0.8, 0.1], [1.0, 0.5], [0.25, 0.25, 0.25, 1.0]]  # P of the questions about three prompts


def listed(tmp_path, answers=None):
    """The questions of GOLDEN in the layout of GenEval 2; question j of prompt i asks "i j"."""
    path = tmp_path / "questions.jsonl"
    entries = [
        {
            "prompt": f"prompt {i}",
            "atom_count": len(row),
            "vqa_list": [[f"{i} {j}", (answers or {}).get((i, j), "Yes")] for j in range(len(row))],
            "skills": ["object" if j else "count" for j in range(len(row))],
        }
        for i, row in enumerate(GOLDEN)
    ]
    path.write_text("\n".join(map(json.dumps, entries)) + "\n")
    return str(path)


def golden(chosen=None):
    def script(level, question, sets):
        i, j = map(int, question.split()[:2])
        return [GOLDEN[i][j]] + [0.0] * (len(sets) - 1), (chosen or {}).get((i, j), 0)

    return Scripted(script)


def texts():
    return [f"prompt {i}" for i in range(3)]


def test_the_golden_values_of_geneval_2(tmp_path):
    """AM 59.583333, GM 49.222565, pooled 56.111111 for these P (soft_tifa_analysis.py of GenEval 2)."""
    model = golden()
    values = score(evidence_of(model, texts(), tmp_path), Config("scripted", questions=listed(tmp_path)))
    am, gm = values["soft_tifa_am"], values["soft_tifa_gm"]
    assert am.details["geneval2_100"] == pytest.approx(59.583333, abs=1e-5)
    assert gm.details["geneval2_100"] == pytest.approx(49.222565, abs=1e-5)
    assert 100 * am.details["pooled"] == pytest.approx(56.111111, abs=1e-5)
    assert am.value == pytest.approx(0.59583333)
    assert am.details["by_skill"]["count"] == {"value": pytest.approx(2.15 / 3), "n": 3}
    assert am.details["by_count"]["2"] == {"value": pytest.approx(0.5**0.5), "n": 1}
    assert model.asked[0][1] == "0 0 Answer in one word."


def test_one_question_at_zero_makes_the_geometric_mean_zero_and_not_the_arithmetic_one():
    am, gm = per_image(np.array([0.0, 1.0, 0.5, 0.5]), np.zeros(4), np.array([0, 0, 2, 2]), 3)
    np.testing.assert_array_equal(am, [0.5, np.nan, 0.5])
    np.testing.assert_allclose(gm, [0.0, np.nan, 0.5])


def test_an_image_with_an_unanswered_question_is_counted_and_left_out(tmp_path):
    model = golden({(0, 2): MALFORMED, (2, 0): 1})
    values = score(evidence_of(model, texts(), tmp_path), Config("scripted", questions=listed(tmp_path)))
    am = values["soft_tifa_am"]
    assert am.details["outcomes"] == {"answered": 8, "malformed": 1, "failed": 0}
    assert (am.n, am.details["images_left_out"]) == (2, 1)
    assert am.value == pytest.approx((0.75 + 0.4375) / 2)
    assert am.details["per_sample"] == "- 0.75000 0.43750"
    assert am.details["tifa"] == pytest.approx(5 / 6)
    broken = golden({(0, 2): MALFORMED, (1, 0): FAILED})
    with pytest.raises(UserError, match="all questions about 1 images"):
        score(evidence_of(broken, texts(), tmp_path / "b"), Config("scripted", questions=listed(tmp_path)))


def test_the_means_do_not_depend_on_the_order_of_the_questions():
    soft, chosen, places = np.array([0.2, 0.9, 0.4, 0.6]), np.zeros(4), np.array([0, 0, 1, 1])
    order = [3, 1, 0, 2]
    for a, b in zip(
        per_image(soft, chosen, places, 2), per_image(soft[order], chosen[order], places[order], 2), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-15)


def test_answers_have_the_spellings_of_geneval_2_and_malformed_means_no_answer_of_the_kind():
    assert set(forms("seven")) == {"seven", "Seven", " seven", " Seven", "7", " 7"}
    assert set(forms("Yes")) <= set(YES)
    assert sets_of("Yes") == [YES, NO]
    assert sets_of("no") == [NO, YES]
    assert (len(sets_of("seven")), sets_of("seven")[0]) == (10, forms("seven"))
    assert sets_of("red") == [("red", "Red", " red", " Red")]


def test_counts_are_asked_with_all_numbers_and_open_answers_are_never_malformed(tmp_path):
    model = golden({(0, 0): MALFORMED, (1, 1): MALFORMED})
    path = listed(tmp_path, {(0, 0): "red", (1, 1): "two"})
    details = score(evidence_of(model, texts(), tmp_path), Config("scripted", questions=path))["soft_tifa_am"].details
    assert details["outcomes"] == {"answered": 8, "malformed": 1, "failed": 0}
    assert details["per_sample"].split()[1] == "-"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 1 is no entry"),
        ('{"prompt": "a"}', "line 1 is no entry"),
        ('{"prompt": "a", "vqa_list": []}', "a question or its answer is empty"),
        ('{"prompt": "a", "vqa_list": [["q", "Yes"]], "skills": ["x", "y"]}', "line 1 is no entry"),
        ('{"prompt": "a", "vqa_list": [["q", "Yes"]]}\n' * 2, "line 2: the prompt 'a' is there twice"),
        ("", "holds no questions"),
    ],
)
def test_a_wrong_file_of_questions_is_refused_in_one_line(tmp_path, line, fault):
    (tmp_path / "q.jsonl").write_text(line)
    with pytest.raises(UserError, match=fault) as error:
        read(str(tmp_path / "q.jsonl"))
    assert "\n" not in str(error.value)


def test_a_prompt_without_questions_and_a_missing_file_are_errors(tmp_path):
    listing = read(listed(tmp_path))
    assert listing.of("prompt 1")[0] == Question("1 0", "Yes", "count")
    with pytest.raises(UserError, match="no questions about the prompt 'another'"):
        listing.of("another")
    with pytest.raises(UserError, match="cannot be read"):
        read(str(tmp_path / "nothing"))


def faces(mentions):
    count = len(mentions)
    table = pd.DataFrame({"hat": ["yes"] * count, "beard": ["yes"] * count})
    captions = [("wears a hat", "has a beard")] * count
    ids = [f"f{k}" for k in range(count)]
    return Split("faces", "val", ids, NoImages(count), captions, table, VOCABULARY, mentions)


def test_the_metrics_own_prompts_are_captions_with_the_attributes_that_they_name(tmp_path):
    real = faces([[["hat=yes"], ["beard=yes"]]] * 3)
    asked = prompts(real, real, Config("scripted", captions=3))
    assert {prompt.group for prompt in asked} == {"atoms"}
    assert {(prompt.text, *prompt.tags["literals"]) for prompt in asked} <= {
        ("wears a hat", "hat=yes"),
        ("has a beard", "beard=yes"),
    }
    with pytest.raises(UserError, match="captions is 4, but 3 images"):
        prompts(real, real, Config("scripted", captions=4))
    with pytest.raises(UserError, match="does not say which attributes its captions name"):
        prompts(real, replace(real, mentions=None), Config("scripted"))
    with pytest.raises(UserError, match="captions is 1, expected at least 2"):
        configure(Config, {"captions": 1}, "soft_tifa")
