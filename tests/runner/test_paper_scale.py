"""The suites at the papers' scale, rehearsed from end to end: published layouts with random weights, reduced counts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import published_folder
import pytest
import yaml
from cub_files import write_cub
from release_files import write_celeba_hq, write_stylet2i
from typer.testing import CliRunner

from t2ibench.checks.papers import claims, scale
from t2ibench.cli import app
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.runner import suite
from t2ibench.runner.needs import needs_of
from t2ibench.runner.python import run_suite

FACES = ("ffhq_edit", "ffhq_adapt", "afhq_adapt")
SUITES = (*FACES, "celeba_hq_stylet2i", "cub_gan_cls", "coco_composer")
FEW = {"statistics_samples": 30, "images": 2, "steps": 2, "keep_every": 0, "layers_batch": 2, "batch": 2}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path


def reduced(name: str, change: Callable[[dict[str, Any]], None]) -> str:
    """A shipped suite with smaller numbers, beside the test."""
    content = suite.read(suite.file_of(name))
    change(content)
    Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
    return f"{name}.yaml"


def few(entry: dict[str, Any], *names: str) -> None:
    entry.update({name: FEW[name] for name in names})


@pytest.mark.parametrize("name", SUITES)
def test_what_a_suite_needs_is_named_with_its_publisher(name, here):
    needs = [need for need in needs_of(suite.load(name)) if not need.optional]
    assert needs
    assert all(need.there is None for need in needs)
    assert not [need.archive for need in needs if "no publisher of this file" in need.source]
    assert all("sha256 " in need.source for need in needs if need.archive.startswith("ViT-"))


def test_files_are_found_in_the_folders_of_weights(here):
    published_folder.birds(here / "weights")
    there = {need.archive: need.there for need in needs_of(suite.load("cub_gan_cls")) if need.archive.endswith(".t7")}
    assert {path.parent for path in there.values() if path} == {here / "weights"}
    assert len(there) == 2


@pytest.mark.slow
def test_edits_of_real_faces(here):
    published_folder.faces(here / "weights")

    def change(content: dict[str, Any]) -> None:
        content["edits"] |= {"images": 3, "texts": content["edits"]["texts"][:3]}
        optimisation, _, directions = content["methods"]
        few(optimisation, "steps")
        few(directions, "statistics_samples", "images")

    numbers = run_suite(reduced("ffhq_edit", change))
    assert set(numbers["method"]) == {f"styleclip-{way}" for way in ("optimization", "mapper", "global")} | {
        f"{baseline}-styleclip-global" for baseline in ("unedited", "resampled")
    }
    assert set(numbers["metric"]) == {"directional_similarity", "arcface_similarity"}
    assert numbers["value"].notna().all()
    [unedited] = numbers.query("method == 'unedited-styleclip-global' and metric == 'arcface_similarity'")["value"]
    assert unedited == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ffhq_adapt", "afhq_adapt"])
def test_adaptation_to_domains_that_are_only_named(name, here):
    published_folder.faces(here / "weights")

    def change(content: dict[str, Any]) -> None:
        texts = content["adapt"]["texts"]
        content["adapt"] |= {"images": 8, "texts": dict(list(texts.items())[:2])}
        few(content["methods"][0], "steps", "keep_every", "batch", "layers_batch")
        for metric in content["metrics"][1:]:
            metric["fewest"] = 4

    numbers = run_suite(reduced(name, change))
    assert set(numbers["metric"]) == {"directional_similarity", "diversity", "structure_kept"}
    assert numbers["value"].notna().all()


@pytest.mark.slow
def test_a_released_gan_draws_the_captions_of_birds(here):
    published_folder.birds(here / "weights")
    published_folder.faces(here / "weights")
    write_cub(here / "cub")

    def change(content: dict[str, Any]) -> None:
        content["dataset"]["partial"] = True
        content["prompts"]["captions"] = 3
        content["metrics"] = [{"name": "clip_score", "clip": "ViT-L-14.pt"}]

    numbers = run_suite(reduced("cub_gan_cls", change))
    assert {"gan-int-cls", "real", "shuffled-real"} <= set(numbers["method"])
    record = records.read(Path("runs/records/cub_gan_cls/text_to_image/gan-int-cls/0.json"))
    assert record["counts"]["ok"] == record["counts"]["requested"]


@pytest.mark.slow
def test_released_directions_draw_the_captions_of_faces(here):
    published_folder.stylet2i(here / "weights")
    published_folder.faces(here / "weights")
    write_celeba_hq(here / "celeba_hq")
    write_stylet2i(here / "celeba_hq")

    def change(content: dict[str, Any]) -> None:
        content["dataset"] |= {"partial": True, "size": 32}
        content["prompts"] = {"split": "train", "captions": 3}
        content["metrics"] = [{"name": "clip_score", "clip": "ViT-L-14.pt"}]

    numbers = run_suite(reduced("celeba_hq_stylet2i", change))
    assert "stylet2i" in set(numbers["method"])


def reported(**more: Any) -> Mapping[str, Any]:
    return {
        "source": "table 1",
        "method": "gan-int-cls",
        "dataset": "cub",
        "metric": "fid",
        "value": 70.0,
        "status": "verified",
        **more,
    }


def paper(*numbers: Mapping[str, Any]) -> claims.Paper:
    content = {"variants": {"gan-int-cls": {}}, "claims": [], "reported": list(numbers)}
    return claims.parse("gan_cls", content, suite.load("quick"), "gan_cls/paper.yaml")


def record(value: float, ci: tuple[float, float], **more: Any) -> dict[str, Any]:
    values = {"fid": {"value": value, "ci": list(ci)}}
    return {"suite": "cub_gan_cls", "method": "gan-int-cls", "partial": False, "values": values, **more}


def test_a_number_is_reproduced_inside_the_interval_of_its_record(here):
    [number] = scale.numbers(paper(reported(suite="cub_gan_cls")), [record(68.0, (66.0, 71.0))])
    assert (number.verdict, number.value, scale.exit_code([number])) == ("reproduced", 68.0, 0)
    [number] = scale.numbers(paper(reported(suite="cub_gan_cls")), [record(60.0, (58.0, 62.0))])
    assert (number.verdict, scale.exit_code([number])) == ("not reproduced", 1)
    [number] = scale.numbers(paper(reported(suite="cub_gan_cls", unit="percent")), [record(0.68, (0.6, 0.71))])
    assert (number.verdict, number.value) == ("reproduced", pytest.approx(68.0))


def test_what_is_missing_for_a_number_is_said(here):
    partial = record(68.0, (66.0, 71.0), partial=True)
    [number] = scale.numbers(paper(reported(suite="cub_gan_cls")), [partial])
    assert number.verdict == "missing"
    assert "net_G.t7" in number.missing
    assert number.missing.endswith("then t2ibench run cub_gan_cls")
    [number] = scale.numbers(paper(reported(missing="the authors' judge")), [])
    assert number.missing == "the authors' judge"
    assert scale.exit_code([number]) == 3
    assert scale.numbers(paper(reported(status="unverified")), []) == []
    with pytest.raises(UserError, match="no suite is called 'cub_gan_clss', did you mean 'cub_gan_cls'"):
        paper(reported(suite="cub_gan_clss"))


@pytest.mark.parametrize("name", claims.papers())
def test_every_checked_number_has_a_suite_or_says_what_is_missing(name, here):
    for number in claims.load(name).reported:
        assert number.status == "unverified" or bool(number.suite) != bool(number.missing)
    result = CliRunner().invoke(app, ["reproduce", name, "--scale", "paper"])
    assert result.exit_code == 3
    assert not Path("runs").exists()
