"""What mixed precision does to a trained network: the attribute judge with products in float32 and in bfloat16.

    python benchmarks/studies/mixed_precision.py [--steps 200] [--seeds 0 1 2 3 4] [--out results/studies]

Both arms of a seed see the same batches. Their balanced accuracy and calibration error, averaged over the attributes of
the validation images, are compared seed by seed (Student's interval), beside what another seed does to the same
network. `--out` writes mixed_precision.json and .md. A minute or two for each training on one idle core.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from t2ibench import cli
from t2ibench.core import environment, storage
from t2ibench.stats.intervals import mean_interval

ARMS = {"float32": "bfloat16=false", "bfloat16": "bfloat16=true"}
NUMBERS = {"balanced_accuracy": "balanced accuracy", "ece": "calibration error"}


def trained(arm: str, seed: int, steps: int, folder: Path) -> dict[str, float]:
    """The validation numbers of one training, and its seconds a step."""
    start = time.perf_counter()
    words = ["train", "attribute_judge", "--dataset", "avatars", "--steps", str(steps), "--seed", str(seed)]
    cli.app([*words, "--set", ARMS[arm], "--out", str(folder)], standalone_mode=False)
    [path] = folder.glob("*.json")
    rows = json.loads(path.read_text("utf-8"))["validation"].values()
    numbers = {key: fmean(row[key] for row in rows) for key in NUMBERS}
    return {**numbers, "seconds": time.perf_counter() - start}


def effects(arms: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, Any]]:
    """bfloat16 minus float32, seed by seed, and the spread over the seeds of float32."""
    found = {}
    for key in NUMBERS:
        gaps = [half[key] - full[key] for half, full in zip(arms["bfloat16"], arms["float32"], strict=True)]
        spread = stdev(row[key] for row in arms["float32"])
        found[key] = {"difference": fmean(gaps), "ci": list(mean_interval(gaps)), "spread_over_seeds": spread}
    return found


def markdown(content: Mapping[str, Any]) -> list[str]:
    lines = [
        f"The attribute judge after {content['steps']} steps, seeds {', '.join(map(str, content['seeds']))}; made by "
        f"`python benchmarks/studies/mixed_precision.py --out results/studies`.",
        "",
        "| | float32 | bfloat16 | bfloat16 minus float32 | standard deviation over seeds |",
        "|---|---|---|---|---|",
    ]
    for key, title in NUMBERS.items():
        effect = content["effects"][key]
        low, high = effect["ci"]
        full, half = (fmean(row[key] for row in content["arms"][arm]) for arm in ARMS)
        gap = f"{effect['difference']:+.5f} [{low:+.5f}, {high:+.5f}]"
        lines.append(f"| {title} | {full:.5f} | {half:.5f} | {gap} | {effect['spread_over_seeds']:.5f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arms: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in arguments.seeds:
        for arm, rows in arms.items():
            with tempfile.TemporaryDirectory() as folder:
                rows.append(trained(arm, seed, arguments.steps, Path(folder)))
            print(arm, seed, rows[-1], flush=True)
    content = {
        "steps": arguments.steps,
        "seeds": arguments.seeds,
        "arms": arms,
        "effects": effects(arms),
        "environment": environment.fingerprint("cpu"),
    }
    print("\n".join(markdown(content)))
    if arguments.out is not None:
        path = arguments.out / "mixed_precision.json"
        storage.publish(path, (json.dumps(content, indent=1) + "\n").encode())
        storage.publish(path.with_suffix(".md"), ("\n".join(markdown(content)) + "\n").encode())


if __name__ == "__main__":
    main()
