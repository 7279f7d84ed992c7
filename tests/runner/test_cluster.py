"""A suite on a Ray cluster of several nodes, of which one is killed, one is frozen and one joins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.runner import cluster, suite
from t2ibench.runner import run as runner

SCRIPT = """
import json, os, signal, subprocess, sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster
from t2ibench.runner import cluster, run as runner, suite
from t2ibench.runner.worker import Make

small = {"object_store_memory": 80 * 2**20}
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
others = [nodes.add_node(num_cpus=1, **small) for _ in range(3)]
ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR",
         runtime_env={"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"], "PAINTER_LOG": "asked.log"}})
cluster.LOOK = 1.0
done = []

def frozen():
    raylet = others[1].all_processes["raylet"][0].process.pid
    workers = subprocess.run(["ps", "-o", "pid=", "--ppid", str(raylet)], capture_output=True, text=True).stdout
    return [raylet, *map(int, workers.split())]

def grow(self, grow=cluster.RayWorkers.grow):  # Ray starts nodes in the main thread only
    grow(self)
    if not done and Path("asked.log").exists():
        nodes.add_node(num_cpus=1, **small)
        done.append("added")
    elif done == ["added"] and len(self.hands) == 4:  # an actor was started for it
        nodes.remove_node(others[0], allow_graceful=False)
        for pid in frozen():
            os.kill(pid, signal.SIGSTOP)
        done.extend(["killed", "frozen"])

cluster.RayWorkers.grow = grow
options = runner.RunOptions(Path("ray"), Path("ray"), 4, executor="ray", jobs=0, batch_timeout=float(sys.argv[2]))
made = [cell.record["method"] for cell in runner.run(suite.load(sys.argv[1]), options)]
for pid in frozen():
    os.kill(pid, signal.SIGCONT)
ray.shutdown()
nodes.shutdown()
print(json.dumps({"made": made, "done": done}))
"""
CLUSTER = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


def comparable(folder: str) -> dict[str, dict]:
    return {record["method"]: records.comparable(record) for record in records.load(Path(folder))}


@pytest.fixture
def ray() -> None:
    if "T2IBENCH_NEED_CHROMIUM" not in os.environ:  # where all heavy tools have to be there, this test fails without it
        pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[dev-all]'")


def test_actors_on_this_machine_make_the_records_of_one_process(ray, squares, monkeypatch):
    path = squares(("[painter, {name: painter, as: blind, colour_blind: true}]", "[painter]"))
    list(runner.run(suite.load(str(path)), runner.RunOptions(Path("one"), Path("one"), 8)))
    command = [sys.executable, "-m", "t2ibench", "run", str(path), "--batch", "8", "--executor", "ray", "--jobs", "2"]
    answer = subprocess.run(
        [*command, "--out", "ray", "--work", "ray"],
        env={**os.environ, **CLUSTER},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert comparable("ray") == comparable("one")


@pytest.mark.slow
def test_nodes_join_die_and_freeze_and_the_records_are_those_of_one_process(ray, squares, tmp_path):
    path = squares(("[painter, {name: painter, as: blind, colour_blind: true}]", "[{name: painter, delay: 2}]"))
    list(runner.run(suite.load(str(path)), runner.RunOptions(Path("one"), Path("one"), 4)))
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), "8"],
        env={**os.environ, **CLUSTER},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    said = json.loads(answer.stdout.splitlines()[-1])
    assert said["done"], answer.stderr[-3000:]
    assert said["done"] == ["added", "killed", "frozen"]
    assert sorted(said["made"]) == sorted(comparable("one"))
    assert comparable("ray") == comparable("one")


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed: pip install 't2ibench\[cluster\]'"):
        cluster.joined("")
