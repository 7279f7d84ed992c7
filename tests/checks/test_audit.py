"""t2ibench/checks/audit: who is asked what, what is undone by weights, and what is refused. All answers are made up to
be counted by hand.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_judges import ColumnJudge
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.checks.audit.agreement import audit_of, kappa, share
from t2ibench.checks.audit.answers import Answers
from t2ibench.checks.audit.draw import CELLS, allotted, question, read_key, stratified
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.data.split import Vocabulary
from t2ibench.networks.models import Models
from t2ibench.report import audits
from t2ibench.runner import run, suite
from t2ibench.stats.intervals import wilson

FACES = """# Faces of a table, real ones under right and wrong prompts. A second.
dataset: {name: faces}
methods: []
baselines: [real, shuffled]
prompts: {captions: 20}
metrics: [{name: compositional_accuracy, images: 16, single_images: 4, draws: 100}]
"""


@pytest.fixture
def faces(squares, monkeypatch) -> Path:
    """A suite of faces that has been run, with its records and images in `runs`."""
    monkeypatch.setattr(Models, "judge", lambda self, name: ColumnJudge())
    Path("faces.yaml").write_text(FACES, "utf-8")
    for _ in run.run(suite.load("faces.yaml"), run.RunOptions()):
        pass
    return Path("faces.yaml")


@pytest.fixture
def drawn(faces) -> Path:
    answer = CliRunner().invoke(
        cli.app, ["audit", "draw", "faces.yaml", "shuffled-real", "--images", "24", "--folder", "a"]
    )
    assert answer.exit_code == 0, answer.output
    return Path("a")


def by_hand(cells: Sequence[str], population: dict[str, int], pair: str = "hat=yes+beard=yes") -> dict[str, Any]:
    """A key of images that the judge put into cells."""
    shown = {f"image-{i:03}": {"pair": pair, "literals": pair.split("+"), "cell": cell} for i, cell in enumerate(cells)}
    facts = {"suite": "s", "track": "text_to_image", "method": "painter", "seed": 0, "identity": "i", "images": "d"}
    return {"audit": "audit-1", **facts, "judge": {}, "not_judged": [], "judged_cells": population, "drawn": shown}


def says(rater: str, *cells: str) -> Answers:
    """A rater's answers, in order; "?": it cannot be told."""
    said = {
        f"image-{i:03}": tuple({"1": True, "0": False, "?": None}[digit] for digit in cell)
        for i, cell in enumerate(cells)
    }
    return Answers(rater, said)  # type: ignore[arg-type]


def test_the_strata_are_as_equal_as_their_sizes_allow():
    assert allotted([100, 100, 100, 100], 100) == [25, 25, 25, 25]
    assert allotted([500, 3, 0, 500], 100) == [48, 3, 0, 49]
    assert allotted([5, 5, 5, 5], 100) == [5, 5, 5, 5]


def test_every_image_of_a_judged_cell_is_drawn_as_often_and_every_pair_gets_its_share():
    cells = np.repeat([0, 1, 3], [60, 30, 10])
    pairs = ["ab"[i % 3 == 0] for i in range(100)]
    drawn = Counter[int]()
    for seed in range(3000):
        picked = stratified(cells, pairs, 24, seed)
        assert len(set(picked.tolist())) == 24
        assert Counter(cells[picked].tolist()) == {0: 8, 1: 8, 3: 8}
        assert abs(sum(cells[i] == 0 and pairs[i] == "b" for i in picked) - 8 * 20 / 60) < 1
        drawn.update(picked.tolist())
    rates = np.array([drawn[i] for i in range(100)]) / 3000
    expected = np.repeat([8 / 60, 8 / 30, 8 / 10], [60, 30, 10])
    assert np.abs(rates - expected).max() < 4.5 * 0.5 / 3000**0.5


def test_weights_undo_the_strata():
    """The judge is right wherever it says 00, 900 of 1,000 images, and wrong in half of the rest; equally many of both
    were looked at.
    """
    key = by_hand(["00"] * 4 + ["11"] * 4, {"00": 900, "01": 0, "10": 0, "11": 100})
    person = says("a", *["00"] * 4, "11", "11", "10", "10")
    made = audit_of(key, [person, says("b", *["00"] * 4, "11", "11", "10", "10")])
    assert made["agreement"]["cell"]["value"] == pytest.approx(0.9 * 1 + 0.1 * 0.5)
    assert made["agreement"]["attributes"]["hat"]["value"] == 1
    assert made["agreement"]["attributes"]["beard"]["value"] == pytest.approx(0.95)
    assert made["agreement"]["cell"]["n"] == 8
    assert made["agreement"]["cell"]["effective_n"] == pytest.approx(1 / (0.9**2 / 4 + 0.1**2 / 4))
    # 00 and 11 by the judge: .9, .1; 00, 10 and 11 by the person: .9, .05, .05
    assert made["kappa"]["judge"][0]["kappa"] == pytest.approx((0.95 - 0.815) / (1 - 0.815))
    assert made["kappa"]["raters"][0]["kappa"] == 1


