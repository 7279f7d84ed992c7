"""Seconds, memory and bytes of opening each data set at its real number of files, with stand-ins of tiny JPEGs.

python benchmarks/rehearsal.py [cub coco celeba_hq ffhq] [--share 1.0] [--keep FOLDER]

Expected, or exit code 1: 10 s and 1 GB for each, FFHQ's one-time index 60 s, and no byte of an image. The stand-ins
have the files, lines and annotations of the releases, drawn by a seed. All images of a set are links to one file, so
that a disk holds them. `--share 0.1` writes a tenth of them. Each set is opened in a process of its own.

Then rare pairs are found in the tables of cub and celeba_hq, the digests of the pixels of 2,000 images are taken, which
gives the images a second, the baselines `real` and `shuffled` of a suite of 500 captions come to their records, and a
text encoder of GAN-CLS takes ten steps. FFHQ has no captions, so there it ends with the digests; of COCO the stand-in
has no training images.
"""

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS, BYTES, INDEX_SECONDS = 10.0, 1e9, 60.0
LOOKED_AT, CAPTIONS, STEPS = 2_000, 500, 10
WORDS = [
    "this",
    "small",
    "bird",
    "has",
    "a",
    "red",
    "head",
    "with",
    "long",
    "grey",
    "wings",
    "and",
    "the",
    "belly",
    "is",
    "white",
]
CELEBA = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
)
PARTS = "skin nose l_eye r_eye l_brow r_brow l_ear r_ear u_lip l_lip hair neck cloth"  # of most faces


class Links:
    """Makes files that are links to one image."""

    def __init__(self, root: Path, side: int, form: str) -> None:
        buffer = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(noise).save(buffer, form)
        self.content, self.form, self.made, self.root = buffer.getvalue(), form, 0, root

    def __call__(self, path: Path) -> None:
        if self.made % 30_000 == 0:  # file systems limit the links to one file
            self.source = self.root / f".image-{self.made}.{self.form.lower()}"
            self.source.write_bytes(self.content)
        self.made += 1
        os.link(self.source, path)


def sentence(random: np.random.Generator) -> str:
    return " ".join(WORDS[place] for place in random.integers(0, len(WORDS), 12))


def write_cub(root: Path, share: float) -> None:
    random, link, place = np.random.default_rng(1), Links(root, 16, "JPEG"), root / "CUB_200_2011"
    counts = [max(1, round(count * share)) for count in [59] * 188 + [58] * 12]  # 11,788 together
    names, labels = [], []
    for label, count in enumerate(counts, 1):
        (place / f"images/{label:03}.Bird").mkdir(parents=True)
        (root / f"birds/text_c10/{label:03}.Bird").mkdir(parents=True)
        for number in range(count):
            name = f"{label:03}.Bird/Bird_{number:04}"
            link(place / f"images/{name}.jpg")
            text = "".join(f"{sentence(random)}\n" for _ in range(10))
            (root / f"birds/text_c10/{name}.txt").write_text(text)
            names.append(name)
            labels.append(label)
    rows = range(1, len(names) + 1)

    def lines(path: str, of: Callable[[int], str]) -> None:
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text("".join(f"{n} {of(n - 1)}\n" for n in rows))

    lines("images.txt", lambda row: f"{names[row]}.jpg")
    lines("image_class_labels.txt", lambda row: str(labels[row]))
    lines("bounding_boxes.txt", lambda row: "2.0 2.0 8.0 8.0")
    groups = [f"has_part_{place % 28}::value_{place}" for place in range(312)]
    (root / "attributes.txt").write_text("".join(f"{place} {name}\n" for place, name in enumerate(groups, 1)))
    shown, sure = random.random((len(names), 312)) < 0.1, random.integers(1, 5, (len(names), 312))
    shown[:, 28] = shown[:, 0] = random.random(len(names)) < 0.4
    shown[:, 1] = ~shown[:, 0] & (random.random(len(names)) < 0.6)  # a pair that nearly never occurs
    (place / "attributes").mkdir()
    with (place / "attributes/image_attribute_labels.txt").open("w") as file:
        for row in range(len(names)):
            own = zip(shown[row], sure[row], strict=True)
            file.writelines(f"{row + 1} {n} {int(one)} {two} 5.125\n" for n, (one, two) in enumerate(own, 1))


