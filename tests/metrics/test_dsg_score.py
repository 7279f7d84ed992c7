"""DSG and DPG by hand, against the numbers of both papers' code, and the faults of the published files."""

import numpy as np
import pytest
from scripted_vqa import Scripted, evidence_of

from t2ibench.checks.contracts import check_metric
from t2ibench.checks.contracts.metrics import data_of
from t2ibench.core.errors import UserError
from t2ibench.data.question_graphs import Proposition, read
from t2ibench.metrics.dsg_score import Config, score, standing
from t2ibench.networks.models import Models
from t2ibench.networks.vqa.contract import FAILED, MALFORMED

HEAD = "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
HEAD += "question_natural_language"
CHAIN = [("1", "0", "entity", "a bike?"), ("2", "1", "attribute", "blue?"), ("3", "2", "relation", "on it?")]


def written(tmp_path, items, name="graph.csv"):
    lines = [HEAD]
    for text, rows in items.items():
        lines += [f'i,{text},k,{number},"{parents}",{kind},d,t,{text} {q}' for number, parents, kind, q in rows]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    return str(tmp_path / name)


def answers(script):
    """script: question -> chosen."""
    return Scripted(lambda level, question, sets: ((0.5, 0.5), script(question.removesuffix(" Answer yes or no."))))


@pytest.mark.parametrize(
    ("rule", "rows", "expected"),
    [("dsg", CHAIN, 1 / 3), ("dpg", CHAIN, 0), ("dpg", CHAIN[::-1], 1 / 3), ("dsg", CHAIN[::-1], 1 / 3)],
)
def test_the_golden_values_of_a_chain(tmp_path, rule, rows, expected):
    """Answers no, yes, yes: .333333 by DSG's code; 0 by DPG's, which cascades in the order of rows; .666667 flat."""
    model = answers(lambda question: int("a bike" in question))
    graph = written(tmp_path, {"a": rows, "b": rows})
    value = score(evidence_of(model, ["a", "b"], tmp_path), Config(graph, "scripted", rule))["dsg_score"]
    assert value.value == pytest.approx(expected)
    assert value.details["without_graph"] == pytest.approx(2 / 3)
    assert value.details["by_category"]["entity"] == {"value": 0.0, "n": 2}
    assert value.details["by_category"]["relation"] == {"value": 1.0, "n": 2}
    assert value.details["zeroed"] == 2 * round((2 / 3 - expected) * 3)


def test_all_yes_is_1_and_all_no_is_0_whatever_the_graph(tmp_path):
    graph = written(tmp_path, {"a": CHAIN, "b": CHAIN[:1]})
    for chosen, expected in ((0, 1), (1, 0)):
        model = answers(lambda question, chosen=chosen: chosen)
        for rule in ("dsg", "dpg"):
            evidence = evidence_of(model, ["a", "b"], tmp_path / f"{chosen}")
            assert score(evidence, Config(graph, "scripted", rule))["dsg_score"].value == expected


def test_an_image_with_a_malformed_answer_is_counted_and_left_out(tmp_path):
    graph = written(tmp_path, {text: CHAIN for text in "abcd"})
    odd = {"a blue?": MALFORMED, "b on it?": FAILED, "c a bike?": 1}
    model = answers(lambda question: odd.get(question, 0))
    value = score(evidence_of(model, list("abcd"), tmp_path), Config(graph, "scripted"))["dsg_score"]
    assert value.details["per_sample"] == "- - 0.33333 1.00000"
    assert (value.n, value.details["images_left_out"]) == (2, 2)
    assert value.details["labels"] == ["1 malformed and 1 failed of 12 answers are left out of the mean"]
    few = answers(lambda question: MALFORMED if question.startswith(("a", "b", "c")) else 0)
    with pytest.raises(UserError, match="answered all questions about 1 images"):
        score(evidence_of(few, list("abcd"), tmp_path / "few"), Config(graph, "scripted"))


def test_a_parent_in_a_later_row_is_read_by_its_answer():
    yes = np.array([True, True, False])
    later = [Proposition("a", [1], ""), Proposition("b", [2], ""), Proposition("c", [], "")]
    assert standing(yes, later, "dpg").tolist() == [True, False, False]
    assert standing(yes, later, "dsg").tolist() == [True, False, False]
    assert yes.tolist() == [True, True, False]
    itself = [Proposition("a", [0], ""), Proposition("b", [1], ""), Proposition("c", [0, 1], "")]
    assert standing(np.array([True, False, True]), itself, "dsg").tolist() == [True, False, False]


def test_the_faults_of_the_published_files_are_read_as_their_code_does(tmp_path):
    rows = {
        "no number": [("1", "0", "entity", "x?"), ("2", "5, right", "entity", "y?"), ("3", "1", "entity", "z?")],
        "missing": [("1", "0", "entity", "x?"), ("2", "1,9", "entity", "y?")],
        "itself": [("1", "1", "entity", "x?"), ("2", "3", "entity", "y?"), ("3", "0", "entity", "z?")],
    }
    graphs = read(written(tmp_path, rows))
    assert (graphs.without_graph, graphs.missing_parents) == (["no number"], 1)
    assert [list(one.parents) for one in graphs.of("no number")] == [[], [], []]
    assert [list(one.parents) for one in graphs.of("missing")] == [[], [0]]
    assert [list(one.parents) for one in graphs.of("itself")] == [[0], [2], []]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,2\n", "the column 'text' is missing"),
        (HEAD + "\n", "holds no questions"),
        (HEAD + "\ni,a,k,1,0,e,d,t,\n", "line 2 has no prompt, question or number"),
        (HEAD + "\ni,a,k,one,0,e,d,t,q?\n", "line 2 has no prompt, question or number"),
        (HEAD + "\ni,a,k,1,0,e,d,t,q?\ni,a,k,1,0,e,d,t,r?\n", "line 3: question 1 of 'a' is there twice"),
    ],
)
def test_a_file_of_another_layout_is_one_line(tmp_path, text, line):
    path = tmp_path / "graph.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=line):
        read(str(path))
    with pytest.raises(UserError, match="cannot be read"):
        read(str(tmp_path / "gone.csv"))


def test_a_prompt_without_questions_is_one_line(tmp_path):
    graph = written(tmp_path, {"a": CHAIN})
    with pytest.raises(UserError, match="no questions about the prompt 'b'"):
        score(evidence_of(answers(lambda question: 0), ["a", "b"], tmp_path), Config(graph, "scripted"))


def test_it_keeps_the_contract_of_a_metric(tmp_path, monkeypatch):
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    texts = [text for own in data_of(None).reference.captions for text in own]
    graph = written(tmp_path, dict.fromkeys(texts, CHAIN))

    def models() -> Models:
        made = Models()
        made._vqas[("scripted", False)] = answers(lambda question: len(question) % 2)
        return made

    settings = {"graph": graph, "vqa": "scripted"}
    check_metric("dsg_score", settings, models=models, asked={"prompts": {"captions": 6}}, wrong=[{"graph": "nowhere"}])