def test_kappa_is_that_of_a_known_table_and_its_interval_that_of_the_agreement():
    """20, 5, 10 and 15 of 50: they agree in 0.7, by chance in 0.5."""
    first, second = np.repeat([1, 1, 0, 0], [20, 5, 10, 15]), np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    found = kappa(first, second, np.full(50, 7.0))
    assert found["kappa"] == pytest.approx(0.4)
    assert found["ci"] == pytest.approx([(end - 0.5) / 0.5 for end in wilson(35, 50)])
    same = kappa(first, first, np.ones(50))
    assert same["kappa"] == pytest.approx(1)
    assert same["ci"][0] < 0.95  # fifty times the same is not always the same
    assert kappa(np.ones(9), np.ones(9), np.ones(9))["kappa"] is None


def test_where_all_images_count_alike_the_interval_is_wilsons():
    found = share(np.repeat([1.0, 0.0], [9, 1]), np.full(10, 3.0))
    assert found["ci"] == pytest.approx(wilson(9, 10))


def test_intervals_hold_the_truth_at_least_as_often_as_they_say():
    """People agree with the judge more, the rarer its cell; the truth is what they say of every image of the method."""
    rng, sizes, right = np.random.default_rng(0), [7000, 1500, 1200, 300], np.array([0.7, 0.9, 0.9, 0.95])
    judged = np.repeat(range(4), sizes)
    mistaken = [rng.random(10_000) > rate for rate in (right[judged], 0.97, 0.97)]  # both together, then each alone
    seen = [(judged + mistaken[0] + mistaken[rater]) % 4 for rater in (1, 2)]
    agreed, everything = np.mean([judged == said for said in seen], 0), np.ones(10_000)
    truths = (agreed.mean(), kappa(seen[0], seen[1], everything)["kappa"], kappa(judged, seen[0], everything)["kappa"])
    inside = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(np.flatnonzero(judged == cell), 25, replace=False) for cell in range(4)])
        weights = np.repeat(np.array(sizes) / 25, 25)
        found = (
            share(agreed[rows], weights),
            kappa(seen[0][rows], seen[1][rows], weights),
            kappa(judged[rows], seen[0][rows], weights),
        )
        inside.append([made["ci"][0] <= truth <= made["ci"][1] for made, truth in zip(found, truths, strict=True)])
    assert (np.mean(inside, 0) >= 0.93).all()


def test_images_that_a_rater_could_not_tell_are_left_out_of_what_they_concern():
    key = by_hand(["11", "11", "11"], {"00": 0, "01": 0, "10": 0, "11": 3})
    made = audit_of(key, [says("a", "11", "1?", "01"), says("b", "11", "11", "11")])
    assert made["agreement"]["cell"] == {**share(np.array([1.0, 0.5]), np.ones(2))}
    assert made["agreement"]["attributes"]["hat"]["n"] == 3
    assert made["agreement"]["attributes"]["beard"]["n"] == 2
    assert made["raters"] == {"a": {"cannot_tell": 1}, "b": {"cannot_tell": 0}}
    with pytest.raises(UserError, match="no image of which the raters could tell both"):
        audit_of(key, [says("a", "??", "1?", "?0")])


@pytest.mark.parametrize(
    ("images", "wrong", "verdict"),
    [(20, 3, "kept"), (20, 4, "withheld"), (10, 1, "kept"), (10, 2, "withheld"), (9, 9, "too few images")],
)
def test_a_pair_is_withheld_below_0_85_where_it_has_enough_images(images, wrong, verdict):
    key = by_hand(["11"] * images, {"00": 0, "01": 0, "10": 0, "11": images})
    person = ["11"] * (images - wrong) + ["01"] * wrong
    made = audit_of(key, [says("a", *person), says("b", *person)])
    assert made["pairs"]["hat=yes+beard=yes"]["verdict"] == verdict
    assert made["withheld"] == (["hat=yes+beard=yes"] if verdict == "withheld" else [])
    assert ("value" in made["pairs"]["hat=yes+beard=yes"]) == (verdict != "too few images")


def test_one_rater_is_allowed_and_said_to_be_too_few():
    key = by_hand(["11", "00"], {"00": 1, "01": 0, "10": 0, "11": 1})
    made = audit_of(key, [says("a", "11", "00")])
    assert made["kappa"]["raters"] == []
    assert "the protocol asks for two" in made["notes"][0]
    assert "kappa not there, one rater" in audits.line(made, {"d"})
    assert "do not believe" not in audits.line(made, {"d"})
    made["agreement"]["cell"]["value"] = 0.84
    assert "] below 0.85, so do not believe its pairs, kappa" in audits.line(made, {"d"})


