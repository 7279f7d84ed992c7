"""One word gives the settings of the released code, of the paper, or those that suit what ships."""

import dataclasses
from typing import Any

import pytest

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.core.plugins import Entry
from t2ibench.core.settings import with_preset
from t2ibench.data.split import Networks
from t2ibench.methods.composer.settings import PAPER as COMPOSER
from t2ibench.methods.styleclip.settings import Config as StyleClip
from t2ibench.methods.stylegan_nada import PRESETS as NADA
from t2ibench.methods.stylegan_nada.layers import row_table
from t2ibench.methods.stylegan_nada.settings import Config as Nada
from t2ibench.methods.stylegan_nada.training import BETAS
from t2ibench.networks.stylegan2 import Config as Layout
from t2ibench.runner.methods import configured, guided
from t2ibench.runner.suite import load
from t2ibench.tracks.contract import load_method

AVATARS = Networks(guides=("clip-guide-avatars",))


IDS = plugins.method_ids()  # of every method: its module, and the settings of its variant


def config_of(method: str, **settings: Any) -> Any:
    plugin, variant = IDS[method]
    return configured(Entry(method, plugin, {**variant, **settings}, "method"), "here")[1]


METHODS = sorted(IDS)
CASES = [(method, preset) for method in METHODS for preset in load_method(IDS[method][0]).PRESETS]


@pytest.mark.parametrize(("method", "preset"), CASES)
def test_every_preset_of_every_method_is_a_config_and_gives_way_to_a_setting_beside_it(method, preset):
    name, variant = IDS[method]
    module = load_method(name)
    chosen = config_of(method, preset=preset)
    assert chosen == module.Config(**{**module.PRESETS[preset], **variant})
    defaults = {field.name: field.default for field in dataclasses.fields(module.Config)}
    own = {key: defaults[key] for key in module.PRESETS[preset]}
    assert config_of(method, preset=preset, **own) == config_of(method, **own)


@pytest.mark.parametrize("method", METHODS)
def test_what_ships_is_embedded(method):
    if "embedded" in load_method(IDS[method][0]).PRESETS:
        assert config_of(method, preset="embedded") == config_of(method)


def test_every_method_of_a_paper_has_the_presets_that_its_sources_allow():
    presets = {name: set(load_method(name).PRESETS) for name in plugins.find("methods")}
    three = {"embedded", "reference", "paper"}
    assert {name: words for name, words in presets.items() if words} == {
        "composer": {"embedded", "paper"},  # nothing was released
        "gan_cls": three,
        "styleclip": three,
        "stylegan_nada": {"embedded", "reference"},  # nothing of the paper beyond its abstract could be checked
        "stylet2i": three,
    }


def test_the_scripts_of_styleclip_are_one_word():
    optimization = config_of("styleclip-optimization", preset="reference")
    assert (optimization.steps, optimization.lambda_l2, optimization.lambda_id) == (300, 0.008, 0.0)
    assert (optimization.clip_input, optimization.l2, optimization.learning_rate) == ("reference", "reference", 0.1)
    mapper = config_of("styleclip-mapper", preset="reference")
    assert (mapper.mapper_steps, mapper.mapper_batch, mapper.mapper_optimiser) == (50_000, 2, "ranger")
    assert (mapper.mapper_schedule, mapper.levels, mapper.identity) == ("constant", "reference", "model_ir_se50.pth")
    edit = config_of("styleclip-global", preset="reference")
    assert (edit.relevance, edit.base, edit.select, edit.beta, edit.alpha) == ("table", "cumulative", "beta", 0.15, 4.1)
    assert (edit.images, edit.statistics_samples, edit.templates) == (100, 100_000, "imagenet")
    paper = config_of("styleclip-global", preset="paper")
    assert (paper.scaling, paper.center, paper.unit_differences) == ("paper", "own", False)  # eq. 5 and 6
    assert (paper.alpha, paper.select, paper.channels) == (3.0, "automatic", 20)  # app. C, faces


def test_nothing_of_ours_is_left_in_the_released_settings_of_stylegan_nada():
    config = config_of("stylegan-nada", preset="reference")
    assert (config.views, config.paired, config.row_map, config.train_noise) == (0, False, "reference", True)
    assert (config.steps, config.batch, config.learning_rate) == (301, 2, pytest.approx(0.002 * 4 / 5))
    assert (0.0, pytest.approx(0.99 ** (4 / 5))) == BETAS
    ours = {"generator", "clips", "clip_weights", "weights", "source", "prompts", "domains", "floor", "view_scale"}
    chosen = {"target_images", "texture", "mining_steps"}
    assert {field.name for field in dataclasses.fields(Nada)} == NADA["reference"].keys() | ours | chosen
    assert config.layers >= len(row_table(Layout(1024), "reference"))  # k of the README: every layer that is ranked


def test_nothing_of_styleclip_is_left_to_chance():
    chosen = {"variant", "generator", "clip", "neutral", "encoder", "projection_steps", "rows", "batch", "channels"}
    files = {"lpips", "lpips_trunk", "mapper_weights", "mappers", "mapper_latents", "latents"}
    files |= {"directions", "statistics", "codes"}
    named = load_method("styleclip").PRESETS["reference"].keys()
    assert {field.name for field in dataclasses.fields(StyleClip)} - named == chosen | files | {"probes"}


def test_the_budgets_of_stylegan_nada_are_a_suite():
    source = plugins.find("methods")["stylegan_nada"]
    assert source is not None
    suite = load(str(source.with_name("budgets.yaml")))
    configs = {entry.id: configured(guided(entry, AVATARS, "here"), "here")[1] for entry in suite.methods}
    assert configs["nada-readme"].clips == AVATARS.guides
    assert configs["nada-notebook"].steps == 151
    assert configs["nada-shape"].mixing == 0.9
    assert [int(configs["nada-shape"].layers * rows) for rows in (18, 14)] == [12, 9]  # of 1024 and 256 pixels


def test_the_paper_of_composer_gives_batches_and_iterations():
    sizes = {cls.__name__: (cls(**given).size, cls(**given).batch) for cls, given in COMPOSER.items()}
    assert sizes == {
        "Training": ("paper", 1024),
        "UpsamplerTraining": ("paper-256", 512),
        "PriorTraining": ("paper", 4096),
    }


@pytest.mark.parametrize(
    ("method", "preset", "says"),
    [
        ("styleclip-global", "refrence", "preset is 'refrence', expected 'embedded' or 'reference' or 'paper'"),
        ("stylegan-nada", "paper", "preset is 'paper', expected 'embedded' or 'reference'"),
        ("styleclip-global", ["paper"], r"preset is \['paper'\], expected"),
        ("image_folder", "paper", "preset is 'paper', expected none, since it has no presets"),
    ],
)
def test_a_preset_that_there_is_not_is_one_line(method, preset, says):
    with pytest.raises(UserError, match=f"^here: {method}: {says}") as error:
        config_of(method, preset=preset)
    assert "\n" not in str(error.value)


def test_settings_without_a_preset_stay_as_they_are():
    assert with_preset({"paper": {"a": 1}}, {"b": 2}, "here") == {"b": 2}
    assert with_preset({"paper": {"a": 1, "b": 3}}, {"b": 2, "preset": "paper"}, "here") == {"a": 1, "b": 2}
