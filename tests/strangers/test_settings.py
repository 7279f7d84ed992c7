"""Several settings and layouts: one metric twice, arrays and lists of images, and diffusers as its guides use it."""

import json
from pathlib import Path
from typing import Any

import diffusers
import diffusers_tiny
import numpy as np
import pytest
import torch
from folders import folder, image, lines, named, noise, one_line
from PIL import Image
from typer.testing import CliRunner

from t2ibench import cli, score_images
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.settings import settings_of
from t2ibench.data.folders import store_of
from t2ibench.methods.diffusers_pipeline import Config, Method
from t2ibench.networks.extractors import Extractor
from t2ibench.networks.models import Models
from t2ibench.report import board
from t2ibench.runner import suite
from t2ibench.tracks.contract import TextToImage

MADE = np.random.default_rng(0).integers(20, 256, (12, 3, 16, 16), np.uint8)
REAL = np.random.default_rng(1).integers(20, 256, (12, 3, 16, 16), np.uint8)


def patches(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images[:, :1].float(), 4).flatten(1) / 255


@pytest.fixture
def extractor(monkeypatch, tmp_path) -> str:
    """An extractor that needs no weights: means of patches."""
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "t2ibench.scoring.evidence.find", lambda models, name: Extractor(name, "0" * 64, "none", patches)
    )
    return "patches"


# images in memory


LAYOUTS = {
    "NHWC": lambda: MADE.transpose(0, 2, 3, 1),
    "NHWC tensor": lambda: torch.from_numpy(MADE).permute(0, 2, 3, 1),
    "PIL": lambda: [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in MADE],
    "PIL with an opaque alpha": lambda: [Image.fromarray(x.transpose(1, 2, 0)).convert("RGBA") for x in MADE],
    "arrays": lambda: list(MADE),
    "arrays HWC": lambda: tuple(pixels.transpose(1, 2, 0) for pixels in MADE),
    "tensors": lambda: list(torch.from_numpy(MADE)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_numbers(extractor, layout):
    given: Any = LAYOUTS[layout]()
    np.testing.assert_array_equal(store_of(given, None)[2].read(range(12)), MADE)
    same, value = (score_images(x, REAL, ["prdc"], extractor=extractor)["density"].value for x in (MADE, given))
    assert value == same


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (MADE / 255, r"images are float64 [12, 3, 16, 16], expected uint8 [N, 3, H, W] or [N, H, W, 3]: round them"),
        (MADE[:, :1], "images are uint8 [12, 1, 16, 16], expected uint8"),
        (MADE[0], "images are uint8 [3, 16, 16], expected uint8"),
        ([], "the list of images is empty"),
        ([MADE[0], None], "image 1: found NoneType, expected a PIL image or an array"),
        (["0.png"], "image 0: found str, expected a PIL image or an array"),
        ([Image.new("RGBA", (4, 4))], "image 0: 100% of its pixels are transparent"),
        ([Image.new("F", (4, 4))], "image 0: its levels are F (32 bits or floats)"),
    ],
)
def test_what_is_no_image_is_one_line(images, message):
    with pytest.raises(UserError) as error:
        store_of(images, None)
    assert message in one_line(error.value)
    assert ("round them" in str(error.value)) == ("float" in message and "32 bits" not in message)


def test_three_rows_and_three_columns_are_channels_first():
    pixels = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    np.testing.assert_array_equal(store_of(pixels, None)[2].read([0, 1]), pixels)


def test_none_among_the_texts_is_one_line():
    with pytest.raises(UserError, match="prompts:8 is None, expected a text"):
        score_images(MADE[:8], REAL, ["clip_score"], prompts=["a"] * 7 + [None])  # type: ignore[list-item]


def test_images_of_several_sizes_are_scored_from_a_folder_and_from_a_list(extractor, tmp_path):
    pictures = [
        Image.fromarray(pixels.transpose(1, 2, 0)).resize((16 + row % 3, 16), Image.Resampling.BICUBIC)
        for row, pixels in enumerate(MADE)
    ]
    tmp_path.joinpath("made").mkdir()
    for row, picture in enumerate(pictures):
        picture.save(tmp_path / f"made/{row}.png")
    of_folder, of_list = (
        score_images(given, REAL, ["prdc"], extractor=extractor)["density"] for given in (tmp_path / "made", pictures)
    )
    assert of_folder.value == of_list.value
    assert "read" not in of_folder.protocol


