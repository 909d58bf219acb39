"""Ids, names, categories and numbers of what is written."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamseg.datasets.writers.base import Categories, image_ids, image_objects, object_numbers, unique_stems
from streamseg.errors import DataError
from streamseg.structures.mask import CropMask, MaskSpace
from tests.support.messages import disc, make_message, make_object


def paths(*names):
    return [Path(name) for name in names]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        pytest.param(["000000000042.jpg", "7.png"], [42, 7], id="coco-names"),
        pytest.param(["42.jpg", "7.png", "a.png"], [1, 2, 3], id="one-other-name"),
        pytest.param(["7.jpg", "007.png"], [1, 2], id="same-number"),
        pytest.param(["a/7.jpg", "b/7.jpg"], [1, 2], id="same-name-in-two-folders"),
        pytest.param(["1234567890123456.jpg"], [1], id="more-digits-than-a-float-holds"),
        pytest.param(["²³.jpg", "a.jpg"], [1, 2], id="digits-that-are-no-numbers"),
        pytest.param([], [], id="none"),
    ],
)
def test_image_ids(names, ids):
    assert image_ids(paths(*names)) == ids


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        pytest.param(["a.png", "b.png"], ["a", "b"], id="different"),
        pytest.param(["a.png", "a.jpg", "x/a.png"], ["a", "a-1", "a-2"], id="same-stem"),
        pytest.param(["a.png", "A.png"], ["a", "A-1"], id="same-but-for-case"),
        pytest.param(["a.png", "a-1.png", "a.jpg"], ["a", "a-1", "a-2"], id="number-is-taken"),
        pytest.param(["a\nb.png"], ["a_b"], id="line-break"),
        pytest.param([os.fsdecode(b"\xff.png"), "_.png"], ["_", "_-1"], id="not-utf-8"),
    ],
)
def test_unique_stems(names, stems):
    assert unique_stems(paths(*names)) == stems


def test_categories():
    assert list(Categories()) == ["object"]
    assert list(Categories(["cup", "dog", "cup"], has_unlabelled=False)) == ["cup", "dog"]
    categories = Categories(["cup"])
    assert (categories.position(None), categories.position("cup"), categories.position("new")) == (0, 1, 2)
    assert list(categories) == ["object", "cup", "new"]


def objects(*track_ids):
    return [make_object(disc(5), 1, 1, track_id=track_id) for track_id in track_ids]


@pytest.mark.parametrize(
    ("track_ids", "numbers"),
    [
        pytest.param([-1, -1, -1], [1, 2, 3], id="image"),
        pytest.param([4, 2], [4, 2], id="tracks"),
        pytest.param([4, -1, 2, -1], [4, 9, 2, 8], id="tracks-and-tentative-objects"),
        pytest.param([], [], id="none"),
    ],
)
def test_object_numbers(track_ids, numbers):
    assert object_numbers(objects(*track_ids), 9) == numbers


@pytest.mark.parametrize("track_ids", [[10], [8, -1, -1], [-1] * 10])
def test_numbers_that_do_not_suffice(track_ids):
    with pytest.raises(DataError, match="more than 9 objects or track ids"):
        object_numbers(objects(*track_ids), 9)


def test_masks_are_at_the_size_of_the_image():
    message = make_message(make_object(np.ones((2, 3), dtype=np.bool_), 1, 1))
    assert image_objects(message) == list(message.objects)
    height, width = message.image_size
    size = (height // 2, width // 2)
    space = MaskSpace.of(message.image_size, size)
    half = replace(message, mask_size=size, mask_to_image=space.to_image)
    (found,) = image_objects(half)
    assert (found.mask.x, found.mask.y, found.mask.crop.shape, found.area) == (2, 2, (4, 6), 24)
    empty = replace(message.objects[0], mask=CropMask(np.zeros((0, 0), dtype=np.bool_), 0, 0))
    assert image_objects(replace(half, objects=(empty,)))[0].area == 0