def write_coco(root: Path, share: float) -> None:
    random, link = np.random.default_rng(2), Links(root, 32, "JPEG")
    (root / "annotations").mkdir()
    for part, count in (("train", 82_783), ("val", 40_504)):
        ids = np.sort(random.choice(600_000, max(10, round(count * share)), replace=False)).tolist()
        files = [f"COCO_{part}2014_{id:012}.jpg" for id in ids]
        images = [
            {"id": id, "width": 32, "height": 32, "file_name": file, "license": 1, "coco_url": "x" * 60}
            for id, file in zip(ids, files, strict=True)
        ]
        texts = [(id, sentence(random)) for id in ids for _ in range(5)]
        said = [{"image_id": id, "id": number, "caption": text} for number, (id, text) in enumerate(texts)]
        content = json.dumps({"info": {}, "images": images, "licenses": [], "annotations": said})
        (root / f"annotations/captions_{part}2014.json").write_text(content)
        if part == "val":
            (root / "val2014").mkdir()
            for file in files:
                link(root / "val2014" / file)


def write_celeba_hq(root: Path, share: float) -> None:
    random, link, masks = np.random.default_rng(3), Links(root, 32, "JPEG"), Links(root, 16, "PNG")
    count, names = max(10, round(30_000 * share)), CELEBA.split()
    for folder in ("CelebA-HQ-img", "celeba-caption"):
        (root / folder).mkdir()
    for number in range(count):
        link(root / f"CelebA-HQ-img/{number}.jpg")
        text = "\n".join(sentence(random) for _ in range(10))
        (root / f"celeba-caption/{number}.txt").write_text(text)
        folder = root / f"CelebAMask-HQ-mask-anno/{number // 2000}"
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS.split():
            masks(folder / f"{number:05}_{part}.png")
    shown = random.random((count, 40)) < 0.3
    male = random.random(count) < 0.4
    shown[:, names.index("Male")] = male
    shown[:, names.index("Wearing_Lipstick")] = ~male & (random.random(count) < 0.8)
    shown[:, names.index("Mustache")] = male & (random.random(count) < 0.3)
    rows = "".join(f"{n}.jpg  {' '.join('1' if one else '-1' for one in own)}\n" for n, own in enumerate(shown))
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(f"{count}\n{CELEBA}\n{rows}")


def write_ffhq(root: Path, share: float) -> None:
    link, count = Links(root, 32, "PNG"), max(10, round(70_000 * share))
    marks = [[float(k) * 1.37, float(k) * 2.11] for k in range(68)]
    with (root / "ffhq-dataset-v2.json").open("w") as file:
        for number in range(count):
            place = f"images1024x1024/{number // 1000 * 1000:05}/{number:05}.png"
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            link(root / place)
            one = {"file_url": "x" * 70, "file_path": place, "file_size": 1, "file_md5": "0" * 32}
            wild = {**one, "face_rect": [1, 2, 3, 4], "face_landmarks": marks, "face_quad": marks[:4]}
            entry = {
                "category": "training" if number < 60_000 else "validation",
                "metadata": {"photo_url": "x" * 60, "photo_title": "", "author": "a", "license": "CC BY 2.0"},
                "image": {**one, "face_landmarks": marks},
                "thumbnail": one,
                "in_the_wild": wild,
            }
            file.write(f'{"{" if not number else ", "}"{number}": {json.dumps(entry)}')
        file.write("}")


WRITERS = {"cub": write_cub, "coco": write_coco, "celeba_hq": write_celeba_hq, "ffhq": write_ffhq}
SPLITS = {"coco": ("val", "30k")}


