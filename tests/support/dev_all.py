"""What the extra dev-all brings."""

import importlib
from typing import Any

import pytest


def hugging_face_datasets() -> Any:
    """Hugging Face's package `datasets`, or a skip.

    A module of it is asked for: without the package, Python takes the folder `tests/datasets` for it.
    """
    pytest.importorskip("datasets.config", reason="the extra dev-all brings datasets")
    return importlib.import_module("datasets")
