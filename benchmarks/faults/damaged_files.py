"""Every kind of kept file cut, zeroed and flipped, 200 times each. One that is believed, or a traceback: exit code 1.

python benchmarks/faults/damaged_files.py [--times 200] [--kinds WORD …] [--out results/studies]

A damaged file is refused in one line, or what it held is made again; a journal or a cache of hashes may also lack what
was damaged. Where the file says the same after all (white space was hit), nothing happened. Anything else is believed.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calling import summary
from PIL import Image

from t2ibench.checks.contracts import squares
from t2ibench.core import cache, records
from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.data import image_sets, indexes, pixel_hashes
from t2ibench.data.image_sets import ImageSetKey
from t2ibench.methods.gan_cls import embeddings
from t2ibench.methods.styleclip.prepared import pieces
from t2ibench.networks import weights, zoo
from t2ibench.networks.training import loop
from t2ibench.runner import journal

WAYS = ("cut", "zeroed", "flipped")


@dataclass(frozen=True)
class Kind:
    """A kind of kept file.

    path: the file, whole.
    read: what the program takes from it; it raises UserError where it refuses.
    part: whether less than the whole is no fault, since the rest is made again.
    """

    path: Path
    read: Callable[[], Any]
    part: bool = False


def damaged(content: bytes, way: str, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(content)))
    if way == "cut":
        return content[:place]
    if way == "zeroed":
        end = min(len(content), place + 1 + int(random.integers(512)))
        return content[:place] + bytes(end - place) + content[end:]
    changed = bytearray(content)
    changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def same(value: Any, whole: Any, part: bool) -> bool:
    if part and isinstance(value, Mapping):
        return all(key in whole and whole[key] == entry for key, entry in value.items())
    if isinstance(whole, np.ndarray | torch.Tensor):
        return np.array_equal(np.asarray(value), np.asarray(whole))
    return bool(value == whole)


def outcome(kind: Kind, whole: Any) -> str:
    try:
        value = kind.read()
    except UserError as error:
        return "refused" if "\n" not in str(error) else "several lines"
    except Exception as error:  # what this program looks for
        return f"traceback ({type(error).__name__}: {error})"[:200]
    return "equal" if same(value, whole, kind.part) else "believed"


def trained(folder: Path) -> Kind:
    class Recipe:
        settings: dict[str, Any] = {}  # noqa: RUF012

        def __init__(self) -> None:
            self.value = torch.arange(64.0)

        def state(self) -> dict[str, Any]:
            return {"value": self.value}

        def load_state(self, state: dict[str, Any]) -> None:
            self.value = state["value"]

        def preview(self) -> None:
            return None

    recipe: Any = Recipe()
    loop._save(recipe, folder, 3, 1.5, {})

    def resumed() -> tuple[Any, list[float]]:
        recipe.value = torch.zeros(64)
        return loop._resume(recipe, folder / "checkpoint.pt"), recipe.value.tolist()

    return Kind(folder / "checkpoint.pt", resumed)


class Encoder:
    """A text encoder of no weights: a text is its length."""

    shape = "length"

    def state_dict(self) -> dict[str, Any]:
        return {}

    def embed(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text)), 1.0, 2.0] for text in texts])


def results() -> Path:
    return Path(__file__).parents[2] / "results/records/avatars/text_to_image/gan-cls/0.json"


def kinds(folder: Path) -> Iterator[tuple[str, Kind]]:
    pixels = np.random.default_rng(0).integers(3, 255, (4, 3, 16, 16), np.uint8)
    key = ImageSetKey("damaged", "four images", "0" * 64)

    def of_set() -> np.ndarray:
        def make(path: Path) -> dict[str, Any]:
            image_sets.write_images(path, [pixels], pixels.shape)
            return {"fact": 1}

        store, facts = image_sets.images(key, make)
        return np.concatenate([store.read(range(4)).ravel(), [facts["fact"]]])

    of_set()
    yield "images of a data set", Kind(key.path, of_set)
    yield "sheet of such images", Kind(key.path.with_suffix(".json"), of_set)

    def facts() -> dict[str, Any]:
        return image_sets.facts(key, lambda: {"a": [1, 2, 3] * 40})

    facts()
    yield "facts of a data set", Kind(key.path.with_suffix(".facts"), facts)

    array = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)

    def features() -> np.ndarray:
        return cache.cached(folder, ["features"], lambda: array)

    features()
    [path] = folder.glob("features/*.npy")
    yield "features", Kind(path, features)

    shown = folder / "shown"
    shown.mkdir()
    for row, image in enumerate(pixels):
        Image.fromarray(image.transpose(1, 2, 0)).save(shown / f"{row}.png")
        os.utime(shown / f"{row}.png", (1e9, 1e9))
    files = sorted(shown.glob("*.png"))
    pixel_hashes.pixel_hashes(files)
    [path] = folder.glob("cache/pixels/*.json")
    yield "hashes of pixels", Kind(path, lambda: pixel_hashes.pixel_hashes(files))

    indexes.keep("tar", "key", {"members": list(range(100))})
    [path] = folder.glob("cache/indexes/*.json")

    def index() -> Any:
        return indexes.read("tar", "key") or {"members": list(range(100))}

    yield "indexes of shards", Kind(path, index)

    split = squares.load(squares.Config(), "val")

    def embedded() -> torch.Tensor:
        return embeddings.embed_captions(Encoder(), split, folder)  # type: ignore[arg-type]

    embedded()
    [path] = folder.glob("gan_cls/*.npy")
    yield "embeddings of captions", Kind(path, embedded)

    def piece() -> torch.Tensor:
        return torch.stack(pieces(folder, "thing", {}, [1], lambda number: torch.arange(64.0))[0])

    piece()
    [path] = folder.glob("styleclip/thing-*/0000.npz")
    yield "pieces of StyleCLIP", Kind(path, piece)

    yield "checkpoints", trained(folder / "training")

    own = folder / "own.safetensors"
    weights.write(own, {"x": torch.randn(64)}, {"width": 2}, {"steps": 12, "validation": {"r": 0.25}})

    def of_weights() -> tuple[Any, ...]:
        read = weights.read(own)
        return read.card, dict(read.config), read.tensors["x"].tolist()

    yield "weights", Kind(own, of_weights)
    yield "cards of weights", Kind(own.with_suffix(".json"), of_weights)
    shipped = zoo.SHIPPED / "char-cnn-rnn-avatars.json"
    card = folder / "shipped.json"
    card.write_bytes(shipped.read_bytes())
    yield "cards that ship", Kind(card, lambda: zoo.card(card.with_suffix(".safetensors")))

    store = journal.Store(folder / "cell")
    lines = [
        journal.Outcome(f"s{row}", "p", "captions", "a text", row, "a text", "ok", store.save(f"s{row}", image), 0.5)
        for row, image in enumerate(pixels)
    ]
    store.append(lines, {"training_seconds_per_prompt": 3.0})
    yield "journals", Kind(folder / "cell" / "journal.jsonl", lambda: journal.read(store.path), part=True)
    yield "costs in journals", Kind(folder / "cell" / "journal.jsonl", lambda: store.cost(), part=True)
    wanted = {line.sample: "a text" for line in lines}
    held = folder / "cell" / "images" / "s0.png"

    def sound() -> dict[str, str]:
        return {sample: pixel_hash(store.decoded(sample)) for sample in store.sound(wanted)}

    yield "images of a run", Kind(held, sound, part=True)

    record = folder / "r.json"
    record.write_bytes(results().read_bytes())
    yield "records", Kind(record, lambda: records.read(record))
    sealed = folder / "sealed.json"
    sealed.write_text(json.dumps(records.seal({"kind": "verification", "images": 4, "record": "a" * 64})))
    yield "verifications and keys of audits", Kind(sealed, lambda: records.read_sealed(sealed, "verification"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--kinds", nargs="*", default=[], help="only those whose name has one of these words")
    parser.add_argument("--out", type=lambda text: Path(text).absolute(), help="write a summary into this folder")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table: dict[str, dict[str, int]] = {}
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        os.environ["T2IBENCH_CACHE"] = f"{root}/cache"
        for name, kind in kinds(Path(root)):
            if arguments.kinds and not any(word in name for word in arguments.kinds):
                continue
            random, content, whole = np.random.default_rng(0), kind.path.read_bytes(), kind.read()
            counts: Counter[str] = Counter()
            for way in WAYS:
                for _ in range(arguments.times):
                    changed = damaged(content, way, random)
                    kind.path.write_bytes(changed)
                    what = "not changed" if changed == content else outcome(kind, whole)
                    counts[what] += 1
                    if what not in ("not changed", "refused", "equal"):
                        bad += 1
                    kind.path.write_bytes(content)
            table[name] = dict(sorted(counts.items()))
            print(f"{name}: {', '.join(f'{count} {what}' for what, count in table[name].items())}", flush=True)
    print(f"{len(table)} kinds of files, {len(WAYS) * arguments.times} times each: {bad} believed or a traceback")
    summary("damaged_files", {"times": arguments.times, "ways": WAYS, "kinds": table, "bad": bad}, arguments.out)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
