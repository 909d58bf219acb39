"""Masks in image files: non-zero pixels, whatever the encoding."""

import numpy as np
import pytest
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging import load_mask

MASK = np.zeros((12, 20), bool)
MASK[3:7, 5:16] = True


def palette_of_black():
    """A palette image whose object has index 1 and the same colour as the background."""
    image = Image.fromarray(MASK.astype(np.uint8)).convert("P")
    image.putdata(MASK.astype(np.uint8).ravel().tolist())
    image.putpalette([0, 0, 0] * 256)
    return image


ENCODINGS = {
    "grey": Image.fromarray(MASK.astype(np.uint8) * 255),
    "value 1": Image.fromarray(MASK.astype(np.uint8)),
    "16 bits, value 1": Image.fromarray(MASK.astype(np.uint16)),
    "1 bit": Image.fromarray(MASK),
    "palette": palette_of_black(),
    "dark colour": Image.fromarray(MASK[:, :, None].astype(np.uint8) * np.array([0, 0, 1], np.uint8)),
    "opaque": Image.fromarray(np.dstack([MASK.astype(np.uint8)] * 3 + [np.full(MASK.shape, 255, np.uint8)])),
    "grey and alpha": Image.fromarray(np.dstack([MASK.astype(np.uint8), np.full(MASK.shape, 255, np.uint8)]), "LA"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings(tmp_path, name):
    ENCODINGS[name].save(tmp_path / "mask.png")
    loaded = load_mask(tmp_path / "mask.png")
    assert loaded.dtype == np.bool_
    np.testing.assert_array_equal(loaded, MASK)


def test_orientation(tmp_path):
    image = Image.fromarray(MASK.astype(np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(load_mask(tmp_path / "mask.png"), np.rot90(MASK, -1))


@pytest.mark.parametrize("num_missing", [1, 20, 900])
def test_cut_mask_is_refused(tmp_path, num_missing):
    noise = np.random.default_rng(0).integers(0, 2, (99, 99), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "mask.png")
    content = (tmp_path / "mask.png").read_bytes()
    (tmp_path / "mask.png").write_bytes(content[:-num_missing])
    with pytest.raises(SourceError, match=r"mask\.png is not a readable image: the file is truncated"):
        load_mask(tmp_path / "mask.png")
