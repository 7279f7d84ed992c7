"""Files of weights that others publish: what each is, and where to get it. `published.yaml` lists them by name."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from t2ibench.core import plain_yaml


@dataclass(frozen=True)
class Published:
    """One file.

    what: what it is. by: who publishes it. licence: as far as known. sha256: its first digits or all of them, where the
    publisher states them, else "".
    """

    what: str
    by: str
    licence: str
    sha256: str = ""


@cache
def known() -> dict[str, Published]:
    """Every file that is known by its name."""
    content = plain_yaml.read(Path(__file__).with_name("published.yaml"))
    return {str(name): Published(**facts) for name, facts in content.items()}


def source(name: str) -> str:
    """Where a file is to be had, in words, with its sha256 where that is known."""
    file = known().get(Path(name).name)
    if file is None:
        return "elsewhere: no publisher of this file is known here"
    return f"{file.by}, sha256 {file.sha256[:12]}{'…' if len(file.sha256) > 12 else ''}" if file.sha256 else file.by
