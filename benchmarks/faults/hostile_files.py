"""150 hostile files. One that runs code, hangs, takes memory without bound or writes beside its folder: exit code 1.

python benchmarks/faults/hostile_files.py [--most 150] [--out results/studies]

Weights and statistics whose pickles call functions, archives and records whose names are paths, images and YAML that
grow, texts that terminals and browsers obey, modules of the current folder under the names of libraries.
"""

import argparse
import io
import json
import os
import pickle
import pickletools
import resource
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calling import Ending, call, counted, summary
from PIL import Image

from t2ibench.core import records

MOST_MEMORY = 6 * 2**30  # bytes of address space, beyond those of a process that has loaded everything
MARK = "t2ibench-was-here"
SCRIPT = f"<script>document.title='{MARK}'</script>"
Case = tuple[str, list[str]]


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def payloads(mark: Path) -> dict[str, Any]:
    touch = f"open({str(mark)!r}, 'w').close()"
    inner = pickle.dumps(Calls(exec, touch))
    return {
        "system": Calls(os.system, f"touch {mark}"),
        "exec": Calls(exec, touch),
        "eval": Calls(eval, touch),
        "popen": Calls(subprocess.check_output, ["touch", str(mark)]),
        "open": Calls(open, str(mark), "w"),
        "nested": Calls(pickle.loads, inner),
        "import": Calls(__import__, "antigravity"),
        "storage": Calls(torch.storage._load_from_bytes, inner),
        "mkdir": Calls(os.mkdir, str(mark)),
        "globals": Calls(getattr, Calls(__import__, "os"), "system"),
    }


def pickles(folder: Path, mark: Path) -> Iterator[tuple[str, Path]]:
    for name, evil in payloads(mark).items():
        raw = pickle.dumps(evil)
        contents: dict[str, bytes] = {
            f"{name}.pkl": raw,
            f"{name}-raw.pt": raw,
            f"{name}-g.pkl": pickle.dumps({"G_ema": evil}),
        }
        for ending, new in (("pt", True), ("old.pt", False)):
            file = io.BytesIO()
            torch.save(
                {"state_dict": {"weight": torch.zeros(2), "other": evil}}, file, _use_new_zipfile_serialization=new
            )
            contents[f"{name}.{ending}"] = file.getvalue()
        for file_name, content in contents.items():
            (folder / file_name).write_bytes(content)
            yield f"pickle: {file_name}", folder / file_name
        array = np.empty(1, object)
        array[0] = evil
        np.savez(folder / f"{name}.npz", mu=array, sigma=array, arr_0=array)
        yield f"pickle: {name}.npz", folder / f"{name}.npz"
    assert pickletools.optimize(raw)


