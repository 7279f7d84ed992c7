"""How much of a text the tokenizers of a pipeline read."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from t2ibench.core.errors import UserError


class Tokens:
    """A tokenizer of a pipeline. length: how many tokens of a text are read, with its start and end."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self.tokenizer, self.length, self.context = tokenizer, length, f"{length} tokens"

    def cut(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether its end is not read."""
        return [len(self.tokenizer(text, truncation=False).input_ids) > self.length for text in texts]


def tokenizers(pipeline: Any, call: Mapping[str, Any]) -> dict[str, Tokens]:
    """The tokenizers of a pipeline by the names of their components: "tokenizer", "tokenizer_2".

    call: the arguments of the pipeline's call. Where it takes `max_sequence_length`, that is the length of the last
    tokenizer; those before it are CLIP's. A tokenizer without a length of its own cuts nothing.
    """
    found = {name: part for name, part in pipeline.components.items() if name.startswith("tokenizer") and part}
    lengths = {name: int(tokenizer.model_max_length) for name, tokenizer in found.items()}
    parameter = inspect.signature(type(pipeline).__call__).parameters.get("max_sequence_length")
    if found and parameter is not None:
        limit = call.get("max_sequence_length", parameter.default)
        if not isinstance(limit, int):
            raise UserError(f"diffusers_pipeline: max_sequence_length is {limit!r}, expected a whole number")
        lengths[list(found)[-1]] = limit
    return {name: Tokens(found[name], length) for name, length in lengths.items() if length < 100_000}
