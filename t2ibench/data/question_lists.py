"""Lists of questions about prompts, in the layout of GenEval 2: a JSON object a line.

    {"prompt": "two cats", "vqa_list": [["How many cats are in the image?", "two"]], "skills": ["count"]}

The list is fetched by the user: GenEval 2's own is CC BY-NC 4.0.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from t2ibench.core.errors import UserError
from t2ibench.data.releases import placed


@dataclass(frozen=True)
class Question:
    """A question about an image.

    text: what is asked.
    answer: the right answer, a word.
    skill: what it takes to draw this; "" where nobody says.
    """

    text: str
    answer: str
    skill: str = ""


@dataclass(frozen=True)
class QuestionList:
    """The questions of a file, by the text of the prompt."""

    path: str
    questions: Mapping[str, Sequence[Question]]

    def of(self, prompt: str) -> Sequence[Question]:
        """The questions about a prompt. Raises UserError for one that the file does not have."""
        if prompt not in self.questions:
            raise UserError(
                f"{self.path}: no questions about the prompt {prompt[:60]!r} ({len(self.questions):,} other prompts): "
                f"take the prompts of the same release"
            )
        return self.questions[prompt]


def read(path: str) -> QuestionList:
    """The questions of a file. Raises UserError for a file that cannot be read or is of another layout."""
    try:
        lines = placed(Path(path)).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): give a file of questions, a JSON object a line") from error
    found: dict[str, list[Question]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            pairs, skills = entry["vqa_list"], entry.get("skills") or [""] * len(entry["vqa_list"])
            questions = [Question(str(q), str(a), str(skill)) for (q, a), skill in zip(pairs, skills, strict=True)]
            prompt = str(entry["prompt"])
            if not questions or not all(question.text and question.answer for question in questions):
                raise ValueError("a question or its answer is empty")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: line {number} is no entry of questions ({type(error).__name__}: {error}): expected prompt, "
                f"vqa_list of [question, answer], and skills of the same length"
            ) from error
        if prompt in found:
            raise UserError(f"{path}: line {number}: the prompt {prompt[:60]!r} is there twice: take one out")
        found[prompt] = questions
    if not found:
        raise UserError(f"{path} holds no questions, expected a JSON object a line")
    return QuestionList(path, found)
