"""The short benchmarks of speed, one after the other, and what they print as one Markdown page. Some minutes of an idle
machine.

    python benchmarks/speed [--out results/studies/speed.md]

Exit code 1 where one of them says that it is slower than expected.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from t2ibench.core import environment, storage

FOLDER = Path(__file__).parent
COMMANDS = (
    "startup.py",
    "data_loading.py",
    "open_folder.py",
    "frechet.py",
    "shared_features.py",
    "stylegan2.py",
    "bfloat16.py",
    "metrics_speed.py",
)


def section(command: str) -> tuple[str, int]:
    """A benchmark's own words on what it measures, its command and what it printed; and its exit code."""
    script, *arguments = shlex.split(command)
    done = subprocess.run([sys.executable, str(FOLDER / script), *arguments], capture_output=True, text=True)
    said = (FOLDER / script).read_text("utf-8").split('"""')[1].splitlines()[0]
    output = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    return f"## {script}\n\n{said}\n\n```\n$ python benchmarks/speed/{command}\n{output}\n```\n", done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the page to this file")
    arguments = parser.parse_args()
    here = environment.fingerprint()
    packages = ", ".join(f"{name} {number}" for name, number in here["packages"].items() if number)
    page = [
        f"# Speed\n\n{here['processor']}, {here['cpus']} cores; Python {here['python']}, {packages}. Ratios are of "
        f"one run each.\n"
    ]
    failed = 0
    for command in COMMANDS:
        text, code = section(command)
        print(text, flush=True)
        page.append(text)
        failed |= code
    if arguments.out is not None:
        storage.publish(arguments.out, "\n".join(page).encode())
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())
