"""Seconds until `t2ibench --help` has answered, as a fresh process, beside an interpreter that does nothing.

Expected: 0.4 or less, else exit code 1.

python benchmarks/speed/startup.py
"""

import statistics
import subprocess
import sys
import time


def seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


SECONDS = 0.4


def main() -> int:
    commands = {
        "python -c pass": ("-c", "pass"),
        "t2ibench --help": ("-m", "t2ibench.cli", "--help"),
        "t2ibench list methods": ("-m", "t2ibench.cli", "list", "methods"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(9):  # in turn, so that a busy moment hits all of them
        for name, arguments in commands.items():
            times[name].append(seconds(*arguments))
    for name, found in times.items():
        print(f"{name}: median {statistics.median(found):.3f} s (min {min(found):.3f}, max {max(found):.3f})")
    help_ = statistics.median(times["t2ibench --help"])
    print(f"--help in {help_:.3f} s ({SECONDS} or less expected)")
    return int(help_ > SECONDS)


if __name__ == "__main__":
    sys.exit(main())
