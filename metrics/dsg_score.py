"""DSG and DPG-Bench: what share of what a text asks for is there? In [0, 1]; higher is better.

A text is taken apart into yes-or-no questions that stand on one another: without a bike, "is the bike blue?" does not
count, whatever a model answers. The value of an image is the share of its questions that were answered with yes and
stand on such answers only; `dsg_score` is the mean over images.

    dsg    Davidsonian Scene Graph (Cho et al., ICLR 2024): a question counts 0 if a parent was answered with no
    dpg    DPG-Bench (Hu et al., 2024): 0 also if a parent counts 0 itself, as far as it stands in an earlier row

The questions are those of a published CSV file (`graph`), matched to the suite's prompts by their text. The published
scores were made with mPLUG and other models; a number of another model is another number, and the protocol names it. An
image counts if all of its questions were answered: a malformed answer is no no.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate, digest
from t2ibench.core.seeds import derive_seed
from t2ibench.data.question_graphs import Proposition, read
from t2ibench.networks.vqa.contract import NO, YES, counted
from t2ibench.networks.vqa.questions import filled
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.feature_sets import AUTO, clusters
from t2ibench.scoring.questions import asked_of, outcome_labels, spelled
from t2ibench.stats.intervals import cluster_mean_interval

READS_TEXTS = True
IN_PARTS = True
QUESTIONS = {"dsg_score": "what share of what the text asks for is there, with all that it stands on?"}


@dataclass(frozen=True)
class Config:
    graph: str  # dsg-1k-anns.csv or dpg_bench.csv, or one of their columns
    # the data set's; or any image-text-to-text model of transformers: a folder, or hub:owner/name@revision
    vqa: str = AUTO
    rule: Literal["dsg", "dpg"] = "dsg"
    template: str = "{} Answer yes or no."  # {} is the question


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`dsg_score`, with that of every sample in its details.

    Raises UserError for a prompt without questions, and below two images of which all questions were answered.
    """
    graphs, samples = read(config.graph), evidence.samples()
    asked = [(int(row), question) for row in samples.rows for question in graphs.of(samples.prompts[row].text)]
    pairs = [(row, filled(config.template, question.text)) for row, question in asked]
    answers = evidence.fake_answers(config.vqa, pairs, (YES, NO))
    places = np.array([row for row, _ in asked], dtype=np.int64)
    values, flat, zeroed = np.full(len(samples), np.nan), np.full(len(samples), np.nan), 0
    for row in samples.rows:
        chosen = answers.chosen[places == row]
        if (chosen >= 0).all():
            yes = chosen == 0
            counts = standing(yes, graphs.of(samples.prompts[row].text), config.rule)
            values[row], flat[row] = counts.mean(), yes.mean()
            zeroed += int((yes & ~counts).sum())
    whole, outcomes = ~np.isnan(values), counted(answers.chosen)
    if whole.sum() < 2:
        raise UserError(
            f"{config.vqa} answered all questions about {int(whole.sum())} images ({outcomes}), at least 2 are needed: "
            f"name another model"
        )
    yes, categories = answers.chosen == 0, np.array([question.category for _, question in asked])
    kept = whole[places]
    ids = clusters([samples.prompts[row].id for row in np.flatnonzero(whole).tolist()])
    texts = dict.fromkeys(prompt.text for prompt in samples.prompts)
    estimate = Estimate(
        value=float(values[whole].mean()),
        ci=cluster_mean_interval(values[whole], ids, derive_seed(evidence.seed, "dsg_score")),
        n=int(whole.sum()),
        better="higher",
        protocol={
            **evidence.vqa_protocol(config.vqa, (YES, NO)),
            "template": config.template,
            "rule": config.rule,
            "questions": digest([[[q.text, *q.parents] for q in graphs.of(text)] for text in texts]),
            **asked_of(samples, "captions"),
        },
        interval="BCa bootstrap over prompts",
        details={
            "outcomes": outcomes,
            "images_left_out": int(len(samples.rows) - whole.sum()),
            "labels": outcome_labels(outcomes),
            "without_graph": float(flat[whole].mean()),
            "zeroed": zeroed,
            "prompts_without_graph": sum(text in texts for text in graphs.without_graph),
            "by_category": {
                category: {"value": float(yes[kept & (categories == category)].mean()), "n": int(count)}
                for category, count in zip(*np.unique(categories[kept], return_counts=True), strict=True)
            },
            "per_sample": spelled(values),
        },
    )
    return {"dsg_score": estimate}


def standing(yes: np.ndarray, questions: Sequence[Proposition], rule: Literal["dsg", "dpg"]) -> np.ndarray:
    """Which answers count: bool [Q], from which questions were answered with yes, bool [Q].

    dsg: every parent was answered with yes. dpg: every parent counts, in the order of the rows; of a parent in a later
    row the answer decides.
    """
    counts = yes.copy()
    for place, question in enumerate(questions):
        parents = counts if rule == "dpg" else yes
        counts[place] &= all(parents[parent] for parent in question.parents)
    return counts
