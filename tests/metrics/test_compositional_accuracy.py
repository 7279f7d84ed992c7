"""Compositional accuracy end to end on a made-up data set, with generators and judges whose accuracy is known."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from face_words import VOCABULARY, WORDS, has
from no_images import NoImages

from t2ibench.core.errors import UserError
from t2ibench.core.settings import recorded
from t2ibench.data.rare_pairs import find_pairs
from t2ibench.data.split import Split, Vocabulary
from t2ibench.metrics.compositional_accuracy import Config, pair_outcomes, prompts, roles, score
from t2ibench.networks.vqa.contract import MALFORMED, Answers
from t2ibench.networks.vqa.questions import about, filled
from t2ibench.scoring.attribute_pairs.judge import YES_OR_NO
from t2ibench.tracks.contract import Prompt
from t2ibench.tracks.pair_texts import pair_text, single_text

ROOT = Path(__file__).parents[2]
SMALL = Config(images=8, single_images=4, draws=200)
Row = Mapping[str, str]


def split(name: str, table: pd.DataFrame) -> Split:
    count = len(table)
    return Split(
        "faces", name, [f"{name}{k}" for k in range(count)], NoImages(count), [("a face",)] * count, table, VOCABULARY
    )


def faces(count: int, seed: int) -> pd.DataFrame:
    """hat + beard and hat + smile are rare."""
    return pd.DataFrame(np.where(has(np.random.default_rng(seed).random((count, 5))), "yes", "no"), columns=list(WORDS))


TABLE = faces(10_000, 0)
TRAIN, REFERENCE = split("train", TABLE), split("test", faces(3_000, 1))
Generator = Callable[[Prompt, int], Row]


def perfect(prompt: Prompt, k: int) -> Row:
    return {name: "yes" if f"{name}=yes" in prompt.tags.get("literals", ()) else "no" for name in WORDS}


def careless(prompt: Prompt, k: int) -> Row:
    """Two of eight images lack the literal named last, equally in every pair."""
    row = dict(perfect(prompt, k))
    if len(prompt.tags["literals"]) == 2 and prompt.tags["template"] == 0:
        row[prompt.tags["literals"][1].removesuffix("=yes")] = "no"
    return row


def deaf(prompt: Prompt, k: int) -> Row:
    """Some training image, whatever the prompt."""
    return TABLE.iloc[zlib.crc32(f"{prompt.id} {k}".encode()) % len(TABLE)].to_dict()


class Scene:
    """What `score` sees of a cell. `misjudge` changes a table of true values into what the judge says."""

    judge, train, reference = "attribute-judge-faces", TRAIN, REFERENCE

    def __init__(
        self, generator: Generator, config: Config = SMALL, misjudge=lambda table: table, failed=(), can_render=True
    ) -> None:
        self.prompts = [Prompt(f"captions/{k}", "a face", reference=f"test{k}") for k in range(400)] + prompts(
            TRAIN, REFERENCE, config
        )
        self.generator, self.misjudge, self.failed, self.can_render = generator, misjudge, failed, can_render

    def samples(self, group: str) -> SimpleNamespace:
        asked = [(prompt, k) for prompt in self.prompts if prompt.group == group for k in range(prompt.images)]
        ok = np.array([(prompt.id, k) not in self.failed for prompt, k in asked])
        return SimpleNamespace(prompts=[prompt for prompt, _ in asked], k=[k for _, k in asked], ok=ok)

    def fake_attributes(self, group: str) -> pd.DataFrame:
        samples, generator = self.samples(group), deaf if group == "captions" else self.generator
        rows = [generator(samples.prompts[row], samples.k[row]) for row in np.flatnonzero(samples.ok)]
        return self.misjudge(pd.DataFrame(rows)).set_index(np.flatnonzero(samples.ok))

    def real_attributes(self, split: Split) -> pd.DataFrame:
        return self.misjudge(split.attributes)

    def real_probabilities(self, split: Split) -> pd.DataFrame:
        said = self.real_attributes(split)
        return pd.DataFrame({f"{name}=yes": (said[name] == "yes").astype(float) for name in said})

    def pair_images(self, conditions: Mapping[str, str], count: int) -> Split:
        return split(f"pair {sorted(conditions.items())}", faces(count, 2).assign(**conditions))

    def extractor_protocol(self, name: str) -> dict[str, str]:
        return {"extractor": name, "sha256": "0" * 64}


def scored(generator: Generator, config: Config = SMALL, **scene):
    return score(Scene(generator, config, **scene), config)  # type: ignore[arg-type]


def rows_of(values):
    return {row["pair"]: row for row in next(iter(values.values())).details["pairs"]}


def test_the_made_up_table_has_the_pairs_it_was_made_for():
    found = find_pairs(TABLE, VOCABULARY)
    assert {pair.name: pair.control and pair.control.name for pair in found.rare} == {
        "hat=yes+beard=yes": "beard=yes+scarf=yes",
        "hat=yes+smile=yes": "beard=yes+smile=yes",
    }
    assert set(roles(found)) >= {("hat=yes", "beard=yes"), ("beard=yes", "scarf=yes")}


def test_texts_name_each_literal_once_and_say_both_paraphrases_in_either_place():
    texts = [pair_text(VOCABULARY, "hat=yes", "beard=yes", template) for template in range(4)]
    assert texts == [
        "this person wears a hat and has a beard",
        "this person has a beard indeed and wears a hat indeed",
        "a photo of a person with a hat indeed and a beard indeed",
        "a photo of a person with a beard and a hat",
    ]
    assert (
        pair_text(VOCABULARY, "hat=yes", "smile=yes", 2)
        == "a photo of a person who wears a hat indeed and is smiling indeed"
    )
    assert len({single_text(VOCABULARY, "smile=yes", template) for template in range(4)}) == 4
    assert single_text(replace(VOCABULARY, noun="avatar"), "hat=yes", 2) == "a photo of an avatar with a hat"


def test_every_pair_is_asked_for_equally_often_and_once():
    asked = prompts(TRAIN, REFERENCE, SMALL)
    assert len({prompt.id for prompt in asked}) == len(asked)
    counts = (
        pd.Series({prompt.id: prompt.images for prompt in asked})
        .groupby([prompt.tags["pair"] for prompt in asked])
        .sum()
    )
    assert set(counts[counts.index.str.contains(r"\+")]) == {8}
    assert dict(counts[~counts.index.str.contains(r"\+")]) == {
        "beard=yes": 4,
        "hat=yes": 4,
        "smile=yes": 4,
    }  # literals of rare pairs only
    assert all(prompt.group == "pairs" for prompt in asked)


def test_a_perfect_generator_scores_one_and_has_no_gap():
    values = scored(perfect)
    assert [
        values[key].value for key in ("ca_rare", "ca_control", "ca_neutral", "ca_over", "ca_above_chance", "ca_worst")
    ] == [1.0] * 6
    assert values["ca_gap"].value == 0
    assert values["ca_gap"].ci[0] <= 0 <= values["ca_gap"].ci[1]
    assert values["ca_rare"].details["drop"]["value"] == 0


def test_the_gap_of_a_generator_equally_good_on_pair_and_control_is_zero():
    values = scored(careless)
    assert values["ca_rare"].value == values["ca_control"].value == 0.75
    assert values["ca_gap"].value == 0
    assert values["ca_gap"].ci[0] < 0 < values["ca_gap"].ci[1]
    assert values["ca_rare"].details["drop"]["value"] == pytest.approx(0.125)  # one literal of two falls from 1 to 0.75


def test_a_generator_that_ignores_its_prompt_is_not_above_chance():
    values = scored(deaf, replace(SMALL, images=400))
    assert values["ca_above_chance"].ci[0] <= 0 <= values["ca_above_chance"].ci[1]
    assert values["ca_rare"].value < 0.03
    assert (
        values["ca_gap"].details["raw"] == values["ca_gap"].value
    )  # every judgement is right, so there is nothing to correct
    assert values["ca_gap"].ci[0] > 0  # its controls are common, so it draws them by chance


def test_records_keep_what_each_image_adds_so_that_methods_pair_up():
    config = replace(SMALL, images=200)
    plain, corrected = scored(careless, config)["ca_rare"], scored(careless, config, misjudge=misses_a_tenth)["ca_rare"]
    words = corrected.details["per_sample"].split()
    assert len(words) == corrected.n == 400
    assert np.mean([float(word) for word in words]) == pytest.approx(corrected.value, abs=1e-5)
    assert {float(word) for word in plain.details["per_sample"].split()} == {0, 1}
    lost = {(f"pairs/hat=yes+beard=yes/{template}", k) for template in range(4) for k in range(2)}
    digits = scored(perfect, can_render=False, failed=lost)["ca_rare"].details["per_sample"]
    assert (
        digits == "1" * 8 + "0" * 8
    )  # uncorrected; hats with smiles are rarer, so come first; failed images are misses


def test_failed_images_are_misses():
    lost = {(f"pairs/hat=yes+beard=yes/{template}", 0) for template in range(4)}
    rows = rows_of(scored(perfect, failed=lost))
    assert (rows["hat=yes+beard=yes"]["hits"], rows["hat=yes+beard=yes"]["n"]) == (4, 8)
    assert rows["hat=yes+smile=yes"]["hits"] == 8


def test_a_method_without_a_single_image_scores_zero():
    everything = {(prompt.id, k) for prompt in prompts(TRAIN, REFERENCE, SMALL) for k in range(prompt.images)}
    values = scored(perfect, failed=everything)
    assert values["ca_rare"].value == 0
    assert values["ca_rare"].ci[0] == 0
    assert values["ca_rare"].ci[1] > 0


def test_pairs_with_unequal_numbers_of_images_are_an_error():
    hits = np.ones((5, 3), bool)
    asked = [("a", "b")] * 3 + [("a", "c")] * 2
    with pytest.raises(UserError, match=r"a\+c has 2 images, others 3"):
        pair_outcomes(hits, asked, [("a", "b"), ("a", "c")], ("a", "b", "c"))


def blind_to_beards_under_hats(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(beard=table["beard"].where(table["hat"] == "no", "no"))


def test_a_pair_on_which_the_judge_fails_is_listed_and_not_judged():
    values = scored(perfect, misjudge=blind_to_beards_under_hats)
    rare = values["ca_rare"]
    assert list(rare.details["not_judged"]) == ["hat=yes+beard=yes"]
    assert "beard=yes with hat=yes: balanced accuracy 0.500" in " ".join(
        rare.details["not_judged"]["hat=yes+beard=yes"]
    )
    assert (rare.details["pairs_judged"], rare.details["pairs_listed"], rare.value) == (1, 2, 1.0)
    assert rows_of(values)["hat=yes+beard=yes"]["status"] == "not judged"


def test_a_judge_that_passes_for_no_pair_is_an_error():
    with pytest.raises(UserError, match="passes its gate for none"):
        scored(perfect, misjudge=lambda table: table.assign(**dict.fromkeys(WORDS, "no")))


def test_an_attribute_that_the_judge_does_not_know_is_not_judged():
    values = scored(perfect, misjudge=lambda table: table.drop(columns="beard"))
    assert rows_of(values)["hat=yes+beard=yes"]["gate"]["failures"] == (
        "beard=yes: the judge does not know the attribute",
    )


def misses_a_tenth(table: pd.DataFrame) -> pd.DataFrame:
    """Every tenth row is judged to have nothing, in generated and real images alike."""
    return table.where(pd.Series(np.arange(len(table)) % 10 != 0, table.index), "no")


def test_the_errors_of_the_judge_are_taken_out_where_real_images_fill_every_cell():
    """The judge misses one image in ten, so a perfect generator looks like 0.9."""
    config = replace(SMALL, images=200)
    corrected, raw = (
        scored(perfect, config, misjudge=misses_a_tenth),
        scored(perfect, config, misjudge=misses_a_tenth, can_render=False),
    )
    assert corrected["ca_rare"].details["raw"] == pytest.approx(0.9, abs=0.01)
    assert corrected["ca_rare"].value == pytest.approx(1.0, abs=0.02)
    assert corrected["ca_rare"].ci[1] == 1.0
    assert rows_of(corrected)["hat=yes+beard=yes"]["status"] == "corrected"
    assert raw["ca_rare"].value == raw["ca_rare"].details["raw"]
    assert "uncorrected" in raw["ca_rare"].details["labels"]  # the reference has too few hats with beards
    assert rows_of(raw)["hat=yes+beard=yes"]["status"] == "uncorrected"


def test_small_runs_are_labelled_smoke():
    labels = scored(perfect)["ca_rare"].details["labels"]
    assert "smoke: 8 images a pair, a headline needs 100" in labels
    assert "smoke: 2 judged pairs, a headline needs 10" in labels


def test_the_same_evidence_gives_the_same_numbers_to_the_last_bit():
    first, second = scored(deaf, misjudge=misses_a_tenth), scored(deaf, misjudge=misses_a_tenth)
    assert {key: (value.value, value.ci, value.details) for key, value in first.items()} == {
        key: (value.value, value.ci, value.details) for key, value in second.items()
    }


def test_protocols_say_what_decides_a_number():
    values = scored(perfect)
    other = scored(perfect, replace(SMALL, images=16))
    assert values["ca_rare"].protocol != other["ca_rare"].protocol
    assert values["ca_rare"].protocol != values["ca_over"].protocol
    assert values["ca_rare"].protocol["judge"]["extractor"] == "attribute-judge-faces"
    values["ca_rare"].to_json("compositional_accuracy")


@pytest.mark.parametrize("images", [0, 6, -4])
def test_images_that_the_templates_cannot_share_are_an_error(images):
    with pytest.raises(UserError, match=f"images is {images}, expected a multiple of 4"):
        replace(SMALL, images=images)


def test_the_judge_finds_real_pairs_as_often_as_its_gate_predicts():
    """The committed ceiling of `avatars`: images that were not among those of the gate, within 0.03 of its rate on the
    pair's own cell.
    """
    record = json.loads((ROOT / "results/records/avatars/text_to_image/real/0.json").read_text("utf-8"))
    rows = [row for row in record["values"]["ca_rare"]["details"]["pairs"] if row["status"] == "corrected"]
    assert len(rows) >= 20
    assert abs(np.mean([row["ca"] - row["ceiling"] for row in rows])) <= 0.03
    assert (
        max(abs(row["ca"] - row["ceiling"]) for row in rows) <= 0.1
    )  # of 100 images, each a Wilson interval of 0.04 to 0.1


def test_a_data_set_without_attributes_or_rare_pairs_is_an_error():
    with pytest.raises(UserError, match="faces has no attributes"):
        prompts(replace(TRAIN, attributes=None), REFERENCE, SMALL)
    with pytest.raises(UserError, match="no pair is under-represented"):
        prompts(
            replace(TRAIN, vocabulary=Vocabulary({"tie": VOCABULARY.phrases["tie"], "hat": VOCABULARY.phrases["hat"]})),
            REFERENCE,
            SMALL,
        )


class Questioned(Scene):
    """A scene that is judged by questions. `answer` says what becomes of the question about a literal."""

    def __init__(self, generator: Generator, config: Config, answer=lambda has: (float(has), int(not has))) -> None:
        super().__init__(generator, config)
        self.answer, self.asked = answer, list[str]()

    def samples(self, group: str) -> SimpleNamespace:
        samples = super().samples(group)
        samples.rows = np.flatnonzero(samples.ok)
        return samples

    def _answers(self, rows: Mapping[int, Row], asked) -> Answers:
        literal = {question: name for name in WORDS for question in [self.question(name)]}
        given = [self.answer(rows[row][literal[question]] == "yes") for row, question in asked]
        self.asked += [question for _, question in asked]
        p = np.array([[p, 1 - p] for p, _ in given], np.float32)
        return Answers(p, np.array([chosen for _, chosen in given]), [])

    def question(self, name: str) -> str:
        return filled(YES_OR_NO, about(VOCABULARY, f"{name}=yes"))

    def fake_answers(self, name: str, asked, sets, group: str) -> Answers:
        samples, generator = self.samples(group), deaf if group == "captions" else self.generator
        rows = {row: generator(samples.prompts[row], samples.k[row]) for row in {row for row, _ in asked}}
        return self._answers(rows, asked)

    def real_answers(self, name: str, asked, sets, split: Split) -> Answers:
        assert split.attributes is not None
        return self._answers(dict(enumerate(split.attributes.to_dict("records"))), asked)  # type: ignore[arg-type]

    def vqa_protocol(self, name: str, sets) -> dict[str, str]:
        return {"vqa": name}


ASKED = replace(SMALL, judge="vqa:some-model")


def test_a_model_that_answers_rightly_gives_the_values_of_a_trained_judge_under_names_of_its_own():
    scene = Questioned(careless, ASKED)
    asked, trained = score(scene, ASKED), scored(careless)  # type: ignore[arg-type]
    assert set(asked) == {f"vqa_{id}" for id in trained}
    for id, value in trained.items():
        assert asked[f"vqa_{id}"].value == pytest.approx(value.value), id
        assert asked[f"vqa_{id}"].protocol_id != value.protocol_id
    assert "Does this person wear a hat? Please answer yes or no." in scene.asked
    outcomes = asked["vqa_ca_rare"].details["vqa_outcomes"]
    assert outcomes["pairs"]["malformed"] == outcomes["pairs"]["failed"] == 0


def test_a_model_that_is_often_wrong_passes_no_gate():
    with pytest.raises(UserError, match="passes its gate for none"):
        score(Questioned(perfect, ASKED, lambda has: (0.6, 0)), ASKED)  # type: ignore[arg-type]


def test_malformed_answers_are_counted_and_are_no_yes():
    def answer(has: bool) -> tuple[float, int]:
        return (0.4, MALFORMED) if has else (0.0, 1)

    scene = Questioned(perfect, ASKED, answer)
    with pytest.raises(UserError, match="passes its gate for none"):
        score(scene, ASKED)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"judge": "some-model"}, {"judge": "vqa:"}, {"judge": "vqa:a", "probe": "b"}])
def test_a_judge_is_named_in_one_way(settings):
    with pytest.raises(UserError, match="expected vqa:NAME alone, or a probe, or neither"):
        Config(**settings)


def test_without_a_judge_that_is_asked_the_settings_are_recorded_as_before():
    assert "judge" not in recorded(Config())
    assert recorded(ASKED)["judge"] == "vqa:some-model"
