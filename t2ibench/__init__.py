"""t2ibench: one protocol for text-to-image methods, and an honest leaderboard.

from t2ibench import load_records, run_suite, score_images
score_images("made/", "real/", ["fid", "prdc"])["fid"].ci  # the 95 % interval
run_suite("quick", limit=20, methods=["gan"])  # a DataFrame, a row a number
load_records("runs")  # the same, of what was recorded
"""

import importlib
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2ibench.core.version import __version__

if TYPE_CHECKING:
    from t2ibench.core.errors import UserError
    from t2ibench.core.frames import load_records
    from t2ibench.core.records import Estimate
    from t2ibench.runner.python import run_suite
    from t2ibench.scoring.score_images import score_images

NAMES = {
    "Estimate": "t2ibench.core.records",
    "UserError": "t2ibench.core.errors",
    "load_records": "t2ibench.core.frames",
    "run_suite": "t2ibench.runner.python",
    "score_images": "t2ibench.scoring.score_images",
}
__all__ = ["Estimate", "UserError", "__version__", "load_records", "run_suite", "score_images"]


def _without_links() -> None:
    """Let `t2ibench.methods` and its like be imported where their links were checked out as files (Windows)."""
    here = Path(__file__).parent
    for kind in ("datasets", "methods", "metrics"):
        beside = here.parent / kind
        if not (here / kind).is_dir() and beside.is_dir():
            package = types.ModuleType(f"{__name__}.{kind}")
            package.__path__ = [str(beside)]
            sys.modules[package.__name__] = package


_without_links()


def __getattr__(name: str) -> Any:
    """What loads PyTorch is imported when it is asked for, so that `t2ibench --help` answers at once."""
    if name in NAMES:
        return getattr(importlib.import_module(NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
