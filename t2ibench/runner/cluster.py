"""The processes of a run as actors of a Ray cluster. What travels is small: tasks, paths and records.

Images and journals go to the folders of the run, which all nodes see. A node that dies or freezes costs the blocks that
it was at; a node that joins gets actors. An evaluation needs nothing that one rank waits for another with.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.runner.worker import Actor, Setup, Task
from t2ibench.runner.workers import Ended, Hand, Workers, import_path

LOOK = 10.0  # seconds between two looks for new nodes


class RayWorkers(Workers):
    """Actors with one GPU each, or one CPU.

    setup: what the k-th of them is told.
    jobs: their number; 0: as many as there is place for, also on nodes that join later.
    address: of a cluster, as `ray.init` takes it; "" starts one on this machine.

    Raises UserError where Ray is not installed, or the cluster cannot be joined.
    """

    def __init__(self, setup: Callable[[int], Setup], jobs: int, address: str) -> None:
        self._ray, self._own = joined(address)
        self._asked: dict[Any, Hand] = {}
        self._looked, self._setup, self._jobs = time.monotonic(), setup, jobs
        super().__init__([setup(k) for k in range(jobs or max(1, self._places()))])

    def _places(self) -> int:
        return places(self._ray, self._setup(0).options.device)

    def start(self, hand: Hand, setup: Setup) -> None:
        needs = {"num_gpus": 1} if setup.options.device.startswith("cuda") else {"num_cpus": 1}
        hand.handle = self._ray.remote(max_restarts=0, max_task_retries=0, **needs)(Actor).remote(setup)
        self._asked[hand.handle.ready.remote()] = hand

    def send(self, hand: Hand, task: Task) -> None:
        self._asked[hand.handle.do.remote(task)] = hand

    def answers(self, timeout: float | None) -> Iterator[tuple[Hand, Any]]:
        if not self._asked:
            return
        ready, _ = self._ray.wait([*self._asked], num_returns=1, timeout=timeout)
        for reference in ready:
            hand = self._asked.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                answer = Ended(" ".join(str(error).split())[:200])
            yield hand, answer

    def stop(self, hand: Hand) -> None:
        self._ray.kill(hand.handle)
        for reference in [reference for reference, of in self._asked.items() if of is hand]:
            del self._asked[reference]  # a frozen node answers after a minute only
            self._asked[self._ray.put(Ended("stopped"))] = hand

    def close(self) -> None:
        for hand in self.hands:
            with contextlib.suppress(Exception):
                self._ray.kill(hand.handle)
        if self._own:
            self._ray.shutdown()

    def grow(self) -> None:
        if self._jobs or time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        self.hands += [self._new(self._setup(k)) for k in range(len(self.hands), self._places())]


def places(ray: Any, device: str) -> int:
    """How many actors a cluster has room for: one a GPU, or one a CPU."""
    return int(ray.cluster_resources().get("GPU" if device.startswith("cuda") else "CPU", 0))


def joined(address: str) -> tuple[Any, bool]:
    """The module `ray`, joined to a cluster, and whether that was done here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use by default
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError("--executor ray: Ray is not installed: pip install 't2ibench[cluster]'") from error
    if ray.is_initialized():
        return ray, False
    ours = {name: value for name, value in os.environ.items() if name.startswith("T2IBENCH_")}
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    if address:
        options = {"log_to_driver": False, "logging_level": "ERROR", "address": address}
    try:
        ray.init(runtime_env={"env_vars": {**ours, "PYTHONPATH": import_path()}}, **options)
    except Exception as error:  # Ray raises errors of many kinds
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"--executor ray: the cluster {address or 'on this machine'} cannot be joined ({said}): look at "
            f"--address, and whether RAY_AUTH_TOKEN or ~/.ray/auth_token holds its token"
        ) from error
    return ray, True
