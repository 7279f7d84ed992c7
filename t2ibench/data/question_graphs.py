"""Questions about prompts that stand on one another: the CSV files of DSG-1k and DPG-Bench.

One row a question, with the columns `item_id`, `text` (the prompt), `proposition_id` (from 1), `dependency` (the
questions that it stands on, "0" for none, else separated by commas), `category_broad` and
`question_natural_language`. "Is the bike blue?" stands on "Is there a bike?".

The published files have faults, which are read as their authors' code reads them, and counted: an item with a parent
that is no number (8 in DSG-1k) has no graph at all; a question that is its own parent stands on itself, and a parent
that does not exist (1 in DSG-1k) is none.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from t2ibench.core.errors import UserError
from t2ibench.data.releases import placed

COLUMNS = ("text", "proposition_id", "dependency", "category_broad", "question_natural_language")


@dataclass(frozen=True)
class Proposition:
    """A question whose right answer is yes.

    text: what is asked.
    parents: the places of the questions that it stands on, in the list of its prompt.
    category: what kind of thing it asks about.
    """

    text: str
    parents: Sequence[int]
    category: str


@dataclass(frozen=True)
class QuestionGraphs:
    """The questions of a file by the text of the prompt, in the order of its rows.

    without_graph: the prompts of which a dependency could not be read, so that no question stands on another.
    missing_parents: how many dependencies name a question that is not there.
    """

    path: str
    questions: Mapping[str, Sequence[Proposition]]
    without_graph: Sequence[str]
    missing_parents: int

    def of(self, prompt: str) -> Sequence[Proposition]:
        """The questions about a prompt. Raises UserError for one that the file does not have."""
        if prompt not in self.questions:
            raise UserError(
                f"{self.path}: no questions about the prompt {prompt[:60]!r} ({len(self.questions):,} other prompts): "
                f"take the prompts of the same release"
            )
        return self.questions[prompt]


def read(path: str) -> QuestionGraphs:
    """The questions of a file. Raises UserError for a file that cannot be read or is of another layout."""
    items: dict[str, dict[int, tuple[str, str, str]]] = {}
    try:
        with placed(Path(path)).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if lacking := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise UserError(f"{path}: the column {lacking[0]!r} is missing: give DSG's or DPG-Bench's CSV file")
            for row in rows:
                text, number = (row["text"] or "").strip(), row["proposition_id"] or ""
                question = (row["question_natural_language"] or "").strip()
                if not text or not question or not number.strip().isdecimal():
                    raise UserError(f"{path}: line {rows.line_num} has no prompt, question or number")
                of_prompt = items.setdefault(text, {})
                if int(number) in of_prompt:
                    raise UserError(f"{path}: line {rows.line_num}: question {number} of {text[:60]!r} is there twice")
                of_prompt[int(number)] = (question, row["dependency"] or "", row["category_broad"] or "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): give DSG's or DPG-Bench's CSV file") from error
    if not items:
        raise UserError(f"{path} holds no questions, expected a CSV file with one a row")
    without, missing, questions = [], 0, {}
    for text, of_prompt in items.items():
        places = {number: place for place, number in enumerate(of_prompt)}
        parents = [_numbers(dependency) for _, dependency, _ in of_prompt.values()]
        if any(one is None for one in parents):
            without.append(text)
            parents = [[] for _ in parents]
        missing += sum(number not in places for one in parents for number in one or ())
        questions[text] = [
            Proposition(question, [places[number] for number in numbers or () if number in places], category)
            for (question, _, category), numbers in zip(of_prompt.values(), parents, strict=True)
        ]
    return QuestionGraphs(path, questions, without, missing)


def _numbers(dependency: str) -> list[int] | None:
    """The questions that a dependency names; None where it is no list of numbers."""
    parts = [part.strip() for part in dependency.split(",")]
    if not all(part.isdecimal() for part in parts):
        return None
    return [int(part) for part in parts if int(part)]
