"""Errors that are the user's to mend: one line, no traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The command, a file or a folder is wrong. The message says where, what was found, what was expected, what to do."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of an error line: `, did you mean 'alpha'?`, or the known words where none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
