"""The workflow of docs/gate-workflow.yml in somebody else's repository: its `run:` lines, but for downloads.

Two servers of an engine are asked; the changed one is sound, or puts blocks into its images.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/gate-workflow.yml"
STEPS = yaml.safe_load(FILE.read_text("utf-8"))["jobs"]["gate"]["steps"]
PROGRAM = """#!/bin/sh
# python, but what would be downloaded is only written down
case "$*" in *"pip install"*) echo "$*" >> {log}; exit 0;; esac
exec {python} "$@"
"""
SUITE = """# Our prompts. Seconds.
dataset: {{name: prompts, file: texts.txt}}
methods:
  - {{name: images_api, as: original, endpoint: "{address}", dialect: vllm-omni, model: original, size: 48x48}}
  - {{name: images_api, as: changed, endpoint: "{address}", dialect: vllm-omni, model: changed, size: 48x48}}
prompts: {{captions: 24}}
metrics: [{{name: clip_score, clip: clip-judge-avatars}}]
"""
SERVERS = '''#!{python}
"""An engine, and the same with a change: smooth pictures of a prompt and a seed, moved by a level at most."""
import base64, hashlib, io, json, os, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if len(sys.argv) == 1:  # returns when it answers
    subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not Path("ready").exists():
        time.sleep(0.05)
    sys.exit()

import numpy as np
from PIL import Image


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = hashlib.sha256(json.dumps([body["prompt"], body["seed"]]).encode()).digest()
        random = np.random.default_rng(list(key))
        coarse = Image.fromarray(random.integers(20, 236, (6, 6, 3), np.uint8))
        pixels = np.asarray(coarse.resize((48, 48), Image.Resampling.BILINEAR)).astype(int)
        if body["model"] == "changed":
            pixels = pixels + random.integers(-1, 2, pixels.shape)
            if os.environ.get("BROKEN"):
                pixels = pixels + np.kron(random.integers(-9, 10, (6, 6)), np.ones((8, 8), int))[..., None]
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
        data = json.dumps({{"data": [{{"b64_json": base64.b64encode(file.getvalue()).decode()}}]}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", {port}), Handler)
Path("pid").write_text(str(os.getpid()))
Path("ready").touch()
server.serve_forever()
'''


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with prompts, the suite of the gate, and a script that starts the servers."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    repository, programs = tmp_path / "engine", tmp_path / "programs"
    for folder in (repository, programs):
        folder.mkdir()
    for path, text in (
        (programs / "python", PROGRAM.format(log=programs / "log", python=sys.executable)),
        (repository / "start-servers", SERVERS.format(python=sys.executable, port=port)),
    ):
        path.write_text(text)
        path.chmod(0o755)
    (repository / "texts.txt").write_text("\n".join(f"a smiling person with {n} earrings" for n in range(24)))
    (repository / "gate.yaml").write_text(SUITE.format(address=f"http://127.0.0.1:{port}/v1"))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    yield repository
    if (repository / "pid").exists():
        os.kill(int((repository / "pid").read_text()), 15)


def run(repository: Path) -> tuple[list[int], str]:
    """The exit codes of the steps as GitHub runs them, and what they printed."""
    codes, printed = list[int](), ""
    for step in STEPS:
        if "run" in step and (step.get("if") == "always()" or not any(codes)):
            done = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=repository, capture_output=True, text=True)
            codes.append(done.returncode)
            printed += done.stdout + done.stderr
    return codes, printed


def test_it_is_short():
    assert len(FILE.read_text("utf-8").splitlines()) <= 25


@pytest.mark.skipif(os.name == "nt", reason="its lines are those of a shell")
@pytest.mark.parametrize("broken", [False, True])
def test_its_lines_pass_a_sound_change_and_fail_a_broken_one(repository, monkeypatch, tmp_path, broken):
    if broken:
        monkeypatch.setenv("BROKEN", "1")
    codes, printed = run(repository)
    assert codes == [0, 0, int(broken), 0], printed
    assert (tmp_path / "programs" / "log").read_text() == "-m pip install t2ibench\n"
    summary = (tmp_path / "summary.md").read_text()
    assert ("B is not A: of 24 pairs" if broken else "B may stand in for A: of 24 pairs") in summary
    assert "of 4 means 0 lie outside" in summary
    assert ("(a smiling person with" in summary) is broken
    assert ("::error title=pairs" in printed) is broken
    assert "<testsuite" in (repository / "gate.xml").read_text()
