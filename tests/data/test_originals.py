"""data/originals.py: a reference of files as they are, for metrics that resize by protocols of their own."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from release_files import COCO_IDS, noise, write_coco

from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.data.dataset import opened
from t2ibench.data.framing import Framing
from t2ibench.data.originals import originals
from t2ibench.data.stores import ArrayImages, each
from t2ibench.report.compare import Margins, compare
from t2ibench.runner import suite
from t2ibench.runner.cell import RunOptions, run_cell
from t2ibench.runner.plan import prepare


def test_the_reference_alone_is_as_it_lies_on_disk(tmp_path):
    write_coco(tmp_path)
    settings = {"root": str(tmp_path), "partial": True, "size": 16}
    data = opened("coco", settings, reference="val", limit=5, original=True)
    assert data.split("val").images.read([0]).shape == (1, 3, 16, 16)
    images = each(data.reference.images, range(5))
    assert len({image.shape for image in images}) > 1
    assert [pixel_hash(image) for image in images] == list(data.reference.images.digests())
    assert images[3].shape == (3, *np.asarray(noise(COCO_IDS[3], images[3].shape[2], images[3].shape[1])).shape[:2])
    resized = opened("coco", settings, reference="val", limit=5)
    assert resized.reference.contents != data.reference.contents
    assert resized.reference.described == data.reference.described


def test_drawn_images_have_no_files_behind_them():
    with pytest.raises(UserError, match="here: original: its images are made"):
        originals(ArrayImages(np.zeros((1, 3, 2, 2), np.uint8), ["x"]), "here")


class Brightness:
    """Stands where an extractor does: two features of each image."""

    def __init__(self, name: str, reads_files: bool) -> None:
        self.sha256, self.resize, self.output, self.features, self.short = name, "none", "", None, name
        self.name, self.reads_files, self.protocol = name, reads_files, {"extractor": name}
        self.sizes: set[tuple[int, ...]] = set()

    def network(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.add(tuple(images.shape[2:]))
        return torch.stack([images.float().mean((1, 2, 3)), images.float().std((1, 2, 3))], 1)


@pytest.mark.parametrize(("original", "files"), [(None, True), (False, False)])
def test_a_network_with_a_protocol_for_files_reads_those_of_the_reference(tmp_path, monkeypatch, original, files):
    for part in ("train", "val"):
        write_coco(tmp_path / "coco", part=part)
    content = {
        "dataset": {"name": "coco", "root": str(tmp_path / "coco"), "partial": True, "size": 16, "drawn": 6},
        "reference": {"split": "30k", "original": original},
        "methods": [],
        "baselines": ["real"],
        "prompts": {"split": "30k", "captions": 6},
        "metrics": [
            {"name": "fid", "as": name, "extractor": name, "fewest": 2} for name in ("reads-files", "reads-pixels")
        ],
    }
    networks = {name: Brightness(name, name == "reads-files") for name in ("reads-files", "reads-pixels")}
    monkeypatch.setattr("t2ibench.scoring.evidence.find", lambda models, name: networks[name])
    [plan] = prepare(suite.parse(content, "few", "", "few"), cache=tmp_path / "cache")
    [done] = run_suite(plan, tmp_path)
    [on_files, on_pixels] = [done[f"fd_{name}@{name}"] for name in networks]
    assert on_pixels["protocol"]["reference"] == plan.data.reference.contents
    assert (on_files["protocol"]["reference"] != plan.data.reference.contents) == files
    assert on_pixels["value"] == pytest.approx(0, abs=1e-6)  # each caption is answered with its own photo
    assert (on_files["value"] > 0.01) == files  # but photos of 16 pixels are not their files
    assert networks["reads-pixels"].sizes == {(16, 16)}
    assert (len(networks["reads-files"].sizes) > 1) == files


def run_suite(plan, tmp_path):
    options = RunOptions(out=tmp_path / "runs", work=tmp_path / "runs", cache=tmp_path / "cache")
    return [run_cell(plan, entry, 0, options).record["values"] for entry in plan.suite.baselines]


def test_values_are_compared_only_where_everything_that_decides_them_is_equal(tmp_path, monkeypatch):
    """The reference, the number of images, the crop, the resizer, the weights and the captions (acceptance check 9)."""
    for part in ("train", "val"):
        write_coco(tmp_path / "coco", part=part)
    networks = {name: Brightness(name, False) for name in ("network", "weights", "resizer")}
    for network in networks.values():  # of one name, so that one id names all their values
        network.name = network.short = "network"
    networks["network"].sha256 = networks["resizer"].sha256 = "1" * 64
    networks["weights"].sha256 = "2" * 64
    networks["resizer"].resize = "squash"
    for network in networks.values():
        network.protocol = {"extractor": "network", "sha256": network.sha256, "resize": network.resize}

    def record(name: str, network: str = "network", images: int = 6, reference: str = "val", **more: object) -> Any:
        monkeypatch.setattr("t2ibench.scoring.evidence.find", lambda models, _: networks[network])
        content = {
            "dataset": {
                "name": "coco",
                "root": str(tmp_path / "coco"),
                "partial": True,
                "size": 16,
                "drawn": images,
                **more,
            },
            "reference": {"split": reference},
            "methods": [],
            "baselines": ["real"],
            "prompts": {"split": "30k", "captions": images},
            "metrics": [{"name": "fid", "extractor": "network", "fewest": 2}],
        }
        [plan] = prepare(suite.parse(content, name, "", name), cache=tmp_path / "cache")
        options = RunOptions(out=tmp_path / name, work=tmp_path / name, cache=tmp_path / "cache")
        return run_cell(plan, plan.suite.baselines[0], 0, options).record

    first = record("first")
    own = first["values"]["fd_network"]["protocol"]
    others = {
        "crop": record("crop", crop="squash"),
        "captions": record("captions", seed=1),
        "reference": record("reference", reference="30k"),
        "number": record("number", images=5),
        "weights": record("weights", "weights"),
        "resizer": record("resizer", "resizer"),
    }
    ids = [one["values"]["fd_network"]["protocol_id"] for one in (first, *others.values())]
    assert len(set(ids)) == len(ids)
    for what, other in others.items():
        found = compare([first], [other], Margins())
        assert found.left_out["fd_network"].startswith("different protocols"), what
        assert found.lines == (), what
    same = compare([first], [record("again")], Margins())
    assert "different protocols" not in same.left_out.get("fd_network", "")
    for key, what in (
        ("reference", "crop"),
        ("prompts", "captions"),
        ("reference", "reference"),
        ("sha256", "weights"),
    ):
        assert others[what]["values"]["fd_network"]["protocol"][key] != own[key], what


def test_a_wide_image_that_is_squashed_has_other_features_than_one_that_is_cut():
    network = Brightness("network", False)
    wide = np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8)
    seen = [np.asarray(Framing(16, crop).apply(Image.fromarray(wide))) for crop in ("squash", "center")]
    assert not torch.equal(*(network.network(torch.from_numpy(one.transpose(2, 0, 1).copy())[None]) for one in seen))