def test_questions_are_in_the_words_of_the_data_set():
    phrases = {"a": {"x": [("is", "smiling")] * 2, "y": [("has", "long hair")] * 2, "z": [("wears", "a hat")] * 2}}
    said = [question(Vocabulary(phrases, subject="this bird"), f"a={value}") for value in "xyz"]
    assert said == ["Is this bird smiling?", "Does this bird have long hair?", "Does this bird wear a hat?"]


def test_raters_learn_neither_method_nor_judge_nor_prompt(drawn):
    key, form = read_key(drawn), (drawn / "raters/audit.html").read_text("utf-8")
    files = {path: path.read_bytes() for path in (drawn / "raters").rglob("*") if path.is_file()}
    assert sorted(path.name for path in files) == sorted(
        ["answers.csv", "audit.html", *(f"{name}.png" for name in key["drawn"])]
    )
    plain = re.sub(r'"png": "[^"]*"', "", form)
    for hidden in (
        "shuffled",
        "real",
        "faces",
        "pairs/",
        "hat=yes",
        "rare",
        "control",
        key["images"],
        '"01"',
        '"11"',
        "http://",
        "https://",
    ):
        assert hidden not in plain
        assert hidden not in (drawn / "raters/answers.csv").read_text("utf-8")
    shown = json.loads(re.search(r"images = (\[.*\]);", form)[1])  # type: ignore[index]
    assert [set(image) for image in shown] == [{"name", "questions", "png"}] * 24
    asked = {name: ["yes" for _ in image["literals"]] for name, image in key["drawn"].items()}
    assert [image["name"] for image in shown] == list(asked)


def test_what_is_drawn_is_what_the_judge_said_and_the_same_in_every_process(drawn):
    key = read_key(drawn)
    record = records.read(Path("runs/records/faces/text_to_image/shuffled-real/0.json"))
    pairs = next(value["details"]["pairs"] for value in record["values"].values() if "pairs" in value["details"])
    assert sum(key["judged_cells"].values()) == sum(row["n"] for row in pairs)
    assert key["judged_cells"]["11"] == sum(row["hits"] for row in pairs)
    sizes = [key["judged_cells"][cell] for cell in CELLS]
    assert sorted(Counter(image["cell"] for image in key["drawn"].values()).values()) == sorted(
        n for n in allotted(sizes, 24) if n
    )
    from PIL import Image

    for name, image in key["drawn"].items():
        pixels = np.asarray(Image.open(drawn / f"raters/images/{name}.png"))
        places = [list(ColumnJudge.attributes).index(literal.removesuffix("=yes")) for literal in image["literals"]]
        assert "".join(str(int(pixels[4, place, 0] > 128)) for place in places) == image["cell"]
    before = {path: path.read_bytes() for path in drawn.rglob("*") if path.is_file()}
    again = CliRunner().invoke(
        cli.app, ["audit", "draw", "faces.yaml", "shuffled-real", "--images", "24", "--folder", "a"]
    )
    assert again.exit_code == 0
    assert before == {path: path.read_bytes() for path in drawn.rglob("*") if path.is_file()}


