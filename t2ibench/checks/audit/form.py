"""What a rater gets: a page that holds everything and needs no network, or the images and a spreadsheet.

Neither says which method made the images.
"""

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from t2ibench.core import storage
from t2ibench.report.templates import environment

COLUMNS = ("audit", "rater", "image", "question_1", "answer_1", "question_2", "answer_2")
ANSWERS = {"yes": True, "no": False, "cannot tell": None}


@dataclass(frozen=True)
class Entry:
    """One image, its name and PNG, and the two questions about it."""

    name: str
    png: bytes
    questions: Sequence[str]


def write(folder: Path, audit: str, entries: Sequence[Entry]) -> None:
    """Write `audit.html`, `answers.csv` and `images/` into a folder for raters."""
    for entry in entries:
        storage.publish(folder / "images" / f"{entry.name}.png", entry.png)
    storage.publish(folder / "answers.csv", spreadsheet(audit, entries).encode("utf-8-sig"))
    storage.publish(folder / "audit.html", page(audit, entries).encode())


def spreadsheet(audit: str, entries: Sequence[Entry]) -> str:
    """The table that a rater fills in: in every row the name of the rater, and two of the answers in ANSWERS."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([audit, "", entry.name, entry.questions[0], "", entry.questions[1], ""] for entry in entries)
    return buffer.getvalue()


def page(audit: str, entries: Sequence[Entry]) -> str:
    """The form: it shows one image at a time, takes keys or buttons, and saves the same columns as the spreadsheet."""
    images = [
        {"name": entry.name, "questions": list(entry.questions), "png": base64.b64encode(entry.png).decode()}
        for entry in entries
    ]
    return (
        environment("checks/audit")
        .get_template("form.html.j2")
        .render(audit=audit, images=images, columns=COLUMNS, answers=list(ANSWERS))
    )
