"""All fault programs, one after the other, with their summaries in a folder. About half an hour of an idle machine.

    python benchmarks/faults [--small] [--out results/studies]

--small: a tenth of each, in some minutes. Exit code 1 where one of them found a fault.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAMS = {  # each with its words for a small trial
    "bad_input.py": ["--most", "120"],
    "damaged_files.py": ["--times", "20"],
    "hostile_files.py": ["--most", "30"],
    "shared_cache.py": ["--runs", "3", "--reports", "4"],
    "killed_runs.py": ["--kills", "20"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of each")
    parser.add_argument("--out", type=lambda text: Path(text).absolute(), help="write the summaries into this folder")
    arguments = parser.parse_args()
    failed = []
    for program, few in PROGRAMS.items():
        words = [*(few if arguments.small else []), *(["--out", str(arguments.out)] if arguments.out else [])]
        print(f"$ python benchmarks/faults/{program} {' '.join(words)}", flush=True)
        if subprocess.run([sys.executable, str(FOLDER / program), *words]).returncode != 0:
            failed.append(program)
    print(f"{len(PROGRAMS)} programs: {', '.join(failed) or 'none'} found a fault")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
