"""t2ibench: one protocol for text-to-image methods, and an honest leaderboard.

from t2ibench import score_images
score_images("made/", "real/", metrics=["fid", "prdc"])["fid"].ci
"""

from typing import TYPE_CHECKING, Any

from t2ibench.core.version import __version__

if TYPE_CHECKING:
    from t2ibench.scoring.score_images import score_images

__all__ = ["__version__", "score_images"]


def __getattr__(name: str) -> Any:
    """What loads PyTorch is imported when it is asked for, so that `t2ibench --help` answers at once."""
    if name == "score_images":
        from t2ibench.scoring.score_images import score_images

        return score_images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
