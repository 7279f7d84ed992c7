"""What `t2ibench train stylet2i --variant PART` trains.

The parts are the directions of sentences and of attributes; the segmenter, which the spatial constraint needs; and a
guide CLIP fitted to the data.
"""

from collections.abc import Mapping
from typing import Any

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.data.split import Split
from t2ibench.methods.stylet2i.settings import (
    ATTRIBUTE,
    SENTENCE,
    AttributeSettings,
    ClipSettings,
    PartsSettings,
    SentenceSettings,
    choose,
)
from t2ibench.methods.stylet2i.train_attribute import AttributeRecipe
from t2ibench.methods.stylet2i.train_clip import ClipRecipe
from t2ibench.methods.stylet2i.train_parts import PartsRecipe
from t2ibench.methods.stylet2i.train_sentence import SentenceRecipe
from t2ibench.networks.models import Models
from t2ibench.networks.training.loop import Recipe

PARTS = ("clip", "parts", *ATTRIBUTE, *SENTENCE)


def recipe(part: str, settings: Mapping[str, Any], train: Split, val: Split, models: Models, seed: int) -> Recipe:
    """The training of one part.

    `settings` override the defaults of the data set. Raises UserError for an unknown part or key.
    """
    where = f"stylet2i {part}"
    if part == "clip":
        return ClipRecipe(choose(ClipSettings, {}, settings, where), train, val, models, seed, part)
    if part == "parts":
        return PartsRecipe(choose(PartsSettings, {}, settings, where), train, val, models, seed, part)
    if part in ATTRIBUTE:
        return AttributeRecipe(
            choose(AttributeSettings, ATTRIBUTE[part], settings, where), train, val, models, seed, part
        )
    if part in SENTENCE:
        return SentenceRecipe(choose(SentenceSettings, SENTENCE[part], settings, where), train, val, models, seed, part)
    raise UserError(f"stylet2i has no part {part!r}{did_you_mean(part, PARTS)}")
