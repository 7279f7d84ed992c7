"""Small copies of Oxford-102 Flowers, MS-COCO, CelebA-HQ and FFHQ in the exact form of their releases."""

import csv
import json
import pickle

import numpy as np
import scipy.io
from PIL import Image

FLOWERS = [77, 1, 77, 20, 1, 3]  # the class of each image
COCO_IDS = [42, 73, 74, 133, 136, 139, 143, 164]
NAMES = ["Black_Hair", "Male", "Mustache", "Smiling", "Wearing_Lipstick"]
HQ = {0: 119614, 1: 99095, 2: 162771, 3: 182638, 2000: 5, 24000: 7}  # image -> file of CelebA


def noise(number, width=48, height=40, mode="RGB"):
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(image, path, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **more)


def text(path, lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())


def write_flowers(root, layout="text_c10"):
    for number, label in enumerate(FLOWERS, 1):
        save(noise(number), root / f"jpg/image_{number:05}.jpg")
        inside = f"class_{label:05}/" if layout == "text_c10" else ""
        text(root / f"{layout}/{inside}image_{number:05}.txt", [f"flower {number} line {j}" for j in range(10)])
        cut = np.full((40, 48, 3), (0, 0, 254), np.uint8)
        cut[10:30, 10:40] = (220, 180, 30)
        save(Image.fromarray(cut), root / f"segmim/segmim_{number:05}.jpg", quality=95)
    scipy.io.savemat(root / "imagelabels.mat", {"labels": np.array([FLOWERS], np.uint8)})
    lists = {"trnid": [6, 1], "valid": [3, 2], "tstid": [5, 4]}
    scipy.io.savemat(root / "setid.mat", {key: np.array([own], np.uint16) for key, own in lists.items()})
    return root


def write_coco(root, year=2014, part="val"):
    """Annotations in shuffled order; image 74 has six captions, one with a line feed, and 164 has no object."""
    prefix = f"COCO_{part}2014_" if year == 2014 else ""
    sizes = {id: (40 + 5 * (n % 3), 60 - 6 * (n % 4)) for n, id in enumerate(COCO_IDS)}
    images = [
        {"id": id, "width": w, "height": h, "file_name": f"{prefix}{id:012}.jpg", "license": 1}
        for id, (w, h) in sizes.items()
    ]
    for image in images:
        photo = noise(image["id"], image["width"], image["height"], "L" if image["id"] == 133 else "RGB")
        save(photo, root / f"{part}{year}" / image["file_name"])
    captions = [
        {"id": 1000 * j + id, "image_id": id, "caption": f" a photo of {id} number {j}." + ("\n" if j == 1 else "")}
        for id in COCO_IDS
        for j in range(6 if id == 74 else 5)
    ]
    captions = [captions[row] for row in np.random.default_rng(0).permutation(len(captions))]
    objects = []
    for id in COCO_IDS[:-1]:
        w, h = sizes[id]
        crowd = np.zeros((h, w), bool)
        crowd[3:9, 5:20] = True
        runs = np.flatnonzero(np.diff(crowd.T.ravel(), prepend=False, append=False))
        counts = np.diff([0, *runs, h * w]).tolist()
        polygons = [[4.5, 4.2, 20.1, 7.7, 12.3, 25.9], [1.0, 1.0, 9.0, 1.0, 9.0, 6.5, 1.0, 6.5]]
        shared = {"image_id": id, "bbox": [0.0, 0.0, 1.0, 1.0]}
        objects += [
            {"id": 10 * id, **shared, "category_id": 90, "iscrowd": 1, "area": 90.0}
            | {"segmentation": {"counts": counts, "size": [h, w]}},
            {"id": 10 * id + 1, **shared, "category_id": 3, "iscrowd": 0, "area": 200.5, "segmentation": polygons},
        ]
    categories = [{"id": id, "name": name, "supercategory": "x"} for id, name in ((90, "toothbrush"), (3, "car"))]
    (root / "annotations").mkdir(exist_ok=True)
    name = f"{part}{year}.json"
    (root / f"annotations/captions_{name}").write_text(json.dumps({"images": images, "annotations": captions}))
    instances = {"images": images, "annotations": objects, "categories": categories}
    (root / f"annotations/instances_{name}").write_text(json.dumps(instances))
    return root