def read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def opened(name: str, root: Path, share: float) -> None:
    """In a process of its own: open a set, and print what it took as JSON."""
    from t2ibench.data import dataset
    from t2ibench.data.rare_pairs import find_pairs

    settings = {"root": str(root), "size": 32, "partial": share != 1.0}
    if name == "coco":
        settings["drawn"] = min(30_000, round(40_504 * share))
    dataset.opened(name, settings)  # imports the reader
    texts = sum(path.stat().st_size for end in ("txt", "json") for path in root.rglob(f"*.{end}"))
    before, start, busy = read_so_far(), time.perf_counter(), time.process_time()
    data = dataset.opened(name, settings)
    names = SPLITS.get(name, data.splits if share == 1.0 else ("train",))
    splits = [data.split(split) for split in names or ()]
    took: dict[str, float | str] = {"open_s": time.perf_counter() - start, "open_cpu_s": time.process_time() - busy}
    took["images"] = sum(map(len, splits))
    took |= {"read": read_so_far() - before, "texts": texts}
    took["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if name == "ffhq":
        from t2ibench.datasets import ffhq

        start = time.perf_counter()
        ffhq.index(root)
        took["index_s"] = time.perf_counter() - start
        took["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    table, words = splits[0].attributes, splits[0].vocabulary
    if table is not None and words is not None:
        start = time.perf_counter()
        pairs = find_pairs(table, words)
        took |= {"pairs_s": time.perf_counter() - start, "pairs": len(pairs.rare) + len(pairs.near_unseen)}
    few = splits[0].take(range(min(LOOKED_AT, len(splits[0]))))
    start = time.perf_counter()
    few.images.digests()
    took["images_a_second"] = len(few) / (time.perf_counter() - start)
    if splits[0].captions[0]:
        took |= worked(name, settings)
    print(json.dumps(took))


def worked(name: str, settings: dict[str, object]) -> dict[str, float]:
    """Seconds of the baselines of a small suite up to their records, and of the first steps of a training."""
    from t2ibench.data.dataset import opened
    from t2ibench.networks.models import Models
    from t2ibench.networks.training import loop
    from t2ibench.runner import suite
    from t2ibench.runner.cell import RunOptions
    from t2ibench.runner.run import run
    from t2ibench.runner.train import learned_and_checked, recipes, splits_of

    part = "val" if name == "coco" else "train" if settings["partial"] else "test"
    content = {
        "dataset": {"name": name, **settings, "size": 64},
        "methods": [],
        "baselines": ["real", "shuffled"],
        "prompts": {"split": part, "captions": CAPTIONS},
        "reference": {"split": part, "limit": CAPTIONS, "original": False},
        "metrics": [{"name": "prdc", "extractor": "attribute-judge-avatars"}],
    }
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = list(run(suite.parse(content, "rehearsal", "", "rehearsal"), RunOptions(Path(folder), Path(folder))))
        assert [cell.record["counts"]["ok"] for cell in made] == [CAPTIONS] * 2
        took = {"baselines_s": time.perf_counter() - start}
        if name == "coco":  # of its training part the captions are there, and no image
            return took
        start, module = time.perf_counter(), recipes("gan_cls")
        data = opened(name, {**settings, "size": 64})
        splits = learned_and_checked(data, *splits_of("text-encoder", module, data.splits))
        recipe = module.recipe("text-encoder", {"batch": 16}, *splits, Models(cache=Path(folder)), 0)
        loop.fit(recipe, "text-encoder", Path(folder), steps=STEPS)
        return {**took, "train_s": time.perf_counter() - start}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(WRITERS))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open is not None:
        opened(given.names[0], given.open, given.share)
        return 0
    fine = True
    top = given.keep or Path(tempfile.mkdtemp(prefix="rehearsal-"))
    for name in given.names:
        root = top / name
        if not root.exists():
            root.mkdir(parents=True)
            start = time.perf_counter()
            WRITERS[name](root, given.share)
            print(f"{name}: written in {time.perf_counter() - start:.0f} s", flush=True)
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, __file__, name, "--share", str(given.share), "--open", str(root)]
            result = subprocess.run(
                command, env={**os.environ, "T2IBENCH_CACHE": cache}, check=True, stdout=subprocess.PIPE, text=True
            )
        took = json.loads(result.stdout.splitlines()[-1])
        quick = took["open_s"] <= SECONDS and took.get("index_s", 0) <= INDEX_SECONDS
        bare = took["read"] <= took["texts"] * len(SPLITS.get(name, "123")) + 2**20  # a list is read for each split
        fine &= quick and bare and took["memory"] <= BYTES
        print(f"{name}: {', '.join(f'{key} {value:,.1f}' for key, value in took.items())}", flush=True)
        if given.keep is None:
            shutil.rmtree(root)
    print("as expected" if fine else f"expected at most {SECONDS:g} s, {BYTES:,.0f} bytes of memory, no image read")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
