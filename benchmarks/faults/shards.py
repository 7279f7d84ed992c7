"""A suite as shards 0/7 to 6/7 in random order, some of them killed half-way and started again. Records that differ
from those of one process, and samples that were made twice: exit code 1.

python benchmarks/faults/shards.py [--parts 7] [--kills 3] [--seed 0]
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from killed_processes import comparable, started, twice
from processes import sleeping

SECONDS = 0.15  # that the method sleeps for an image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=7)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    choose = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite, environment = sleeping(folder, SECONDS)
        assert started(suite, folder / "whole", 1, environment).wait() == 0
        order = choose.sample(range(arguments.parts), arguments.parts)
        killed = set(order[: arguments.kills])
        todo = [*order, *killed]
        while todo:
            part = todo.pop(0)
            out = str(folder / "parts")
            command = [sys.executable, "-m", "t2ibench", "run", str(suite), "--out", out, "--work", out, "--batch", "2"]
            process = subprocess.Popen(
                [*command, "--shard", f"{part}/{arguments.parts}"], env=environment, stdout=subprocess.DEVNULL
            )
            if part in killed:
                killed.remove(part)
                time.sleep(choose.uniform(3.0, 6.0))
                process.send_signal(choose.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1]))
                process.wait()
            else:
                assert process.wait() == 0
        assert not (folder / "parts" / "records").exists()
        assert started(suite, folder / "parts", 1, environment).wait() == 0
        equal, again = comparable(folder / "parts") == comparable(folder / "whole"), twice(folder / "parts")
    print(f"parts {order}, {arguments.kills} stopped: records {'equal' if equal else 'DIFFER'}, {again} samples twice")
    return int(not equal or again > 0)


if __name__ == "__main__":
    sys.exit(main())
