"""500 files, settings and words that are wrong, for every verb. A traceback, a hang or more than one line: exit code 1.

python benchmarks/faults/bad_input.py [--most 500] [--out results/studies]

All run in one process. An input that is taken after all is counted and named; it is no fault. The usage that typer
explains in a box, for words that no option takes, is counted as `usage`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from calling import Ending, call, counted, summary
from PIL import Image

from t2ibench.core import records

NAN = float("nan")
WRONG: list[Any] = [None, -1, 0, 1e999, NAN, "", "x" * 3000, [], {}, [[]], {"a": {"b": [1]}}, True, "\u202e\x1b", 3.5]
TEXTS: dict[str, bytes] = {
    "empty": b"",
    "zero": b"\0" * 64,
    "latin": "schön\nüber\n".encode("latin1"),
    "utf-16": "a\nb\n".encode("utf-16"),
    "half a character": "schön".encode()[:4],
    "deep": b"[" * 20_000,
    "deep map": b'{"a":' * 20_000,
    "number": b"7",
    "null": b"null",
    "list": b"[1, 2]",
    "nan": b'{"text": NaN, "file_name": NaN}',
    "tab": b"a\tb\tc\n",
    "long": b"x" * 300_000,
    "spaces": b" \n \n",
    "escape": b"\x1b[2J\n",
    "keys": b'{"1": 2}\n{"3": 4}\n',
}
SUITE = {
    "dataset": {"name": "avatars"},
    "methods": [{"name": "gan_cls", "variant": "gan-cls"}],
    "prompts": {"captions": 4},
    "seeds": [0],
    "metrics": ["clip_score"],
    "tracks": ["text_to_image"],
    "baselines": [],
}
Case = tuple[str, list[str]]  # what is wrong, and the words of the command


def suites(folder: Path) -> Iterator[Case]:
    """Each key of a suite, and each key inside, with each wrong value; unknown keys; texts that are no suite."""
    places = [(key, None) for key in SUITE]
    places += [
        ("dataset", "name"),
        ("dataset", "size"),
        ("prompts", "captions"),
        ("prompts", "split"),
        ("edits", "images"),
    ]
    contents: dict[str, Any] = {}
    for key, inner in places:
        for place, value in enumerate(WRONG):
            changed = {**SUITE, key: value if inner is None else {**dict(SUITE.get(key, {})), inner: value}}
            contents[f"{key} {inner or ''} {place}"] = yaml.safe_dump(changed, allow_unicode=True).encode()
    for key in ("Dataset", "promts", "seed", 3, None, "x" * 500):
        contents[f"key {key}"[:40]] = yaml.safe_dump({**SUITE, key: 1}).encode()
    for name in ("methods", "metrics", "baselines", "tracks"):
        for value in (["nobody"], [3], [{"name": "gan_cls", "nope": 1}], [{}], [{"name": None}]):
            contents[f"{name} of {value}"] = yaml.safe_dump({**SUITE, name: value}).encode()
    contents |= {f"text {name}": content for name, content in TEXTS.items()}
    for row, (what, content) in enumerate(contents.items()):
        path = folder / f"suite-{row}.yaml"
        path.write_bytes(content)
        yield f"suite: {what}", ["run", str(path), "--dry-run", "--out", str(folder / "runs")]


def statistics(folder: Path) -> Iterator[Case]:
    """Files in place of a reference of a score."""
    arrays: dict[str, dict[str, Any]] = {
        "mu alone": {"mu": np.zeros(8)},
        "other sizes": {"mu": np.zeros(8), "sigma": np.eye(4)},
        "nan": {"mu": np.full(8, np.nan), "sigma": np.eye(8)},
        "not symmetric": {"mu": np.zeros(8), "sigma": np.triu(np.ones((8, 8)))},
        "negative": {"mu": np.zeros(8), "sigma": -np.eye(8)},
        "texts": {"mu": np.array(["a"]), "sigma": np.array(["b"])},
        "no dimension": {"mu": np.array(1.0), "sigma": np.array(1.0)},
        "empty": {"mu": np.zeros(0), "sigma": np.zeros((0, 0))},
        "complex": {"mu": np.zeros(8, complex), "sigma": np.eye(8, dtype=complex)},
        "floats as images": {"arr_0": np.zeros((2, 8, 8, 3), np.float32)},
        "images of one channel": {"arr_0": np.zeros((2, 8, 8), np.uint8)},
        "no image": {"arr_0": np.zeros((0, 8, 8, 3), np.uint8)},
        "nothing": {},
    }
    for name, content in arrays.items():
        np.savez(folder / f"{name}.npz", **content)
        yield f"statistics: {name}", [str(folder / f"{name}.npz")]
    np.save(folder / "one", np.zeros((4, 4)))
    (folder / "one.npy").rename(folder / "one array.npz")
    yield "statistics: one array", [str(folder / "one array.npz")]
    tensors: dict[str, Any] = {
        "int": torch.zeros(4, 8, dtype=torch.int64),
        "bool": torch.zeros(4, 8, dtype=torch.bool),
        "scalar": torch.tensor(1.0),
        "list": [1, 2],
        "none": None,
        "text": "x",
        "nan": torch.full((4, 8), NAN),
        "five axes": torch.zeros(1, 1, 1, 1, 1),
        "empty": torch.zeros(0, 8),
        "map": {"features": torch.zeros(4, 8), "other": 1},
        "complex": torch.zeros(4, 8, dtype=torch.complex64),
    }
    for name, tensor in tensors.items():
        torch.save(tensor, folder / f"{name}.pt")
        yield f"statistics: {name}.pt", [str(folder / f"{name}.pt")]
    for ending in ("npz", "pt", "pkl", "pth"):
        for name in ("empty", "zero", "number", "deep", "latin"):
            path = folder / f"{name}-text.{ending}"
            path.write_bytes(TEXTS[name])
            yield f"statistics: {name} as {ending}", [str(path)]


def images(folder: Path) -> Iterator[tuple[str, Path]]:
    """Folders of images of which one is wrong."""
    good = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    good.save(folder / "good.png")
    png = (folder / "good.png").read_bytes()
    contents = {
        "cut": png[: len(png) // 2],
        "head": png[:20],
        "flipped": bytes([*png[:40], png[40] ^ 255, *png[41:]]),
        "huge": png[:16] + (100_000).to_bytes(4, "big") * 2 + png[24:],
        "no size": png[:16] + bytes(8) + png[24:],
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "gif": b"GIF89a" + bytes(30),
        "jpeg": b"\xff\xd8\xff\xe0" + bytes(40),
        "webp": b"RIFF\x10\0\0\0WEBPVP8 ",
        "tiff": b"II*\0\x08\0\0\0\xff\xff" + bytes(20),
        "bmp": b"BM" + b"\xff" * 60,
        "ppm": b"P6\n-1 -1\n255\n",
        **{f"text {name}": TEXTS[name] for name in ("empty", "zero", "long", "utf-16")},
    }
    for name, content in contents.items():
        place = folder / name
        place.mkdir()
        (place / "1.png").write_bytes(content)
        (place / "0.png").write_bytes(png)
        yield f"image: {name}", place
    for mode in ("I", "F"):
        place = folder / f"mode {mode}"
        place.mkdir()
        Image.fromarray(np.full((16, 16), 1e6, np.float32 if mode == "F" else np.int32), mode).save(place / "0.tiff")
        yield f"image: mode {mode}", place
    place = folder / "transparent"
    place.mkdir()
    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(place / "0.png")
    yield "image: transparent", place
    (folder / "no image").mkdir()
    yield "image: none", folder / "no image"
    (folder / "folder").mkdir()
    (folder / "folder" / "0.png").mkdir()
    yield "image: a folder called 0.png", folder / "folder"


def results(folder: Path) -> Iterator[Case]:
    """Records of which one field is wrong: read as they are, and with a hash that fits."""
    model = json.loads((Path(__file__).parents[2] / "results/records/avatars/text_to_image/gan-cls/0.json").read_text())
    row = 0
    for key in sorted(model):
        for value in WRONG[:12]:
            for sealed in (False, True):
                content = {**model, key: value}
                if sealed:
                    try:
                        content = records.seal(content)
                    except ValueError:
                        continue
                row += 1
                path = folder / f"record-{row}" / "records" / "0.json"
                path.parent.mkdir(parents=True)
                path.write_text(json.dumps(content))
                top = path.parent.parent
                command = ["table", str(top)] if row % 2 else ["report", str(top), "--out", str(top / "site")]
                state = "sealed" if sealed else "as it is"
                yield f"record: {key} is {value!r:.20}, {state}, {command[0]}", command
    for name, text in TEXTS.items():
        path = folder / f"text {name}" / "0.json"
        path.parent.mkdir()
        path.write_bytes(text)
        for verb in ("table", "report", "submit", "verify"):
            yield (
                f"record: text {name}, {verb}",
                [verb, str(path.parent), *(["--out", str(folder / "site")] if verb in ("report", "submit") else [])],
            )


def words(folder: Path, good: Path) -> Iterator[Case]:
    """Options and arguments that cannot be."""
    for value in ("-1", "0", "1e9", "99999999", "nan", "x", ""):
        yield f"score --size {value}", ["score", str(good), "--reference", str(good), "--size", value]
        yield f"run --batch {value}", ["run", "quick", "--dry-run", "--batch", value]
        yield (
            f"generate --seeds {value}",
            ["generate", "gan_cls", "a face", "--seeds", value, "--out", str(folder / "a.png")],
        )
        yield f"compare --margin {value}", ["compare", "a", "b", "--margin", value]
        yield f"run --shard {value}", ["run", "quick", "--dry-run", "--shard", value]
    for pair in (
        "beta=nan",
        "beta=inf",
        "beta=x",
        "beta",
        "=",
        "nope=1",
        "beta=[1",
        "beta={",
        "beta=1e999",
        "x" * 4000,
    ):
        yield (
            f"generate --set {pair[:20]}",
            ["generate", "styleclip", "a face", "--set", pair, "--out", str(folder / "b.png")],
        )
    for name in ("nobody", "", "../x", "x" * 2000, "\x1b[2J", "a\nb", "[/b]", "gan-cls\0"):
        for command in (
            ["describe", name],
            ["train", name],
            ["generate", name, "a"],
            ["doctor", "--suite", name],
            ["fetch", name],
            ["reproduce", name],
        ):
            yield f"{command[0]} {name[:20]!r}", command
        yield f"score --metrics {name[:20]!r}", ["score", str(good), "--reference", str(good), "--metrics", name]
        yield f"score --extractor {name[:20]!r}", ["score", str(good), "--reference", str(good), "--extractor", name]
        yield f"score --dataset {name[:20]!r}", ["score", str(good), "--dataset", name]
        yield f"table {name[:20]!r}", ["table", name or "/nowhere"]
    for ending, content in (
        ("safetensors", "zero"),
        ("pt", "zero"),
        ("pkl", "deep"),
        ("pth", "empty"),
        ("pt", "latin"),
    ):
        path = folder / f"weights-{content}.{ending}"
        path.write_bytes(TEXTS[content])
        yield f"convert {path.name}", ["convert", str(path), str(folder / "c.safetensors"), "--replace"]
        for extractor in (f"dinov2:{path}", f"arcface:{path}", f"ViT-B-32:{path}"):
            yield (
                f"extractor {extractor.partition(':')[0]}:{path.name}",
                ["score", str(good), "--reference", str(good), "--metrics", "fid", "--extractor", extractor],
            )


def texts(folder: Path, good: Path) -> Iterator[Case]:
    """Texts beside images, and files of texts."""
    for ending in ("txt", "json", "jsonl", "csv", "tsv"):
        for name, content in TEXTS.items():
            path = folder / f"{name}.{ending}"
            path.write_bytes(content)
            yield (
                f"texts: {name}.{ending}",
                ["score", str(good), "--prompts", str(path), "--metrics", "clip_score", "--clip", "clip-judge-avatars"],
            )


def cases(folder: Path) -> Iterator[Case]:
    for name in ("suites", "statistics", "images", "results", "words", "texts", "good"):
        (folder / name).mkdir()
    good = folder / "good"
    for row in range(3):
        pixels = np.random.default_rng(row).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(good / f"{row}.png")
    score = ["score", str(good), "--metrics", "fid", "--extractor", "clip-judge-avatars"]
    yield from suites(folder / "suites")
    yield from ((what, [*score, "--reference", *last]) for what, last in statistics(folder / "statistics"))
    yield from (
        (what, ["score", str(path), "--reference", str(good), *score[2:]]) for what, path in images(folder / "images")
    )
    yield from results(folder / "results")
    yield from words(folder / "words", good)
    yield from texts(folder / "texts", good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, help="run so many of them, evenly chosen")
    parser.add_argument("--out", type=lambda text: Path(text).absolute(), help="write a summary into this folder")
    arguments = parser.parse_args()
    endings: dict[str, Ending] = {}
    with tempfile.TemporaryDirectory() as root:
        os.environ["T2IBENCH_CACHE"] = f"{root}/cache"
        os.chdir(root)
        listed = list(cases(Path(root)))
        step = max(1, len(listed) // arguments.most) if arguments.most else 1
        for what, command in listed[::step]:
            endings[what] = call(command)
    kinds = counted(endings)
    bad = {what: ending for what, ending in endings.items() if ending.kind in ("traceback", "hangs", "several lines")}
    for what, ending in bad.items():
        print(f"{what}: {ending.kind}: {ending.said.strip()[-400:]}\n")
    taken = [what for what, ending in endings.items() if ending.kind == "taken"]
    print(f"{len(endings)} inputs: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    summary("bad_input", {"inputs": len(endings), "ended": kinds, "bad": sorted(bad), "taken": taken}, arguments.out)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
