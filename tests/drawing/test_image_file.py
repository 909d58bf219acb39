import cv2
import numpy as np
import pytest

from streamseg.drawing.image_file import encode_image, write_image
from streamseg.errors import DataError

IMAGE = np.dstack([np.full((4, 6), value, np.uint8) for value in (200, 100, 0)])


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:, ::-1]], ids=["contiguous", "view"])
def test_file_is_rgb(tmp_path, image):
    write_image(tmp_path / "new" / "a.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "new" / "a.png"), cv2.IMREAD_COLOR_RGB), image)


def test_content_equals_the_file(tmp_path):
    write_image(tmp_path / "a.png", IMAGE)
    assert (tmp_path / "a.png").read_bytes() == encode_image(".png", IMAGE)


@pytest.mark.parametrize("suffix", ["", ".txt"])
def test_suffix_must_be_an_image_format(tmp_path, suffix):
    with pytest.raises(DataError, match=r"as an image; use a suffix such as \.png or \.jpg"):
        encode_image(suffix, IMAGE)
    with pytest.raises(DataError, match="the suffix must be an image format"):
        write_image(tmp_path / f"a{suffix}", IMAGE)


def test_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*a\.png: .*file is a file, not a folder"):
        write_image(tmp_path / "file" / "a.png", IMAGE)
