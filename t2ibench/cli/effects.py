"""Which options have an effect, and beside which others. An option that was given and would do nothing is refused.

`EFFECTS` lists every parameter of every verb, and a test walks the verbs, so that a new option cannot be forgotten:
either it always has an effect, or a rule says when.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.core

from t2ibench.cli.exits import ended_in_words
from t2ibench.core.errors import UserError
from t2ibench.core.files import at_home

if TYPE_CHECKING:
    from t2ibench.tracks.compose_tasks import Task

Given = Mapping[str, Any]  # the values of a verb's parameters by their names
LINE_END = re.compile(r"(?<!\n)\n(?![\n\s-])")  # within a paragraph; lists and indented lines stay as they are
BY_USER = ("COMMANDLINE", "ENVIRONMENT", "PROMPT")  # where a value comes from that the user gave


@dataclass(frozen=True)
class Rule:
    """When an option has an effect.

    works: whether it does, beside the values of the others.
    otherwise: why it does not, for the error line.
    """

    works: Callable[[Given], bool]
    otherwise: str


class Verb(typer.core.TyperCommand):
    """A verb of the command line, which refuses options without effect before it runs.

    Its help is laid out for the width of the terminal, not for that of the source.
    """

    def __init__(self, name: str | None, *, help: str | None = None, **settings: Any) -> None:
        flowing = None if help is None else LINE_END.sub(" ", inspect.cleandoc(help))
        super().__init__(name, help=flowing, **settings)

    def invoke(self, ctx: Any) -> Any:
        ctx.params = {name: _at_home(value) for name, value in ctx.params.items()}
        check(self, ctx)
        with ended_in_words():
            return super().invoke(ctx)


def _at_home(value: Any) -> Any:
    """A value with `~` replaced by the user's home, which a shell leaves to programs in `--option=~/path`."""
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, str):
        key, equals, place = value.partition("=")
        return f"{key}={at_home(place)}" if equals and key.isidentifier() else at_home(value)
    return type(value)(map(_at_home, value)) if isinstance(value, list | tuple) else value


def check(verb: Any, ctx: Any) -> None:
    """Raise UserError for the first option that the user gave and that would do nothing."""
    name, above = ctx.info_name, ctx.parent
    while above is not None and above.parent is not None:  # the topmost is t2ibench itself
        name, above = f"{above.info_name} {name}", above.parent
    for parameter in verb.params:
        if parameter.name not in ctx.params or ctx.get_parameter_source(parameter.name).name not in BY_USER:
            continue
        rule = EFFECTS[name][parameter.name]
        if rule is not None and not rule.works(ctx.params):
            option = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.opts[0].upper()
            raise UserError(f"{name}: {option} has no effect here: {rule.otherwise}")


def always(names: str) -> dict[str, Rule | None]:
    """Parameters that have an effect whatever the others are."""
    return dict.fromkeys(names.split())


def without(other: str, otherwise: str) -> Rule:
    """The rule of an option that works where another one is not given."""
    return Rule(lambda given: not given[other], otherwise)


def only_with(other: str, otherwise: str) -> Rule:
    """The rule of an option that works where another one is given."""
    return Rule(lambda given: bool(given[other]), otherwise)


# compose: an option works if one of the tasks takes something from it


def tasks(given: Given) -> list[Task]:
    """The tasks that are asked for, with the user's kind of edit."""
    from t2ibench.cli.compose import edited
    from t2ibench.tracks import compose_tasks

    return [edited(compose_tasks.find(name, "compose: --task"), given["edit"]) for name in given["task"]]


def drawn(task: Task, given: Given) -> bool:
    """Whether the user's own drawing stands for the edit of a task."""
    letters = task.c2.get("edited", "")
    return any(letter in letters and given[name] for letter, name in (("S", "sketch"), ("G", "silhouette")))


def takes_b(task: Task, given: Given) -> bool:
    named = {*task.c1, *task.c2}
    return bool(named & {"B", "between"}) or (task.edit == "other" and not drawn(task, given))


def of_tasks(works: Callable[[Task, Given], bool], what: str) -> Rule:
    return Rule(
        lambda given: any(works(task, given) for task in tasks(given)),
        f"no task {what}; `t2ibench list tasks` says what each needs",
    )


