"""Features, answers and distances that several processes make: together those of one, and none of them twice."""

import json
from functools import partial

import numpy as np
import pytest
from scripted_vqa import Scripted, evidence_of

from t2ibench.core.errors import UserError
from t2ibench.metrics import soft_tifa, vqa_score
from t2ibench.scoring.evidence import in_batches
from t2ibench.scoring.part import NotShared, Part

TEXTS = [f"text {number}" for number in range(150)]  # three batches of images


def says(level, question, sets):
    return ((level % 97 / 97, *[0.1] * (len(sets) - 1)), level % len(sets))


def listed(tmp_path):
    """One or two questions about each text, with three right answers, in the layout of GenEval 2."""
    entries = []
    for number, text in enumerate(TEXTS):
        asked = [[f"is it {number}?", ("Yes", "No", "two")[number % 3]], ["is it large?", "Yes"]][: 1 + number % 2]
        entries.append({"prompt": text, "atom_count": len(asked), "vqa_list": asked, "skills": ["object"] * len(asked)})
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)) + "\n")
    return str(path)


@pytest.mark.parametrize("metric", ["vqa_score", "soft_tifa"])
def test_answers_are_shared_among_processes(metric, tmp_path):
    ok = [number % 10 != 3 for number in range(150)]
    plugin, config = {
        "vqa_score": (vqa_score, vqa_score.Config("scripted")),
        "soft_tifa": (soft_tifa, soft_tifa.Config("scripted", questions=listed(tmp_path))),
    }[metric]
    alone = Scripted(says)
    expected = plugin.score(evidence_of(alone, TEXTS, tmp_path / "alone", ok), config)
    asked = []
    for part in (1, 0):
        model = Scripted(says)
        kind = partial(Part, part, 2)
        plugin.score(evidence_of(model, TEXTS, tmp_path / str(part), ok, kind=kind, pieces=tmp_path / "pieces"), config)
        assert not list((tmp_path / str(part)).rglob("*.npy"))  # zeros of other parts are not kept as answers
        asked += model.asked
    assert sorted(asked) == sorted(alone.asked)
    scorer = Scripted(says)
    evidence = evidence_of(scorer, TEXTS, tmp_path / "scorer", ok, pieces=tmp_path / "pieces")
    found = plugin.score(evidence, config)
    assert not scorer.asked
    for id, estimate in expected.items():
        assert (found[id].value, found[id].ci, found[id].details) == (estimate.value, estimate.ci, estimate.details)


def test_a_part_that_is_missing_is_made_by_the_one_that_scores(tmp_path):
    made = list[range]()

    def make(numbers):
        made.append(numbers)
        return np.array(numbers) * 2

    batches = in_batches(10, 4)
    assert batches == [range(4), range(4, 8), range(8, 10)]
    of = partial(evidence_of, Scripted(says), ["a"], tmp_path, pieces=tmp_path / "pieces")
    rows = of(kind=partial(Part, 1, 3)).in_parts(["key"], batches, make, "")
    assert rows.tolist() == [0] * 10
    rows = of().in_parts(["key"], batches, make, "")
    assert rows.tolist() == [2 * number for number in range(10)]
    assert made == [range(4, 8), range(4), range(8, 10)]
    of().in_parts(["another"], batches, make, "")
    assert made[3:] == batches
    rows = of(kind=partial(Part, 3, 4)).in_parts(["key"], batches, lambda numbers: 1 / 0, "", 2)  # nothing is left
    assert rows.shape == (10, 2)


def test_features_that_are_not_all_there_end_the_metric_of_a_part(tmp_path):
    evidence = evidence_of(Scripted(says), ["a"], tmp_path, kind=partial(Part, 0, 2), pieces=tmp_path / "pieces")
    with pytest.raises(NotShared):
        evidence.fake_features("attribute-judge-avatars")
    with pytest.raises(UserError, match="no prompts of the group"):
        evidence.samples("nothing")
