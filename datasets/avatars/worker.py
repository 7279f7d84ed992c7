"""One drawing process: it reads jobs from standard input and writes pixels to standard output (see `draw.draw_all`)."""

import json
import signal
import sys

import numpy as np

from t2ibench.datasets.avatars.draw import draw, on_white


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks, which ends this one
    size = int(sys.argv[1])
    for line in sys.stdin:
        sys.stdout.buffer.write(np.stack([on_white(draw(job, size)) for job in json.loads(line)]).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
