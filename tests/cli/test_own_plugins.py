"""A data set, a metric, a method and a track that somebody else wrote, of a few lines each, go through `run`, `table`
and `report`.
"""

import json
import sys

import pytest

FILES = {
    "greys/data.py": '''"""Images of one grey level each."""
from dataclasses import dataclass
import numpy as np
from t2ibench.core.images import pixel_hash
from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages

@dataclass(frozen=True)
class Config:
    count: int = 8

def load(config, split):
    images = np.stack([np.full((3, 8, 8), 100 + 10 * i, np.uint8) for i in range(config.count)])
    ids = [f"{split}-{i}" for i in range(config.count)]
    return Split("greys", split, ids, ArrayImages(images, [pixel_hash(i) for i in images]), [("grey",)] * len(ids))
''',
    "greys/metric.py": '''"""How much brighter an image is than a mid grey."""
from dataclasses import dataclass
from t2ibench.core.records import Estimate

TRACKS = ("brighten",)
QUESTIONS = {"brightness": "how bright are the images?"}

@dataclass(frozen=True)
class Config:
    zero: int = 100

def score(evidence, config):
    levels = evidence.samples("brighter").images.mean((1, 2, 3)) - config.zero
    ci = (levels.mean() - 2 * levels.std(), levels.mean() + 2 * levels.std())
    return {"brightness": Estimate(levels.mean(), ci, len(levels), "higher", {"zero": config.zero}, "two deviations")}
''',
    "greys/method.py": '''"""Adds a number to every pixel."""
from dataclasses import dataclass
import torch

@dataclass(frozen=True)
class Config:
    more: int = 50

class Method:
    def __init__(self, config, models):
        self.config = config

    def brighten(self, images):
        return images + self.config.more
''',
    "greys/track.py": '''"""Brighten: real images are to become brighter."""
from dataclasses import dataclass
import torch
from t2ibench.tracks.contract import Group, Prompt, Track
from t2ibench.tracks.from_sources import samples

@dataclass(frozen=True)
class Settings:
    images: int = 4

def prompts(asked):
    return [Prompt("brighter", "brighter", "brighter", asked.settings.images)]

def make(method, samples, data):
    return method.brighten(torch.from_numpy(data.reference.images.read([sample.k for sample in samples])))

TRACK = Track("brighten", Settings, ("brighten",), prompts, samples, make, groups={"brighter": Group(shown=1)})
''',
    "greys-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: greys\nVersion: 1\n",
    "greys-1.dist-info/entry_points.txt": """[t2ibench.datasets]
greys = greys.data
[t2ibench.metrics]
brightness = greys.metric
[t2ibench.methods]
adder = greys.method
[t2ibench.tracks]
brighten = greys.track
""",
    "greys.yaml": """# Greys. A second.
dataset: {name: greys}
tracks: [brighten]
brighten: {images: 6}
methods: [adder, {name: adder, as: less, more: 20}]
metrics: [brightness]
""",
}


@pytest.fixture
def greys(tmp_path, monkeypatch):
    """The package, installed, and its suite in the current folder."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "greys"]:
        del sys.modules[name]


def test_all_four_kinds_of_plugin_from_the_run_to_the_report(greys, t2ibench, tmp_path):
    answer = t2ibench("run", "greys.yaml", "--out", "results", "--work", "work")
    assert answer.returncode == 0, answer.stderr
    values = {
        name: json.loads((tmp_path / f"results/records/greys/brighten/{name}/0.json").read_text())["values"]
        for name in ("adder", "less")
    }
    means = {name: value["brightness"]["value"] for name, value in values.items()}
    assert means == {"adder": 75.0, "less": 45.0}  # 100, 110 … 150 and 50 or 20 more, compared with 100
    [board] = json.loads(t2ibench("table", "results", "--json").stdout)
    assert board["track"] == "brighten"
    chosen = t2ibench("table", "results", "--columns", "brightness", "--format", "markdown").stdout
    assert "how bright are the images?" in chosen
    answer = t2ibench("report", "results", "--work", "work", "--out", "site")
    assert answer.returncode == 0, answer.stderr
    pages = {path.name: path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.html")}
    assert "brighten" in pages["index.html"]
    [of_board] = [text for name, text in pages.items() if name.startswith("board.")]
    assert all(word in of_board for word in ("adder", "less", "75", "45"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("brighten: {images", "brightn: {images", "unknown key 'brightn', did you mean 'brighten'"),
        ("{images: 6}", "{images: 0}", "greys.yaml: brighten: images is 0, expected at least 1"),
        ("{images: 6}", "{image: 6}", "greys.yaml: brighten: unknown key 'image', did you mean 'images'"),
        ("tracks: [brighten]", "tracks: [brightn]", "no track is called 'brightn', did you mean 'brighten'"),
        ("[brightness]", "[fid]", "fid can score text_to_image and adapt and compose, expected one of brighten"),
        ("tracks: [brighten]", "tracks: [brighten]\nedits: {images: 3}", "is of the track edit, which is not in"),
    ],
)
def test_what_is_wrong_with_such_a_suite_is_one_line(greys, t2ibench, tmp_path, old, new, said):
    path = tmp_path / "greys.yaml"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    answer = t2ibench("run", "greys.yaml")
    assert answer.returncode == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "member", "said"),
    [
        ("data", "def load", "datasets: greys has no load: DatasetPlugin in t2ibench.data.contract states"),
        ("metric", "def score", "metrics: brightness has no score: MetricPlugin in t2ibench.scoring.contract states"),
        ("method", "class Method", "methods: adder has no Method: MethodPlugin in t2ibench.tracks.contract states"),
        ("track", "TRACK", "tracks: brighten has no TRACK"),
    ],
)
def test_a_plugin_without_what_it_must_have_is_one_line(greys, t2ibench, tmp_path, file, member, said):
    path = tmp_path / "greys" / f"{file}.py"
    path.write_text(path.read_text("utf-8").replace(member, member[:-2] + "_"), "utf-8")
    answer = t2ibench("run", "greys.yaml")
    assert answer.returncode == 2
    assert said in answer.stderr
