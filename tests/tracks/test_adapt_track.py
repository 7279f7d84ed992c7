"""t2ibench/tracks/adapt.py: what is asked of an adapted generator, what it is held to, and what stands beside it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image
from t2ibench.core.seeds import derive_seed
from t2ibench.report import formats, outputs
from t2ibench.report.board import boards
from t2ibench.report.gallery import galleries_of
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.journal import Store
from t2ibench.runner.plan import prepare

SUITE = """# Two targets. A second.
dataset: {name: squares}
tracks: [adapt]
methods: [tinter]
baselines: [{name: unadapted, of: tinter}, real]
adapt: {images: 6, reference: 40}
metrics: [near]
"""


@pytest.fixture
def written(squares):
    """Writes the suite, with replacements: written(old, new, …)."""
    squares()

    def write(*replacements: tuple[str, str]) -> Path:
        text = SUITE
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = Path("moves.yaml")
        path.write_text(text, "utf-8")
        return path

    return write


def run(path: Path, folder: str = "runs", batch: int = 4) -> dict[str, dict]:
    done = runner.run(suite.load(str(path)), runner.RunOptions(Path(folder), Path(folder), batch))
    return {cell.record["method"]: dict(cell.record) for cell in done if cell.record["track"] == "adapt"}


def images(method: str, group: str, folder: str = "runs") -> np.ndarray:
    """What a method made for a group, in the order of k."""
    [cell] = Path(folder, "moves", "adapt", method).iterdir()
    store = Store(cell)
    made = {o.k: o for o in store.outcomes().values() if o.group == group and o.sha256}
    return np.stack([read_image(store.image_path(made[k].sample)).transpose(2, 0, 1) for k in sorted(made)])


def test_every_target_is_asked_of_the_same_latents(written):
    from t2ibench.checks.contracts.squares import in_domain

    found = run(written())
    assert list(found) == ["unadapted-tinter", "real", "tinter"]
    asked = found["tinter"]["prompts"]
    assert asked["images"] == {"sources": 6, "adapted/negative": 6, "adapted/grey": 6}
    assert (asked["source"], asked["targets"]["grey"], asked["real_images"]) == ("a square", "a grey square", 40)
    sources = images("tinter", "sources")
    for domain in ("negative", "grey"):
        np.testing.assert_array_equal(images("tinter", f"adapted/{domain}"), in_domain(sources, domain))
    for record in found.values():
        records.validate(record)
        assert record["coverage"] == 1


def test_a_source_depends_on_run_seed_and_k_alone(written):
    plan = prepare(suite.load(str(written())))[0]
    seeds: dict[int, set[int]] = {}
    for sample in plan.of_track.samples(plan.prompts, 3):
        seeds.setdefault(sample.k, set()).add(sample.seed)
    assert seeds == {k: {derive_seed(3, "source", k)} for k in range(6)}


def test_the_baselines_change_nothing_and_are_real(written):
    from t2ibench.checks.contracts.squares import Config, domain_images, in_domain

    found = run(written())
    sources = images("tinter", "sources")
    for group in ("sources", "adapted/negative", "adapted/grey"):
        np.testing.assert_array_equal(images("unadapted-tinter", group), sources)
    real, held_to = images("real", "adapted/grey"), domain_images(Config(), "grey", 40, 1).images.read(range(40))
    np.testing.assert_array_equal(real, in_domain(real, "grey"))
    assert len(np.unique(np.concatenate([real, held_to]).reshape(46, -1), axis=0)) == 46  # none of them twice
    np.testing.assert_array_equal(
        images("real", "sources"), domain_images(Config(), "squares", 6, 2).images.read(range(6))
    )
    near = {method: record["values"]["near"]["value"] for method, record in found.items()}
    assert near["unadapted-tinter"] > 2 * max(near["tinter"], near["real"])


def test_real_images_of_another_seed_are_others(written):
    run(written(("adapt:", "seeds: [0, 1]\nadapt:")))
    folders = sorted(Path("runs/moves/adapt/real").iterdir())
    first, second = ({o.sha256 for o in Store(folder).outcomes().values()} for folder in folders)
    assert not first & second


def test_the_method_is_told_two_texts_and_a_seed_and_no_more(written, monkeypatch):
    import testing_tinter

    told, plain = [], testing_tinter.Method.adapt

    def adapt(self, requests):
        told.extend(requests)
        return plain(self, requests)

    monkeypatch.setattr(testing_tinter.Method, "adapt", adapt)
    run(written(("images: 6", "images: 6, source: one square, targets: [grey]")))
    assert {(type(r).__name__, *vars(r)) for r in told} == {("Adapt", "source", "target", "seed")}
    assert {(r.source, r.target) for r in told} == {("one square", "a grey square")}


@pytest.mark.parametrize("batch", [1, 64])
def test_the_batch_size_changes_no_image_and_no_number(written, batch):
    path = written()
    for one, other in zip(run(path, "a").values(), run(path, "b", batch).values(), strict=True):
        assert records.comparable(one) == records.comparable(other)


def test_other_real_images_make_another_cell(written):
    run(written())
    with pytest.raises(UserError, match="was made with other settings"):
        run(written(("reference: 40", "reference: 50")))


def test_failed_images_are_counted_and_their_sources_stay(written):
    record = run(written(("methods: [tinter]", "methods: [{name: tinter, nan_below: 0.5}]")))["tinter"]
    below = sum(derive_seed(0, "source", k) / 2**63 < 0.5 for k in range(6))
    assert 0 < below < 6
    assert record["counts"]["nan"] == 2 * below
    assert record["partial"] is True


def test_training_is_on_the_board_and_methods_stand_before_baselines(written):
    [board] = boards(list(run(written()).values()))
    assert [row.method for row in board.rows] == ["tinter", "real", "unadapted-tinter"]
    assert "| training s / prompt |" in formats.markdown(board)


def test_the_sheet_shows_each_target_under_its_source(written):
    found = list(run(written()).values())
    [board] = boards(found)
    [gallery] = galleries_of(board, found, Path("runs"))
    assert [shown.text for shown in gallery.prompts] == ["the negative of a square", "a grey square"]
    assert gallery.rows == ["source", "tinter", "unadapted-tinter", "source", "real"]
    for k, shown in enumerate(gallery.prompts):
        source, made, same, *_ = (
            np.asarray(Image.open(io.BytesIO(png or b""))).transpose(2, 0, 1) for png in shown.images
        )
        np.testing.assert_array_equal(source, images("tinter", "sources")[k])
        np.testing.assert_array_equal(same, source)
        np.testing.assert_array_equal(made, images("tinter", ("adapted/negative", "adapted/grey")[k])[k])
    [sheet] = outputs.write_sheets(found, Path("runs"), Path("runs/moves"))
    assert sheet.name == "samples.png"


def test_both_real_baselines_of_a_suite_of_two_tracks_are_one_entry(written):
    path = written(
        ("tracks: [adapt]", "tracks: [text_to_image, adapt]\nprompts: {captions: 6}"),
        ("[tinter]", "[tinter, painter]"),
        ("baselines: [{name: unadapted, of: tinter}, real]\n", ""),
        ("[near]", "[near, hue]"),
    )
    done = list(runner.run(suite.load(str(path)), runner.RunOptions()))
    assert [cell.record["method"] for cell in done] == [
        "real",
        "shuffled-real",
        "unconditional-real",
        "painter",
        "real",
        "tinter",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "images: 6",
            "images: 6, targets: [gray]",
            "moves: adapt: targets: no other domain is called 'gray', did you mean 'grey'?",
        ),
        ("images: 6", "images: 6, targets: [squares]", "adapt: targets: no other domain is called 'squares'"),
        ("images: 6", "images: 6, targets: [grey, grey]", "adapt: targets names one twice"),
        ("images: 6", "images: 0", "adapt: images is 0, expected at least 1"),
        ("reference: 40", "referense: 40", "adapt: unknown key 'referense', did you mean 'reference'?"),
        ("[tinter]", "[retoucher]", "retoucher has no adapt and unadapted"),
        ("of: tinter}", "of: painter}", "unadapted: painter has no adapt and unadapted"),
        ("[near]", "[hue]", "hue can score text_to_image, expected one of adapt"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_in_one_line(written, old, new, said):
    with pytest.raises(UserError) as error:
        run(written((old, new)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_data_set_without_domains_has_no_such_track(written, monkeypatch):
    from t2ibench.checks.contracts import squares

    monkeypatch.delattr(squares, "domain_images")
    with pytest.raises(UserError, match="moves: adapt: squares has no other domains to adapt to"):
        run(written())


ALONE = (
    "adapt: {images: 6, reference: 40}",
    "adapt: {images: 6, source: a square, texts: {red: a red square, blue: a blue one}}",
)


def test_targets_that_are_texts_alone_need_no_real_images(written):
    of_real = ("baselines: [{name: unadapted, of: tinter}, real]", "baselines: [{name: unadapted, of: tinter}]")
    [planned] = prepare(suite.load(str(written(ALONE, of_real))))
    assert [(prompt.id, prompt.text) for prompt in planned.prompts] == [
        ("source", "a square"),
        ("adapted/red", "a red square"),
        ("adapted/blue", "a blue one"),
    ]
    assert planned.prompt_facts["real_images"] == 0
    assert all("real" not in prompt.tags for prompt in planned.prompts)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{images: 6, texts: {red: a red square}}", "expected `source` beside them"),
        ("{images: 6, source: a square, targets: [red], texts: {red: a red square}}", "found targets and texts"),
        ("{images: 6, source: a square, texts: {red: a square}}", "texts: red is 'a square'"),
        ("{images: 6, source: a square, texts: {red: 3}}", "texts: red is 3"),
    ],
)
def test_texts_that_cannot_be_asked_for_are_one_line(written, wrong, message):
    with pytest.raises(UserError, match=message):
        prepare(suite.load(str(written(("adapt: {images: 6, reference: 40}", f"adapt: {wrong}")))))