def archives(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that say that they are larger than they are, and arrays that grow when they are unpacked."""
    (folder / "header.safetensors").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (folder / "shape.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    overlap = json.dumps({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}).encode()
    (folder / "overlap.safetensors").write_bytes(len(overlap).to_bytes(8, "little") + overlap + bytes(4))
    yield from ((f"archive: {path.name}", path) for path in sorted(folder.glob("*.safetensors")))
    with zipfile.ZipFile(folder / "grows.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**36, 1, 1, 3)})
        archive.writestr("arr_0.npy", head.getvalue() + bytes(2**20))
    yield "archive: grows.npz", folder / "grows.npz"
    with zipfile.ZipFile(folder / "leaves.npz", "w") as archive:
        archive.writestr("../../mu.npy", b"x")
    yield "archive: leaves.npz", folder / "leaves.npz"
    script = folder / "script.pt"
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("m/code/__torch__.py", "import os\nos.system('touch x')")
        archive.writestr("m/data.pkl", pickle.dumps({}))
        archive.writestr("m/constants.pkl", pickle.dumps(()))
        archive.writestr("m/version", "3")
    yield "archive: script.pt", script


def pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    def png(width: int, height: int, data: bytes, *chunks: bytes) -> bytes:
        head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
        return (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        )

    grows = zlib.compress(bytes(200_000_000))
    contents = {
        "large.png": png(60_000, 60_000, zlib.compress(b"")),
        "grows.png": png(16, 16, grows),
        "text grows.png": png(16, 16, b"", chunk(b"zTXt", b"a\0\0" + grows)),
        "profile grows.png": png(16, 16, b"", chunk(b"iCCP", b"a\0\0" + grows)),
        "program.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(x) (w) file closefile\nshowpage\n",
        "entities.png": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
        "frames.png": b"GIF89a\x01\0\x01\0\x80\0\0"
        + bytes(6)
        + b"\x21\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0" * 5000
        + b";",
        "loops.png": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "wmf.png": b"\xd7\xcd\xc6\x9a" + bytes(60),
        "icns.png": b"icns" + (2**31 - 1).to_bytes(4, "big") + b"ic10" + bytes(20),
    }
    for name, content in contents.items():
        place = folder / name
        place.mkdir()
        (place / "0.png").write_bytes(content)
        yield f"image: {name}", place
    place = folder / "link"
    place.mkdir()
    (place / "0.png").symlink_to("/etc/passwd")
    (place / "loop").symlink_to(place)
    yield "image: links", place
    place = folder / "pipe"
    place.mkdir()
    os.mkfifo(place / "0.png")
    yield "image: a pipe", place


def results(folder: Path) -> Iterator[Case]:
    """Records of others, sealed again so that their hashes fit."""
    model = json.loads((Path(__file__).parents[2] / "results/records/avatars/text_to_image/gan-cls/0.json").read_text())
    names = [
        "../../out",
        "/tmp/out",
        "a/../../b",
        SCRIPT,
        "\x1b]0;x\x07",
        "=cmd|' /C calc'!A0",
        "\\input{/etc/passwd}",
        "${7*7}",
        "{{7*7}}",
        "\u202e",
        "con",
        "x" * 300,
    ]
    row = 0
    for key in ("method", "suite", "track", "kind"):
        for name in names:
            row += 1
            path = folder / str(row) / "records" / "r.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(records.seal({**model, key: name})))
            verb = ("table", "report", "export", "submit")[row % 4]
            out = ["--out", str(folder / str(row) / "out")] if verb != "table" else []
            yield f"record: {key} is {name!r:.30}, {verb}", [verb, str(path.parent.parent), *out]
    for verb in ("table", "report"):
        for field, value in (
            ("failures", [[SCRIPT, 3]]),
            ("facts", {SCRIPT: SCRIPT}),
            ("environment", {"platform": SCRIPT}),
            ("config", {"name": SCRIPT, "x": SCRIPT}),
            ("unscored", {SCRIPT: SCRIPT}),
            ("columns", [SCRIPT]),
        ):
            row += 1
            path = folder / str(row) / "records" / "r.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(records.seal({**model, field: value})))
            yield (
                f"record: {field} with a script, {verb}",
                [
                    verb,
                    str(path.parent.parent),
                    *(["--out", str(folder / str(row) / "out")] if verb == "report" else []),
                ],
            )


def bundles(folder: Path) -> Iterator[Case]:
    """Archives of a submission and an audit's answers, whose members are paths."""
    for row, name in enumerate(("../../../evil", "/tmp/evil", "a/../../evil", "..\\evil", "records/\0", "C:\\evil")):
        path = folder / f"{row}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("submission.json", "{}")
            archive.writestr(name.replace("\0", "nul"), "x")
        yield f"bundle: member {name!r}", ["verify", str(path)]
        path = folder / f"{row}.tar"
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo(name.replace("\0", "nul"))
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        yield f"bundle: tar, member {name!r}", ["verify", str(path)]
        shards = folder / f"shards-{row}"
        shards.mkdir()
        (shards / "00000.tar").write_bytes(path.read_bytes())
        yield (
            f"shard: member {name!r}",
            ["show", "webdataset", "--set", f"root={shards}", "--out", str(folder / f"{row}.png")],
        )


def settings(folder: Path, mark: Path) -> Iterator[Case]:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    texts = [
        f"!!python/object/apply:os.system ['touch {mark}']",
        f"a: !!python/object/apply:subprocess.check_output [[touch, {mark}]]",
        f"a: !!python/object/new:exec ['open({str(mark)!r}, \"w\")']",
        "a: !!python/name:os.system",
        "a: !!python/module:antigravity",
        f"a: !!python/object/apply:builtins.eval ['open({str(mark)!r}, \"w\")']",
        bomb,
        "&a [*a, *a]",
        "a: &a {b: *a}",
        "[" * 50_000,
        "a: " + "9" * 100_000,
        "- " * 20_000,
        "? " * 5_000,
        "dataset: {name: image_folder, root: nowhere/../../../../etc}\nmethods: [gan_cls]\nmetrics: [fid]",
        "dataset: ../../evil\nmethods: [../../evil]\nmetrics: [fid]",
        f"dataset: avatars\nmethods: [{{name: os, x: {mark}}}]\nmetrics: [subprocess]",
        "dataset: avatars\nmethods: [{name: gan_cls, called: ../../evil}]\nmetrics: [clip_score]",
        "dataset: avatars\nmethods: [gan_cls]\nmetrics: [{name: clip_score, as: ../../evil}]",
    ]
    for row, text in enumerate(texts):
        path = folder / f"{row}.yaml"
        path.write_text(text)
        yield (
            f"YAML: {text[:50]!r}",
            ["run", str(path), "--dry-run", "--out", str(folder / "runs"), "--work", str(folder / "runs")],
        )


def shadowed(folder: Path, mark: Path) -> dict[str, Ending]:
    """Modules of the current folder under the names of libraries, and folders of plug-ins: none is imported."""
    code = f"open({str(mark)!r}, 'w').close()\n"
    program = Path(sys.executable).parent / "t2ibench"
    endings = {}
    for name in (
        "torch",
        "numpy",
        "yaml",
        "typer",
        "t2ibench",
        "PIL",
        "methods/evil",
        "metrics/evil",
        "datasets/evil",
        "sitecustomize",
    ):
        place = folder / name.replace("/", "-")
        path = place / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(code)
        for words in (["list", "methods"], ["describe", "gan-cls"]):
            if program.exists():
                done = subprocess.run([str(program), *words], cwd=place, capture_output=True, text=True, timeout=120)
                endings[f"module: {name}.py, {words[0]}"] = Ending(done.returncode, done.stderr)
    return endings


def cases(folder: Path, mark: Path) -> Iterator[Case]:
    for name in ("pickles", "archives", "pictures", "results", "bundles", "settings", "good", "checkpoint"):
        (folder / name).mkdir()
    good = folder / "good"
    for row in range(3):
        pixels = np.random.default_rng(row).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(good / f"{row}.png")
    fid = ["score", str(good), "--metrics", "fid"]
    for row, (what, path) in enumerate([*pickles(folder / "pickles", mark), *archives(folder / "archives")]):
        readers = [
            [*fid, "--extractor", "clip-judge-avatars", "--reference", str(path)],
            [*fid, "--reference", str(good), "--extractor", f"dinov2:{path}"],
            [*fid, "--reference", str(good), "--extractor", f"arcface:{path}"],
            [*fid, "--reference", str(good), "--extractor", f"ViT-B-32:{path}"],
            ["convert", str(path), str(folder / "converted.safetensors"), "--replace"],
            ["generate", "styleclip", "a face", "--set", f"generator={path}", "--out", str(folder / "sheet.png")],
        ]
        for place in (row, row + 3):
            command = readers[place % len(readers)]
            yield f"{what}, read by {command[0]} {command[-1].partition(':')[0][-30:]}", command
    score = ["--reference", str(good), "--metrics", "fid", "--extractor", "clip-judge-avatars"]
    yield from ((what, ["score", str(path), *score]) for what, path in pictures(folder / "pictures"))
    yield from results(folder / "results")
    yield from bundles(folder / "bundles")
    yield from settings(folder / "settings", mark)


def beside(root: Path) -> set[str]:
    """What lies where no hostile file may write."""
    return {
        str(path)
        for place in (root, root / "watched", Path("/tmp"))
        for path in place.glob("*")
        if "evil" in path.name or MARK in path.name or place != Path("/tmp")
    }


def scripts(root: Path) -> list[str]:
    """Pages that hold a script of a record as a script."""
    return [
        str(path)
        for path in root.rglob("*")
        if path.suffix in (".html", ".svg", ".js") and SCRIPT.encode() in path.read_bytes()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, help="run so many of them, evenly chosen")
    parser.add_argument("--out", type=lambda text: Path(text).absolute(), help="write a summary into this folder")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    endings: dict[str, Ending] = {}
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        watched = root / "watched"
        watched.mkdir()
        (root / "work").mkdir()
        mark = watched / MARK
        os.environ["T2IBENCH_CACHE"] = f"{root}/cache"
        (root / "cache").mkdir()
        os.chdir(root / "work")
        listed = list(cases(root / "work", mark))
        step = max(1, len(listed) // arguments.most) if arguments.most else 1
        import torch._dynamo  # noqa: F401  (a call that is stopped while it imports would break all that follow)

        call(["list", "methods"])
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, resource.RLIM_INFINITY))
        known = beside(root)
        for what, command in listed[::step]:
            endings[what] = call(command)
            if fresh := beside(root) - known:
                faults.append(f"{what}: made {', '.join(sorted(fresh))}")
                known |= fresh
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        endings |= shadowed(watched / "modules", mark) if not arguments.most else {}
        faults += [f"a module of the current folder was imported: {mark}"] if mark.exists() else []
        faults += [f"{page}: holds a script of a record" for page in scripts(root / "work" / "results")]
    faults += [
        f"{what}: {ending.kind}: {ending.said.strip()[-300:]}"
        for what, ending in endings.items()
        if ending.kind in ("hangs", "traceback", "several lines")
    ]
    print("\n".join(faults))
    kinds = counted(endings)
    print(
        f"{len(endings)} hostile files: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}; {len(faults)} faults"
    )
    summary("hostile_files", {"files": len(endings), "ended": kinds, "faults": faults}, arguments.out)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
