"""t2ibench/tracks/compose.py in a suite: who gives what, what a method may see, and what the baselines answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.seeds import derive_seed
from t2ibench.data.representations.edits import edited
from t2ibench.report.board import boards
from t2ibench.report.gallery import galleries_of
from t2ibench.runner import plan, suite
from t2ibench.runner import run as runner
from t2ibench.runner.journal import Store
from t2ibench.tracks.compose import known, request, said
from t2ibench.tracks.compose_tasks import find
from t2ibench.tracks.contract import Source

SUITE = """# Compositions of squares. A second.
dataset: {name: squares}
tracks: [compose]
methods: [collage]
compose: {inputs: 5, images: 2, split: test, tasks: [P, ME, style, t2i, reconf_S, conflict_TE]}
metrics: [alike]
columns: [alike]
"""


@pytest.fixture
def written(squares):
    """Writes the suite, with replacements: written((old, new), …)."""
    squares()
    from testing_collage import Method

    Method.asked.clear()

    def write(*replacements: tuple[str, str]) -> Path:
        text = SUITE
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        Path("composing.yaml").write_text(text, "utf-8")
        return Path("composing.yaml")

    return write


def run(path: Path, batch: int = 4, folder: str = "runs") -> dict[str, dict]:
    done = runner.run(suite.load(str(path)), runner.RunOptions(Path(folder), Path(folder), batch))
    return {cell.record["method"]: dict(cell.record) for cell in done}


def images(method: str, group: str, folder: str = "runs") -> dict[int, np.ndarray]:
    """What a method made of a group, by k."""
    [cell] = Path(folder, "composing", "compose", method).iterdir()
    store = Store(cell)
    return {
        o.k: read_image(store.image_path(o.sample)).transpose(2, 0, 1)
        for o in store.outcomes().values()
        if o.group == group
    }


NO_TEXT_ALONE = (
    (", t2i", ""),
    (", reconf_S, conflict_TE", ", reconf_S"),
)  # the made-up method needs an image for its first condition


def test_every_task_is_asked_of_the_same_inputs_and_the_baselines_answer_with_either_end(written):
    found = run(written(*NO_TEXT_ALONE))
    assert list(found) == ["source", "other", "collage"]
    assert [found[name]["values"]["alike"]["value"] for name in ("source", "other")] == [1, 0]
    sources = images("source", "sources")
    assert len({image.tobytes() for image in sources.values()}) == len(sources) == 5
    for name in found:
        records.validate(found[name])
        assert found[name]["prompts"]["images"] == {
            "sources": 5,
            **{f"composed/{task}": 10 for task in ("P", "ME", "style", "reconf_S")},
        }
        assert all(np.array_equal(image, sources[k]) for k, image in images(name, "sources").items())
    for k, image in images("other", "composed/style").items():
        np.testing.assert_array_equal(image, sources[(k + 1) % 5])


def test_a_method_sees_the_sources_its_task_takes_something_from_and_nothing_else(written):
    from testing_collage import Method

    run(written(*NO_TEXT_ALONE))
    sources = images("source", "sources")
    asked = {
        name: [one for one in Method.asked if one.task == find(name, "x")] for name in ("P", "ME", "style", "reconf_S")
    }
    assert [set(asked[name][0].sources) for name in asked] == [{"A"}, {"A"}, {"A", "B"}, {"A", "edited"}]
    for name, requests in asked.items():
        assert len(requests) == 10
        for k, one in enumerate(requests):
            np.testing.assert_array_equal(one.sources["A"].image, sources[k % 5])
            assert one.seed == derive_seed(0, "source", k)
            assert (one.known is None) == (name != "ME")
    np.testing.assert_array_equal(asked["style"][4].sources["B"].image, sources[0])  # the ring closes
    drawn: Any = asked["reconf_S"][0].sources["edited"]
    assert drawn.image is None
    assert drawn.strokes.shape == (8, 8)


def test_the_batch_size_changes_no_number_and_a_second_run_makes_nothing(written):
    path = written(*NO_TEXT_ALONE)
    one, other = run(path, 4, "a"), run(path, 64, "b")
    assert [records.comparable(record) for record in one.values()] == [
        records.comparable(record) for record in other.values()
    ]
    from testing_collage import Method

    before = len(Method.asked)
    run(path, 4, "a")
    assert len(Method.asked) == before


def test_compositions_stand_under_their_inputs(written):
    found = run(written(*NO_TEXT_ALONE))
    [board] = boards(list(found.values()))
    [gallery] = galleries_of(board, list(found.values()), Path("runs"))
    assert gallery.rows == ["source", "collage", "source", "other"]
    assert [shown.text.partition(":")[0] for shown in gallery.prompts] == ["P", "ME", "style", "reconf_S"]


def test_the_text_is_the_caption_of_the_image_that_gives_nothing_else():
    a, b = Source(np.zeros((3, 8, 8), np.uint8), caption="of a"), Source(np.zeros((3, 8, 8), np.uint8), caption="of b")
    for name, text in (("t2i", "of a"), ("conflict_TE", "of a"), ("compose_TD", "of b"), ("translate", "of b")):
        assert request(find(name, "x"), a, b, 0, None).sources["text"].caption == text, name
    assert (said(find("t2i", "x")), said(find("translate", "x"))) == ("A", "B")


@pytest.mark.parametrize(
    ("how", "row"),
    [
        ("mirror", [8, 7, 6, 5, 4, 3, 2, 1]),
        ("shift", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("other", [9] * 8),
        ("erase", [1, 2, 0, 0, 0, 0, 7, 8]),
    ],
)
def test_edits_move_mirror_erase_or_exchange_a_map(how, row):
    first = np.array([1, 2, 3, 4, 5, 6, 7, 8])
    maps, other = np.tile(first, (8, 1)), np.full((8, 8), 9)
    np.testing.assert_array_equal(edited(maps, other, how)[4], row)
    np.testing.assert_array_equal(maps[4], first)


def test_an_edit_that_needs_another_image_says_so():
    with pytest.raises(UserError, match="'other' takes the map of another image, and there is none"):
        edited(np.zeros((8, 8)), None, "other")
    with pytest.raises(UserError, match="no edit is called 'turn'"):
        edited(np.zeros((8, 8)), None, "turn")


def test_a_hole_is_the_region_of_an_attribute_where_the_data_set_knows_one(written):
    data = plan.prepare(suite.load(str(written())))[0].data
    assert known("clothing", data, 8).sum() == 64 - 16  # squares have no clothing: the middle
    assert known("tone", data, 8).sum() == 64 - 16  # a region that is everything leaves nothing


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("style", "stile", "composing: compose: tasks: no task is called 'stile', did you mean 'style'?"),
        ("inputs: 5", "inputs: 1", "composing.yaml: compose: inputs is 1, expected at least 2"),
        ("inputs: 5", "inputs: 25", "inputs is 25, expected 2 to the 24 images"),
        ("images: 2", "images: 0", "composing.yaml: compose: images is 0, expected at least 1"),
        ("[P, ME", "[P, P", "compose: tasks names one twice"),
        ("inputs: 5", "input: 5", "composing.yaml: compose: unknown key 'input', did you mean 'inputs'?"),
        ("[collage]", "[painter]", "composing: painter has no compose"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_in_one_line(written, old, new, said):
    with pytest.raises(UserError) as error:
        run(written((old, new)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
