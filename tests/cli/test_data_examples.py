"""docs/data_examples.md: each of its commands is executed on a small copy that lies as the page says, and prints what
the page says, up to the numbers.
"""

import io
import json
import re
import shlex
import tarfile
from pathlib import Path

import pytest
from cub_files import write_cub, xian
from dev_all import hugging_face_datasets
from PIL import Image
from release_files import noise, save, text, write_celeba_hq, write_coco, write_ffhq, write_flowers
from typer.testing import CliRunner

from t2ibench import cli

PAGE = (Path(__file__).parents[2] / "docs/data_examples.md").read_text("utf-8")
EXAMPLES = [
    (re.split(r"\s+# ", command)[0], said.splitlines())
    for command, said in re.findall(r"^\$ (.*)\n((?:(?!```).*\n)*)", PAGE, re.M)
]
SMALL = {  # what makes a command fit a small copy
    "cub": "--set partial=true",
    "oxford_flowers": "--set partial=true",
    "coco": "--set partial=true --set drawn=4",
    "celeba_hq": "--set partial=true",
    "ffhq": "--set partial=true",
}


def write_hub(folder: Path) -> None:
    import pyarrow.parquet

    file = io.BytesIO()
    noise(0).save(file, "PNG")
    images = [{"bytes": file.getvalue(), "path": None}] * 2
    folder.mkdir(parents=True)
    table = pyarrow.table({"image": images, "caption": ["one", "two"], "kind": ["a", "b"]})
    pyarrow.parquet.write_table(table, folder / "train-00000-of-00001.parquet")


def write_shards(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        file = io.BytesIO()
        noise(number).save(file, "JPEG")
        with tarfile.open(folder / f"{number:05}.tar", "w") as archive:
            for name, content in ((f"{number}.jpg", file.getvalue()), (f"{number}.txt", b"a caption")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """A folder in which the copies lie as the page says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    xian(write_cub(tmp_path / "cub"))
    write_flowers(tmp_path / "oxford_flowers")
    write_coco(tmp_path / "coco")
    write_celeba_hq(tmp_path / "celeba_hq")
    write_ffhq(tmp_path / "ffhq", folder="thumbnails128x128")
    write_shards(tmp_path / "laion")
    write_hub(tmp_path / "birds-hub/data")
    for number in range(2):
        save(Image.new("RGB", (8, 8), (number, 0, 0)), tmp_path / f"photos/{number:04}.png")
    rows = [json.dumps({"file_name": f"{number:04}.png", "text": "a red bird"}) for number in range(2)]
    text(tmp_path / "photos/metadata.jsonl", rows)
    text(tmp_path / "drawbench.csv", ["Prompts", "a cat", "a dog", "a bird"])
    [suite] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "drawbench.yaml").write_text(suite)
    return tmp_path


def test_each_data_set_has_an_example():
    assert {shlex.split(command)[2] for command, _ in EXAMPLES} == {
        *("cub", "oxford_flowers", "coco", "celeba_hq", "ffhq", "webdataset", "huggingface", "photos"),
        "drawbench.yaml",
    }


@pytest.mark.parametrize(("command", "said"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_a_command_of_the_page_prints_what_the_page_says(command, said, copies, monkeypatch):
    words = shlex.split(command)[1:]
    if words[1] == "huggingface":
        hugging_face_datasets(monkeypatch)
    answer = CliRunner().invoke(cli.app, [*words, *shlex.split(SMALL.get(words[1], ""))])
    assert answer.exit_code == 0, answer.output or answer.exception
    lines = answer.output.splitlines()
    for line, printed in zip(said, lines, strict=False):
        assert re.sub(r"\d[\d,]*", "N", printed) == re.sub(r"\d[\d,]*", "N", line)
    assert len(lines) >= len(said) >= 1
