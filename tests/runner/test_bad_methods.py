"""One bad method never takes the rest down: it fails by itself, says why, and leaves nothing behind in the process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from t2ibench.core import records
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.isolation import isolated

TRACK = "text_to_image"
RAISED = [
    RuntimeError("kernel image"),
    KeyError("weights"),
    TypeError("a tensor was expected"),
    MemoryError(),
    AssertionError("odd"),
    SystemExit(3),
]


def run(path) -> dict[str, runner.CellResult]:
    options = runner.RunOptions(batch=8)
    return {cell.record["method"]: cell for cell in runner.run(suite.load(str(path)), options)}


@pytest.fixture
def raising(squares, monkeypatch):
    """Makes the painter raise an exception for the requests that a test chooses, unless it is colour-blind."""
    path = squares((", {name: unconditional, of: painter}", ""))

    def arrange(error: BaseException, chosen=lambda request: True):
        import testing_painter

        paint = testing_painter.Method._paint

        def broken(self, request):
            if not self.config.colour_blind and chosen(request):
                raise error
            return paint(self, request)

        monkeypatch.setattr(testing_painter.Method, "_paint", broken)
        return path

    return arrange


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_exception_for_one_prompt_is_one_failed_sample_with_its_reason(raising, error):
    record = run(raising(error, lambda request: request.seed % 8 == 0))["painter"].record
    failed = record["counts"]["failed"]
    assert 0 < failed < 32
    assert record["counts"]["ok"] == 32 - failed
    assert {failure["message"].split(":")[0] for failure in record["failures"]} == {type(error).__name__}


def test_an_exception_for_every_prompt_is_a_failed_cell_and_the_rest_runs(raising, t2ibench):
    path = raising(RuntimeError("no kernel image is available"))
    answer = t2ibench("run", str(path))
    assert answer.returncode == 4
    assert f"painter failed in {TRACK}: RuntimeError: no kernel image is available" in answer.stderr
    record = records.read(records.path_of(runner.RunOptions().out, "squares", TRACK, "painter", 0))
    assert (record["coverage"], record["partial"]) == (0.0, True)
    assert record["failures"][0]["message"] == "RuntimeError: no kernel image is available"
    assert records.read(records.path_of(runner.RunOptions().out, "squares", TRACK, "blind", 0))["coverage"] == 1.0


def test_a_method_that_cannot_be_prepared_is_a_failed_cell(squares, monkeypatch, t2ibench):
    path = squares((", {name: unconditional, of: painter}", ""))
    import testing_painter

    prepare = testing_painter.Method.__init__

    def broken(self, config, models):
        if not config.colour_blind:
            raise ImportError("libcudnn.so.9 is missing")
        prepare(self, config, models)

    monkeypatch.setattr(testing_painter.Method, "__init__", broken)
    answer = t2ibench("run", str(path), "--json")
    assert answer.returncode == 4
    assert "the method could not be prepared: ImportError: libcudnn.so.9 is missing" in answer.stderr
    assert json.loads(answer.stdout)
    assert {record["method"] for record in records.load(runner.RunOptions().out)} == {
        "real",
        "shuffled-real",
        "painter",
        "blind",
    }


def test_an_answer_that_is_no_batch_of_images_fails_the_batch_with_the_reason(squares, monkeypatch):
    path = squares((", {name: unconditional, of: painter}", ""))
    import testing_painter

    monkeypatch.setattr(testing_painter.Method, "text_to_image", lambda self, requests: torch.zeros(1, 3, 8, 8))
    cell = run(path)["painter"]
    assert cell.failed
    assert "the method returned torch.float32 [1, 3, 8, 8], expected uint8 [8, 3, H, W]" in str(cell.record["failures"])


CHANGES = {
    "the default dtype of torch": lambda: torch.set_default_dtype(torch.float64),
    "the default device of torch": lambda: torch.set_default_device("meta"),
    "the gradient mode": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "the precision of float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "mkldnn": lambda: torch.backends.mkldnn.set_flags(_enabled=False),
    "the number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "the working directory": lambda: os.chdir("/"),
    "torch.nn.functional.relu": lambda: setattr(torch.nn.functional, "relu", torch.sigmoid),
    "numpy.sort": lambda: setattr(np, "sort", sorted),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_method_leaves_changed_is_put_back_and_named(name, caplog, request):
    relu, sort, place, x = torch.nn.functional.relu, np.sort, os.getcwd(), torch.linspace(-1, 1, 64).reshape(8, 8)
    before = (x @ x, torch.zeros(1).dtype, torch.zeros(1).device, torch.is_grad_enabled(), torch.get_num_threads())
    with isolated(request.node.name):
        CHANGES[name]()
    after = (x @ x, torch.zeros(1).dtype, torch.zeros(1).device, torch.is_grad_enabled(), torch.get_num_threads())
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert torch.nn.functional.relu is relu
    assert np.sort is sort
    assert os.getcwd() == place
    assert not torch.is_autocast_enabled("cpu")
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.mkldnn.enabled
    assert f"{request.node.name} changed {name} and left it so" in caplog.text


COMPILER = """
import functools, logging, torch
from t2ibench.runner.isolation import isolated
logging.basicConfig()
with isolated("first"):
    import torch._dynamo  # which puts a wrapper around torch.manual_seed
with isolated("second"):
    torch.manual_seed = functools.wraps(torch.manual_seed)(lambda seed: None)
"""


def test_what_torch_does_itself_when_its_compiler_is_imported_is_no_change_of_a_method():
    said = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True).stderr
    assert "first" not in said
    assert "second changed torch.manual_seed and left it so" in said


def test_a_method_that_changes_nothing_is_not_named_and_one_that_raises_is_put_back_too(caplog):
    with isolated("quiet"):
        torch.rand(3)
    assert caplog.text == ""

    def stop():
        torch.set_default_dtype(torch.float64)
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"), isolated("loud"):
        stop()
    assert torch.get_default_dtype() is torch.float32
    assert "loud changed the default dtype" in caplog.text


def test_the_global_random_generators_go_on_as_if_no_method_had_drawn(caplog):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with isolated("gambler"):
        torch.rand(5)
        np.random.rand(3)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)
    assert caplog.text == ""


def test_a_method_that_leaves_autocast_on_changes_no_other_methods_images(squares, monkeypatch):
    path = squares((", {name: unconditional, of: painter}", ""))
    import testing_painter

    first = {name: cell.record["images"] for name, cell in run(path).items()}
    draw = testing_painter.Method.text_to_image

    def careless(self, requests):
        torch.set_default_dtype(torch.float16)
        return draw(self, requests)

    monkeypatch.setattr(testing_painter.Method, "text_to_image", careless)
    options = runner.RunOptions(batch=8, again=("painter", "blind"))
    again = {cell.record["method"]: cell.record["images"] for cell in runner.run(suite.load(str(path)), options)}
    assert again == first
    assert torch.get_default_dtype() is torch.float32
