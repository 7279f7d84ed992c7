"""VQAScore: P(yes) of a vision-language model asked whether an image shows its text. In [0, 1]; higher is better.

The question is `Does this figure show "{text}"? Please answer yes or no.` (Lin et al., ECCV 2024). Under this one name
at least five numbers circulate: question, spellings of yes and rule of tokens differ between versions of the code. Here
they are all in the protocol. P(yes) is the sum over the spellings of yes that are one token, and is not divided by
P(yes) + P(no).

A malformed answer (the likeliest token is neither yes nor no) and a failed question are counted in the details and left
out of the mean. Neither is a 0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.data.people import read
from t2ibench.networks.vqa.contract import NO, YES, counted
from t2ibench.networks.vqa.questions import VQA_SCORE, filled
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.scoring.feature_sets import AUTO, clusters
from t2ibench.scoring.questions import asked_of, outcome_labels, spelled
from t2ibench.stats.agreement import auroc
from t2ibench.stats.intervals import cluster_mean_interval

READS_TEXTS = True
IN_PARTS = True
QUESTIONS = {"vqa_score": "how sure is a model that answers questions that the image shows its text?"}


@dataclass(frozen=True)
class Config:
    # the data set's; or any image-text-to-text model of transformers: a folder, or hub:owner/name@revision
    vqa: str = AUTO
    group: str = "captions"
    template: str = VQA_SCORE  # {} is the text
    yes: tuple[str, ...] = YES  # spellings that count; those of several tokens do not
    no: tuple[str, ...] = NO  # decide only what is malformed
    # a file of texts or file names with a `label` that people gave, 1 for an image that shows its text, else 0
    people: str = ""


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`vqa_score`, with P(yes) of every sample in its details. Raises UserError below two answers."""
    samples, sets = evidence.samples(config.group), (config.yes, config.no)
    rows = [int(row) for row in samples.rows]
    if len(rows) < 2:
        raise UserError(f"{len(rows)} made images of {config.group!r}, at least 2 are needed for an interval")
    asked = [(row, filled(config.template, samples.prompts[row].text)) for row in rows]
    answers = evidence.fake_answers(config.vqa, asked, sets, config.group)
    answered = answers.chosen >= 0
    outcomes = counted(answers.chosen)
    if answered.sum() < 2:
        raise UserError(
            f"{config.vqa} answered {int(answered.sum())} of {len(rows)} questions with yes or no ({outcomes}), at "
            f"least 2 are needed: name another model, or other spellings"
        )
    values = answers.probabilities[:, 0].astype(np.float64)
    per_sample = np.full(len(samples), np.nan)
    per_sample[rows] = np.where(answered, values, np.nan)
    prompts = clusters([samples.prompts[row].id for row in rows])
    kept = [prompt for prompt, ok in zip(prompts, answered, strict=True) if ok]
    estimate = Estimate(
        value=float(values[answered].mean()),
        ci=cluster_mean_interval(values[answered], kept, derive_seed(evidence.seed, "vqa_score")),
        n=int(answered.sum()),
        better="higher",
        protocol={
            **evidence.vqa_protocol(config.vqa, sets),
            "template": config.template,
            **asked_of(samples, config.group),
            "estimator": "mean P(yes)",
        },
        interval="BCa bootstrap over prompts",
        details={
            "outcomes": outcomes,
            "said_yes": float((answers.chosen == 0).sum() / answered.sum()),
            "p_no": float(answers.probabilities[answered, 1].mean()),
            "labels": outcome_labels(outcomes),
            **({"people": agreement(config.people, samples, per_sample)} if config.people else {}),
            "per_sample": spelled(per_sample),
        },
    )
    return {"vqa_score": estimate}


def agreement(file: str, samples: Samples, values: np.ndarray) -> dict[str, Any]:
    """The area under the ROC curve of the values [N] of samples for the labels of people, with its interval.

    A sample without a label, and one without an answer (NaN), are counted and left out. Raises UserError if either
    label is missing.
    """
    people = read(Path(file))
    named = [(prompt.reference or prompt.id.removeprefix("captions/"), prompt.text) for prompt in samples.prompts]
    labels = people.labels(named)
    kept = [row for row, label in enumerate(labels) if label is not None and not np.isnan(values[row])]
    try:
        area = auroc(values[kept], np.array(labels, float)[kept])
    except ValueError as error:
        raise UserError(f"{file}: {error}, for {len(samples):,} images: give labels of these images") from error
    return {
        "auroc": area.value,
        "ci": list(area.ci),
        "positive": area.positives,
        "negative": area.negatives,
        "without_label": sum(label is None for label in labels),
        "without_answer": sum(label is not None for label in labels) - len(kept),
        "labels": people.sha256,
    }
