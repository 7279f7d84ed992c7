"""t2ibench/runner/suite.py: one flat file decides a run, and what is wrong in it is said in one line."""

from pathlib import Path

import pytest

from t2ibench.core.errors import UserError
from t2ibench.runner import suite
from t2ibench.scoring.score import metrics_of


@pytest.mark.parametrize("name", sorted(suite.available()))
def test_the_metrics_of_a_shipped_suite_take_its_settings(name):
    """Such as counts of images that every template gets equally many of."""
    wanted = suite.load(name)
    assert len(metrics_of(wanted.metrics, name)) == len(wanted.metrics)


@pytest.mark.parametrize("name", sorted(suite.available()))
def test_a_shipped_suite_loads_and_its_first_line_says_how_long_it_takes(name):
    loaded = suite.load(name)
    assert loaded.name == name
    assert "minutes" in loaded.title.lower()
    assert min(len(loaded.methods), len(loaded.metrics)) > 0
    assert loaded.dataset.name == "prompts" or "real" in [entry.id for entry in loaded.baselines]


@pytest.mark.parametrize("name", ["smoke", "edits"])
def test_the_small_suites_of_the_tests_load(name):
    loaded = suite.load(str(Path(__file__).parents[1] / "suites" / f"{name}.yaml"))
    assert loaded.title


def test_the_full_suite_asks_for_at_least_20_rare_pairs_of_100_images():
    [pairs] = [metric for metric in suite.load("avatars").metrics if metric.name == "compositional_accuracy"]
    from t2ibench.metrics.compositional_accuracy import Config

    config = Config(**pairs.settings)
    assert config.rare_pairs >= 20
    assert config.images >= 100


def test_entries_take_settings_and_names_of_their_own(squares):
    loaded = suite.load(str(squares()))
    assert [(entry.id, entry.name, dict(entry.settings)) for entry in loaded.methods] == [
        ("painter", "painter", {}),
        ("blind", "painter", {"colour_blind": True}),
    ]
    assert [entry.id for entry in loaded.baselines] == ["real", "shuffled-real", "unconditional-painter"]
    assert loaded.seeds == (0,)
    assert loaded.reference == suite.Reference("test", None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("methods:", "metods:", "squares.yaml: unknown key 'metods', did you mean 'methods'?"),
        ("[painter,", "[paintr,", "squares.yaml: methods: no method is called 'paintr', did you mean 'painter'?"),
        ("hue, pair", "hoe, pair", "squares.yaml: metrics: no metric is called 'hoe', did you mean 'hue'?"),
        (
            "name: squares",
            "name: sqares",
            "squares.yaml: dataset: no dataset is called 'sqares', did you mean 'squares'?",
        ),
        ("of: painter", "of: panter", "no method is called 'panter', did you mean 'painter'?"),
        ("[real,", "[reel,", "squares.yaml: baselines: no baseline is called 'reel', did you mean 'real'?"),
        ("as: blind, ", "", "squares.yaml: methods: 'painter' stands there twice"),
        ("as: blind", "as: ../blind", "cannot be a file name"),
        ("captions: 20", "caption: 20", "squares.yaml: prompts: unknown key 'caption', did you mean 'captions'?"),
        ("captions: 20", "captions: many", "squares.yaml: prompts: captions is 'many', expected int"),
        ("captions: 20", "captions: 0", "prompts: captions is 0, expected at least 1"),
        ("metrics:", "seeds: []\nmetrics:", "seeds is empty"),
        ("metrics:", "seeds: [3, 3]\nmetrics:", "seeds names one twice: [3, 3]"),
        ("metrics:", "tracks: [edits]\nmetrics:", "no track is called 'edits', did you mean 'edit'?"),
        ("dataset: {name: squares}", "dataset: {name: squares", "is no YAML"),
        ("dataset: {name: squares}\n", "", "squares.yaml: the key 'dataset' is missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(squares, old, new, said):
    path = squares((old, new))
    with pytest.raises(UserError) as error:
        suite.load(str(path))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_suite_is_named_with_the_nearest():
    with pytest.raises(UserError, match="no suite is called 'quik', did you mean 'quick'"):
        suite.load("quik")
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read"):
        suite.load("nowhere.yaml")