def write_celeba_hq(root, head=True, masked=(0, 2000)):
    """Six images; masks of two. Image 2 was made from 162771.jpg, which an orig_idx from 1 would put into train."""
    for number in HQ:
        save(noise(number, 32, 32), root / f"CelebA-HQ-img/{number}.jpg")
        text(root / f"celeba-caption/{number}.txt", [f"face {number} line {j}." for j in range(10)])
    rows = [f"{n:<11}{HQ.get(n, n + 1000) - 1:<11}{HQ.get(n, n + 1000):06}.jpg" for n in range(24_001)]
    top = [f"{'idx':<11}{'orig_idx':<11}orig_file"] if head else []
    text(root / "CelebA-HQ-to-CelebA-mapping.txt", [*top, *rows])
    files = range(1, 202_600)
    parts = [f"{n:06}.jpg {0 if n < 162_771 else 1 if n < 182_638 else 2}" for n in files]
    text(root / "list_eval_partition.txt", parts, "\r\n")
    values = [[1 if (number + k) % 3 else -1 for k in range(len(NAMES))] for number in range(len(HQ))]
    lines = [f"{number}.jpg  {' '.join(map(str, own))}" for number, own in zip(HQ, values, strict=True)]
    text(root / "CelebAMask-HQ-attribute-anno.txt", [str(len(HQ)), " ".join(NAMES), *lines])
    for number in masked:
        for part, region in (("skin", np.s_[2:14, 2:14]), ("hat", np.s_[0:4, 2:14]), ("hair", np.s_[0:6, 4:8])):
            mask = np.zeros((16, 16), np.uint8)
            mask[region] = 255
            save(Image.fromarray(mask), root / f"CelebAMask-HQ-mask-anno/{number // 2000}/{number:05}_{part}.png")
    return root


def write_stylet2i(root):
    """StyleT2I's three lists: image 1 is dropped, 2 is an unseen composition of val and 3 one of test."""
    count = max(HQ) + 1
    part = {2: 1, 3: 2}
    columns = {
        "list_eval_partition": ("idx,split", lambda n: f"{n},{part.get(n, 0)}"),
        "filter_mask": ("filter_mask", lambda n: str(int(n != 1))),
        "unseen_split": ("unseen_test,unseen_valid", lambda n: f"{int(n == 3)},{int(n == 2)}"),
    }
    for name, (top, row) in columns.items():
        text(root / f"{name}.csv", [top, *map(row, range(count))])
    return root


def celeba_list(path):
    """An attribute list as CelebA writes it: CRLF, names with a space behind the last, values right-aligned."""
    text(path, ["2", "Male Young ", "000001.jpg -1  1", "000002.jpg  1 -1"], "\r\n")
    return path


def interchanged(root):
    (root / "test").mkdir()
    (root / "test/filenames.pickle").write_bytes(pickle.dumps(["0", "1"], 0))


def write_ffhq(root, numbers=(0, 999, 1000, 60_000), folder="images1024x1024"):
    entries = {}
    for number in numbers:
        place = f"{folder}/{number // 1000 * 1000:05}/{number:05}.png"
        save(noise(number, 16, 16), root / place)
        file = {"file_path": place, "file_size": 100 + number, "file_md5": f"{number:032x}", "pixel_size": [16, 16]}
        marks = [[float(k), 2.5 * k] for k in range(68)]
        entries[str(number)] = {
            "category": "training" if number < 60_000 else "validation",
            "metadata": {"license": "Public Domain" if number else "CC BY-NC 2.0", "photo_title": 'a "title", {x} é'},
            "image": {**file, "face_landmarks": marks},
            "thumbnail": file,
        }
    (root / "ffhq-dataset-v2.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False), "utf-8")
    return root


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))
