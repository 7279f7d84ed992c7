"""Chromium over file://, without a network, for tests of the web pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NEEDED = "T2IBENCH_NEED_CHROMIUM"  # where this is set, tests fail that would be skipped


def missing() -> str:
    """Why no browser can be started; empty where one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "the Python package playwright is missing: pip install 't2ibench[dev-all]'"
    return "" if shutil.which("chromium") else "the program chromium is missing: apt-get install chromium"


@contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium. Skips the test with a reason where there is none, or fails it where one is needed."""
    if why := missing():
        pytest.fail(why) if os.environ.get(NEEDED) else pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield started
        started.close()
