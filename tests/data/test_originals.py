"""data/originals.py: a reference of files as they are, for metrics that resize by protocols of their own."""

import numpy as np
import pytest
from release_files import COCO_IDS, noise, write_coco

from t2ibench.core.errors import UserError
from t2ibench.core.images import pixel_hash
from t2ibench.data.dataset import opened
from t2ibench.data.originals import originals
from t2ibench.data.stores import ArrayImages, each


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
