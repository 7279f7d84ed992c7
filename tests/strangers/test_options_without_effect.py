"""An option that would do nothing is an error, in every verb: `cli/effects.py` lists every parameter, and this file
walks them.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from t2ibench import cli
from t2ibench.cli.compose import known
from t2ibench.cli.effects import EFFECTS, Verb
from t2ibench.cli.generate import seeds_of
from t2ibench.cli.options import names_of
from t2ibench.core.errors import UserError
from t2ibench.report.compare import Margins, margins_of

NEVER = {"help", "version"}


def verbs(group: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb of the command line by its words."""
    top: Any = group or get_command(cli.app)
    for name, command in top.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


VERBS = dict(verbs())


def test_every_verb_refuses_what_has_no_effect():
    assert [name for name, verb in VERBS.items() if not isinstance(verb, Verb)] == []
    assert EFFECTS.keys() == VERBS.keys()


@pytest.mark.parametrize("name", VERBS)
def test_every_option_has_an_effect_or_a_rule_that_says_when(name: str):
    options = {parameter.name for parameter in VERBS[name].params} - NEVER
    assert set(EFFECTS[name]) == options


@pytest.mark.parametrize("name", VERBS)
def test_every_option_is_read_by_its_verb(name: str):
    function = inspect.unwrap(VERBS[name].callback)
    [body] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(body, ast.FunctionDef)
    read = {node.id for part in body.body for node in ast.walk(part) if isinstance(node, ast.Name)}
    assert set(EFFECTS[name]) - read == set()


# For every rule, a command in which the option does nothing, and the word of its line.
USELESS: dict[tuple[str, str], str] = {
    ("run", "batch"): "run quick --dry-run --batch 2",
    ("run", "executor"): "run quick --dry-run --executor ray",
    ("run", "address"): "run quick --address auto",
    ("run", "shard"): "run quick --dry-run --shard 0/2",
    ("run", "again"): "run quick --shard 0/2 --again gan-cls",
    ("run", "json"): "run quick --shard 0/2 --json",
    ("run", "jobs"): "run quick --dry-run --jobs 2",
    ("run", "devices"): "run quick --dry-run --devices cpu,cpu",
    ("run", "threads"): "run quick --dry-run --threads 2",
    ("run", "workers"): "run quick --dry-run --workers 1",
    ("run", "batch_timeout"): "run quick --dry-run --batch-timeout 60",
    ("doctor", "out"): "doctor --out x",
    ("doctor", "work"): "doctor --work x",
    ("doctor", "device"): "doctor --device cpu",
    ("table", "format"): "table made --json --format csv",
    ("table", "transpose"): "table made --transpose",
    ("table", "caption"): "table made --format markdown --caption x",
    ("table", "label"): "table made --json --label x",
    ("table", "everything"): "table made --all --columns hue",
    ("compare", "folder"): "compare made made --folder made",
    ("compare", "format"): "compare a b --json --format latex",
    ("compare", "everything"): "compare a b --metrics hue --all",
    ("compare", "suite"): "compare made made --gate --suite s",
    ("compare", "track"): "compare made made --gate --track edit",
    ("compare", "metrics"): "compare a b --gate --metrics hue",
    ("compare", "at"): "compare a b --gate --at hue=1",
    ("compare", "device"): "compare a b --suite s --device cpu",
    ("compare", "rerun"): "compare a b --rerun c",
    ("compare", "noise"): "compare a b --noise 1",
    ("compare", "junit"): "compare a b --junit x.xml",
    ("compare", "summary"): "compare a b --summary x.md",
    ("compare", "github"): "compare a b --github",
    ("reproduce", "out"): "reproduce gan_cls --folder made --out x",
    ("reproduce", "batch"): "reproduce gan_cls --folder made --batch 2",
    ("reproduce", "device"): "reproduce gan_cls --folder made --device cpu",
    ("reproduce", "replace"): "reproduce gan_cls --folder made --replace",
    ("reproduce", "ledger"): "reproduce gan_cls --scale paper --ledger x.md",
    ("drift", "tiers"): "drift b.json --write --tiers 0",
    ("drift", "junit"): "drift b.json --write --junit x.xml",
    ("drift", "github"): "drift b.json --write --github",
    ("drift", "everything"): "drift b.json --write --all",
    ("drift", "json"): "drift b.json --write --json",
    ("drift", "seed"): "drift --tiers 0,1 --seed 3",
    ("drift", "suite"): "drift --suite quick",
    ("drift", "margin"): "drift --margin 2%",
    ("drift", "accept"): "drift --accept why",
    ("view", "out"): "view made --out x",
    ("export", "organization"): "export hugging-face made --dataset a/b --organization x",
    ("export", "dataset"): "export every-eval-ever made --organization x --dataset a/b",
    ("verify", "suite"): "verify bundle --suite x.yaml",
    ("generate", "seeds"): "generate styleclip x --image a.png --seeds 0-3",
    ("generate", "prompts"): "generate stylegan_nada x --target y",
    ("generate", "neutral"): "generate stylegan_nada --target y --neutral x",
    ("generate", "image"): "generate stylegan_nada --target y --image a.png",
    ("generate", "source"): "generate stylegan_nada x --source y",
    ("compose", "image"): "compose --task t2i --text x --image a.png",
    ("compose", "other"): "compose --task SD --image a.png --other a.png",
    ("compose", "text"): "compose --recipe TS --image a.png --text x",
    ("compose", "mask"): "compose --task E --image a.png --mask nope",
    ("compose", "edit"): "compose --task E --image a.png --edit shift",
    ("compose", "sketch"): "compose --task reconf_G --image a.png --sketch a.png",
    ("compose", "silhouette"): "compose --task reconf_S --image a.png --silhouette a.png",
    ("score", "dataset"): "score made --reference made --dataset nope",
    ("score", "size"): "score a.npz --reference a.npz --size 32",
    ("train", "target"): "train stylegan_nada --target x --set target=y",
    ("train", "seed"): "train stylegan_nada --seed 3 --set seed=4",
    ("convert", "half"): "convert a.pkl b.pt --half",
    ("new", "dataset"): "new dataset mine --dataset avatars",
}
FURTHER = [  # more of the kinds, and an option that names its default
    ("table", "--all", "table made --all --json"),
    ("table", "--all", "table made --all -f csv"),
    ("compose", "--mask", "compose --task E --image a.png --mask middle"),
    ("compose", "--other", "compose --task pose_S --image a.png --sketch a.png --other a.png"),
    ("compose", "--edit", "compose --task pose_S --image a.png --sketch a.png --edit mirror"),
    ("compose", "--text", "compose --task style --task E --image a.png --other a.png --text x"),
    ("drift", "--seed", "drift b.json --write --seed 3"),
    ("generate", "--seeds", "generate styleclip x --neutral y --image a.png --seeds 0-7"),
    ("score", "--dataset", "score made --reference a.npz --dataset avatars"),
]
USEFUL = [  # commands that no rule refuses
    "table made --format csv --columns hue",
    "compare a made --folder made",
    "compare a made --folder made --at hue=1",
    "compose --task translate --image a.png --text x",
    "compose --task TS --task t2i --image a.png --text x",
    "compose --task region_var --image a.png --mask lower",
    "compose --task pose_S --image a.png --other a.png --edit other",
    "compose --task pose_S --image a.png --sketch a.png",
    "score made --reference a.npz --size 32",
    "drift --tiers 1,2 --seed 3",
    "convert a.pkl b.safetensors --half",
]


