"""Stand-ins of CelebA-HQ and CUB in the form of their releases, whose images show what their attributes say.

They are drawn, so that a network can learn from them; the real numbers of files are those of `benchmarks/rehearsal.py`.
"""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FACES = ("Eyeglasses", "Male", "Mustache", "Smiling", "Wearing_Hat", "Wearing_Lipstick")
SAID = {
    "Eyeglasses": "eyeglasses",
    "Male": "a man",
    "Mustache": "a moustache",
    "Smiling": "a smile",
    "Wearing_Hat": "a hat",
    "Wearing_Lipstick": "lipstick",
}
FIRST_OF_TEST = 24_000  # of Multi-Modal-CelebA-HQ
COLOURS = {"red": (200, 40, 40), "blue": (40, 60, 200), "yellow": (230, 210, 40), "black": (30, 30, 30)}
COLOURED = {part: ("red", "blue", "yellow", "black") for part in ("wing", "belly", "head", "tail")}


def faces(count: int, seed: int = 0) -> np.ndarray:
    """Which face has which attribute, bool [count, 6]: men hardly wear lipstick, women have no moustache."""
    random = np.random.default_rng(seed)
    male, glasses, smiling, hat = (random.random(count) < share for share in (0.5, 0.3, 0.5, 0.3))
    mustache = male & (random.random(count) < 0.5)
    lipstick = random.random(count) < np.where(male, 0.035, 0.8)
    return np.stack([glasses, male, mustache, smiling, hat, lipstick], 1)


def face(shown: np.ndarray, random: np.random.Generator, side: int = 64) -> Image.Image:
    """A face with these attributes; its place, skin and background vary."""
    glasses, male, mustache, smiling, hat, lipstick = shown
    image = Image.new("RGB", (64, 64), tuple(random.integers(90, 220, 3).tolist()))
    draw, (x, y) = ImageDraw.Draw(image), random.integers(-2, 3, 2).tolist()
    hair = tuple(random.integers(20, 110, 3).tolist())
    draw.ellipse((12 + x, 8 + y, 52 + x, 62 + y if male else 72 + y), fill=hair)
    if not male:
        draw.rectangle((12 + x, 34 + y, 52 + x, 64), fill=hair)
    draw.ellipse(
        (17 + x, 14 + y, 47 + x, 58 + y), fill=tuple((np.array((230, 190, 160)) - random.integers(0, 50)).tolist())
    )
    for eye in (25, 39):
        draw.ellipse((eye - 2 + x, 28 + y, eye + 2 + x, 32 + y), fill=(30, 30, 30))
        if glasses:
            draw.rectangle((eye - 5 + x, 25 + y, eye + 5 + x, 35 + y), outline=(0, 0, 0), width=2)
    if mustache:
        draw.rectangle((24 + x, 41 + y, 40 + x, 44 + y), fill=(50, 30, 10))
    lips = (210, 20, 40) if lipstick else (180, 120, 100)
    if smiling:
        draw.chord((23 + x, 40 + y, 41 + x, 54 + y), 0, 180, fill=lips)
    else:
        draw.rectangle((26 + x, 47 + y, 38 + x, 50 + y), fill=lips)
    if hat:
        draw.rectangle((10 + x, 2 + y, 54 + x, 16 + y), fill=tuple(random.integers(0, 255, 3).tolist()))
    return image if side == 64 else image.resize((side, side), Image.Resampling.BICUBIC)


def write_faces(root: Path, train: int, test: int, masked: int = 0, side: int = 64) -> Path:
    """A copy of CelebA-HQ with Multi-Modal's captions. masked: of how many training images there are masks."""
    for folder in ("CelebA-HQ-img", "celeba-caption"):
        (root / folder).mkdir(parents=True)
    numbers = [*range(train), *range(FIRST_OF_TEST, FIRST_OF_TEST + test)]
    table, random = faces(len(numbers)), np.random.default_rng(1)
    for number, shown in zip(numbers, table, strict=True):
        face(shown, random, side).save(root / f"CelebA-HQ-img/{number}.jpg", quality=95)
        said = [SAID[name] for name, one in zip(FACES, shown, strict=True) if one] or ["a face"]
        text = "\n".join(f"this person has {' and '.join(random.permutation(said))}." for _ in range(10))
        (root / f"celeba-caption/{number}.txt").write_text(text)
    rows = [f"{n}.jpg  {' '.join('1' if one else '-1' for one in own)}" for n, own in zip(numbers, table, strict=True)]
    head = f"{len(numbers)}\n{' '.join(FACES)}\n"
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(head + "\n".join(rows) + "\n")
    parts = {"hair": (12, 8, 52, 62), "skin": (17, 18, 47, 58), "u_lip": (23, 40, 41, 48), "eye_g": (20, 25, 44, 35)}
    for number in numbers[:masked]:
        inside = root / f"CelebAMask-HQ-mask-anno/{number // 2000}"
        inside.mkdir(parents=True, exist_ok=True)
        for part, box in parts.items():
            mask = Image.new("L", (64, 64))
            ImageDraw.Draw(mask).ellipse(box, fill=255)
            mask.save(inside / f"{number:05}_{part}.png")
    return root