# the lines of `score`


def test_the_command_shows_the_first_and_the_last_pair_and_what_it_passed_over(extractor, tmp_path):
    made = folder(tmp_path / "made", [f"{row}.png" for row in range(12)])
    for row, pixels in enumerate(MADE):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(made / f"{row}.png")
    (made / "x.heic").write_bytes(b""), (made / ".y.png").write_bytes(b"")
    lines(tmp_path / "p.jsonl", named({f"{row}.png": f"text {row}" for row in reversed(range(12))}))
    words = ["score", str(made), "--reference", str(noise(tmp_path / "real", 12)), "--metrics", "prdc"]
    words += ["--extractor", extractor, "--prompts", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "r.json")]
    said = "".join(
        CliRunner().invoke(cli.app, words, catch_exceptions=False).output.split()
    )  # lines may break anywhere
    assert 'p.jsonl,byfilename;first:0.png←"text0";last:11.png←"text11"' in said
    assert "made:12images;passedover:1.heic,1hidden" in said
    record = records.read(tmp_path / "r.json")
    assert record["facts"]["pairs"] == {
        "from": "p.jsonl, by file name",
        "first": ["0.png", "text 0"],
        "last": ["11.png", "text 11"],
    }
    assert record["facts"]["reading"] == {"made": {}, "reference": {}}


def test_the_choices_of_reading_are_options_and_part_of_the_identity(extractor, tmp_path):
    made, real = noise(tmp_path / "made", 12), noise(tmp_path / "real", 12, 1)
    image(made / "000.png", 9, (16, 16), "RGBA")  # grey 9 under an alpha of 9
    words = ["score", str(made), "--reference", str(real), "--metrics", "prdc", "--extractor", extractor, "--json"]
    identities = []
    for options in (["--alpha", "white"], ["--alpha", "drop"], ["--alpha", "white", "--exif", "turn"]):
        record = json.loads(CliRunner().invoke(cli.app, [*words, *options], catch_exceptions=False).output)
        identities.append(record["identity"])
        assert record["values"]["density"]["protocol"]["read"] == {"alpha": options[1]}
        assert record["facts"]["reading"]["made"] == {
            f"on {options[1]}" if options[1] != "drop" else "alpha dropped": 1
        }
    assert len(set(identities)) == 2  # no image has an EXIF orientation
    assert isinstance(CliRunner().invoke(cli.app, words).exception, UserError)


# one metric twice


def parsed(tmp_path: Path, *metrics: str) -> suite.Suite:
    path = tmp_path / "s.yaml"
    path.write_text(f"# t\ndataset: {{name: avatars}}\nmethods: [gan]\nmetrics: [{', '.join(metrics)}]\n")
    return suite.load(str(path))


@pytest.mark.parametrize(
    ("metrics", "ids"),
    [
        (("fid", "{name: fid, as: fd_clip, extractor: clip-judge-avatars}"), ["fid", "fd_clip"]),
        (("{name: clip_score, as: a}", "{name: clip_score, as: b}", "clip_score"), ["a", "b", "clip_score"]),
        (("prdc", "{name: prdc, as: k3, k: 3}"), ["prdc", "k3"]),
    ],
)
def test_one_metric_stands_in_a_suite_with_several_settings(tmp_path, metrics, ids):
    entries = parsed(tmp_path, *metrics).metrics
    assert [entry.id for entry in entries] == ids
    assert all("as" not in entry.settings for entry in entries)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (
            ("fid", "{name: fid, fewest: 9}"),
            "metrics: 'fid' stands there twice: give one of them another name with `as:`",
        ),
        (("fid", "{name: fid, as: fid}"), "'fid' stands there twice"),
        (("{name: fid, as: a@b}",), "as: 'a@b' cannot be a file name"),
        (("{name: fid, as: a b}",), "as: 'a b' cannot be a file name"),
    ],
)
def test_names_that_do_not_tell_metrics_apart_are_one_line(tmp_path, metrics, message):
    with pytest.raises(UserError) as error:
        parsed(tmp_path, *metrics)
    assert message in one_line(error.value)


