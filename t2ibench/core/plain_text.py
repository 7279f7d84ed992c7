"""Texts of others, made safe for where they are shown: each output has its rule here, and no other place has one.

HTML and SVG are written by templates that escape all they are given (`report/site`, `markupsafe`).
"""

import re
import unicodedata
from typing import Any

# what a terminal would obey, and what turns the direction of a line; line ends and tabs stay
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def plain(content: Any) -> Any:
    """JSON content without the characters that a terminal would obey. Other content is left as it is."""
    if isinstance(content, str):
        return CONTROL.sub("\ufffd", content) if CONTROL.search(content) else content
    if isinstance(content, dict):
        return {plain(key): plain(value) for key, value in content.items()}
    return [plain(value) for value in content] if isinstance(content, list) else content


def for_csv(text: str) -> str:
    """Text for a spreadsheet, with a quote before what it would run as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def for_markdown(text: str) -> str:
    """Text for a cell of a Markdown table: no HTML, no end of the cell, no link and no image."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([|`\\]|\](?=[(\[:]))", r"\\\1", " ".join(text.split("\n")))


def for_latex(text: str) -> str:
    """Text for LaTeX, in which every letter stands for itself."""
    return "".join(
        TEX.get(letter, f"\\{letter}" if letter in "_&%#${}" else letter) for letter in " ".join(text.split("\n"))
    )


def is_name(text: object) -> bool:
    """Whether this can be the name of a suite, a track or a method: one folder of a path, in letters that are shown."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= 255
        and text not in (".", "..")
        and not set(text) & set("/\\")
        and not any(unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") for letter in text)
    )
