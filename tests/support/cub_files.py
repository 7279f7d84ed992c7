"""A small copy of CUB-200-2011 in the exact form of the release: 4 classes of 3 images, two attributes, ten captions.

Captions name their image, so that a test sees whether they came to the right one.
"""

import pickle

import numpy as np
import scipy.io
from PIL import Image
from torch7_files import write as write_t7

CLASSES = {
    1: "001.Black_footed_Albatross",
    2: "002.Laysan_Albatross",
    3: "003.Sooty_Albatross",
    5: "005.Crested_Auklet",
}
IDS = [f"{folder}/{folder[4:]}_{9 - n:04}_{n}" for folder in CLASSES.values() for n in range(3)]  # not by name
LABELS = [label for label in CLASSES for _ in range(3)]
TRAIN, TEST = IDS[3:], IDS[:3]
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "


def write_cub(root, end="\n", captions="stackgan"):
    """Write the copy. end: what ends a line. captions: one of the writers below, or None."""
    place = root / "CUB_200_2011"
    for n, id in enumerate(IDS):
        path = place / "images" / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(n).integers(0, 256, (48, 60, 3), np.uint8)
        Image.fromarray(noise).convert("L" if n == 2 else "RGB").save(path)
        mask = root / "segmentations" / f"{id}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        shown = np.zeros((48, 60), np.uint8)
        shown[10:30, 20:40] = 204
        Image.fromarray(shown).save(mask)
    Image.new("RGB", (60, 48)).save(place / "images" / f"{IDS[2]}_rgb.jpg")

    def text(path, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(f"{row}{end}" for row in rows).encode())

    numbers = range(1, len(IDS) + 1)
    text(place / "images.txt", [f"{n} {id}.jpg" for n, id in zip(numbers, IDS, strict=True)])
    text(place / "classes.txt", [f"{label} {name}" for label, name in CLASSES.items()])
    text(place / "image_class_labels.txt", [f"{n} {label}" for n, label in zip(numbers, LABELS, strict=True)])
    text(place / "train_test_split.txt", [f"{n} {n % 2}" for n in numbers])
    text(place / "bounding_boxes.txt", [f"{n} {'0.0 0.0 30.0' if n == 2 else '10.0 5.0 40.0'} 20.0" for n in numbers])
    text(place / "parts/parts.txt", ["1 back", "2 left eye"])
    text(place / "parts/part_locs.txt", [row for n in numbers for row in (f"{n} 1 0.0 0.0 0", f"{n} 2 31.0 18.0 1")])
    text(root / "attributes.txt", ["1 has_bill_shape::curved_(up_or_down)", "2 has_wing_color::blue"])
    rows = []
    for n in numbers:  # of image 2, attribute 1 is not visible; a row of image 3 has a sixth token
        rows.append(f"{n} 1 {n % 2} {1 if n == 2 else 3} {'0  1.509' if n == 3 else '5.01'}")
        rows.append(f"{n} 2 1 {4 if n % 3 else 2} 2.0")
    text(place / "attributes/image_attribute_labels.txt", rows)
    if captions is not None:
        WRITERS[captions](root)
    return root


def sentences(id):
    """The ten captions of an image; the last has two U+FFFD in place of a space."""
    name = id.split("/")[1].lower()
    return [f"the bird {name} is number {j}." for j in range(9)] + [f"the bird\ufffd\ufffd{name} is last."]


def texts(folder):
    for id in IDS:
        path = folder / f"{id}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in sentences(id)), "utf-8")


def pickles(base):
    """filenames.pickle of protocol 0, and class_info.pickle with numbers of numpy in train."""
    for split, ids in (("train", TRAIN), ("test", TEST)):
        (base / split).mkdir(parents=True, exist_ok=True)
        classes = [LABELS[IDS.index(id)] for id in ids]
        numbers = np.array(classes) if split == "train" else classes
        (base / split / "filenames.pickle").write_bytes(pickle.dumps(ids, 0))
        (base / split / "class_info.pickle").write_bytes(pickle.dumps(list(numbers), 0))


def stackgan(root):
    texts(root / "birds/text_c10")
    pickles(root / "birds")


def attngan(root):
    texts(root / "birds/text")
    pickles(root / "birds")


def words_only(root):
    """AttnGAN's captions.pickle without its folder of texts."""
    pickles(root / "birds")
    tokens = {id: [line.replace("\ufffd\ufffd", " ").replace(".", "").split() for line in sentences(id)] for id in IDS}
    words = sorted({word for lines in tokens.values() for line in lines for word in line})
    numbers = {"<end>": 0, **{word: number for number, word in enumerate(words, 1)}}
    flat = [[[numbers[word] for word in line] for id in ids for line in tokens[id]] for ids in (TRAIN, TEST)]
    spelled = {number: word for word, number in numbers.items()}
    (root / "birds/captions.pickle").write_bytes(pickle.dumps([*flat, spelled, numbers], 2))


def cvpr(root):
    base = root / "cvpr2016_cub"
    texts(base / "text_c10")
    for name, label in (("trainvalclasses", (2, 3, 5)), ("testclasses", (1,))):
        (base / f"{name}.txt").write_text("".join(f"{CLASSES[one]}\n" for one in label))


def icml(root):
    base = root / "cub_icml"
    for id in IDS:
        codes = np.zeros((201, 10))
        for j, line in enumerate(sentences(id)):
            line = line.replace("\ufffd\ufffd", " ")
            codes[: len(line), j] = [ALPHABET.rindex(letter) + 1 for letter in line]
        write_t7(base / f"{id}.t7", {"img": f"{id}.jpg", "txt": np.zeros((10, 4), np.float32), "char": codes})


def xian(root):
    """The split of Xian et al.: classes 5 and 2 are unseen, in the order of its own list of images."""
    order = [f"/data/CUB_200_2011/images/{id}.jpg" for id in reversed(IDS)]
    labels = LABELS[::-1]
    cells = np.array([[np.array([path], object)] for path in order], object)
    scipy.io.savemat(root / "res101.mat", {"image_files": cells, "features": np.zeros((2, 12))})
    rows = {
        "trainval_loc": [n + 1 for n, label in enumerate(labels) if label in (1, 3)][:-1],
        "test_seen_loc": [n + 1 for n, label in enumerate(labels) if label in (1, 3)][-1:],
        "test_unseen_loc": [n + 1 for n, label in enumerate(labels) if label in (2, 5)],
    }
    scipy.io.savemat(root / "att_splits.mat", {key: np.array(own, float)[:, None] for key, own in rows.items()})


WRITERS = {"stackgan": stackgan, "attngan": attngan, "words": words_only, "cvpr": cvpr, "icml": icml}
