"""Video and screenshots of the page: a click and a drawn box in a real Chromium, with the default network."""

import itertools

import av
import cv2
import numpy as np
import pytest

from benchmarks.page.browser import missing_browser
from benchmarks.page.recording import record

pytestmark = pytest.mark.slow


def test_page_is_recorded(tmp_path):
    if reason := missing_browser():
        pytest.skip(reason)
    record(tmp_path, first=168, num_seconds=3, stride=18)
    shots = {path.name: cv2.imread(str(path)) for path in tmp_path.glob("*.jpg")}
    assert set(shots) == {f"page-{name}.jpg" for name in ("dark", "hover", "prompts", "light", "phone")}
    assert shots["page-dark.jpg"].shape == (720, 1280, 3)
    assert shots["page-phone.jpg"].shape == (844, 390, 3)
    assert shots["page-light.jpg"].mean() > shots["page-dark.jpg"].mean() + 20
    with av.open(str(tmp_path / "page.mp4")) as video:
        images = [frame.to_ndarray(format="bgr24").astype(np.int16) for frame in video.decode(video=0)]
    assert len(images) >= 9
    changes = [np.abs(later - earlier).mean() for earlier, later in itertools.pairwise(images)]
    assert np.median(changes) > 0.5, "the image on the page moves"
