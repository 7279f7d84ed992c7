"""The human audit: what raters are shown and what not, agreement undone of its strata, kappa by hand, and answers that cannot be read."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from t2ibench import records, table
from t2ibench.audit import COLUMNS, FORM, KEY, TEMPLATE, Audit, Item, reading, sheet
from t2ibench.audit.reading import UNSURE, Rater, by_pair, combined, compared, kappa, read_audit, read_rater, verdict
from t2ibench.commands.run import with_audits
from t2ibench.errors import UserError
from t2ibench.statistics import wilson

CELLS = [3, 3, 0, 0, 1, 2]


def audit(cells=CELLS, population=(80, 10, 6, 4)) -> Audit:
    said = ("this person has a beard", "this person wears a hat")
    items = [Item(f"{n:03d}", ("beard=yes", "hat=yes"), said, cell, f"pairs/beard+hat/{n}", n) for n, cell in enumerate(cells, 1)]
    return Audit("a1", "faces", "secret-method", 0, {"extractor": "judge-of-faces"}, population, items)


def answers(path, cells, *, of=None, name="ann", **changed):
    of = of or audit()
    rows = []
    for item, cell in zip(of.items, cells, strict=True):
        told = ("unsure", "yes") if cell == UNSURE else ("yes" if cell > 1 else "no", "yes" if cell % 2 else "no")
        rows.append(dict(zip(COLUMNS, (of.id, name, item.image, *told), strict=True)))
    rows[0] |= changed
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path):
    sheet.write(audit(), np.zeros((6, 3, 8, 8), np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None, None], tmp_path)
    return tmp_path


def test_raters_see_images_and_statements_and_nothing_else(folder):
    assert len(list((folder / "images").glob("*.png"))) == 6
    for name in (FORM, TEMPLATE):
        shown = (folder / name).read_text("utf-8")
        assert "this person wears a hat" in shown
        for hidden in ("secret-method", "judge-of-faces", "beard=yes", "pairs/", "faces", "rare"):
            assert hidden not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", shown)
    assert read_audit(folder) == audit()


def test_as_many_images_of_each_cell_and_a_short_cell_leaves_its_share():
    cells = np.array([0] * 50 + [1] * 30 + [3] * 2)
    chosen = sheet.stratified(cells, 20, seed=1)
    assert np.bincount(cells[chosen]).tolist() == [9, 9, 0, 2]
    assert len(set(chosen)) == 20
    assert chosen == sheet.stratified(cells, 20, seed=1) != sheet.stratified(cells, 20, seed=2)
    assert sorted(sheet.stratified(cells, 500, seed=1)) == list(range(82))


def test_kappa_by_hand():
    """Cohen's: 20 and 15 agree of 50, of which 25 and 30 are said 1: po = .7, pe = .5."""
    a, b = np.repeat([1, 1, 0, 0], [20, 5, 10, 15]), np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert kappa(a, b, np.ones(50)) == pytest.approx(0.4)
    assert kappa(a, a, np.ones(50)) == pytest.approx(1)
    assert kappa(a[:1], a[:1], np.ones(1)) is None


def test_agreement_is_that_of_all_images_and_not_of_the_strata():
    """Raters deny one of two images that the judge says show the pair; only 4 of 100 are such, so agreement is 98 %, not 5 of 6."""
    found = verdict(audit(), [Rater("ann", np.array([3, 1, 0, 0, 1, 2]))])["with_judge"]["ann"]
    assert found["agreement"] == pytest.approx(0.8 + 0.1 + 0.06 + 0.04 / 2)
    assert found["agreement_ci"][0] < found["agreement"] < found["agreement_ci"][1] == pytest.approx(1, abs=0.02)
    assert (found["n"], found["unsure"]) == (6, 0)


def test_a_single_stratum_has_wilsons_interval():
    hits = np.arange(200) < 37
    value, ends = combined(hits, np.zeros(200, int), np.full(200, 7.0))
    assert value == pytest.approx(0.185)
    assert ends == pytest.approx(wilson(37, 200))


def test_the_interval_of_agreement_covers_the_truth():
    """Strata of 700, 200, 80, 20 with agreement .95, .8, .7, .5; 25 of each looked at."""
    generator, shares, rates = np.random.default_rng(0), np.array([0.7, 0.2, 0.08, 0.02]), np.array([0.95, 0.8, 0.7, 0.5])
    strata = np.repeat(range(4), 25)
    covered = 0
    for _ in range(600):
        low, high = combined(generator.random(100) < rates[strata], strata, shares[strata])[1]
        covered += low <= shares @ rates <= high
    assert 0.93 <= covered / 600 <= 0.995


