"""HEIC images, with pi-heif and without."""

import sys

import numpy as np
import pytest

from streamseg.errors import SourceError
from streamseg.imaging import image_sizes, load_image
from tests.support.paths import REPOSITORY

TURNED = REPOSITORY / "tests" / "golden" / "heic" / "turned.heic"
"""48x32 quadrants (red, green; blue, white) with a turn by 90 degrees clockwise, written by pillow-heif 1.8.1."""


def test_image_is_upright():
    pytest.importorskip("pi_heif")
    image = load_image(TURNED)
    assert image.shape == (48, 32, 3)
    assert image_sizes(TURNED)[0] == (48, 32)
    quadrants = [image[8, 8], image[8, -8], image[-8, 8], image[-8, -8]]
    expected = [(0, 0, 250), (250, 0, 0), (250, 250, 250), (0, 250, 0)]
    np.testing.assert_allclose(quadrants, expected, atol=3)


@pytest.mark.parametrize("eighths", range(1, 8))
def test_cut_files_are_refused(tmp_path, eighths):
    pytest.importorskip("pi_heif")
    content = TURNED.read_bytes()
    (tmp_path / "a.heic").write_bytes(content[: len(content) * eighths // 8])
    with pytest.raises(SourceError, match=r"a\.heic is not a readable image: the file is damaged") as error:
        load_image(tmp_path / "a.heic")
    assert "\n" not in str(error.value)


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for read in (load_image, image_sizes):
        with pytest.raises(SourceError, match=r"its format is HEIC.*pip install 'streamseg\[heic\]'"):
            read(TURNED)
