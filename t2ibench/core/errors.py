"""Errors that the user can mend, shown as one line without a traceback, and the error of a partly failed batch."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class UserError(Exception):
    """The command, a file or a folder is wrong.

    The message says where, what was found, what was expected, what to do.
    """


class MissingWeights(UserError):
    """Weights that somebody has to train or fetch first."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end, as by a scheduler before its time limit; it is stopped as by Ctrl-C.

    See `SIGNALS`.
    """


# Kubernetes and most others send SIGTERM; Slurm sends what `--signal` names, which is SIGUSR1 in docs/cluster.md
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if name in signal.__dict__]


class PartlyFailed(ValueError):
    """A method raises this when only some images of a batch failed, so that the others need not be made twice.

    images: uint8 [B, 3, H, W], valid in every row that did not fail.
    reasons: why a row failed, by row.
    """

    def __init__(self, images: Tensor, reasons: Mapping[int, str]) -> None:
        row, reason = next(iter(reasons.items()))
        super().__init__(f"{len(reasons)} of {len(images)} failed, the first in row {row}: {reason}")
        self.images, self.reasons = images, dict(reasons)


MOST = 20  # names that an error line lists


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of an error line: `, did you mean 'alpha'?`, or the first of the known words if none is similar.

    word: what was given, which in a YAML file may be a number.
    """
    known = sorted(known)
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return similar(word, known) or f"; known: {', '.join(known[:MOST])}{more}"


def similar(word: object, known: Iterable[str]) -> str:
    """`, did you mean 'alpha'?` for the most similar of the known words; empty if none of them is similar."""
    near = difflib.get_close_matches(str(word)[:100], sorted(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
