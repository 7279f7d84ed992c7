"""Batches of the GAN-CLS family: who is a mismatch, how often each class comes, where crops lie, which captions are
averaged.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gan_cls_data import Pixels, colour_split

from t2ibench.core.errors import UserError
from t2ibench.core.seeds import uniform
from t2ibench.methods.gan_cls.sampling import Groups, Sampler, caption_picks, crop_offsets, labels_of, prepare

LABELS = np.array([0] * 90 + [1] * 9 + [2])  # three classes of very different size, as no data set has them


def draws(rows: int, count: int, seed: int = 0) -> np.ndarray:
    return uniform(seed, rows * count).reshape(rows, count)


def test_class_pairs_are_distinct_and_uniform_whatever_the_class_sizes():
    real, wrong = Groups.of(LABELS).pairs_by_class(draws(4, 30_000))
    assert (LABELS[real] != LABELS[wrong]).all()
    for side in (real, wrong):
        np.testing.assert_allclose(np.bincount(LABELS[side]) / 30_000, 1 / 3, atol=0.015)
    inside = np.bincount(real[LABELS[real] == 0], minlength=90)[:90]
    np.testing.assert_allclose(inside / inside.sum(), 1 / 90, atol=0.004)


def test_image_pairs_never_share_a_group_and_are_uniform_over_images():
    real, wrong = Groups.of(LABELS).pairs_by_image(draws(2, 30_000))
    assert (LABELS[real] != LABELS[wrong]).all()
    np.testing.assert_allclose(np.bincount(real, minlength=100) / 30_000, 0.01, atol=0.003)
    others = wrong[LABELS[real] == 0]  # the ten images outside the large group, equally often
    np.testing.assert_allclose(np.bincount(others - 90, minlength=10) / len(others), 0.1, atol=0.01)


def test_without_classes_only_the_image_itself_is_excluded():
    real, wrong = Groups.of(np.arange(3)).pairs_by_image(draws(2, 3_000))
    assert (real != wrong).all()
    np.testing.assert_allclose(np.bincount(real * 3 + wrong, minlength=9)[[1, 2, 3, 5, 6, 7]] / 3_000, 1 / 6, atol=0.03)


def test_distinct_draws_take_one_image_of_as_many_classes():
    taken = Groups.of(LABELS).distinct(uniform(0, 6), 3)
    assert sorted(LABELS[taken]) == [0, 1, 2]
    with pytest.raises(UserError, match="a batch of 4 takes as many classes, the data has 3"):
        Groups.of(LABELS).distinct(uniform(0, 7), 4)


def test_data_of_one_class_has_no_mismatch():
    with pytest.raises(UserError, match="mismatched pairs need two classes"):
        Groups.of(np.zeros(5))


def test_labels_are_the_class_or_all_attributes_or_the_image():
    split = colour_split(8)
    assert len(set(labels_of(split))) == 4
    assert labels_of(dataclasses.replace(split, attributes=None)).tolist() == list(range(8))
    with pytest.raises(UserError, match="no attribute column is called 'color', did you mean 'colour'"):
        labels_of(split, "color")


def test_reference_crops_never_start_at_0_and_clean_ones_do():
    u = uniform(0, 20_000)
    assert sorted(set(crop_offsets(u, "reference"))) == list(range(1, 13))
    assert sorted(set(crop_offsets(u, "clean"))) == list(range(13))
    extremes = np.array([0.0, 1 - 2**-53])
    assert crop_offsets(extremes, "reference").tolist() == [1, 12]
    assert crop_offsets(extremes, "clean").tolist() == [0, 12]


def test_augmentation_crops_and_flips_the_enlarged_image():
    image = np.zeros((1, 3, 76, 76), np.uint8)
    image[..., 5, 7] = 255
    whole = prepare(image, "clean", np.array([[0.0], [0.0], [0.9]]))
    assert whole[0, 0, 5, 7] == 1
    flipped = prepare(image, "reference", np.array([[0.0], [0.0], [0.1]]))  # offsets 1 and 1, mirrored
    assert flipped[0, 0, 4, 63 - 6] == 1
    assert (whole.min(), whole.max()) == (-1, 1)


def test_no_augmentation_keeps_pixels_and_maps_them_to_the_range_of_tanh():
    images = np.arange(2 * 3 * 64 * 64, dtype=np.uint64).astype(np.uint8).reshape(2, 3, 64, 64)
    torch.testing.assert_close(
        (prepare(images, "none") + 1) * 127.5, torch.from_numpy(images).float(), atol=1e-4, rtol=0
    )
    assert prepare(images[..., :50], "none").shape == (2, 3, 64, 64)


def test_captions_are_drawn_with_or_without_replacement():
    u = draws(3, 2_000)
    assert (np.sort(caption_picks(u, 3, replace=False), axis=0) == np.arange(3)[:, None]).all()
    with_replacement = caption_picks(u, 3, replace=True)
    assert (with_replacement[0] == with_replacement[1]).mean() == pytest.approx(1 / 3, abs=0.03)
    with pytest.raises(UserError, match="4 captions an image are averaged without replacement, the data has 3"):
        caption_picks(draws(4, 1), 3, replace=False)


def sampler(**settings: Any) -> Any:
    split = colour_split(8)
    embeddings = (
        torch.arange(8.0)[:, None, None] + torch.tensor([0.0, 0.5])[None, :, None]
    )  # [8, 2, 1]: image, and half for a caption
    given: dict[str, Any] = {"batch": 16, "captions": 1, "augment": "none", **settings}
    return Sampler(split.images, embeddings, labels_of(split), **given)


def test_a_batch_is_a_function_of_its_seed():
    first, again, other = sampler().draw(1), sampler().draw(1), sampler().draw(2)
    assert torch.equal(first.real, again.real)
    assert torch.equal(first.wrong, again.wrong)
    assert torch.equal(first.text, again.text)
    assert not torch.equal(first.real, other.real)
    assert torch.equal(sampler().draw_text(1), first.text)


@pytest.mark.parametrize("by_class", [False, True])
def test_texts_belong_to_their_images_and_wrong_ones_to_another_colour(by_class):
    batch, images = sampler(by_class=by_class).draw(0), prepare(colour_split(8).images.read(np.arange(8)), "none")
    assert torch.equal(batch.real, images[batch.text.long().flatten()])
    assert torch.equal(batch.wrong, images[batch.wrong_text.long().flatten()])
    assert not (batch.real == batch.wrong).flatten(1).all(dim=1).any()


def test_averaged_captions_are_means_of_the_same_image():
    batch = sampler(captions=4).draw(0)
    assert set((batch.text.flatten() % 1).tolist()) <= {0.0, 0.125, 0.25, 0.375, 0.5}
    assert len(set((batch.text.flatten() % 1).tolist())) > 2


def test_wrong_images_are_not_read_where_nobody_looks_at_them():
    class Counting(Pixels):
        reads = 0

        def read(self, indices: Any) -> np.ndarray:
            Counting.reads += 1
            return super().read(indices)

    split = colour_split(8)
    store = Counting(split.images.read(np.arange(8)))
    Sampler(store, torch.zeros(8, 2, 1), labels_of(split), batch=4, augment="none", wrong_images=False).draw(0)
    assert Counting.reads == 1


@pytest.mark.parametrize("by_class", [False, True])
def test_a_mismatch_may_be_the_one_of_several_whose_caption_is_most_like_the_own_one(by_class):
    split, angles = colour_split(8), torch.arange(8) * torch.pi / 4  # texts on a circle, neighbours most alike
    texts = torch.stack([angles.cos(), angles.sin()], dim=1)[:, None]  # [8, 1, 2]
    given: dict[str, Any] = {"batch": 64, "by_class": by_class, "captions": 1, "augment": "none"}
    plain, near = (Sampler(split.images, texts, labels_of(split), **given, nearest_of=n).draw(3) for n in (1, 40))
    assert torch.equal(plain.real, near.real)
    assert torch.equal(plain.text, near.text)
    own = (near.text @ texts[:, 0].T).argmax(1)
    wrong = (near.wrong_text @ texts[:, 0].T).argmax(1)
    images, labels = prepare(split.images.read(np.arange(8)), "none"), labels_of(split)
    assert near.wrong is not None
    assert torch.equal(near.wrong, images[wrong])  # text and image are of one another
    assert (labels[own.numpy()] != labels[wrong.numpy()]).all()
    closest = [max(float(texts[k, 0] @ texts[j, 0]) for j in range(8) if labels[j] != labels[k]) for k in own.tolist()]
    assert (near.text * near.wrong_text).sum(1).tolist() == pytest.approx(closest, abs=1e-6)
    assert float((plain.text * plain.wrong_text).sum(1).mean()) < float(np.mean(closest)) - 0.3
