"""Data for the script of the pages. Pages opened from disk cannot fetch, so data comes as classic scripts.

A script calls `T2I.push({...})`. All its letters are ASCII, so no text in it can end a line or a string.
"""

import json
import re
from typing import Any

from markupsafe import Markup

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def script(kind: str, **content: Any) -> bytes:
    """A script that hands content to the pages. kind: which of them takes it. Raises ValueError for NaN."""
    text = json.dumps({"kind": kind, **content}, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"T2I.push({text});\n".encode("ascii")


def plain(text: Any) -> Any:
    """Text without control characters and lone surrogates, each of which becomes U+FFFD. Other values stay."""
    if isinstance(text, Markup):
        return Markup(CONTROL.sub("\ufffd", str(text)))
    return CONTROL.sub("\ufffd", text) if isinstance(text, str) else text
