"""t2ibench: one protocol for text-to-image methods, and an honest leaderboard.

from t2ibench import score_images
score_images("made/", "real/", metrics=["fid", "prdc"])["fid"].ci
"""

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2ibench.core.version import __version__

if TYPE_CHECKING:
    from t2ibench.scoring.score_images import score_images

__all__ = ["__version__", "score_images"]


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
    if name == "score_images":
        from t2ibench.scoring.score_images import score_images

        return score_images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
