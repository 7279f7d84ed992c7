"""From the file of a suite to records: the plan, the images, the journal of every sample, and the scores."""

from typing import TYPE_CHECKING

from t2ibench.core.public import lazily

if TYPE_CHECKING:
    from t2ibench.runner.python import run_suite
    from t2ibench.runner.run import CellResult, RunOptions
    from t2ibench.runner.suite import Suite
    from t2ibench.runner.suite import load as load_suite

__all__ = ["CellResult", "RunOptions", "Suite", "load_suite", "run_suite"]
__getattr__ = lazily(
    __name__,
    {
        "CellResult": "run",
        "RunOptions": "run",
        "Suite": "suite",
        "load_suite": "suite:load",
        "run_suite": "python",
    },
)
