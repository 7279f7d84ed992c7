"""The metrics layer: what a metric may look at, what several metrics share, and the call of every metric."""

from typing import TYPE_CHECKING

from t2ibench.core.public import lazily

if TYPE_CHECKING:
    from t2ibench.scoring.contract import MetricPlugin, load_metric
    from t2ibench.scoring.evidence import Evidence, Samples

__all__ = ["Evidence", "MetricPlugin", "Samples", "load_metric"]
__getattr__ = lazily(
    __name__,
    {
        "Evidence": "evidence",
        "MetricPlugin": "contract",
        "Samples": "evidence",
        "load_metric": "contract",
    },
)