def test_both_settings_stand_on_one_board_each_with_its_own_numbers(squares, t2ibench):
    path = squares(("metrics: [hue, pair_hue]", "metrics: [hue, {name: hue, as: again}, pair_hue]"))
    assert t2ibench("run", str(path)).returncode == 0
    rows = records.load(Path("runs"))
    assert {"hue", "hue@again"} <= set(rows[0]["values"])
    assert rows[0]["values"]["hue@again"]["metric"] == "hue"
    assert [metric.get("as") for metric in rows[0]["identity_of"]["metrics"]] == [None, "again", None]
    [whole] = board.boards(rows)
    columns = {column.id: column for column in whole.columns}
    assert board.question(columns["hue@again"]) == board.question(columns["hue"])
    for row in whole.rows:
        assert row.cells["hue@again"].value == row.cells["hue"].value
    answer = t2ibench("table", "runs", "--columns", "hue@again", "--format", "latex")
    assert answer.returncode == 0
    assert "hue@again" in answer.stdout


def test_the_same_values_twice_without_a_name_are_one_line(squares, t2ibench):
    path = squares(("metrics: [hue, pair_hue]", "metrics: [hue, hue]"))
    answer = t2ibench("run", str(path))
    assert answer.returncode == 2
    assert "'hue' stands there twice: give one of them another name with `as:`" in answer.stderr


# diffusers


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    return diffusers_tiny.stable_diffusion(tmp_path_factory.mktemp("pipelines") / "tiny")


def drawn(pipeline: Path, **settings: Any) -> np.ndarray:
    method = Method(Config(str(pipeline), steps=2, **settings), Models())
    return method.text_to_image([TextToImage("a red square", 7)])[0].permute(1, 2, 0).numpy()


def test_clip_skip_reads_an_earlier_layer_with_the_last_norm(pipeline):
    """As the guide says: clip_skip 1 takes the layer before the last, and the final norm is still applied."""
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(pipeline)
    encoder = theirs.text_encoder

    def embedded(text: str) -> torch.Tensor:
        ids = theirs.tokenizer(text, padding="max_length", max_length=24, return_tensors="pt").input_ids
        with torch.no_grad():
            layers = encoder(ids, output_hidden_states=True).hidden_states
            return encoder.final_layer_norm(layers[-2])

    generator = torch.Generator().manual_seed(7)
    [expected] = theirs(
        prompt_embeds=embedded("a red square"),
        negative_prompt_embeds=embedded_empty(theirs),
        num_inference_steps=2,
        generator=generator,
    ).images
    ours = drawn(pipeline, arguments={"clip_skip": 1})
    assert np.abs(ours.astype(int) - np.asarray(expected).astype(int)).max() <= 1
    assert not np.array_equal(ours, drawn(pipeline))


def embedded_empty(pipeline: Any) -> torch.Tensor:
    """The embedding of the empty negative prompt, which clip_skip leaves as it is."""
    ids = pipeline.tokenizer("", padding="max_length", max_length=24, return_tensors="pt").input_ids
    with torch.no_grad():
        return pipeline.text_encoder(ids)[0]


@pytest.mark.parametrize("name", ["LCMScheduler", "TCDScheduler", "EulerAncestralDiscreteScheduler"])
def test_schedulers_of_the_guides_draw_what_diffusers_draws(pipeline, name):
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(pipeline)
    theirs.scheduler = getattr(diffusers, name).from_config(theirs.scheduler.config)
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        [expected] = theirs("a red square", num_inference_steps=2, generator=[torch.Generator().manual_seed(7)]).images
    np.testing.assert_array_equal(drawn(pipeline, scheduler=name), np.asarray(expected))


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "CMStochasticIterativeScheduler", "UNet2DModel"])
def test_a_scheduler_of_another_kind_is_refused(pipeline, name):
    with pytest.raises(UserError, match=f"no scheduler of StableDiffusionPipeline is called '{name}'"):
        drawn(pipeline, scheduler=name)


@pytest.mark.parametrize("arguments", [{"eta": "x"}, {"clip_skip": 9}, {"guidance_rescale": [1]}, {"eta": [1, 2]}])
def test_an_argument_of_a_wrong_type_or_range_is_one_line(pipeline, arguments):
    with pytest.raises(UserError) as error:
        drawn(pipeline, arguments=arguments)
    assert f"{next(iter(arguments))}:" in one_line(error.value)


def test_nothing_behind_the_sign_is_an_empty_text_and_null_is_no_value():
    assert settings_of(["prior=", "size=null", "steps=3"]) == {"prior": "", "size": None, "steps": 3}
