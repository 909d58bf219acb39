"""Drawing of rows and writing of image files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.fastsam.plot import draw_rows, write_image
from tests.support.fastsam_results import rectangles

GREY = np.full((60, 80, 3), 100, np.uint8)


def test_masks_of_half_the_size_are_stretched():
    drawn = draw_rows(GREY, rectangles((5, 5, 15, 15), size=(30, 40)), np.array([[10, 10, 30, 30]]), titles=[None])
    changed = (drawn != GREY).any(axis=2)
    assert changed[12:28, 12:28].all()
    assert not changed[:, 33:].any()


def test_without_masks_and_boxes_nothing_is_drawn():
    drawn = draw_rows(GREY, None, np.array([[10.0, 10, 30, 30]]), titles=[None])
    np.testing.assert_array_equal(drawn, GREY)
    assert drawn is not GREY


def test_colour_follows_identity():
    masks = rectangles((5, 5, 20, 20), (40, 30, 70, 55))
    boxes = np.array([[5.0, 5, 20, 20], [40, 30, 70, 55]])
    first = draw_rows(GREY, masks, boxes, titles=["", ""], identities=[3, 8])
    second = draw_rows(GREY, masks[::-1], boxes[::-1], titles=["", ""], identities=[8, 3])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["a.png", "folder/b.bmp", "two/folders/c.PNG"])
def test_image_is_written_with_its_folder(tmp_path, name):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    write_image(tmp_path / name, image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / name)), image)


@pytest.mark.parametrize("name", [pytest.param("a", id="no suffix"), pytest.param("a.txt", id="no image format")])
def test_unknown_suffix_is_rejected(tmp_path, name):
    with pytest.raises(DataError, match="suffix must be an image format"):
        write_image(tmp_path / name, GREY)
    assert not list(tmp_path.iterdir())


def test_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*a\.png"):
        write_image(tmp_path / "file" / "a.png", GREY)