def test_what_a_rater_cannot_tell_counts_nowhere():
    found = verdict(audit(), [Rater("ann", np.array([3, UNSURE, 0, 0, 1, 2]))])["with_judge"]["ann"]
    assert (found["agreement"], found["n"], found["unsure"]) == (1, 5, 1)
    with pytest.raises(UserError, match="can tell nothing"):
        compared(np.array([0, 1]), np.array([UNSURE, UNSURE]), np.array([0, 1]), np.ones(2), "a1")


@pytest.mark.parametrize(("wrong", "withheld"), [(1, False), (2, True)])
def test_a_pair_is_withheld_below_85_percent_and_nothing_is_said_of_few_images(wrong, withheld):
    of = audit([3] * 10, (0, 0, 0, 10))
    cells = np.array([0] * wrong + [3] * (10 - wrong))
    assert by_pair(of, np.full(10, 3), [Rater("ann", cells)])["beard=yes+hat=yes"] == {
        "agreement": pytest.approx(1 - wrong / 10),
        "n": 10,
        "withheld": withheld,
    }
    few = replace(of, items=of.items[:9])
    assert by_pair(few, np.full(9, 3), [Rater("ann", cells[:9])])["beard=yes+hat=yes"]["withheld"] is None


def test_answers_come_back_as_they_were_given(folder, tmp_path):
    cells = [3, UNSURE, 0, 2, 1, 2]
    assert read_rater(audit(), answers(tmp_path / "a.csv", cells)).cells.tolist() == cells
    assert read_rater(audit(), answers(tmp_path / "b.csv", cells, image="1")).name == "ann"  # as a spreadsheet writes 001


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"audit": "a2"}, "line 2: audit 'a2', expected 'a1': these are answers to another audit"),
        ({"image": "007"}, "line 2: no image of this audit is called '007'"),
        ({"image": "002"}, "line 3: image 002 is answered twice"),
        ({"first": "perhaps"}, "line 2: first is 'perhaps', expected yes, no, unsure"),
        ({"second": ""}, "line 2: second is ''"),
        ({"rater": "bob"}, "expected one name in every line"),
    ],
)
def test_answers_that_cannot_be_read_are_one_line(tmp_path, changed, said):
    with pytest.raises(UserError, match=re.escape(said)):
        read_rater(audit(), answers(tmp_path / "a.csv", CELLS, **changed))


def test_missing_answers_columns_and_keys_are_one_line(folder):
    path = answers(folder / "a.csv", CELLS)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(UserError, match="1 of 6 images have no answer, the first 006"):
        read_rater(audit(), path)
    path.write_text("image,first\n001,yes\n")
    with pytest.raises(UserError, match="the columns audit, rater, image, first, second are expected"):
        read_rater(audit(), path)
    with pytest.raises(UserError, match="two files are of the rater 'ann'"):
        verdict(audit(), [Rater("ann", np.array(CELLS))] * 2)
    with pytest.raises(UserError, match="holds another audit"):
        sheet.write(replace(audit(), id="a2"), np.zeros((6, 3, 8, 8), np.uint8), folder)
    (folder / KEY).write_text((folder / KEY).read_text().replace('"cell": 3', '"cell": 2', 1))
    with pytest.raises(UserError, match="not a sound key of an audit"):
        read_audit(folder)
    with pytest.raises(UserError, match="is missing"):
        read_audit(folder / "nowhere")


def test_a_verdict_among_records_stands_under_the_board_and_damage_is_found(tmp_path):
    found = records.seal(verdict(audit(), [Rater("ann", np.array(CELLS)), Rater("bob", np.array([0, 0, 0, 0, 1, 2]))]))
    path = reading.path_of(tmp_path, "faces", "secret-method")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    [line] = with_audits(table.Board("faces", "text_to_image", [], [], [], []), tmp_path).said
    assert "human audit of secret-method: every rater agrees with the judge on 96% or more" in line
    assert "6 of 100 images, 2 raters" in line
    assert with_audits(table.Board("faces", "edit", [], [], [], []), tmp_path).said == ()
    path.write_text(json.dumps(found).replace("0.96", "0.99"))
    with pytest.raises(UserError, match="not a sound verdict"):
        reading.sentences(tmp_path, "faces")