def write_shards(root: Path, counts: Sequence[int]) -> Path:
    """Shards of faces with a caption each, as img2dataset lays them out. counts: images of each shard."""
    root.mkdir(parents=True)
    table, random, number = faces(sum(counts)), np.random.default_rng(3), 0
    for shard, count in enumerate(counts):
        with tarfile.open(root / f"{shard:05}.tar", "w") as archive:
            for row in range(count):
                shown, file = table[number], io.BytesIO()
                face(shown, random).save(file, "JPEG", quality=95)
                said = [SAID[name] for name, one in zip(FACES, shown, strict=True) if one] or ["a face"]
                text = f"this person has {' and '.join(said)}.".encode()
                for suffix, content in (("jpg", file.getvalue()), ("txt", text)):
                    member = tarfile.TarInfo(f"{shard:05}{row:04}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                number += 1
    return root


def write_birds(root: Path, classes: dict[int, int], side: int = 64) -> Path:
    """A copy of CUB with StackGAN's captions. classes: number of the class -> images."""
    place, random = root / "CUB_200_2011", np.random.default_rng(2)
    (place / "attributes").mkdir(parents=True)
    named = [f"has_{part}_color::{colour}" for part, colours in COLOURED.items() for colour in colours]
    (root / "attributes.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(named, 1)))
    files, labels, values = [], [], []
    for label, count in classes.items():
        folder = f"{label:03}.Bird_{label}"
        (place / "images" / folder).mkdir(parents=True)
        (root / "birds/text_c10" / folder).mkdir(parents=True)
        (root / "segmentations" / folder).mkdir(parents=True)
        for number in range(count):
            name = f"{folder}/Bird_{label}_{number:04}"
            own = {part: str(random.choice(colours)) for part, colours in COLOURED.items()}
            image = Image.new("RGB", (side, side), tuple(random.integers(120, 230, 3).tolist()))
            draw, unit = ImageDraw.Draw(image), side / 64
            draw.polygon([value * unit for value in (2, 26, 2, 44, 20, 36)], fill=COLOURS[own["tail"]])
            draw.ellipse([value * unit for value in (12, 18, 52, 50)], fill=COLOURS[own["belly"]])
            draw.chord([value * unit for value in (12, 18, 52, 50)], 180, 360, fill=COLOURS[own["wing"]])
            draw.ellipse([value * unit for value in (42, 10, 58, 26)], fill=COLOURS[own["head"]])
            image.save(place / f"images/{name}.jpg", quality=95)
            mask = Image.new("L", (side, side))
            ImageDraw.Draw(mask).ellipse([value * unit for value in (12, 18, 52, 50)], fill=255)
            mask.save(root / f"segmentations/{name}.png")
            said = ", ".join(f"a {colour} {part}" for part, colour in own.items())
            text = "".join(f"this bird has {said}, line {j}.\n" for j in range(10))
            (root / f"birds/text_c10/{name}.txt").write_text(text)
            files.append(name)
            labels.append(label)
            values.append([colour == own[part] for part, colours in COLOURED.items() for colour in colours])
    ids = range(1, len(files) + 1)
    boxes = f"{10 * side // 64}.0 {8 * side // 64}.0 {48 * side // 64}.0 {44 * side // 64}.0"
    lines = {
        "images.txt": [f"{n} {name}.jpg" for n, name in zip(ids, files, strict=True)],
        "image_class_labels.txt": [f"{n} {label}" for n, label in zip(ids, labels, strict=True)],
        "bounding_boxes.txt": [f"{n} {boxes}" for n in ids],
        "attributes/image_attribute_labels.txt": [
            f"{n} {k} {int(one)} 4 1.0" for n, own in zip(ids, values, strict=True) for k, one in enumerate(own, 1)
        ],
    }
    for path, rows in lines.items():
        (place / path).write_text("\n".join(rows) + "\n")
    return root
