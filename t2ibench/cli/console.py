"""Where commands print: results on the standard output, progress on the standard error.

Progress is printed only where the standard error is a terminal.
"""

import json
import sys
from typing import Any

from rich.console import Console

WIDE = 140  # columns, where the output is no terminal and COLUMNS is not set


def out() -> Console:
    """The console for results. A pipe or a file gets plain text, wide enough for a whole leaderboard."""
    console = Console(highlight=False)
    return console if console.is_terminal or "COLUMNS" in console._environ else Console(highlight=False, width=WIDE)


def say(text: str) -> None:
    """Print progress for a person at a terminal."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        console.print(text)


def print_json(content: Any) -> None:
    """Print JSON for another program."""
    json.dump(content, sys.stdout, indent=1, ensure_ascii=False)
    print()
