"""The rooms of t2ibench: which there are, what each may import, and that imports run one way. README.md shows the same
table.
"""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = ("datasets", "methods", "metrics")  # each file or folder of theirs is a plug-in, and none imports another
ROOMS: Mapping[str, str] = {  # a room, and the rooms that it may import
    "core": "",
    "stats": "core",
    "data": "core",
    "networks": "core stats data",
    "tracks": "core data",
    "scoring": "core stats data networks tracks",
    "runner": "core data networks tracks scoring",
    "report": "core stats tracks runner",
    "checks": "core stats data networks tracks scoring metrics runner report",
    "cli": "core stats data networks tracks scoring runner report checks",
    "datasets": "core data",
    "methods": "core data networks tracks",
    "metrics": "core stats data networks tracks scoring",
}
FLAT: Mapping[str, str] = {  # the modules beside the rooms
    "__init__": "core scoring runner",
    "__main__": "cli",
    "training_metrics": "core stats metrics",
}
FLOORS = 8


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package and of the three plug-in folders, by its name without "t2ibench."."""
    found = {}
    for folder in (root / "t2ibench", *(root / kind for kind in PLUGINS)):
        start = root if folder.name in PLUGINS else folder
        for path in sorted(folder.rglob("*.py")):  # does not follow the three links
            parts = path.relative_to(start).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[tuple[int, str]]:
    """What a file imports of the package, wherever the import stands in it: line and module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "t2ibench":
                parts = rest.split(".") if rest else []
                while parts and ".".join(parts) not in known and parts[0] in ROOMS and len(parts) > 1:
                    parts = parts[:-1]
                yield node.lineno, ".".join(parts) if parts and parts[0] in {*ROOMS, *FLAT} else "__init__"


def room_of(module: str) -> str:
    return module.split(".")[0]


