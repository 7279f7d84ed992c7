"""Reads the answers of raters: one CSV file a rater, from the page or the spreadsheet, with every cell checked."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2ibench.checks.audit.form import ANSWERS, COLUMNS
from t2ibench.core.errors import UserError

Said = tuple[bool | None, bool | None]  # whether each of the two literals is seen; None: it cannot be told


@dataclass(frozen=True)
class Answers:
    """The answers of one rater, by the name of the image."""

    rater: str
    said: Mapping[str, Said]


def read_all(paths: Sequence[Path], key: Mapping[str, Any]) -> list[Answers]:
    """The answers of every rater. Raises UserError for what `read` refuses, and for two files of one rater."""
    by_rater: dict[str, Answers] = {}
    for path in paths:
        answers = read(path, key)
        if answers.rater in by_rater:
            raise UserError(
                f"{path}: a file of the rater {answers.rater!r} was given already: two people are needed, by their "
                f"own names"
            )
        by_rater[answers.rater] = answers
    return list(by_rater.values())


def read(path: Path, key: Mapping[str, Any]) -> Answers:
    """One rater's answers.

    Raises UserError for a file of another kind or another audit, and for an image that is unknown, that has two rows or
    that has no answer.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), reader.fieldnames or []
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give the CSV file of a rater") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error}): save it as one") from error
    if missing := [name for name in COLUMNS if name not in header and not name.startswith("question")]:
        raise UserError(
            f"{path}: the column {missing[0]!r} is missing, expected {', '.join(COLUMNS)}, with commas between"
        )
    by_image: dict[str, Said] = {}
    for line, row in enumerate(rows, 2):
        audit, image = _cell(row, "audit"), _cell(row, "image")
        if audit != key["audit"]:
            raise UserError(
                f"{path}: line {line} is of {audit or 'no audit'!r}, expected {key['audit']!r}: give the answers to "
                f"this audit"
            )
        if image not in key["drawn"]:
            raise UserError(f"{path}: line {line}: the audit has no image {image!r}: leave the names as they were")
        if image in by_image:
            raise UserError(f"{path}: line {line}: {image} is there twice: leave one row")
        by_image[image] = (_answer(row, "answer_1", f"{path}: {image}"), _answer(row, "answer_2", f"{path}: {image}"))
    if unanswered := [image for image in key["drawn"] if image not in by_image]:
        raise UserError(
            f"{path}: {len(unanswered)} of {len(key['drawn'])} images have no row, the first {unanswered[0]}: answer "
            f"them all"
        )
    raters = list(dict.fromkeys(_cell(row, "rater") for row in rows))
    if len(raters) != 1 or not raters[0]:
        raise UserError(f"{path}: the raters are {raters}, expected one name in every row: a file is of one rater")
    return Answers(raters[0], by_image)


def _cell(row: Mapping[str, str | None], column: str) -> str:
    return (row[column] or "").strip()


def _answer(row: Mapping[str, str | None], column: str, where: str) -> bool | None:
    text = _cell(row, column).lower()
    if text not in ANSWERS:
        raise UserError(f"{where}: {column} is {text!r}, expected {', '.join(ANSWERS)}")
    return ANSWERS[text]
