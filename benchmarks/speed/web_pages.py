"""The web pages in headless Chromium, from disk: a board of 500 methods and 20 values, and 30,000 samples of a cell.

Medians of five. Expected: the board ready in 1.5 s and sorted in 0.5 s; samples drawn within 1 s, filtered within
0.3 s, and the renderer's share of memory (PSS) under 300 MB after scrolling over all; else exit code 1. It needs
`pip install 't2ibench[dev-all]'`, Debian's chromium, and an idle machine.

python benchmarks/speed/web_pages.py
"""

import io
import json
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from t2ibench.core import records
from t2ibench.core.records import Estimate
from t2ibench.report.gallery import cell_folder
from t2ibench.report.site import pages, samples
from t2ibench.report.site.contents import Contents
from t2ibench.report.site.render import environment
from t2ibench.report.site.write import assets, put
from t2ibench.runner.journal import Outcome
from t2ibench.stats.paired import spell_samples

METHODS, VALUES, SAMPLES, TIMES = 500, 20, 30_000, 5
EXPECTED = {"board ready": 1.5, "board sorted": 0.5, "samples drawn": 1.0, "samples filtered": 0.3}  # seconds
MEMORY = 300.0  # MB


def record(method: str, values: dict[str, Any], images: str = "") -> dict[str, Any]:
    """A record of no images, sealed."""
    return records.seal(
        {
            **{
                "schema": records.SCHEMA,
                "suite": "large",
                "track": "text_to_image",
                "method": method,
                "kind": "method",
            },
            **{"seed": 0, "config": {}, "identity": "i", "identity_of": {"a": 1}, "plugins": {}, "weights": {}},
            **{"trained_on": [], "judges": {}, "judge_overlap": {}, "dataset": {}, "prompts": {}, "failures": []},
            **{"counts": {name: 0 for name in records.COUNTS}, "coverage": 1.0, "partial": False, "images": images},
            **{"values": values, "columns": [], "unscored": {}, "environment": {}, "code": {}, "facts": {}},
            "cost": {"seconds_per_image": 0.1},
        }
    )


def board(folder: Path) -> str:
    """Write the page of a board, and return its name."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(METHODS):
        values = {}
        for k in range(VALUES):
            number = float(random.random())
            estimate = Estimate(number, (number - 0.05, number + 0.05), 1000, "higher", {"k": k}, "drawn at random")
            values[f"value_{k:02}"] = estimate.to_json("m")
        rows.append(record(f"method-{i:03}", values))
    contents = Contents(rows)
    for name, content in pages.board_files(environment(contents), contents.boards[0]):
        if name.startswith(("board", "data")):
            put(folder / name, content)
    return "board.large.text_to_image.html"


def cell(folder: Path, work: Path) -> str:
    """Write the page of a cell's samples with a thumbnail each, and return its name."""
    random = np.random.default_rng(0)
    outcomes = [
        Outcome(
            f"{i:020x}", f"captions/{i}", "captions", f"a caption of several words, number {i}", 0, "", "ok", "x", 0.1
        )
        for i in range(SAMPLES)
    ]
    hits = random.integers(0, 2, SAMPLES).astype(float)
    kept = {"per_sample": spell_samples(hits, np.ones(SAMPLES, bool))}
    estimate = Estimate(0.5, (0.4, 0.6), SAMPLES, "higher", {"group": "captions"}, "drawn at random", kept)
    digest = records.digest([[outcome.sample, outcome.status, outcome.sha256] for outcome in outcomes])
    made = record("method", {"hit": estimate.to_json("m")}, digest)
    journal = cell_folder(work, made) / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes))
    contents = Contents([made], work=[work])
    [one] = contents.boards
    for name, content in pages.sample_files(environment(contents), one, folder):
        put(folder / name, content)
    thumbnails = []
    for _ in range(100):
        buffer = io.BytesIO()
        image = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8)).resize((96, 96))
        image.save(buffer, "WEBP", quality=75)
        thumbnails.append(buffer.getvalue())
    top = folder / samples.thumbnail_folder("large.text_to_image", one.cells[0])
    for block in range(-(-SAMPLES // samples.BLOCK)):
        (top / str(block)).mkdir(parents=True)
    for row in range(SAMPLES):
        (top / str(row // samples.BLOCK) / f"{row}.webp").write_bytes(thumbnails[row % 100])
    return "samples.large.text_to_image.html"


def renderer_memory() -> float:
    """The largest PSS of a renderer of Chromium, in MB."""
    found = [0.0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                lines = (process / "smaps_rollup").read_text().splitlines()
                found.append(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024)
        except (OSError, StopIteration):
            continue
    return max(found)


def main() -> int:
    from playwright.sync_api import sync_playwright

    times: dict[str, list[float]] = {name: [] for name in EXPECTED}
    memory = []
    with tempfile.TemporaryDirectory() as top, sync_playwright() as play:
        folder = Path(top) / "site"
        for name, content in assets():
            put(folder / name, content)
        names = board(folder), cell(folder, Path(top) / "work")
        for _ in range(TIMES):
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_context(offline=True, viewport={"width": 1400, "height": 900}).new_page()
            start = time.perf_counter()
            page.goto((folder / names[0]).as_uri(), wait_until="commit")
            page.wait_for_selector("#leaderboard.ready", timeout=120_000)
            times["board ready"].append(time.perf_counter() - start)
            start = time.perf_counter()
            page.locator('th[data-id="value_03"] .dt-column-order').click()
            page.wait_for_selector('th[data-id="value_03"][aria-sort]', timeout=120_000)
            page.evaluate("() => new Promise(requestAnimationFrame)")
            times["board sorted"].append(time.perf_counter() - start)
            page = browser.new_context(offline=True, viewport={"width": 1400, "height": 900}).new_page()
            start = time.perf_counter()
            page.goto((folder / names[1]).as_uri(), wait_until="commit")
            page.wait_for_selector(".tile img", timeout=120_000)
            times["samples drawn"].append(time.perf_counter() - start)
            for share in range(0, 101):
                page.evaluate(
                    "(share) => { const g = document.getElementById('grid'); g.scrollTop = g.scrollHeight * share }",
                    share / 100,
                )
                page.wait_for_timeout(30)
            memory.append(renderer_memory())
            start = time.perf_counter()
            page.fill("#text", "number 2999")
            page.wait_for_function(
                "() => document.getElementById('count').textContent.startsWith('13 of')", timeout=120_000
            )
            times["samples filtered"].append(time.perf_counter() - start)
            browser.close()
    late = False
    for name, found in times.items():
        median = statistics.median(found)
        late |= median > EXPECTED[name]
        print(f"{name}: median {median:.2f} s (min {min(found):.2f}, max {max(found):.2f}), expected {EXPECTED[name]}")
    held = statistics.median(memory)
    print(f"renderer's PSS after scrolling over {SAMPLES:,} samples: median {held:.0f} MB, expected {MEMORY:.0f}")
    return int(late or held > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
