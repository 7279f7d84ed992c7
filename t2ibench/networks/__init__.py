"""Networks, each with its own weights or those of the zoo, and in `training` how they are made."""

from typing import TYPE_CHECKING

from t2ibench.core.public import lazily

if TYPE_CHECKING:
    from t2ibench.networks.extractors import Extractor
    from t2ibench.networks.models import Models
    from t2ibench.networks.weights import Weights

__all__ = ["Extractor", "Models", "Weights"]
__getattr__ = lazily(
    __name__,
    {
        "Extractor": "extractors",
        "Models": "models",
        "Weights": "weights",
    },
)
