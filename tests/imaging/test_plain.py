"""Files that are copied unchanged, because every program reads the same pixels from them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging import load_image, plain_file

PIXELS = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
RGB = Image.fromarray(PIXELS)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("image", "name", "options", "suffix"),
    [
        pytest.param(RGB, "a.jpg", {}, ".jpg", id="JPEG"),
        pytest.param(RGB, "a.JPEG", {}, ".JPEG", id="upper-case"),
        pytest.param(RGB.convert("L"), "a.jpg", {}, ".jpg", id="grey"),
        pytest.param(RGB, "a.png", {}, ".png", id="PNG"),
        pytest.param(RGB, "a.bmp", {}, ".bmp", id="BMP"),
        pytest.param(RGB, "a.jfif", {"format": "JPEG"}, ".jpg", id="JFIF"),
        pytest.param(RGB, "a.mp4", {"format": "PNG"}, ".png", id="suffix-of-a-video"),
        pytest.param(RGB, "a.jpg", {"exif": turned(1)}, ".jpg", id="EXIF-upright"),
        pytest.param(RGB, "a.jpg", {"exif": turned(6)}, None, id="EXIF-turn"),
        pytest.param(RGB, "a.png", {"exif": turned(3)}, None, id="EXIF-turn-of-a-PNG"),
        pytest.param(RGB.convert("CMYK"), "a.jpg", {}, None, id="CMYK"),
        pytest.param(RGB.convert("RGBA"), "a.png", {}, None, id="alpha"),
        pytest.param(RGB, "a.png", {"transparency": (0, 0, 0)}, None, id="transparent-colour"),
        pytest.param(RGB.convert("P"), "a.png", {}, None, id="palette"),
        pytest.param(RGB.convert("1"), "a.png", {}, None, id="one-bit"),
        pytest.param(RGB.convert("I;16"), "a.png", {}, None, id="16-bit-grey"),
        pytest.param(RGB, "a.png", {"save_all": True, "append_images": [RGB.rotate(90)]}, None, id="animation"),
        pytest.param(RGB, "a.webp", {}, None, id="WebP"),
        pytest.param(RGB, "a.tif", {}, None, id="TIFF"),
    ],
)
def test_plain_files(tmp_path, image, name, options, suffix):
    image.save(tmp_path / name, **options)
    found = plain_file(tmp_path / name)
    assert (found and found.suffix) == suffix
    if found is not None:
        assert found.content == (tmp_path / name).read_bytes()
        seen = cv2.imdecode(np.frombuffer(found.content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert np.abs(seen.astype(int) - load_image(tmp_path / name)).max() <= 1


def test_colours_of_16_bits_are_not_plain(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), PIXELS.astype(np.uint16) * 257)
    assert plain_file(tmp_path / "a.png") is None


def test_other_files_are_errors(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    for name in ("a.png", "gone.png"):
        with pytest.raises(SourceError, match=name):
            plain_file(tmp_path / name)