NOTHING_RUNS = "--folder judges records and runs nothing, nor does --scale paper: leave one of them out"
AT_SCALE = "--scale paper reads records, runs nothing and writes no file: leave one of them out"
OF_FOLDERS = "--gate looks at single images: leave it out"
RUNS_METHODS = "only --gate with --suite runs methods: leave it out, or add them"
FOR_GATE = "it is for --gate: leave it out, or add that"
WRITES = "--write measures and writes a baseline, and compares nothing: leave it out"
FOR_WRITE = "it is for --write: leave it out, or add that"
ADAPTS = "--target adapts a generator, which takes neither texts to draw nor --neutral nor --image: leave them out"
DRY = "--dry-run makes no image: leave it out"


def _is_shown(given: Given, side: str) -> bool:
    """Whether a side of `compare` is a path by which all is said: of the gate a folder, else any."""
    path = Path(given[side])
    return path.is_dir() if given["gate"] else path.exists()


EFFECTS: Mapping[str, Mapping[str, Rule | None]] = {
    "run": {
        **always("suite out work device replace dry_run methods tracks limit"),
        **{
            name: without("dry_run", DRY)
            for name in ("batch", "jobs", "devices", "threads", "workers", "batch_timeout", "shard", "executor")
        },
        "address": Rule(lambda given: given["executor"] == "ray", "it is of --executor ray: add that, or leave it out"),
        "again": without("shard", "every part would forget what the others have made: use another --work"),
        "json": without("shard", "a part makes images and no numbers: leave it out"),
    },
    "status": always("suite out work json"),
    "health": always("suite results track everything out json"),
    "table": {
        **always("folder suite track columns methods figures json"),
        "transpose": Rule(
            lambda given: not given["json"] and str(given["format"]) in ("markdown", "latex"),
            "it is for --format markdown and latex: leave it out, or add one",
        ),
        **{
            name: Rule(
                lambda given: not given["json"] and str(given["format"]) == "latex",
                "it is of --format latex: add that, or leave it out",
            )
            for name in ("caption", "label")
        },
        "format": without("json", "JSON has one form: leave --json or --format out"),
        "everything": Rule(
            lambda given: not given["json"] and given["columns"] is None and given["format"] != "csv",
            "JSON and CSV hold every number anyway, and --columns names them: leave it out",
        ),
    },
    "compare": {
        **always("a b margin gate json"),
        **{name: without("gate", OF_FOLDERS) for name in ("metrics", "at")},
        **{
            name: Rule(
                lambda given: not given["gate"] or not (Path(given["a"]).exists() and Path(given["b"]).exists()),
                "both sides of the gate are paths, and methods are drawn by it: leave it out",
            )
            for name in ("suite", "track")
        },
        "device": Rule(lambda given: given["gate"] and given["suite"] is not None, RUNS_METHODS),
        "folder": Rule(
            lambda given: given["at"] is not None or not all(_is_shown(given, side) for side in ("a", "b")),
            "both sides are paths, and methods are looked up there: leave it out",
        ),
        "format": Rule(
            lambda given: not given["json"] and not given["gate"],
            "JSON has one form, and --gate another: leave one of them out",
        ),
        "everything": Rule(
            lambda given: given["metrics"] is None and not given["gate"],
            "--metrics names the numbers, and --gate reads images: leave one of them out",
        ),
        **{name: only_with("gate", FOR_GATE) for name in ("rerun", "noise", "junit", "summary", "github")},
    },
    "reproduce": {
        **always("paper folder scale json"),
        "ledger": Rule(lambda given: given["scale"] != "paper", AT_SCALE),
        **{
            name: Rule(lambda given: given["folder"] is None and given["scale"] != "paper", NOTHING_RUNS)
            for name in ("out", "batch", "device", "replace")
        },
    },
    "drift": {
        **always("baseline write device"),
        **{name: without("write", WRITES) for name in ("tiers", "junit", "github", "everything", "json")},
        "seed": Rule(
            lambda given: not given["write"] and "2" in given["tiers"],
            "it is for the methods, which tier 2 measures, and not for --write: leave it out",
        ),
        **{name: only_with("write", FOR_WRITE) for name in ("suite", "margin", "accept")},
    },
    "audit draw": always("suite method images folder out work"),
    "audit read": always("folder answers out json"),
    "report": always("results out work suite"),
    "view": {
        **always("run port"),
        "out": Rule(
            lambda given: not (_holds_pages(given["run"]) or (Path(given["run"]) / "records").is_dir()),
            "this folder holds its own pages or records: leave it out",
        ),
    },
    "export": {
        **always("place results out url"),
        "organization": Rule(
            lambda given: given["place"] == "every-eval-ever", "it is for every-eval-ever: leave it out"
        ),
        "dataset": Rule(lambda given: given["place"] == "hugging-face", "it is for hugging-face: leave it out"),
    },
    "import": always("files out"),
    "submit": always("run images out results suite"),
    "verify": {
        **always("path work out tolerance device json"),
        "suite": Rule(
            lambda given: not _is_bundle(given["path"]), "a bundle brings the file of its suite: leave it out"
        ),
    },
    "generate": {
        **always("method dataset out images set target device"),
        "seeds": without("image", "the images that --image names are edited, not those of seeds: leave it out"),
        **{name: without("target", ADAPTS) for name in ("prompts", "neutral", "image")},
        "source": only_with("target", "it says what a generator is adapted from: add --target, or leave it out"),
    },
    "compose": {
        **always("task method dataset seeds out set device"),
        "image": of_tasks(lambda task, given: "A" in task.needs, "takes anything from A"),
        "other": of_tasks(takes_b, "takes anything from B"),
        "text": of_tasks(lambda task, given: "text" in task.needs, "takes a text of yours (T is the caption of A)"),
        "mask": of_tasks(lambda task, given: task.has_hole, "keeps a known part"),
        "edit": of_tasks(lambda task, given: bool(task.edit) and not drawn(task, given), "takes an edit of A"),
        "sketch": of_tasks(lambda task, given: "S" in task.c2.get("edited", ""), "takes an edited sketch"),
        "silhouette": of_tasks(lambda task, given: "G" in task.c2.get("edited", ""), "takes an edited silhouette"),
    },
    "prompts": always("suite seed out"),
    "score": {
        **always("folder prompts metrics reference extractor clip vqa people set exif alpha out device workers json"),
        "dataset": without("reference", "--reference names the real images: leave one of them out"),
        "size": Rule(
            lambda given: any(path and Path(path).is_dir() for path in (given["folder"], given["reference"])),
            "only images of a folder are squashed, those of an archive stay as they are: leave it out",
        ),
    },
    "nearest": always("folder reference held_out extractor top out device json"),
    "train": {
        **always("name variant dataset minutes steps out set save_every device devices accumulate workers"),
        "target": Rule(lambda given: not _is_set("target", given), "--set gives another target: leave one of them out"),
        "seed": Rule(lambda given: not _is_set("seed", given), "--set gives another seed: leave one of them out"),
    },
    "convert": {
        **always("source target replace"),
        "half": Rule(
            lambda given: Path(given["target"]).suffix == ".safetensors", "it is for .safetensors: leave it out"
        ),
    },
    "list": always("kind json"),
    "fetch": always("name lock"),
    "new": {
        **always("kind name package"),
        "dataset": Rule(
            lambda given: given["kind"] != "dataset", "it is for the suite of a method or metric: leave it out"
        ),
    },
    "describe": always("name json"),
    "schema": always("out"),
    "show": always("dataset split count columns set out"),
    "cache": always("verify prune json"),
    "doctor": {
        **always("suite json"),
        **{
            name: only_with("suite", "it is for --suite: leave it out, or name one")
            for name in ("out", "work", "device")
        },
    },
}


def _holds_pages(folder: str | Path) -> bool:
    from t2ibench.report.site.write import LISTED

    return (Path(folder) / LISTED).exists()


def _is_bundle(folder: str | Path) -> bool:
    from t2ibench.checks.bundle import is_bundle

    return is_bundle(Path(folder))


def _is_set(key: str, given: Given) -> bool:
    """Whether --set gives a setting of this name."""
    return any(pair.partition("=")[0] == key for pair in given["set"] or ())
