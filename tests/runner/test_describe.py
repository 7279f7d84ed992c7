"""What is said about a name before it is run; the keys of a suite as a page and as a JSON schema; parts of suites."""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from t2ibench import cli
from t2ibench.core import records
from t2ibench.core.documented import meanings_of, schema_of, settings_of_class, type_words
from t2ibench.core.errors import UserError
from t2ibench.runner import run as runner
from t2ibench.runner import suite
from t2ibench.runner.describe import described
from t2ibench.runner.narrow import narrowed
from t2ibench.runner.plan import check_methods
from t2ibench.runner.schema import keys_page, suite_schema

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Base:
    """A base.

    width: pixels a side,
        as they are.
    """

    width: int
    # of the
    # training
    rate: float = 0.5


@dataclass(frozen=True)
class Config(Base):
    names: tuple[str, ...] = ("a",)  # of things
    root: Path | None = None
    more: dict = field(default_factory=dict)


def test_settings_are_read_with_their_meaning_from_docstrings_and_comments():
    assert meanings_of(Config) == {
        "width": "pixels a side, as they are.",
        "rate": "of the training",
        "names": "of things",
    }
    [width, *_] = settings_of_class(Config)
    assert (width.required, width.type) == (True, "whole number")
    assert [one.type for one in settings_of_class(Config)[2:]] == ["list of text", "path or null", "mapping"]
    assert type_words(bool) == "true or false"
    schema = schema_of(Config)
    assert schema["required"] == ["width"]
    assert schema["properties"]["names"] == {
        "type": "array",
        "items": {"type": "string"},
        "description": "of things",
        "default": ["a"],
    }


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("gan-cls", ["method"]), ("gan_cls", ["method"]), ("avatars", ["dataset", "suite"]), ("fid", ["metric"])],
)
def test_a_name_is_described_as_everything_that_it_is(name, kinds):
    found = described(name)
    assert [one.kind for one in found] == kinds
    assert all(one.about for one in found)


def test_a_variant_is_described_with_its_settings_paper_and_weights():
    [one] = described("gan-cls")
    assert {setting.name: setting.default for setting in one.settings}["variant"] == "gan-cls"
    assert one.facts["paper"] == "Generative Adversarial Text to Image Synthesis, ICML 2016"
    assert "trained on avatars train" in one.facts["weights gan-cls-avatars"]
    assert one.facts["tracks"] == "text_to_image"


def test_an_unknown_name_is_one_line_with_the_nearest():
    with pytest.raises(
        UserError, match=r"no method, metric, data set or suite is called 'gan-clss', did you mean 'gan-cls'"
    ):
        described("gan-clss")


def test_the_command_prints_it_at_80_columns_and_as_json(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(cli.app, ["describe", "prdc"], catch_exceptions=False).output
    assert max(map(len, said.splitlines())) <= 80
    assert "most" in said
    assert "10000" in said
    told = CliRunner().invoke(cli.app, ["describe", "prdc", "--json"], catch_exceptions=False).output
    k = {"name": "k", "type": "whole number, at least 1", "default": "5", "meaning": "", "required": False}
    assert k in yaml.safe_load(told)[0]["settings"]


def test_every_suite_that_ships_fits_the_schema_and_a_wrong_one_does_not():
    jsonschema = pytest.importorskip("jsonschema", reason="the extra `dev-all` has it")
    schema = suite_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for path in suite.available().values():
        assert not list(check.iter_errors(yaml.safe_load(path.read_text("utf-8")))), path
    good = {"dataset": {"name": "avatars"}, "methods": ["gan"], "metrics": ["fid"]}
    assert check.is_valid(good)
    broken: list[dict] = [
        {"method": []},
        {"methods": ["gna"]},
        {"metrics": [{"name": "fid", "fewst": 2}]},
        {"seeds": ["a"]},
    ]
    for wrong in broken:
        assert not check.is_valid({**good, **wrong}), wrong


def test_the_page_of_the_keys_is_made_from_the_dataclasses():
    text = (ROOT / "docs/suites.md").read_text("utf-8")
    [shown] = re.findall(r"<!-- keys -->\n(.*)<!-- end of keys -->", text, re.S)
    assert shown == keys_page(), (
        "docs/suites.md: put the answer of t2ibench.runner.schema.keys_page() between its marks"
    )
    for key in [one.name for one in dataclasses.fields(suite.File)]:
        assert f"| `{key}` |" in shown
    assert "|  |" not in shown  # each key says what it means


# parts of a suite


def run(part) -> dict[str, runner.CellResult]:
    return {cell.record["method"]: cell for cell in runner.run(part, runner.RunOptions(jobs=1))}


def test_a_part_of_the_methods_leaves_their_cells_what_they_are(squares):
    whole = suite.load(str(squares(("", ""))))
    part = run(narrowed(whole, methods=["painter"]))
    assert list(part) == ["painter"]
    after = run(whole)
    assert not after["painter"].fresh
    assert records.comparable(after["painter"].record) == records.comparable(part["painter"].record)


def test_a_trial_is_a_suite_of_its_own(squares):
    whole = suite.load(str(squares(("", ""))))
    trial = narrowed(whole, methods=["painter"], limit=4)
    assert trial.name == f"{whole.name}-first-4"
    [cell] = run(trial).values()
    assert max(cell.record["prompts"]["images"].values()) <= 4 * 8
    assert cell.record["prompts"]["images"]["captions"] == 4
    assert whole.name in str(cell.path)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"methods": ["paintr"]}, "--methods: squares has no 'paintr', did you mean 'painter'"),
        ({"tracks": ["text_to_imag"]}, "--tracks: squares has no 'text_to_imag', did you mean 'text_to_image'"),
    ],
)
def test_a_part_that_does_not_exist_is_one_line(squares, options, line):
    with pytest.raises(UserError, match=line):
        narrowed(suite.load(str(squares(("", "")))), **options)


def test_a_part_of_the_tracks_keeps_the_metrics_that_score_them():
    part = narrowed(suite.load("quick"), tracks=["adapt"])
    assert part.tracks == ("adapt",)
    assert "directional_similarity" in [entry.name for entry in part.metrics]
    assert "clip_score" not in [entry.name for entry in part.metrics]
    assert part.must_make == set()
    assert [entry.id for entry in part.methods] == ["stylegan-nada"]
    assert [entry.id for entry in part.baselines] == ["real", "unadapted-stylegan-nada"]
    check_methods(part)
