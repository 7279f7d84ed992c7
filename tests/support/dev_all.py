"""What the extra dev-all brings."""

import importlib
from typing import Any

import pytest


def hugging_face_datasets(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hugging Face's package `datasets`, which asks no hub and shows no progress; a skip without it.

    A module of it is asked for: without the package, Python takes the folder `tests/datasets` for it.
    """
    pytest.importorskip("datasets.config", reason="the extra dev-all brings datasets")
    for module in ("huggingface_hub.constants", "datasets.config"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    datasets = importlib.import_module("datasets")
    datasets.disable_progress_bars()
    return datasets
