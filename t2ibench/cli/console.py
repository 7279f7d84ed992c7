"""Where commands print: answers on the standard output, what happens meanwhile on the standard error, and that on a
terminal only.
"""

import json
import sys
from typing import Any

from rich.console import Console

WIDE = 140  # columns where the output is no terminal and nobody says otherwise


def out() -> Console:
    """Answers. A pipe or a file gets plain text, wide enough for a whole leaderboard."""
    console = Console(highlight=False)
    return console if console.is_terminal or "COLUMNS" in console._environ else Console(highlight=False, width=WIDE)


def say(text: str) -> None:
    """What a person at a terminal wants to know meanwhile."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        console.print(text)


def print_json(content: Any) -> None:
    """JSON for another program."""
    json.dump(content, sys.stdout, indent=1, ensure_ascii=False)
    print()
