"""Composer in the tracks compose and edit: what it takes from which source, what it cannot see, and every task from
end to end.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from composer_tiny import TINY, half_split, write_tiny_weights

from t2ibench.core import plugins, settings
from t2ibench.core.errors import UserError
from t2ibench.methods.composer import Config, Method
from t2ibench.methods.composer.sources import Reader, against, holes
from t2ibench.networks.models import Models
from t2ibench.runner import suite
from t2ibench.tracks.compose import request
from t2ibench.tracks.compose_tasks import find, tasks
from t2ibench.tracks.contract import Compose, ComposeMethod, Edit, EditMethod, Source

CONFIG = Config(weights="tiny-composer", upsampler="", prior="", steps=2, inversion_steps=2, source_side=16)
HOLE = np.arange(256).reshape(16, 16) < 128  # the upper half is known


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2IBENCH_WEIGHTS", str(folder))
        patch.setenv("T2IBENCH_CACHE", str(folder / "cache"))
        write_tiny_weights(folder)
        return Method(CONFIG, Models())


def source(row: int, caption: str | None = "a red floor", parts: bool = True) -> Source:
    split: Any = half_split()
    image = split.images.read([row])[0].copy()
    image[:, 4:8, 4:12] = 20 * row  # something to draw
    return Source(image, np.roll(split.masks.read([row])[0], row, 0) if parts else None, caption=caption)


def asked(name: str, a: int = 0, b: int = 1, seed: int = 3, position: float = 0.5) -> Compose:
    return request(find(name, "x"), source(a), source(b, "a blue floor"), seed, HOLE, position)


def test_every_task_makes_an_image(method):
    assert isinstance(method, ComposeMethod)
    made = method.compose([asked(name) for name in tasks()])
    assert (made.shape, made.dtype) == ((len(tasks()), 3, 16, 16), torch.uint8)
    alike = {
        "style": "compose_ESD",
        "colorize_direct": "compose_PI",
    }  # the same conditions, once as a task and once as a combination
    images = dict(zip(tasks(), made, strict=True))
    assert all(torch.equal(images[one], images[other]) for one, other in alike.items())
    assert len({image.numpy().tobytes() for image in made}) == len(tasks()) - len(alike)
    with pytest.raises(ValueError, match="at least one request"):
        method.compose([])


@pytest.mark.parametrize("name", ["EPSDG", "color_interp", "region_var"])
def test_an_image_does_not_depend_on_its_batch(method, name):
    requests = [asked(name, a, (a + 1) % 4, a) for a in range(3)]
    together, alone = method.compose(requests), method.compose(requests[2:])
    torch.testing.assert_close(together[2:], alone, atol=1, rtol=0)  # one grey level of rounding


@pytest.mark.parametrize(("name", "reads"), [("S", "A"), ("style", "AB"), ("conflict_GS", "AB"), ("pose_S", "AB")])
def test_an_image_depends_on_the_sources_its_task_takes_something_from_and_on_no_other(method, name, reads):
    plain = asked(name)
    for end in "AB":
        other = source(3)
        a, b = (other, source(1, "a blue floor")) if end == "A" else (source(0), other)
        changed = request(find(name, "x"), a, b, 3, HOLE)
        same = torch.equal(method.compose([plain]), method.compose([changed]))
        assert same == (end not in reads), end


def test_known_pixels_stay_where_the_task_says_so(method):
    x0: Any = source(0).image
    kept = method.compose([asked("region_var")])[0].numpy()
    np.testing.assert_array_equal(kept[:, HOLE], x0[:, HOLE])
    assert (kept[:, ~HOLE] != x0[:, ~HOLE]).any()
    assert (method.compose([asked("M")])[0].numpy()[:, HOLE] != x0[:, HOLE]).any()


def test_the_ends_of_an_interpolation_are_the_images_of_a_and_of_b(method):
    ends = method.compose([asked("interp_free", position=0.0), asked("interp_free", position=1.0)])
    assert torch.equal(ends, method.compose([asked("E", 0), asked("E", 1)]))  # the same shapes, so the same kernels
    assert not torch.equal(ends[0], ends[1])


def test_a_drawn_sketch_stands_in_for_that_of_an_image(method):
    a = source(0)
    task = find("pose_S", "x")
    strokes = np.zeros((16, 16), np.float32)
    strokes[8] = 1
    drawn = Compose(task, {"A": a, "edited": Source(strokes=strokes)}, 3)
    c2 = method.reader.conditions(task.c2, [drawn])
    assert c2.values["S"][0, 0, 8].eq(1).all()
    assert c2.values["S"].sum() == 16
    assert "".join(letter for letter, there in zip("TEPSGDIM", c2.present[0].tolist(), strict=True) if there) == "ES"


def test_a_source_without_exact_parts_leaves_out_what_they_tell(method):
    task = find("SDG", "x")
    assert method.needs_parts
    read = method.reader.conditions(
        task.c2, [Compose(task, {"A": source(0, parts=exact)}, 1) for exact in (True, False)]
    )
    assert read.present[:, 3:6].tolist() == [[True, True, True], [True, False, False]]


def test_what_is_missing_is_one_line(method):
    with pytest.raises(UserError, match="composer: A has no image, and a condition is to be taken from it"):
        method.compose([Compose(find("E", "x"), {"A": Source(caption="x")}, 1)])
    with pytest.raises(UserError, match="the request says nothing of what is known: give a mask"):
        method.compose([Compose(find("M", "x"), {"A": source(0)}, 1)])
    many = dataclasses.replace(source(0), parts=np.full((16, 16), 2, np.uint8))
    with pytest.raises(UserError, match="composer: part 2 is in a source, the network knows 2"):
        method.compose([Compose(find("G", "x"), {"A": many}, 1)])


def test_a_pixel_of_a_hole_makes_a_small_pixel_unknown():
    known = np.ones((16, 16), bool)
    known[0, 0] = False
    found = holes([Compose(find("M", "x"), {}, 1, known)], 8)
    assert found.sum() == 63
    assert found[0, 0, 0, 0] == 0


@pytest.mark.parametrize(("name", "weighs_one"), [("E", ""), ("SD", ""), ("EPSD", "SD"), ("style", "SD"), ("t2i", "")])
def test_local_conditions_are_on_both_sides_of_guidance_where_there_are_others(method, name, weighs_one):
    task = find(name, "x")
    c2 = method.reader.conditions(task.c2, [asked(name)])
    present = against(task, c2).present[0].tolist()
    assert "".join(letter for letter, there in zip("TEPSGDIM", present, strict=True) if there) == weighs_one


def test_edits_start_from_an_image_of_the_seed_alone(method: Any):
    assert isinstance(method, EditMethod)
    models = method.models  # type: ignore[attr-defined]
    requests = [
        Edit("a person", f"a person with {colour} hair", seed) for seed in (1, 2) for colour in ("red", "blond")
    ]
    sources, edited = method.unedited(requests), method.edit(requests)
    assert torch.equal(sources[0], sources[1])
    assert not torch.equal(sources[0], sources[2])
    assert not torch.equal(edited[0], edited[1])
    alone = Method(CONFIG, models).edit(requests[3:])
    torch.testing.assert_close(alone, edited[3:], atol=1, rtol=0)  # one grey level of rounding


def test_a_real_image_is_edited_itself(method):
    image = source(1).image
    assert torch.equal(method.unedited([Edit("a person", "a person", 0, image)])[0], torch.from_numpy(image))
    keeping = Method(dataclasses.replace(CONFIG, edit_keeps="PI"), method.models)
    free, kept = (one.edit([Edit("a person", "a bald person", 0, image)]) for one in (method, keeping))
    assert not torch.equal(free, kept)


def test_what_is_ignored_is_never_looked_at(method):
    blind = Method(dataclasses.replace(CONFIG, ignores="PS"), method.models)
    assert torch.equal(blind.compose([asked("EPS")]), method.compose([asked("E")]))
    assert not torch.equal(blind.compose([asked("EPS")]), method.compose([asked("EPS")]))
    with pytest.raises(UserError, match="no condition is called 'X'"):
        Method(dataclasses.replace(CONFIG, ignores="X"), method.models)


def test_every_claim_names_entries_and_a_metric_of_the_ablations():
    sheet = plugins.paper("composer")
    where: Any = plugins.find("methods")["composer"]
    ablations = suite.load(str(where.with_name(sheet["suite"])))
    entries = {entry.id: entry for entry in [*ablations.methods, *ablations.baselines]}
    for claim in sheet["claims"]:
        pair = claim.get("equal", [claim.get("better"), claim.get("worse")])
        assert len(pair) == 2
        assert set(pair) <= set(entries), claim["id"]
        assert claim["metric"] in ablations.columns, claim["id"]
    given = "".join(ablations.settings["compose"].tasks)
    for entry in ablations.methods:
        settings.configure(Config, entry.settings, entry.id)
        assert set(entry.settings.get("ignores", "")) <= {*given, *"IM"}


def test_images_of_another_size_are_read_at_that_of_the_training(method):
    small: Any = source(0).image
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    reader: Reader = method.reader
    assert reader.images("A", [Source(large)]).shape == (1, 3, 16, 16)
    assert TINY.image_size == 16
