"""Prompt sets of published benchmarks, GenEval, GenEval 2, DPG-Bench, T2I-CompBench: known traps, on small copies.

The layouts are those of the releases; the texts are ours.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from folders import one_line

from t2ibench.core.errors import UserError
from t2ibench.data import question_lists
from t2ibench.data.downloads import assets, named
from t2ibench.datasets import prompts
from t2ibench.runner import suite
from t2ibench.runner.plan import prepare
from t2ibench.runner.suite import parse
from t2ibench.tracks.text_to_image import prompts_of, samples

SETS = ("geneval", "geneval2", "dpg_bench", "t2i_compbench")


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """The folder of data sets, which is not the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("T2IBENCH_DATA", str(tmp_path))
    return tmp_path


def write_geneval(data: Path, count: int = 3, **more: Any) -> Path:
    """As its evaluation_metadata.jsonl."""
    path = data / "geneval" / "evaluation_metadata.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = [
        {"tag": "single_object", "include": [{"class": "owl", "count": 1}], "prompt": f"a photo of {row} owls", **more}
        for row in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def write_geneval2(data: Path, count: int = 3) -> Path:
    path = data / "geneval2" / "geneval2_data.jsonl"
    path.parent.mkdir()
    lines = [
        {"prompt": f"{row} owls", "atom_count": 3, "vqa_list": [["How many owls?", "two"]], "skills": ["count"]}
        for row in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def write_dpg(data: Path) -> Path:
    folder = data / "dpg_bench" / "prompts"
    folder.mkdir(parents=True)
    for name in ("0", "10", "2", "partiprompts97", "whoops9"):
        (folder / f"{name}.txt").write_text(f"A long text, {name}, which has commas; and no line feed at its end.")
    (folder / ".DS_Store").write_bytes(b"\0")
    return folder


def write_compbench(data: Path) -> None:
    """As its files end: some with line feeds, some with carriage returns too, and the last line mostly without."""
    (data / "t2i_compbench").mkdir()
    for name, content in (
        ("color", b"a green bench\r\na blue bowl"),
        ("shape", b"a round bag\r\na square cup\r\n"),
        ("numeracy", b"four owls\ntwo cats"),
    ):
        (data / "t2i_compbench" / f"{name}_val.txt").write_bytes(content)


def opened(name: str, **changes: Any) -> Any:
    """The data set of a shipped suite, with other settings."""
    return prompts.load(prompts.Config(**{**suite.load(name).dataset.settings, **changes}), "test")


def path_of(name: str) -> Path:
    return Path(suite.load(name).dataset.settings["file"])


def test_a_copy_with_fewer_prompts_than_the_release_is_refused_and_not_averaged_over(data):
    """A published report of GenEval shows 544 of its 553 prompts."""
    write_geneval(data, 544)
    with pytest.raises(UserError, match=r"evaluation_metadata\.jsonl holds 544 prompts, expected the 553") as error:
        opened("geneval", file=path_of("geneval"))
    assert one_line(error.value)
    write_geneval(data, 553)
    assert len(opened("geneval", file=path_of("geneval"))) == 553


def test_a_copy_of_geneval_with_longer_captions_beside_gives_the_prompts_themselves(data):
    write_geneval(data, 2, detailed_caption="An owl sits on a branch in the evening light.")
    split = opened("geneval", file=path_of("geneval"), count=2)
    assert list(split.captions) == [("a photo of 0 owls",), ("a photo of 1 owls",)]


def test_no_two_prompts_share_their_noise_and_the_four_images_of_one_differ(data):
    """GenEval's generator seeds with 42 before every prompt, and T2I-CompBench's with 42 to 51."""
    write_geneval(data, 20)
    split = opened("geneval", file=path_of("geneval"), count=20)
    asked = prompts_of(20, split, [])
    seeds = [sample.seed for run in suite.load("geneval").seeds for sample in samples(asked, run)]
    assert len(seeds) == len(set(seeds)) == 80


def test_the_questions_of_geneval_2_are_found_by_the_text_of_the_prompt_in_the_folder_of_data_sets(data):
    write_geneval2(data)
    split = opened("geneval2", file=path_of("geneval2"), count=3)
    [questions] = [m.settings["questions"] for m in suite.load("geneval2").metrics if m.name == "soft_tifa"]
    listed = question_lists.read(questions)
    assert [listed.of(texts[0])[0].answer for texts in split.captions] == ["two"] * 3


def test_a_prompt_of_dpg_bench_has_the_name_of_its_file_and_other_files_are_no_prompts(data):
    write_dpg(data)
    split = opened("dpg_bench", file=path_of("dpg_bench"), count=5)
    said = {id.partition(".")[0]: texts for id, texts in zip(split.ids, split.captions, strict=True)}
    assert said.keys() == {"0", "10", "2", "partiprompts97", "whoops9"}
    assert all(f", {name}," in texts[0] and len(texts) == 1 for name, texts in said.items())


def test_a_last_line_without_its_end_is_a_prompt_and_categories_keep_their_names(data):
    write_compbench(data)
    files = tuple(f"t2i_compbench/{name}_val.txt" for name in ("color", "shape", "numeracy"))
    split = opened("t2i_compbench", files=files, count=6)
    assert [texts[0] for texts in split.captions] == [
        "a green bench",
        "a blue bowl",
        "a round bag",
        "a square cup",
        "four owls",
        "two cats",
    ]
    assert list(split.ids)[:3] == ["color_val/00000", "color_val/00001", "shape_val/00000"]
    assert split.dataset == "t2i_compbench"


def test_a_list_that_is_named_twice_or_beside_another_kind_is_refused():
    for given, line in (
        ({"files": ("a/x.txt", "b/x.txt")}, "expected names that differ"),
        ({"files": ("x.txt",), "file": Path("y.txt")}, "found file and files of file, files and texts"),
        ({}, "found none of file, files and texts"),
        ({"texts": ("a",), "count": -1}, "count is -1"),
    ):
        with pytest.raises(UserError, match=line):
            prompts.Config(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SETS)
def test_the_suite_plans_every_prompt_of_a_copy(data, name):
    for write in (write_geneval, write_geneval2, write_dpg, write_compbench):
        write(data)
    content = dict(suite.load(name).dataset.settings)
    count = {"dpg_bench": 5, "t2i_compbench": 4}.get(name, 3)
    if "files" in content:
        content["files"] = list(content["files"][:2])
    small = {
        "dataset": {"name": "prompts", **content, "count": count},
        "methods": ["gan-cls"],
        "baselines": [],
        "prompts": {"captions": count},
        "metrics": [{"name": "clip_score", "clip": "clip-judge-avatars"}],
        "seeds": list(suite.load(name).seeds),
    }
    [plan] = prepare(parse(small, name, "", name))
    assert len(plan.prompts) == count


@pytest.mark.parametrize("name", SETS)
def test_fetch_knows_where_the_prompts_of_a_suite_come_from_and_puts_them_where_it_looks(name):
    settings = suite.load(name).dataset.settings
    wanted = {Path(file) for file in settings.get("files", [settings.get("file")])}
    found = named(name)
    brought = {Path(one.into.removeprefix("data/")) / (one.file or one.opens["file"]) for one in found}
    assert brought == wanted
    assert all(one.licence for one in found)


def test_non_commercial_data_is_fetched_and_says_so_and_what_has_no_hash_is_never_downloaded():
    assert assets()["geneval2"].licence == "CC BY-NC 4.0"
    assert assets()["dpg_bench"].click
    assert not assets()["dpg_bench"].address


def test_fetch_checks_the_prompts_that_a_person_put_there(data, t2ibench):
    answer = t2ibench("fetch", "dpg_bench")
    assert answer.returncode == 2
    assert "TencentQQGYLab/ELLA" in answer.stderr
    write_dpg(data)
    assert "holds 5 prompts, expected the 1,065" in t2ibench("fetch", "dpg_bench").stderr
    for row in range(1060):
        (data / "dpg_bench" / "prompts" / f"extra{row}.txt").write_text(f"text {row}")
    assert "all 1,065" in t2ibench("fetch", "dpg_bench").stdout