def plugin_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def faults(root: Path) -> list[str]:
    """Every import that the tables forbid, every circle, and every module outside a room."""
    known = modules(root)
    said, graph = [], {}
    for module, path in known.items():
        room, where = room_of(module), path.relative_to(root)
        if room not in ROOMS and module not in FLAT:
            said.append(f"{where}: lies in no room")
            continue
        allowed = (ROOMS[room] if room in ROOMS else FLAT[module]).split()
        found = list(imports(path, known))
        graph[module] = {target for _, target in found} - {module}
        for line, target in found:
            if room in PLUGINS and room_of(target) == room and plugin_of(target) != plugin_of(module):
                said.append(f"{where}:{line}: the plug-in {plugin_of(module)} imports {plugin_of(target)}")
            elif room_of(target) not in (room, *allowed):
                said.append(f"{where}:{line}: {room} imports {target}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        said.append(f"a circle: {' <- '.join(error.args[1])}")
    return said


def floors() -> dict[str, int]:
    """The floor of every room: one above the highest that it may import."""
    found: dict[str, int] = {}
    for room in TopologicalSorter({room: allowed.split() for room, allowed in ROOMS.items()}).static_order():
        found[room] = 1 + max((found[below] for below in ROOMS[room].split()), default=0)
    return found


def test_imports_run_one_way():
    assert faults(ROOT) == []


def test_there_are_at_most_eight_floors():
    assert max(floors().values()) <= FLOORS


def test_the_plugin_folders_are_reached_by_links_and_hide_no_other_package():
    for kind in PLUGINS:
        assert (ROOT / "t2ibench" / kind).resolve() == (ROOT / kind).resolve()
        assert not (ROOT / kind / "__init__.py").exists()


def test_the_readme_shows_the_table():
    section = (ROOT / "README.md").read_text("utf-8").split("<!-- rooms -->")[1].split("<!-- end of rooms -->")[0]
    rows = {name: allowed for name, allowed in re.findall(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|$", section, re.M)}
    assert {name: set(allowed.split()) - {"—"} for name, allowed in rows.items()} == {
        name: set(allowed.split()) for name, allowed in ROOMS.items()
    }


# Who asks an object, by its names, for what it may lack: never a plug-in. core/plugins.py does that for all loaders;
# the rest of core, and the networks but for their training, meet no plug-in.
ASKED = {
    "checks/doctor.py": {"os"},
    "data/image_sets.py": {"os"},
    "networks/training/encoder.py": {"self.config"},
    "networks/training/stylegan2.py": {"self", "settings"},
}


def asked() -> dict[str, set[str]]:
    """The first argument of every hasattr and getattr in the rooms that meet plug-ins, by file."""
    by_file: dict[str, set[str]] = {}
    for module, path in modules(ROOT).items():
        if module.split(".")[0] in {*PLUGINS, *FLAT, "core"} or (
            module.startswith("networks") and not module.startswith("networks.training")
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
                by_file.setdefault(path.relative_to(ROOT / "t2ibench").as_posix(), set()).add(ast.unparse(node.args[0]))
    return by_file


def test_only_the_loaders_ask_a_plugin_what_it_has():
    assert asked() == ASKED


EMBEDDED = "avatars"  # the data set that ships
NAME_IT = {"cli/options.py", "checks/drift/golden.py"}  # the default of --dataset; what the frozen images are of


def test_generic_code_names_the_data_set_that_ships_in_two_places():
    rooms = [path for room in ROOMS if room not in PLUGINS for path in (ROOT / "t2ibench" / room).rglob("*.*")]
    code = [path for path in [*rooms, *(ROOT / "t2ibench").glob("*.py")] if path.suffix in (".py", ".j2")]
    naming = {path for path in code if EMBEDDED in path.read_text("utf-8")}
    assert {path.relative_to(ROOT / "t2ibench").as_posix() for path in naming} == NAME_IT


# Who reads the user's folder by itself: what is an input, not a cache (images of data sets, weights), who reports on
# the folder, and who stands in for a run that names no cache. All others take it from one of these last two.
HOME = {
    "data/indexes.py",
    "data/image_sets.py",
    "data/pixel_hashes.py",
    "networks/inception.py",
    "networks/torchvision_inception.py",
    "checks/doctor.py",
    "cli/cache.py",
    "networks/models.py",
    "data/dataset.py",
}


def test_all_that_keeps_something_takes_the_cache_of_the_run():
    code = {module: path.read_text("utf-8") for module, path in modules(ROOT).items() if module != "core.cache"}
    reading = {module for module, text in code.items() if re.search(r"(?<!Path\.)\bhome\(\)|=home\b", text)}
    assert {f"{module.replace('.', '/')}.py" for module in reading} == HOME


def public(room: str) -> list[str]:
    """The public names of a room; empty for one whose modules are imported by themselves."""
    return list(vars(importlib.import_module(f"t2ibench.{room}")).get("__all__", ()))


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in PLUGINS])
def test_a_room_has_at_most_ten_public_names_and_each_is_what_a_checker_of_types_sees(room):
    names = public(room)
    assert len(names) <= 10
    tree = ast.parse((ROOT / "t2ibench" / room / "__init__.py").read_text("utf-8"))
    checked = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    seen: dict[str, object] = {}
    for node in checked:
        assert isinstance(node, ast.ImportFrom)
        module = importlib.import_module(str(node.module))
        seen |= {alias.asname or alias.name: vars(module)[alias.name] for alias in node.names}
    whole = importlib.import_module(f"t2ibench.{room}")
    assert {name: getattr(whole, name) for name in names} == seen


def test_the_rooms_are_imported_without_torch():
    rooms = ", ".join(f"t2ibench.{room}" for room in ROOMS if room not in PLUGINS)
    script = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


# Extras: installed by those who want them, and imported by the function that needs them.
EXTRAS = {"transformers", "tokenizers", "accelerate", "peft", "ray", "requests", "s3fs", "datasets", "lightning_fabric"}


def test_no_module_imports_an_extra_when_it_is_imported():
    eager = []
    for module, path in modules(ROOT).items():
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            eager += [(module, name) for name in names if name.split(".")[0] in EXTRAS]
    assert eager == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code alone."""
    for path in modules(ROOT).values():
        to = tmp_path / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (
            "t2ibench/core/errors.py",
            "from t2ibench.runner import run",
            "t2ibench/core/errors.py:{}: core imports runner.run",
        ),
        (
            "t2ibench/tracks/edit.py",
            "import t2ibench.scoring.score",
            "t2ibench/tracks/edit.py:{}: tracks imports scoring.score",
        ),
        (
            "methods/image_folder.py",
            "from t2ibench.runner.run import run",
            "methods/image_folder.py:{}: methods imports runner.run",
        ),
        (
            "metrics/fid.py",
            "from t2ibench.report.board import boards",
            "metrics/fid.py:{}: metrics imports report.board",
        ),
        (
            "datasets/image_folder.py",
            "from t2ibench.scoring import evidence",
            "datasets/image_folder.py:{}: datasets imports scoring.evidence",
        ),
        (
            "metrics/fid.py",
            "from t2ibench.metrics import kid",
            "metrics/fid.py:{}: the plug-in metrics.fid imports metrics.kid",
        ),
        ("t2ibench/helpers.py", "import os", "t2ibench/helpers.py: lies in no room"),
    ],
)
def test_a_planted_fault_is_found(copy: Path, file: str, line: str, said: str):
    text = (copy / file).read_text("utf-8") if (copy / file).exists() else ""
    (copy / file).write_text(f"{text}\n\ndef planted():\n    {line}\n", "utf-8")
    assert said.format(text.count("\n") + 4) in faults(copy)


def test_a_planted_circle_is_found(copy: Path):
    path = copy / "t2ibench/core/errors.py"
    path.write_text(f"{path.read_text('utf-8')}\nfrom t2ibench.core import records\n", "utf-8")
    [found] = faults(copy)
    assert re.fullmatch(r"a circle: .*core\.errors.*", found)
