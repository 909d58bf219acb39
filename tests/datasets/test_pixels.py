import numpy as np
import pytest
from PIL import Image

from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.pixels import check_image, read_image
from streamseg.errors import DataError

ORIENTATION = 0x0112


def entry_of(folder, stored, orientation, listed):
    """Write stored pixels with an EXIF orientation; return an entry with the listed size (H, W)."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = folder / "a.png"
    Image.fromarray(stored).save(path, exif=exif)
    return LabelledImage(path, listed, None, (), list_file=folder / "instances.json")


def pixels(height, width):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("stored", "orientation", "listed", "turns"),
    [
        pytest.param((20, 30), 1, (20, 30), 0, id="upright"),
        pytest.param((20, 30), 6, (30, 20), 3, id="size-after-the-turn"),
        pytest.param((20, 30), 6, (20, 30), 0, id="size-as-stored"),
        pytest.param((20, 30), 8, (30, 20), 1, id="turned-left"),
        pytest.param((20, 30), 8, (20, 30), 0, id="turned-left-size-as-stored"),
        pytest.param((20, 30), 3, (20, 30), 2, id="half-turn-keeps-the-size"),
        pytest.param((20, 20), 6, (20, 20), 3, id="square-image-is-turned"),
    ],
)
def test_labels_refer_to_the_upright_image_unless_only_the_stored_size_fits(
    tmp_path, stored, orientation, listed, turns
):
    image = pixels(*stored)
    entry = entry_of(tmp_path, image, orientation, listed)
    check_image(entry)
    assert np.array_equal(read_image(entry), np.rot90(image, turns))


@pytest.mark.parametrize(
    ("orientation", "listed"),
    [
        pytest.param(1, (30, 20), id="transposed-without-exif-turn"),
        pytest.param(6, (20, 31), id="neither-size"),
        pytest.param(3, (30, 20), id="transposed-with-half-turn"),
    ],
)
def test_other_sizes_are_rejected(tmp_path, orientation, listed):
    entry = entry_of(tmp_path, pixels(20, 30), orientation, listed)
    for function in (check_image, read_image):
        with pytest.raises(DataError, match=rf"but instances\.json lists it as {listed[1]}x{listed[0]}"):
            function(entry)


def test_missing_image_is_rejected(tmp_path):
    entry = LabelledImage(tmp_path / "no.png", (2, 3), None, (), list_file=tmp_path / "instances.json")
    for function in (check_image, read_image):
        with pytest.raises(DataError, match=r"no\.png is missing or unreadable, though instances\.json lists it"):
            function(entry)
