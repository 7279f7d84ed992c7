"""Whether a guide that nobody named may guide a generator: it must have seen images of the generator's kind."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from t2ibench.core.errors import UserError
from t2ibench.networks import zoo
from t2ibench.networks.stylegan2 import checkpoints


def check_domain(generator: str, guides: Iterable[str], where: str, setting: str) -> None:
    """Raises UserError for a guide that learned from one data set only, beside a generator of something else.

    A published CLIP, which learned from the web, may guide any generator. Where a generator's file does not say what
    it was trained on, no guide of a data set is taken for it. Call this for guides that were chosen by default; a user
    who names one has decided. `where` begins the error line, and `setting` is the one that names guides.
    """
    path = zoo.available().get(generator, Path(generator).expanduser())
    if not path.is_file():
        return  # an unknown name, which is reported where it is loaded
    domain = _data_set_of(checkpoints.facts(path)["data"])
    for guide in guides:
        seen = _data_set_of(zoo.card(card).get("data")) if (card := zoo.available().get(guide)) else None
        if seen is not None and seen != domain:
            of = f"of {domain}" if domain else "whose file does not say what it was trained on"
            raise UserError(
                f"{where}: the default guide {guide} has seen {seen} only, and {generator} is a generator {of}: name "
                f"the CLIP with `{setting}`, such as ViT-B-32-quickgelu:openai, or {guide} itself if it fits"
            )


def _data_set_of(data: Any) -> str | None:
    return data.get("dataset") if isinstance(data, dict) else None
