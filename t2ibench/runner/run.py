"""Runs a suite: every cell (track, method, run seed) is made, scored and recorded, unless it is recorded already."""

from collections.abc import Iterator

from t2ibench.core import readers
from t2ibench.runner import jobs
from t2ibench.runner.cell import CellResult, RunOptions, run_cell, so_many_threads
from t2ibench.runner.preflight import check, planned
from t2ibench.runner.shards import make_shard
from t2ibench.runner.status import announce
from t2ibench.runner.suite import Suite
from t2ibench.runner.workers import started

__all__ = ["CellResult", "RunOptions", "run"]


def run(suite: Suite, options: RunOptions) -> Iterator[CellResult]:
    """Run every cell of a suite and yield each result as soon as it is there.

    This process alone goes track by track, baselines first. Several finish the cells in any order; who makes what
    changes nothing in a record but its environment, its cost and the order of the lines in the journals.

    A run of one shard makes its images and yields nothing.

    Raises UserError where the user has to mend something: before the first image, if `preflight` finds it. The cells
    that are recorded by then stay recorded.
    """
    early = jobs.expected(suite, options)
    with so_many_threads(options.threads), readers.so_many(options.workers), started(early) as waiting:
        plans = planned(suite, options)
        announce(plans, options.work)
        if jobs.number(plans, options) > 1 or options.batch_timeout or options.executor == "ray":
            yield from jobs.run(plans, options, waiting)
            return
        check(plans, options)
        if options.shard is not None:
            for _ in make_shard(plans, options):
                pass
            return
        missing = suite.must_make  # columns of which no cell has had a value so far
        for plan in plans:
            for seed in suite.seeds:
                for entry in plan.entries:
                    done = run_cell(plan, entry, seed, options, missing if plan is plans[-1] else ())
                    missing -= set(done.record["values"])
                    yield done
