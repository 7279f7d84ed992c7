"""The training loop: resuming, stopping, budgets, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import derive_seed, latents
from t2ibench.networks import schedule, weights
from t2ibench.networks.schedule import half
from t2ibench.networks.training import loop


class Walk:
    """A random walk with momentum: any step that is lost, repeated or drawn differently shows in the result."""

    def __init__(self, rate: float = 0.1, fail_at: int | None = None) -> None:
        self.settings = {"rate": rate}
        self.weight, self.momentum, self.fail_at = torch.zeros(4), torch.zeros(4), fail_at
        self.facts = {"seed": 3}

    def step(self, index: int, progress: float) -> dict[str, float]:
        if index == self.fail_at:
            return {"loss": float("nan")}
        self.momentum = 0.9 * self.momentum + latents([derive_seed(3, index)], 4)[0] * (1 - progress)
        self.weight = self.weight + self.settings["rate"] * self.momentum
        return {"loss": float(self.weight.square().sum())}

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight, "momentum": self.momentum}

    def load_state(self, state: dict[str, Any]) -> None:
        self.weight, self.momentum = state["weight"], state["momentum"]

    def preview(self) -> torch.Tensor:
        return torch.zeros(2, 3, 8, 8, dtype=torch.uint8)

    def result(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {"weight": self.weight}, {"size": 4}

    def validate(self) -> dict[str, Any]:
        return {"norm": float(self.weight.norm())}


def test_a_run_in_pieces_equals_one_that_was_never_stopped(tmp_path: Path):
    whole = loop.fit(Walk(), "walk", tmp_path / "whole", steps=40)
    interrupted = Walk()
    step, calls = interrupted.step, 0

    def step_then_stop(index: int, progress: float) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 17:
            os.kill(os.getpid(), signal.SIGTERM)  # arrives in the middle of a step; the step is finished first
        return step(index, progress)

    interrupted.step = step_then_stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt, match="stopped at step 17"):
        loop.fit(interrupted, "walk", tmp_path / "parts", steps=40)
    parts = loop.fit(Walk(), "walk", tmp_path / "parts", steps=40)
    assert parts.sha256 == whole.sha256
    assert parts.card["steps"] == 40
    assert parts.card["validation"] == whole.card["validation"]


def test_a_killed_process_goes_on_from_its_last_checkpoint(tmp_path: Path):
    code = f"""
        import os, sys, signal
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_training import Walk
        from t2ibench.networks.training import loop
        walk = Walk()
        step = walk.step
        def killed(index, progress):
            if index == 23:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(index, progress)
        walk.step = killed
        loop.fit(walk, "walk", Path({str(tmp_path)!r}), steps=40, save_every=0)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (tmp_path / "walk.safetensors").exists()
    assert (
        loop.fit(Walk(), "walk", tmp_path, steps=40).sha256
        == loop.fit(Walk(), "walk", tmp_path / "whole", steps=40).sha256
    )


def test_a_finished_run_takes_no_more_steps(tmp_path: Path):
    first = loop.fit(Walk(), "walk", tmp_path, steps=5)
    assert loop.fit(Walk(fail_at=5), "walk", tmp_path, steps=5).sha256 == first.sha256


def test_minutes_are_counted_over_all_resumptions(tmp_path: Path):
    assert loop.fit(Walk(), "walk", tmp_path, minutes=0.002).card["minutes"] == pytest.approx(0.002, abs=0.009)
    assert loop.fit(Walk(fail_at=-1), "walk", tmp_path, minutes=0.001).card["steps"] > 0


def test_the_card_says_how_it_was_made(tmp_path: Path):
    card = loop.fit(Walk(), "walk", tmp_path, steps=3, card={"note": "by hand"}).card
    assert {"steps": 3, "seed": 3, "note": "by hand", "recipe": {"rate": 0.1}, "parameters": 4}.items() <= card.items()
    assert card["validation"]["norm"] > 0
    assert "torch" in card["machine"]


def test_progress_is_logged_and_drawn(tmp_path: Path):
    loop.fit(Walk(), "walk", tmp_path, steps=3, save_every=0)
    steps = [json.loads(line)["step"] for line in (tmp_path / "walk/log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]
    assert (tmp_path / "walk/progress.png").stat().st_size > 0


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path: Path):
    with pytest.raises(UserError, match="loss is nan at step 7"):
        loop.fit(Walk(fail_at=7), "walk", tmp_path, steps=10, save_every=0)
    assert loop._resume(Walk(), tmp_path / "walk/checkpoint.pt")[0] == 7
    assert not (tmp_path / "walk.safetensors").exists()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path):
    loop.fit(Walk(), "walk", tmp_path, steps=2)
    with pytest.raises(UserError, match="of another recipe"):
        loop.fit(Walk(rate=0.2), "walk", tmp_path, steps=2)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, damage: bytes | None):
    loop.fit(Walk(), "walk", tmp_path, steps=2)
    path = tmp_path / "walk/checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(UserError, match=r"checkpoint\.pt") as caught:
        loop.fit(Walk(), "walk", tmp_path, steps=2)
    assert "\n" not in str(caught.value)


def test_a_budget_is_needed(tmp_path: Path):
    with pytest.raises(UserError, match="--minutes or --steps"):
        loop.fit(Walk(), "walk", tmp_path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        loop.fit(Walk(), "walk", tmp_path / "file", steps=2)


def test_two_runs_at_once_are_refused(tmp_path: Path):
    class Nested(Walk):
        def step(self, index: int, progress: float) -> dict[str, float]:
            with pytest.raises(UserError, match="another process is training walk"):
                loop.fit(Walk(), "walk", tmp_path, steps=1)
            return super().step(index, progress)

    assert loop.fit(Nested(), "walk", tmp_path, steps=1).card["steps"] == 1


def test_infinite_weights_are_not_shipped(tmp_path: Path):
    with pytest.raises(UserError, match="not finite in half precision"):
        weights.write(tmp_path / "big.safetensors", {"weight": torch.tensor([1e6])}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_batches_use_every_row_once_before_any_twice():
    rows = np.concatenate([schedule.batch_rows(5, index, 10, 4) for index in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()


def test_a_batch_larger_than_the_data_spans_epochs():
    rows = np.concatenate([schedule.batch_rows(5, index, 3, 7) for index in range(3)])
    assert np.bincount(rows).tolist() == [7, 7, 7]


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [schedule.warmup_cosine(progress / 100) for progress in range(100)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1.0)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.001


@pytest.mark.parametrize(
    ("has", "wanted", "dtype"), [(True, True, "bfloat16"), (True, False, "float32"), (False, True, "float32")]
)
def test_bfloat16_is_used_where_it_is_wanted_and_the_processor_has_units_for_it(has, wanted, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has)
    with half(torch.device("cpu"), wanted):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == getattr(torch, dtype)
