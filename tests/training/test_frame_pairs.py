import numpy as np
import pytest

from streamseg.datasets.samples import LabelledObject, Sample
from streamseg.structures.mask import CropMask
from streamseg.training.frame_pairs import CELL, compose_pair
from tests.support.images import drawn_sample

SIZE = 128


def pair(seed=0, sample=None):
    chosen = drawn_sample(1) if sample is None else sample
    return compose_pair(np.random.default_rng(seed), lambda rng: chosen, SIZE)


def marked_sample(*, is_part=False, is_crowd=False):
    """A red square of 60 x 60 pixels on black."""
    image = np.zeros((120, 120, 3), dtype=np.uint8)
    image[30:90, 30:90] = (250, 20, 20)
    mask = CropMask(np.ones((60, 60), dtype=np.bool_), 30, 30)
    return Sample(image, (LabelledObject(mask, is_part=is_part, is_crowd=is_crowd),))


def test_shapes_and_types():
    found = pair()
    for image, labels in zip(found.images, found.labels, strict=True):
        assert (image.shape, image.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((SIZE // CELL, SIZE // CELL), np.int16)


@pytest.mark.parametrize("seed", range(8))
def test_labels_lie_on_the_objects_of_both_frames(seed):
    found = pair(seed, marked_sample())
    assert found.labels[0].any()
    for image, labels in zip(found.images, found.labels, strict=True):
        centres = image[CELL // 2 :: CELL, CELL // 2 :: CELL].astype(int)
        redness = centres[..., 0] - centres[..., 1:].max(axis=2)
        inside, outside = redness[labels > 0], redness[labels == 0]
        assert not len(inside) or np.median(inside) > np.median(outside)


def test_same_seed_gives_the_same_pair():
    first, second = pair(5), pair(5)
    assert all(np.array_equal(one, other) for one, other in zip(first.images, second.images, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(first.labels, second.labels, strict=True))
    assert not np.array_equal(first.images[0], pair(6).images[0])


def test_objects_move_between_the_frames():
    moved = sum(not np.array_equal(*pair(seed).labels) for seed in range(6))
    assert moved >= 5


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(marked_sample(is_part=True), id="only-parts"),
        pytest.param(Sample(np.zeros((40, 60, 3), dtype=np.uint8), ()), id="no-objects"),
        pytest.param(Sample(np.zeros((3, 500, 3), dtype=np.uint8), ()), id="narrow"),
    ],
)
def test_image_without_whole_objects_has_no_labels(sample):
    assert not any(labels.any() for labels in pair(0, sample).labels)
