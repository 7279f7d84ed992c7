"""What a method is asked for: the contract of every track, and one module a track that asks for its samples."""

from typing import TYPE_CHECKING

from t2ibench.core.public import lazily

if TYPE_CHECKING:
    from t2ibench.tracks.contract import (
        Adapt,
        Asked,
        Compose,
        Edit,
        Prompt,
        Sample,
        Source,
        TextToImage,
        Track,
        load_track,
    )

__all__ = ["Adapt", "Asked", "Compose", "Edit", "Prompt", "Sample", "Source", "TextToImage", "Track", "load_track"]
__getattr__ = lazily(
    __name__,
    {
        "Adapt": "contract",
        "Asked": "contract",
        "Compose": "contract",
        "Edit": "contract",
        "Prompt": "contract",
        "Sample": "contract",
        "Source": "contract",
        "TextToImage": "contract",
        "Track": "contract",
        "load_track": "contract",
    },
)