def answer(folder: Path, rater: str, change: Callable[[list[dict[str, str]]], Any] = lambda rows: None) -> str:
    """The spreadsheet filled in as the judge sees it, then changed; the path of the file."""
    key = read_key(folder)
    with (folder / "raters/answers.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        first, second = ({"1": "yes", "0": "no"}[digit] for digit in key["drawn"][row["image"]]["cell"])
        row.update(rater=rater, answer_1=first, answer_2=second)
    change(rows)
    path = Path(f"{rater or 'nobody'}.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_an_audit_stands_beside_the_records_and_under_the_board(drawn, t2ibench):
    def one_is_wrong(rows: list[dict[str, str]]) -> None:
        rows[0]["answer_1"] = {"yes": "no", "no": "yes"}[rows[0]["answer_1"]]

    before = t2ibench("table", "--format", "markdown").stdout
    assert "human audit" not in before
    read = t2ibench("audit", "read", "a", answer(drawn, "Ann"), answer(drawn, "Bo [x]", one_is_wrong))
    assert (read.returncode, read.stderr) == (0, "")
    assert "kappa of Ann and Bo [x]" in read.stdout
    [made] = audits.load(Path("runs"))
    assert made["agreement"]["cell"]["n"] == 24
    assert made["kappa"]["judge"][0]["kappa"] == pytest.approx(1)
    assert made["kappa"]["raters"][0]["kappa"] < 1
    said = t2ibench("table", "--format", "markdown").stdout
    assert f"human audit of shuffled-real: agreement {made['agreement']['cell']['value']:.2f} [" in said
    assert said.replace("  \n" + audits.line(made, {made["images"]}), "") == before
    shown = t2ibench("audit", "read", "a", "Ann.csv", "Bo [x].csv", "--json").stdout
    assert json.loads(shown) == records.seal(made)
    assert t2ibench("report", "runs", "--out", "pages").returncode == 0
    assert "human audit of shuffled-real" in Path("pages/board.faces.text_to_image.html").read_text("utf-8")
    assert audits.line(made, {"of another run"}).endswith("of other images than these, audit it again")
    path = audits.path_of(Path("runs"), "faces", "shuffled-real")
    path.write_text(path.read_text("utf-8").replace('"n": 24', '"n": 240', 1), "utf-8")
    assert "not a sound audit" in t2ibench("table").stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[2].update(image="image-999"), "line 4: the audit has no image 'image-999'"),
        (lambda rows: rows[2].update(image=rows[1]["image"]), "line 4: image-002 is there twice"),
        (lambda rows: rows.pop(), "1 of 24 images have no row, the first image-024"),
        (lambda rows: rows[4].update(answer_2=""), "image-005: answer_2 is '', expected yes, no, cannot tell"),
        (
            lambda rows: rows[4].update(answer_1="maybe"),
            "image-005: answer_1 is 'maybe', expected yes, no, cannot tell",
        ),
        (lambda rows: rows[4].update(audit="audit-0"), "line 6 is of 'audit-0', expected 'audit-"),
        (lambda rows: rows[4].update(rater="Bo"), "the raters are ['Ann', 'Bo'], expected one name"),
        (lambda rows: [row.update(rater=" ") for row in rows], "the raters are [''], expected one name"),
        (lambda rows: [row.pop("answer_2") for row in rows], "the column 'answer_2' is missing"),
    ],
)
def test_bad_answers_are_one_line(drawn, t2ibench, change, said):
    refused = t2ibench("audit", "read", "a", answer(drawn, "Ann", change))
    assert refused.returncode == 2
    assert refused.stderr.startswith("t2ibench: Ann.csv: ")
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not Path("runs/audits").exists()


def test_other_wrong_files_are_one_line(drawn, t2ibench):
    def refused(*words: str) -> str:
        found = t2ibench("audit", *words)
        assert (found.returncode, found.stderr.count("\n")) == (2, 1), found.stderr
        return found.stderr

    ann = answer(drawn, "Ann")
    assert "a file of the rater 'Ann' was given already" in refused("read", "a", ann, ann)
    assert "no.csv cannot be read" in refused("read", "a", "no.csv")
    Path("x.csv").write_bytes(b"\xff\xfe\x00")
    assert "x.csv: not a CSV file in UTF-8" in refused("read", "a", "x.csv")
    assert "key.json cannot be read" in refused("read", "nowhere", ann)
    draw = ("draw", "faces.yaml", "shuffled-real")
    assert "holds another audit" in refused(*draw, "--images", "12", "--folder", "a")
    assert "no method 'shufled-real', did you mean 'shuffled-real'?" in refused("draw", "faces.yaml", "shufled-real")
    assert "is missing: run the suite first" in refused(*draw, "--out", "elsewhere")
    assert "name the --work of the run" in refused(*draw, "--work", "elsewhere")
    [image] = list(Path("runs/faces/text_to_image/shuffled-real").rglob(f"{_sample_of_first(drawn)}.png"))
    image.write_bytes((drawn / "raters/images/image-002.png").read_bytes())
    assert "is not the one that was scored" in refused(*draw, "--images", "24")
    journal = image.parent.parent / "journal.jsonl"
    journal.write_text("\n".join(journal.read_text("utf-8").splitlines()[:-1]) + "\n", "utf-8")
    assert "holds other images than those of" in refused(*draw)
    key = drawn / "key.json"
    key.write_text(key.read_text("utf-8").replace('"cell": "00"', '"cell": "11"', 1), "utf-8")
    assert "key.json: not a sound audit key (the content does not match its own sha256)" in refused("read", "a", ann)
    Path("faces.yaml").write_text(FACES.replace("images: 16", "images: 8"), "utf-8")
    assert "the suite asks for other prompts now" in refused(*draw)
    Path("faces.yaml").write_text(re.sub("metrics: .*", "metrics: [clip_score]", FACES), "utf-8")
    assert "compositional_accuracy is not among them" in refused(*draw)


def _sample_of_first(folder: Path) -> str:
    first = next(iter(read_key(folder)["drawn"].values()))
    lines = next(Path("runs/faces/text_to_image/shuffled-real").rglob("journal.jsonl")).read_text("utf-8").splitlines()
    return next(
        line["sample"]
        for line in map(json.loads, lines)
        if (line["prompt"], line["k"]) == (first["prompt"], first["k"])
    )
