"""The sequence and the screenshots of the page: a click and a drawn box in a real Chromium, with the default network."""

import itertools

import av
import cv2
import numpy as np
import pytest

from benchmarks.page.browser import why_no_browser
from benchmarks.page.film import record


@pytest.mark.timeout(240)
def test_the_page_is_filmed(tmp_path):
    if reason := why_no_browser():
        pytest.skip(reason)
    record(tmp_path, first=168, num_seconds=7.5)
    shots = {path.name: cv2.imread(str(path)) for path in tmp_path.glob("*.jpg")}
    assert set(shots) == {f"page-{name}.jpg" for name in ("dark", "hover", "prompts", "light", "phone")}
    assert shots["page-dark.jpg"].shape == (720, 1280, 3)
    assert shots["page-phone.jpg"].shape == (844, 390, 3)
    assert shots["page-light.jpg"].mean() > shots["page-dark.jpg"].mean() + 20
    with av.open(str(tmp_path / "page.mp4")) as film:
        pictures = [frame.to_ndarray(format="bgr24").astype(np.int16) for frame in film.decode(video=0)]
    assert len(pictures) >= 75
    changes = [np.abs(later - earlier).mean() for earlier, later in itertools.pairwise(pictures)]
    assert np.median(changes) > 0.5, "the image on the page moves"
