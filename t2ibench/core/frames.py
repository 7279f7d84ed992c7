"""Records as a table, for notebooks and scripts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2ibench.core import records

if TYPE_CHECKING:  # listing plug-ins needs no pandas
    import pandas as pd

COLUMNS = (
    *("suite", "track", "method", "kind", "seed", "metric", "value", "low", "high", "n", "better", "protocol_id"),
    *("coverage", "partial"),
)


def load_records(folder: str | Path = "runs") -> "pd.DataFrame":
    """All numbers of a folder of records, one row each.

    The columns are suite, track, method, kind, seed, metric, value, low and high (the 95 % interval), n, better,
    protocol_id, coverage and partial. Numbers compare only under equal protocol ids. Raises UserError for a folder
    without records, and for one that is damaged.
    """
    return frame_of(records.load(Path(folder).expanduser()))


def frame_of(cells: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """The numbers of records, one row each."""
    import pandas as pd

    rows = [
        {
            **{key: record[key] for key in ("suite", "track", "method", "kind", "seed", "coverage", "partial")},
            **{key: value[key] for key in ("value", "n", "better", "protocol_id")},
            "metric": id,
            "low": value["ci"][0],
            "high": value["ci"][1],
        }
        for record in cells
        for id, value in record["values"].items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
