"""A suite run from Python, as `t2ibench run` runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t2ibench.core.frames import frame_of
from t2ibench.runner.cell import RunOptions
from t2ibench.runner.narrow import narrowed
from t2ibench.runner.run import run
from t2ibench.runner.suite import load

if TYPE_CHECKING:
    import pandas as pd


def run_suite(
    suite: str | Path,
    out: str | Path = "runs",
    work: str | Path | None = None,
    *,
    methods: Sequence[str] = (),
    tracks: Sequence[str] = (),
    limit: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
) -> "pd.DataFrame":
    """Run a suite and return its numbers, one row each (`t2ibench.load_records`). What is recorded is not run again.

    suite: a suite that ships, or a YAML file.
    out: the folder of the records.
    work: the folder of images and journals; None: that of the records.
    methods, tracks: only these, by their names in the suite; empty: all.
    limit: a trial of at most so many texts and images, under a name of its own.
    device: where networks run.
    jobs: how many processes work at once.

    Raises UserError where the user has to mend something.
    """
    out = Path(out).expanduser()
    options = RunOptions(out=out, work=out if work is None else Path(work).expanduser(), device=device, jobs=jobs)
    cells = run(narrowed(load(str(suite)), methods, tracks, limit), options)
    return frame_of([cell.record for cell in cells])
