"""Windows and checkouts without symbolic links, by their causes: no module `resource`, links that are small files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """The package without its large weights, where the three links are files that hold their targets."""
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    (tmp_path / "t2ibench").mkdir()
    for path in (ROOT / "t2ibench").iterdir():
        if path.is_symlink():
            (tmp_path / "t2ibench" / path.name).write_text(f"../{path.name}")
        elif path.is_dir():
            shutil.copytree(path, tmp_path / "t2ibench" / path.name, ignore=ignored)
        else:
            shutil.copy(path, tmp_path / "t2ibench")
    for kind in ("datasets", "methods", "metrics"):
        shutil.copytree(ROOT / kind, tmp_path / kind, ignore=ignored)
    return tmp_path


def run(checkout: Path, code: str) -> str:
    """What a program prints that finds the package in the checkout."""
    lines = ["import sys", "sys.modules['resource'] = None", f"sys.path.insert(0, {str(checkout)!r})", code]
    command = [sys.executable, "-S", "-c", "\n".join([PATHS, *lines])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# -S leaves out the links of an editable installation; the other packages are found here
PATHS = f"import sys; sys.path += {[path for path in sys.path if 'site-packages' in path]!r}"


def test_links_that_are_files_lead_to_the_plug_ins_beside_the_package(checkout):
    code = """
from t2ibench.core import plugins
import t2ibench.metrics.kid as kid, t2ibench.methods.image_folder as method
numbers = [len(plugins.find(kind)) for kind in ("methods", "metrics")]
print(kid.__file__, *numbers, plugins.load("datasets", "image_folder").__name__)
"""
    file, methods, metrics, loaded = run(checkout, code).split()
    assert Path(file) == checkout / "metrics" / "kid.py"
    assert int(methods) >= 7
    assert int(metrics) >= 18
    assert loaded == "t2ibench.datasets.image_folder"


def test_verbs_run_without_the_module_resource(checkout):
    code = """
from t2ibench.core import environment
class NoFile:
    def __init__(self, path):
        raise OSError(path)
environment.Path = NoFile  # no /proc either
print(environment.peak_memory())
from t2ibench import cli
sys.argv = ["t2ibench", "list", "methods"]
cli.main()
"""
    said = run(checkout, code)
    assert said.startswith("None")
    assert "gan-int-cls" in said


def test_a_package_without_its_plug_ins_says_so_in_one_line(checkout):
    shutil.rmtree(checkout / "metrics")
    code = """
from t2ibench import cli
sys.argv = ["t2ibench", "list", "metrics"]
try:
    cli.main()
except SystemExit as stop:
    print("exit", stop.code)
"""
    assert "exit 2" in run(checkout, code)
