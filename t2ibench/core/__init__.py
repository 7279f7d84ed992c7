"""Errors, seeds, files, records, settings and the look-up of plug-ins.

Every other room builds on this one. It imports no other room.
"""

from typing import TYPE_CHECKING

from t2ibench.core.public import lazily

if TYPE_CHECKING:
    from t2ibench.core.errors import UserError
    from t2ibench.core.images import pixel_hash, to_uint8
    from t2ibench.core.records import Estimate
    from t2ibench.core.seeds import derive_seed

__all__ = ["Estimate", "UserError", "derive_seed", "pixel_hash", "to_uint8"]
__getattr__ = lazily(
    __name__,
    {
        "Estimate": "records",
        "UserError": "errors",
        "derive_seed": "seeds",
        "pixel_hash": "images",
        "to_uint8": "images",
    },
)