def test_every_rule_is_tried():
    rules = {(verb, name) for verb, rules in EFFECTS.items() for name, rule in rules.items() if rule is not None}
    assert rules == set(USELESS)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made/records").mkdir(parents=True)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/bundle.json").write_text("{}", "utf-8")
    Image.new("RGB", (8, 8)).save("a.png")
    np.savez("a.npz", arr_0=np.zeros((2, 8, 8, 3), np.uint8))


def refused(t2ibench: Any, words: str, option: str) -> None:
    answer = t2ibench(*words.split())
    assert answer.returncode == 2
    assert f"{option} has no effect here: " in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list(Path().glob("*.xml"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("verb", "name"), USELESS)
def test_an_option_without_effect_is_refused(t2ibench, verb: str, name: str):
    [option] = [p.opts[0] if p.opts[0][0] == "-" else name.upper() for p in VERBS[verb].params if p.name == name]
    refused(t2ibench, USELESS[verb, name], option)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("verb", "option", "words"), FURTHER)
def test_more_options_without_effect_are_refused(t2ibench, verb: str, option: str, words: str):
    refused(t2ibench, words, option)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("words", USEFUL)
def test_an_option_with_an_effect_is_not_refused(words: str, monkeypatch: pytest.MonkeyPatch):
    called: list[dict[str, Any]] = []
    group: Any = get_command(cli.app)
    monkeypatch.setattr(group.commands[words.split()[0]], "callback", lambda **given: called.append(given))
    group.main(words.split(), standalone_mode=False)
    assert called


# Odd spellings of what an option takes


@pytest.mark.parametrize("text", ["", ",", " , ", " "])
def test_a_list_of_no_names_is_refused(text: str):
    with pytest.raises(UserError, match="found no name"):
        names_of(text, "--metrics")


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["clip=0.1"], "clip is not compared; known: clip_score, fid"),
        (["CLIP_SCORE=0.1"], "CLIP_SCORE is not compared"),
        (["2%", "3%"], "was given before"),
        (["fid=2%", "fid=3%"], "was given before"),
        (["fid=inf"], "expected 2%, 0.1"),
        (["nan%"], "expected 2%, 0.1"),
        (["=2%"], "expected 2%, 0.1"),
    ],
)
def test_a_margin_of_nothing_is_refused(texts: list[str], line: str):
    with pytest.raises(UserError, match=line):
        margins_of(texts).check(["clip_score", "fid"])
    margins_of(["clip_score = 0.1", "2%"]).check(["clip_score", "fid"])
    Margins().check([])


@pytest.mark.parametrize("mask", ["nope", "Middle", "uper", "made"])
def test_a_mask_that_is_neither_a_region_nor_a_file_is_refused(mask: str):
    with pytest.raises(UserError, match="no such file, and no region is called"):
        known(mask, 8)


@pytest.mark.parametrize("text", ["0,0", "0-3,2", "3-1", "0..3", ""])
def test_seeds_that_are_odd_are_refused(text: str):
    with pytest.raises(UserError, match="--seeds"):
        seeds_of(text)
