"""Tasks of composition: the paper's rows, letters alone, and what is wrong with a row."""

import pytest

from t2ibench.core.errors import UserError
from t2ibench.methods.composer import conditions
from t2ibench.tracks.compose_tasks import LETTERS, find, parsed, tasks


def test_the_tasks_are_the_papers_22_rows():
    families = {
        name.split("_")[0] if name.split("_")[0] in ("region", "pose", "compose", "conflict") else name
        for name in tasks()
    }
    assert len(families) == 22
    assert tasks()["t2i"].c2 == {"text": "T"}
    assert {name for name, task in tasks().items() if task.c1} == {
        n for n, task in tasks().items() if task.mode == "reconfigure"
    }


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("t2i", {"text"}),
        ("var_E", {"A"}),
        ("colorize_direct", {"A", "B"}),
        ("interp_free", {"A", "B"}),
        ("color_interp", {"A", "B"}),
        ("translate", {"A", "text"}),
        ("conflict_TE", {"B", "text"}),
        ("reconf_S", {"A", "edited"}),
        ("pose_S", {"A", "B", "edited"}),  # the edit is the other image's sketch
    ],
)
def test_a_task_says_which_sources_it_needs(name, needs):
    assert tasks()[name].needs == needs


def test_letters_alone_are_a_task_of_a_in_the_order_of_all():
    assert find("DS", "x") == find("SD", "x")
    assert find("DS", "x").c2 == {"A": "SD"}
    assert find("DS", "x").about == "sketch and depth of A"
    assert find(LETTERS, "x").c2 == tasks()["recon_all"].c2


@pytest.mark.parametrize(("name", "near"), [("stile", ", did you mean 'style'"), ("SDX", ""), ("SS", ""), ("", "")])
def test_an_unknown_task_is_one_line_with_the_nearest(name, near):
    with pytest.raises(
        UserError, match=f"compose: no task is called '{name}'{near}.*or letters of TEPSGDIM, such as SD"
    ) as error:
        find(name, "compose")
    assert "\n" not in str(error.value)


def test_a_method_orders_its_conditions_as_the_tasks_do():
    assert conditions.LETTERS == LETTERS


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            "{mode: sample, c2: {C: T}, from: ours}",
            "compose_tasks.yaml: x: c2 takes 'T' from 'C', expected one of A, B, text",
        ),
        ("{mode: sample, c2: {A: TQ}, from: ours}", "no condition is called 'Q'"),
        ("{mode: sample, c2: {A: TE, B: E}, from: ours}", "c2 takes E from two sources"),
        (
            "{mode: sample, c1: {A: T}, c2: {A: E}, from: ours}",
            "mode is 'sample': only 'reconfigure' has conditions c1",
        ),
        ("{mode: samples, c2: {A: E}, from: ours}", "mode is 'samples'"),
        (
            "{mode: sample, c2: {edited: S}, from: ours}",
            "edit is '': what is taken from 'edited' has one of other, shift",
        ),
        ("{mode: sample, c2: {A: S}, edit: shift, from: ours}", "edit is 'shift': what is taken from 'edited'"),
    ],
)
def test_a_task_that_cannot_be_is_one_line(row, line):
    with pytest.raises(UserError, match=line):
        parsed(f"x: {row}")
