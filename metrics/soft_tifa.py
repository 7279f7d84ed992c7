"""Soft-TIFA (GenEval 2): a text is taken apart into questions; how sure is a model of the right answers? In [0, 1];
higher is better.

Each question gives P(right answer), summed over the spellings of it. `soft_tifa_am` is the mean over images of the
arithmetic mean of their questions, `soft_tifa_gm` of the geometric mean, in which one question at 0 makes the image 0.
GenEval 2 prints both times 100.

The questions come from the attributes that a prompt names ("Does this person have long hair?"), for prompts of the
metric's own, or from a file in the layout of GenEval 2 (`questions`), which is matched to the suite's prompts by their
text. An image counts if all of its questions were answered. A malformed answer is neither the right one nor another of
its kind: neither yes nor no, or no number. Malformed answers and failed questions are counted in the details.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.ranges import Several
from t2ibench.core.records import Estimate, digest
from t2ibench.core.seeds import derive_seed
from t2ibench.data.question_lists import Question, QuestionList, read
from t2ibench.data.split import Split
from t2ibench.networks.vqa.contract import FAILED, MALFORMED, NO, YES, counted
from t2ibench.networks.vqa.questions import ONE_WORD, about, filled
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, clusters
from t2ibench.scoring.questions import asked_of, outcome_labels, spelled
from t2ibench.stats.intervals import cluster_mean_interval
from t2ibench.tracks.contract import Prompt

READS_TEXTS = True
IN_PARTS = True
QUESTIONS = {
    "soft_tifa_am": "how sure is a model of the right answers to questions about what the text asks for?",
    "soft_tifa_gm": "how sure is a model that the image shows all that the text asks for?",
}
ATOMS = "atoms"  # the group of the metric's own prompts
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Config:
    # the data set's; or any image-text-to-text model of transformers: a folder, or hub:owner/name@revision
    vqa: str = AUTO
    captions: Several = 200  # the metric's own prompts: captions of the reference, and the attributes that they name
    questions: str = ""  # a file of questions in the layout of GenEval 2, in place of prompts of its own
    template: str = ONE_WORD  # {} is the question
    # spellings that are one token; or the first token of each, as GenEval 2's own code, where counts collect P(space)
    tokens: Literal["single", "first"] = "single"


def prompts(train: Split, reference: Split, config: Config) -> list[Prompt]:
    """A caption of each of the first images of the reference; none with a file of questions.

    Raises UserError if the reference has too few images, or captions whose attributes are not known.
    """
    if config.questions:
        return []
    if reference.mentions is None or train.vocabulary is None:
        raise UserError(
            f"{reference.dataset} does not say which attributes its captions name, so there are no questions about "
            f"them: give a file with `questions`, or leave soft_tifa out"
        )
    found: list[Prompt] = []
    for row, mentions in enumerate(reference.mentions):
        which = derive_seed(ATOMS, reference.ids[row]) % len(mentions)
        known = [name for name in mentions[which] if _named(train, name)]
        if known and len(found) < config.captions:
            tags = {"literals": known}
            found.append(Prompt(f"{ATOMS}/{reference.ids[row]}", reference.captions[row][which], ATOMS, tags=tags))
    if len(found) < config.captions:
        raise UserError(
            f"soft_tifa: captions is {config.captions:,}, but {len(found):,} images of {reference.dataset} "
            f"{reference.name} have a caption that names attributes"
        )
    return found


def _named(train: Split, literal: str) -> bool:
    attribute, _, value = literal.partition("=")
    return train.vocabulary is not None and value in train.vocabulary.phrases.get(attribute, {})


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """Both values, with those of every sample in their details.

    Raises UserError for a prompt without questions, and below two images of which all questions were answered.
    """
    listed = read(config.questions) if config.questions else None
    group = ATOMS if listed is None else "captions"
    samples = evidence.samples(group)
    of_prompt = {prompt.id: questions_of(evidence, prompt, listed) for prompt in samples.prompts}
    rows = [int(row) for row in samples.rows]
    asked = [(row, question) for row in rows for question in of_prompt[samples.prompts[row].id]]
    soft, chosen = answered(evidence, config, group, asked)
    places = np.array([row for row, _ in asked], dtype=np.int64)
    am, gm = per_image(soft, chosen, places, len(samples))
    whole = ~np.isnan(am)
    outcomes = counted(chosen)
    if whole.sum() < 2:
        raise UserError(
            f"{config.vqa} answered all questions about {int(whole.sum())} images ({outcomes}), at least 2 are needed: "
            f"name another model"
        )
    kept = whole[places]
    ids = clusters([samples.prompts[row].id for row in np.flatnonzero(whole).tolist()])
    spellings = sorted({tuple(map(tuple, sets_of(question.answer))) for _, question in asked})
    protocol = {
        "models": [evidence.vqa_protocol(config.vqa, sets, config.tokens == "first") for sets in spellings],
        "template": config.template,
        "questions": digest([[[q.text, q.answer] for q in of_prompt[prompt.id]] for prompt in samples.prompts]),
        **asked_of(samples, group),
    }
    details = {
        "outcomes": outcomes,
        "images_left_out": int(len(rows) - whole.sum()),
        "labels": outcome_labels(outcomes),
        "pooled": float(soft[kept].mean()),
        "tifa": float((chosen[kept] == 0).mean()),
        "by_skill": by_skill([question for _, question in asked], soft, kept),
        "by_count": by_count(gm, whole, [len(of_prompt[prompt.id]) for prompt in samples.prompts]),
    }
    values: dict[str, Estimate] = {}
    for name, mean, own in (("am", am, details), ("gm", gm, {})):
        values[f"soft_tifa_{name}"] = Estimate(
            value=float(mean[whole].mean()),
            ci=cluster_mean_interval(mean[whole], ids, derive_seed(evidence.seed, "soft_tifa", name)),
            n=int(whole.sum()),
            better="higher",
            protocol={**protocol, "mean": {"am": "arithmetic", "gm": "geometric"}[name]},
            interval="BCa bootstrap over prompts",
            details={**own, "geneval2_100": float(100 * mean[whole].mean()), "per_sample": spelled(mean)},
        )
    return values


def questions_of(evidence: Evidence, prompt: Prompt, listed: QuestionList | None) -> Sequence[Question]:
    """The questions about a prompt. Raises UserError for one that a file of questions does not have."""
    if listed is not None:
        return listed.of(prompt.text)
    assert evidence.train.vocabulary is not None
    names = prompt.tags["literals"]
    return [Question(about(evidence.train.vocabulary, name), YES[0], name.partition("=")[0]) for name in names]


def sets_of(answer: str) -> list[Sequence[str]]:
    """The answer sets of a question by its right answer: that answer first, then the others of its kind."""
    if answer.strip().lower() in ("yes", "no"):
        sets: list[Sequence[str]] = [YES, NO]
        return sets if answer.strip().lower() == "yes" else sets[::-1]
    if answer in NUMBERS:
        return [forms(answer), *(forms(number) for number in NUMBERS if number != answer)]
    return [forms(answer)]


def forms(answer: str) -> tuple[str, ...]:
    """The spellings of an answer: as it is and with a capital, each also behind a space, and its digits."""
    digits = (str(NUMBERS.index(answer) + 1),) if answer in NUMBERS else ()
    plain = [answer, answer.capitalize(), *digits]
    return tuple(dict.fromkeys([*plain, *(f" {text}" for text in plain)]))


def answered(
    evidence: Evidence, config: Config, group: str, asked: Sequence[tuple[int, Question]]
) -> tuple[np.ndarray, np.ndarray]:
    """P(right answer) of each question [N], and what was chosen [N]: 0 for the right answer, or as in `Answers`.

    An answer of an open kind, of which no other answers are listed, cannot be malformed: it is wrong.
    """
    soft, chosen = np.zeros(len(asked)), np.full(len(asked), FAILED)
    by_answer: dict[str, list[int]] = {}
    for number, (_, question) in enumerate(asked):
        by_answer.setdefault(question.answer, []).append(number)
    for answer, numbers in by_answer.items():
        sets = sets_of(answer)
        pairs = [(asked[n][0], filled(config.template, asked[n][1].text)) for n in numbers]
        given = evidence.fake_answers(config.vqa, pairs, sets, group, config.tokens == "first")
        soft[numbers] = given.probabilities[:, 0]
        chosen[numbers] = np.where((given.chosen == MALFORMED) & (len(sets) == 1), 1, given.chosen)
    return soft, chosen


def per_image(soft: np.ndarray, chosen: np.ndarray, places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Arithmetic and geometric mean of the questions of each image, [count] each.

    soft: P(right answer), [N]. chosen: as in `Answers`, [N]. places: the image of each question, [N].
    NaN for an image without questions, and for one of which a question was malformed or failed.
    """
    asked = np.bincount(places, minlength=count)
    whole = (asked > 0) & (np.bincount(places, chosen < 0, minlength=count) == 0)
    asked = np.maximum(asked, 1)
    am = np.bincount(places, soft, minlength=count) / asked
    with np.errstate(divide="ignore"):
        logs = np.log(soft)
    finite = np.where(soft > 0, logs, 0.0)
    zero = np.bincount(places, soft <= 0, minlength=count) > 0
    gm = np.where(zero, 0.0, np.exp(np.bincount(places, finite, minlength=count) / asked))
    return np.where(whole, am, np.nan), np.where(whole, gm, np.nan)


def by_skill(questions: Sequence[Question], soft: np.ndarray, kept: np.ndarray) -> Mapping[str, dict[str, float]]:
    """The arithmetic mean over all questions of a skill, and how many they are."""
    found: dict[str, list[float]] = {}
    for question, value, whole in zip(questions, soft, kept, strict=True):
        if whole:
            found.setdefault(question.skill, []).append(float(value))
    return {skill: {"value": float(np.mean(values)), "n": len(values)} for skill, values in sorted(found.items())}


def by_count(gm: np.ndarray, whole: np.ndarray, counts: Sequence[int]) -> Mapping[str, dict[str, float]]:
    """The mean geometric mean of the images with so many questions."""
    sizes = np.array(counts)
    found = {size: gm[whole & (sizes == size)] for size in sorted(set(sizes[whole].tolist()))}
    return {str(size): {"value": float(values.mean()), "n": len(values)} for size, values in found.items()}
