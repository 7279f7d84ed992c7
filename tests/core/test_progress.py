"""t2ibench/core/progress.py: bars for whoever looks, nothing for anybody else, and every item passed on."""

import io

import pytest
from rich.console import Console

from t2ibench.core import progress


@pytest.fixture(params=[True, False])
def screen(request, monkeypatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=file, force_terminal=request.param, width=100))
    return file


def test_bars_inside_bars_pass_everything_on_and_end(screen):
    seen = []
    for outer in progress.track("ab", "outer"):
        with progress.counter("inner", total=4, done=1) as advance:
            advance(3)
        with progress.bar("training", total=2) as step:
            step(0.1, {"loss": 0.5})
        seen += [(outer, item) for item in progress.track(range(3), "innermost")]
    assert seen == [(outer, item) for outer in "ab" for item in range(3)]
    assert progress._shown == []


def test_only_a_terminal_is_written_to(screen):
    with progress.counter("images", total=10) as advance:
        advance(4)
    assert ("images" in screen.getvalue()) == progress.console.is_terminal


def test_a_log_gets_a_line_of_a_training_at_once_and_then_one_a_minute(screen, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.bar("train a", total=1200) as step:
        for index in range(6):
            now = 25.0 * index
            step(now, {"loss": 0.5})
    if not progress.console.is_terminal:
        assert screen.getvalue().splitlines() == [f"train a, 1,200 steps: step {count} loss 0.500" for count in (1, 4)]


def test_an_error_inside_leaves_no_bar_behind(screen):
    with pytest.raises(ValueError, match="why"), progress.counter("images", total=10):
        raise ValueError("why")
    assert progress._shown == []
    assert list(progress.track([1, 2], "again")) == [1, 2]
