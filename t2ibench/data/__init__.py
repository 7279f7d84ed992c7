"""The data layer: splits and their images, attributes, representations of images, and one opened data set."""

from typing import TYPE_CHECKING

from t2ibench.core.public import lazily

if TYPE_CHECKING:
    from t2ibench.data.contract import DatasetPlugin
    from t2ibench.data.dataset import Dataset, opened
    from t2ibench.data.split import Networks, Split, Vocabulary, join
    from t2ibench.data.stores import ArrayImages

__all__ = ["ArrayImages", "Dataset", "DatasetPlugin", "Networks", "Split", "Vocabulary", "join", "opened"]
__getattr__ = lazily(
    __name__,
    {
        "ArrayImages": "stores",
        "Dataset": "dataset",
        "DatasetPlugin": "contract",
        "Networks": "split",
        "Split": "split",
        "Vocabulary": "split",
        "join": "split",
        "opened": "dataset",
    },
)
