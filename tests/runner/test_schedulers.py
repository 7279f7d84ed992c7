"""The files for schedulers in docs/cluster.md: their schemas, their commands, and the Slurm script on a real Slurm.

Slurm is that of Debian: apt-get install slurmctld slurmd slurm-client munge. It needs root.
"""

import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from t2ibench.core import records
from t2ibench.runner import run as runner
from t2ibench.runner import suite

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text("utf-8")
ONE = (
    ("[painter, {name: painter, as: blind, colour_blind: true}]", "[{name: painter, delay: 40}]"),
    ("[real, shuffled, {name: unconditional, of: painter}]", "[shuffled]"),
)
PARTS = 3
MUNGE = Path("/run/munge/munge.socket.2")


def fenced(heading: str) -> str:
    """The first block of code below a heading of the page."""
    found = re.search(rf"^## {heading}\n.*?^```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def comparable(folder: str) -> list[dict[str, Any]]:
    return [records.comparable(record) for record in records.load(Path(folder))]


def whole(path: Path) -> list[dict[str, Any]]:
    """The records of one process."""
    list(runner.run(suite.load(str(path)), runner.RunOptions(Path("one"), Path("one"), 4)))
    return comparable("one")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A `t2ibench` on the path that is this one."""
    program = tmp_path / "bin" / "t2ibench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m t2ibench "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), *filter(None, sys.path)]))
    return program


def test_the_job_of_kubernetes_is_one():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    job = yaml.safe_load(fenced("Kubernetes"))
    validate.validate(job, validate.latest_version(), strict=True)
    assert job["spec"]["completions"] == 8


def test_the_task_of_skypilot_has_the_keys_that_skypilot_knows():
    task = yaml.safe_load(fenced("SkyPilot"))
    assert set(task) <= {"name", "num_nodes", "workdir", "resources", "setup", "run"}
    assert task["resources"]["job_recovery"] == {"recover_on_exit_codes": [75]}


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["Kubernetes", "SkyPilot"])
def test_the_commands_make_all_parts(scheduler, squares, command, tmp_path):
    path = squares(("painter, {name: painter, as: blind, colour_blind: true}", "painter"), ONE[1])
    expected = whole(path)
    content = yaml.safe_load(fenced(scheduler))
    if scheduler == "Kubernetes":
        [container] = content["spec"]["template"]["spec"]["containers"]
        line, index = container["command"][2], "JOB_COMPLETION_INDEX"
    else:
        line, index = content["run"], "SKYPILOT_NODE_RANK"
    for old, new in (("--device cuda", "--batch 4"), ("/shared/my.yaml", str(path)), ("my.yaml", str(path))):
        line = line.replace(old, new, 1) if old != "my.yaml" or str(path) not in line else line
    line = line.replace("/shared/runs", "parts").replace("s3://YOUR_BUCKET/runs", "parts").replace("/8", f"/{PARTS}")
    for part in range(PARTS):
        environment = {**os.environ, index: str(part), "SKYPILOT_NUM_NODES": str(PARTS)}
        subprocess.run(["sh", "-c", line], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert not Path("parts/records").exists()
    list(runner.run(suite.load(str(path)), runner.RunOptions(Path("parts"), Path("parts"), 4)))
    assert comparable("parts") == expected


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_part_that_is_stopped_goes_on(squares, command, monkeypatch):
    """SIGUSR1 and SIGTERM: the batch in flight is dropped, nothing is held, the exit code is 75."""
    path = squares(("painter, {name: painter, as: blind, colour_blind: true}", "{name: painter, delay: 0.4}"), ONE[1])
    line = [str(command), "run", str(path), "--batch", "4", "--out", "parts", "--work", "parts"]
    log = Path("asked").absolute()
    monkeypatch.setenv("PAINTER_LOG", str(log))
    for number, jobs in ((signal.SIGUSR1, ["--shard", "0/1"]), (signal.SIGTERM, ["--jobs", "2"])):
        log.unlink(missing_ok=True)
        process = subprocess.Popen([*line, *jobs], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 75
        assert said == "t2ibench: stopped; the same command goes on from here\n"
        assert not [*Path("parts").rglob("lock")]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    monkeypatch.delenv("PAINTER_LOG")
    assert comparable("parts") == whole(path)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[None]:
    """A Slurm of one node on this machine."""
    if not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))) or getpass.getuser() != "root":
        pytest.skip("no Slurm here: apt-get install slurmctld slurmd slurm-client munge, as root")
    home, host = tmp_path / "slurm", os.uname().nodename.split(".")[0]
    for name in ("state", "spool"):
        (home / name).mkdir(parents=True)
    (home / "slurm.conf").write_text(
        f"ClusterName=one\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmctldPort=16817\nSlurmdPort=16818\n"
        f"AuthType=auth/munge\nStateSaveLocation={home}/state\nSlurmdSpoolDir={home}/spool\nProctrackType=proctrack/linuxproc\n"
        f"SlurmctldPidFile={home}/ctld.pid\nSlurmdPidFile={home}/d.pid\nSlurmctldLogFile={home}/ctld.log\n"
        f"SlurmdLogFile={home}/d.log\nSelectType=select/cons_tres\nReturnToService=2\nTaskPlugin=task/none\nMpiDefault=none\n"
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\n"
        f"PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
    )
    os.environ["SLURM_CONF"] = str(home / "slurm.conf")
    started, processes = MUNGE.exists(), list[subprocess.Popen[bytes]]()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        if not started:
            MUNGE.parent.mkdir(exist_ok=True)
            shutil.chown(MUNGE.parent, "munge", "munge")
            processes.append(subprocess.Popen(["munged", "-F"], user="munge", group="munge", **quiet))  # type: ignore[call-overload]
            wait_until(MUNGE.exists, 30)
        for daemon in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            processes.append(subprocess.Popen(daemon, **quiet))  # type: ignore[call-overload]
        wait_until(lambda: "idle" in asked("sinfo", "-h", "-o", "%T"), 60)
        yield
    finally:
        subprocess.run(["scancel", "--user", "root"], **quiet)  # type: ignore[call-overload]
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        del os.environ["SLURM_CONF"]


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def wait_until(holds: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.slow
def test_the_script_on_a_slurm_of_one_node(slurm, squares, command, tmp_path):
    """An array, the signal before the time limit, requeue, and a part of the array submitted again.

    Fifteen minutes at most: Slurm counts a time limit in minutes, and starts a job again after two.
    """
    path = squares(*ONE)
    script = fenced("Slurm").replace("my.yaml --device cuda", f"{path} --batch 4 --out parts --work parts")
    for old, new in (("0-7", f"0-{PARTS - 1}"), ("/8 ", f"/{PARTS} "), (" --gres=gpu:1", ""), ("4:00:00", "2")):
        assert old in script
        script = script.replace(old, new)
    Path("part.sh").write_text(script.replace("USR1@180", "USR1@30"))
    job = asked("sbatch", "--parsable", "--cpus-per-task=1", "part.sh")

    def states() -> list[str]:
        return asked("squeue", "-h", "-r", "-o", "%T", "-j", job).split()

    wait_until(lambda: job and not states(), 900)
    said = "".join(path.read_text() for path in Path().glob(f"slurm-{job}_*.out"))
    assert "stopped; the same command goes on from here" in said, said
    restarts = asked("scontrol", "show", "job", job)
    assert re.search(r"Restarts=[1-9]", restarts), restarts
    parts = [part for part in range(PARTS) if f"part {part}/{PARTS} of squares is made" in said]
    assert parts == list(range(PARTS)), said
    for image in [*Path("parts").rglob("*.png")][::16]:  # as if a part had been lost
        image.unlink()
    again = asked("sbatch", "--parsable", "--array=0,2", "--time=30", "part.sh")
    wait_until(lambda: not asked("squeue", "-h", "-j", again), 600)
    assert not asked("pgrep", "-f", f"t2ibench run {path}")  # nothing lives on
    list(runner.run(suite.load(str(path)), runner.RunOptions(Path("parts"), Path("parts"), 4)))
    quick = whole(squares((ONE[0][0], "[painter]"), ONE[1]))  # the same images without waiting
    names = ("counts", "images", "values")
    assert [[record[name] for name in names] for record in comparable("parts")] == [
        [record[name] for name in names] for record in quick
    ]
