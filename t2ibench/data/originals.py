"""The files behind a store of images, as they are: for metrics that resize them by a protocol of their own.

clean-FID, for one, reads the file of a real image and brings it to 299 pixels. An image that was first resized to 64
gives other features.
"""

from dataclasses import replace

from t2ibench.core.errors import UserError
from t2ibench.data.folders import Files
from t2ibench.data.framing import Framing
from t2ibench.data.packed import PackedImages
from t2ibench.data.stores import ImageStore, Subset


def has_originals(store: ImageStore) -> bool:
    """Whether there are files, or bytes of files, behind a store that cuts or resizes them."""
    if isinstance(store, Subset):
        return has_originals(store.store)
    if isinstance(store, Files):
        return store.size is not None or store.framing.cuts
    return isinstance(store, PackedImages) and store.framing != Framing()


def originals(store: ImageStore, where: str) -> ImageStore:
    """The same images, neither cut nor resized; they may have several sizes. where: the beginning of an error line.

    Raises UserError for images that are not those of files.
    """
    if isinstance(store, Subset):
        return Subset(originals(store.store, where), store.rows)
    if isinstance(store, Files):
        return Files(store.paths, None, store.decoding)
    if isinstance(store, PackedImages):
        return replace(store, framing=Framing())
    raise UserError(f"{where}: original: its images are made, and there are no files behind them: take it out")
