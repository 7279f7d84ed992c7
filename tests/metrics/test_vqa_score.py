"""VQAScore and the models that answer questions: by hand, against the published rules, and with tiny models."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scripted_vqa import Scripted, evidence_of
from typer.testing import CliRunner

from t2ibench.cli import app
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.data.given_images import made_images
from t2ibench.data.split import Networks
from t2ibench.datasets import avatars
from t2ibench.metrics.vqa_score import Config, score
from t2ibench.networks.models import Models
from t2ibench.networks.vqa.contract import FAILED, MALFORMED, NO, YES, Answers, counted, of_answer_tokens, of_mass
from t2ibench.networks.vqa.questions import VQA_SCORE, filled
from t2ibench.scoring import score_images
from t2ibench.scoring.attribute_pairs.judge import said
from t2ibench.scoring.default_networks import settled
from t2ibench.scoring.score import metrics_of
from t2ibench.scoring.score_images import asked_metrics


def says(p_yes, chosen=0):
    return lambda level, question, sets: ((p_yes(level), 0.1), chosen if isinstance(chosen, int) else chosen(level))


def test_the_value_is_the_mean_of_p_yes_and_not_divided_by_yes_and_no(tmp_path):
    model = Scripted(says(lambda level: level / 10))
    value = score(evidence_of(model, ["a", "b", "c"], tmp_path), Config("scripted"))["vqa_score"]
    assert value.value == pytest.approx(0.2, abs=1e-7)
    assert value.details["per_sample"] == "0.10000 0.20000 0.30000"
    assert value.details["outcomes"] == {"answered": 3, "malformed": 0, "failed": 0}
    assert (value.n, value.details["labels"]) == (3, [])
    assert model.asked[0] == (1, 'Does this figure show "a"? Please answer yes or no.')


def test_malformed_and_failed_answers_are_counted_and_are_no_zeros(tmp_path):
    chosen = {1: 0, 2: 1, 3: MALFORMED, 4: FAILED}
    model = Scripted(says(lambda level: 0.0 if level == 4 else level / 10, chosen.__getitem__))
    value = score(evidence_of(model, list("abcd"), tmp_path), Config("scripted"))["vqa_score"]
    assert value.value == pytest.approx(0.15, abs=1e-7)
    assert value.details["outcomes"] == {"answered": 2, "malformed": 1, "failed": 1}
    assert value.details["per_sample"] == "0.10000 0.20000 - -"
    assert value.details["labels"] == ["1 malformed and 1 failed of 4 answers are left out of the mean"]


def test_a_model_that_never_says_yes_or_no_gives_no_number(tmp_path):
    model = Scripted(says(lambda level: 0.2, MALFORMED))
    with pytest.raises(UserError, match="answered 0 of 3 questions with yes or no"):
        score(evidence_of(model, list("abc"), tmp_path), Config("scripted"))


def test_what_failed_once_is_asked_again_and_what_was_answered_is_not(tmp_path):
    model = Scripted(says(lambda level: 0.5, lambda level: FAILED if level == 1 else 0))
    score(evidence_of(model, list("abc"), tmp_path), Config("scripted"))
    model.script = says(lambda level: 0.5)
    value = score(evidence_of(model, list("abc"), tmp_path), Config("scripted"))["vqa_score"]
    assert (value.n, len(model.asked)) == (3, 6)
    score(evidence_of(model, list("abc"), tmp_path), Config("scripted"))
    assert len(model.asked) == 6


def test_the_order_of_the_samples_changes_nothing_and_images_that_failed_are_not_asked_about(tmp_path):
    model = Scripted(says(lambda level: level / 10))
    value = score(evidence_of(model, list("abcd"), tmp_path, ok=[True, False, True, True]), Config("scripted"))
    assert value["vqa_score"].details["per_sample"] == "0.10000 - 0.30000 0.40000"
    assert {level for level, _ in model.asked} == {1, 3, 4}


def test_template_and_spellings_belong_to_the_protocol(tmp_path):
    model = Scripted(says(lambda level: 0.5))
    evidence = evidence_of(model, list("ab"), tmp_path)
    settings = [Config("scripted"), Config("scripted", template='Is it "{}"?'), Config("scripted", yes=("Yes",))]
    assert len({score(evidence, config)["vqa_score"].protocol_id for config in settings}) == 3
    with pytest.raises(UserError, match=r"expected one {}, where the text goes, found 0"):
        score(evidence, Config("scripted", template="Is it?"))


def test_a_text_with_braces_is_asked_about_as_it_is():
    assert filled(VQA_SCORE, "a {red} {}") == 'Does this figure show "a {red} {}"? Please answer yes or no.'


def test_an_answer_is_the_sum_over_its_spellings():
    probability = np.array([[0.3, 0.3, 0.35, 0.05], [0.1, 0.1, 0.2, 0.6], [0.0, 0.2, 0.7, 0.1]])
    mass, chosen = of_mass(probability, [[0, 1], [2]])
    np.testing.assert_allclose(mass, [[0.6, 0.35], [0.2, 0.2], [0.2, 0.7]])
    assert chosen.tolist() == [1, MALFORMED, 1]  # the likeliest single token decides, not the larger sum
    assert counted(np.array([0, 1, MALFORMED, FAILED, FAILED])) == {"answered": 2, "malformed": 1, "failed": 2}


def test_the_answer_token_rule_of_t2v_metrics_has_its_golden_value():
    """Golden value of the answer-token rule of t2v_metrics 3.0: the first token alone would be 0.711235."""
    logits, labels = [(2.0, 0, 0, 0), (0, 3.0, 0, 0)], (0, 1)
    assert of_answer_tokens(logits, labels) == pytest.approx(0.786644, abs=1e-6)
    assert of_answer_tokens(logits[:1], labels[:1]) == pytest.approx(0.711235, abs=1e-6)


def images(count=3):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (3, 20 + 2 * i, 24), dtype=np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("transformers")
    from language_tiny import save

    return save(tmp_path_factory.mktemp("language") / "tiny")


def test_a_language_model_says_what_a_forward_pass_and_greedy_decoding_say(folder):
    import transformers

    model = Models().vqa(str(folder))
    asked = "is this a face ?"
    given = model.answers(images(1), [0], [asked], (YES, NO))
    inputs = model.processor(  # type: ignore[attr-defined]
        text=model.prompt(asked),  # type: ignore[attr-defined]
        images=[transformers.image_utils.to_numpy_array(images(1)[0].transpose(1, 2, 0))],
        return_tensors="pt",
    )
    made = model.model.generate(  # type: ignore[attr-defined]
        **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    raw = made.logits[0].softmax(1)[0]
    ids = model.protocol((YES, NO))["token_ids"]
    np.testing.assert_allclose(given.probabilities[0], [float(raw[one].sum()) for one in ids], atol=1e-6)
    assert given.free == [model.tokenizer.decode([int(raw.argmax())])]  # type: ignore[attr-defined]


def test_neither_other_questions_nor_padding_change_an_answer(folder):
    model = Models().vqa(str(folder))
    questions = ["is this a face ?", "Does this figure show a red face ?", "is this red", "a face ?"]
    together = model.answers(images(), [0, 1, 2, 0], questions, (YES, NO))
    for number, row in enumerate([0, 1, 2, 0]):
        alone = model.answers(images(), [row], [questions[number]], (YES, NO))
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[number], atol=1e-6)


def test_a_question_that_breaks_the_model_fails_alone(folder, monkeypatch):
    model = Models().vqa(str(folder))
    prompt = model.prompt  # type: ignore[attr-defined]

    def broken(question):
        if "red" in question:
            raise RuntimeError("no\nred")
        return prompt(question)

    monkeypatch.setattr(model, "prompt", broken)
    given = model.answers(images(), [0, 1, 2], ["a face ?", "red ?", "is this a face ?"], (YES, NO))
    assert (given.chosen == FAILED).tolist() == [False, True, False]
    assert (given.probabilities[1].tolist(), given.free[1], given.reasons) == ([0, 0], "", ["RuntimeError: no red"])


def test_spellings_of_several_tokens_do_not_count_unless_first_tokens_are_asked_for(folder):
    single, first = Models().vqa(str(folder)), Models().vqa(str(folder), first_tokens=True)
    sets = (("Yes", "face Yes"), ("No",))
    words = single.tokenizer.get_vocab()  # type: ignore[attr-defined]
    assert single.protocol(sets)["token_ids"] == [[words["Yes"]], [words["No"]]]
    assert first.protocol(sets)["token_ids"] == [sorted([words["Yes"], words["face"]]), [words["No"]]]
    with pytest.raises(UserError, match=r"none of the spellings .* is one token"):
        single.protocol((("perhaps not",), NO))


def test_models_that_cannot_be_asked_are_refused_in_one_line(tmp_path):
    pytest.importorskip("transformers")
    from language_tiny import TEMPLATE, save

    with pytest.raises(UserError, match=r"config\.json is missing"):
        Models().vqa(str(tmp_path))
    with pytest.raises(UserError, match="no chat template"):
        Models().vqa(str(save(tmp_path / "mute", template=None)))
    with pytest.raises(UserError, match="thinks before it answers"):
        Models().vqa(str(save(tmp_path / "thinker", template=TEMPLATE + "<think>")))
    weights = tmp_path / "thinker" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(UserError, match="no image-text-to-text model"):
        Models().vqa(str(tmp_path / "thinker"))
    (tmp_path / "mute" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="no image-text-to-text model"):
        Models().vqa(str(tmp_path / "mute"))
    with pytest.raises(UserError, match="expected hub:owner/name"):
        Models().vqa("hub:alone")


def test_the_hash_of_a_model_is_of_everything_that_is_read(folder, tmp_path):
    from language_tiny import TEMPLATE, save

    same, other, said = (
        save(tmp_path / name, seed, template)
        for name, seed, template in (("a", 0, TEMPLATE), ("b", 1, TEMPLATE), ("c", 0, TEMPLATE + " "))
    )
    hashes = [Models().vqa(str(path)).sha256 for path in (folder, same, other, said)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_a_language_model_scores_images_of_several_sizes(folder, tmp_path):
    for number, image in enumerate(images()):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{number}.png")
    made = made_images(tmp_path, {f"{number}.png": "a face" for number in range(3)}, None)
    evidence = score_images.evidence_of(made, score_images.no_images(), Models(cache=tmp_path / "cache"))
    answers = evidence.fake_answers(str(folder), [(0, "a"), (1, "a"), (2, "a")], (YES, NO))
    assert (answers.probabilities > 0).all()
    assert list(evidence.models.used) == ["tiny"]


def test_the_weights_stay_in_the_precision_of_their_file(folder, tmp_path):
    from language_tiny import save

    half = Models().vqa(str(save(tmp_path / "half", dtype=torch.bfloat16)))
    whole = Models().vqa(str(folder))
    assert [model.protocol((YES, NO))["backend"].split(", ")[1] for model in (half, whole)] == ["bfloat16", "float32"]
    given = half.answers(images(1), [0], ["is this a face ?"], (YES, NO))
    assert 0 < given.probabilities.min() < given.probabilities.max() < 1


def test_tables_of_values_hold_the_likeliest_yes_and_nothing_where_nobody_said_yes():
    literals = ["hair=long", "hair=short", "skin=dark"]
    answers = Answers(
        np.array([[0.6, 0], [0.9, 0], [0.2, 0.7], [0.9, 0], [0.6, 0.3], [0.8, 0.1]]),
        np.array([0, 0, 1, MALFORMED, FAILED, 0]),
        [],
    )
    expected = pd.DataFrame({"hair": ["short", None], "skin": [None, "dark"]}, dtype=object)
    pd.testing.assert_frame_equal(said(answers, literals), expected)


def test_agreement_with_people_is_the_share_of_pairs_in_the_right_order(tmp_path):
    (tmp_path / "labels.csv").write_text("text,label\na,0\nb,1\nc,0\nd,1\ne,1\n")
    model = Scripted(says(lambda level: level / 10, lambda level: FAILED if level == 5 else 0))
    config = Config("scripted", people=str(tmp_path / "labels.csv"))
    people = score(evidence_of(model, list("abcdef"), tmp_path), config)["vqa_score"].details["people"]
    assert people["auroc"] == 0.75  # of the pairs (b, a), (b, c), (d, a), (d, c) three are in order
    assert people["ci"][0] < 0.75 < people["ci"][1] <= 1
    assert [people[key] for key in ("positive", "negative", "without_label", "without_answer")] == [2, 2, 1, 1]


def test_labels_of_files_are_of_the_images_of_that_name(tmp_path):
    rows = ["p0.png,x,1", "p1.jpg,x,1", "p2.png,x,0", "p3.png,x,0"]
    (tmp_path / "labels.csv").write_text("\n".join(["file_name,text,label", *rows]))
    model = Scripted(says(lambda level: level / 10))
    config = Config("scripted", people=str(tmp_path / "labels.csv"))
    people = score(evidence_of(model, list("abcd"), tmp_path), config)["vqa_score"].details["people"]
    assert people["auroc"] == 0.0


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("text,label\na,4\n", "the label is '4', expected 0 or 1"),
        ("text\na\n", "the label is none, expected 0 or 1"),
        ("text,label\na,0\na,1\n", "'a' has both labels"),
        ("text,label\na,1\nb,1\n", "needs at least 2 labels of each kind, got 2 positive and 0 negative"),
    ],
)
def test_wrong_labels_are_refused_in_one_line(tmp_path, rows, fault):
    (tmp_path / "labels.csv").write_text(rows)
    config = Config("scripted", people=str(tmp_path / "labels.csv"))
    with pytest.raises(UserError, match=fault) as error:
        score(evidence_of(Scripted(says(lambda level: level / 10)), list("ab"), tmp_path), config)
    assert "\n" not in str(error.value)


def test_a_folder_is_scored_by_a_named_model_and_compared_with_labels_of_people(tmp_path):
    """Twelve faces, of which every second one has the caption of another; people say which."""
    faces = avatars.pair_images(avatars.Config(), {}, 12, 7)
    (tmp_path / "made").mkdir()
    rows = ["file_name,text,label"]
    for row, image in enumerate(faces.images.read(range(12))):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "made" / f"{row}.png")
        right = row % 2
        rows.append(f'{row}.png,"{faces.captions[row if right else (row + 5) % 12][0]}",{right}')
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    labels = str(tmp_path / "labels.csv")
    words = ["score", str(tmp_path / "made"), "--prompts", labels, "--metrics", "vqa_score", "--json"]
    answer = CliRunner().invoke(app, [*words, "--vqa", "vqa-judge-avatars", "--people", labels])
    assert answer.exit_code == 0, answer.output
    value = json.loads(answer.stdout)["values"]["vqa_score"]
    assert value["details"]["people"]["auroc"] > 0.9
    assert value["details"]["outcomes"]["answered"] == 12
    assert value["protocol"]["vqa"] == "vqa-judge-avatars"
    plain = CliRunner().invoke(app, [*words[:-1], "--vqa", "vqa-judge-avatars"])
    assert "vqa-judge-avatars (t2ibench vqa judge, sha256" in " ".join(plain.stdout.split())


def test_a_model_or_labels_that_no_metric_asks_for_are_refused():
    with pytest.raises(UserError, match="--vqa: none of the metrics clip_score takes it"):
        asked_metrics(["clip_score"], vqa="some-model")
    with pytest.raises(UserError, match="--people: none of the metrics fid takes it"):
        asked_metrics(["fid"], people="labels.csv")
    made = metrics_of([Entry("vqa_score", "vqa_score", {}, "metric")], "here")
    with pytest.raises(UserError, match="photos brings no model that answers questions about its images: name one"):
        settled(made, Networks(), "photos", "here")
