import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from streamseg.drawing.yuv import yuv420
from streamseg.synthetic import SceneRenderer


def planes(array, height, width):
    """Y (H, W), U and V (H/2, W/2) of one array."""
    chroma = array[height:].reshape(2, height // 2, width // 2)
    return array[:height].astype(int), chroma[0].astype(int), chroma[1].astype(int)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(SceneRenderer(160, 96, num_objects=6, seed=3).render(20), id="scene"),
        pytest.param(np.random.default_rng(0).integers(0, 256, (34, 50, 3), dtype=np.uint8), id="noise"),
        pytest.param(np.full((2, 2, 3), (255, 0, 0), np.uint8), id="smallest"),
        pytest.param(np.full((16, 16, 3), 255, np.uint8), id="white"),
        pytest.param(np.zeros((16, 16, 3), np.uint8), id="black"),
    ],
)
def test_ffmpeg_gives_the_same_without_subsampling(image):
    height, width = image.shape[:2]
    full = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv444p", dst_colorspace=Colorspace.ITU601
    )
    y, u, v = full.to_ndarray().reshape(3, height, width).astype(float)
    found = planes(yuv420(image), height, width)
    assert np.abs(found[0] - y).max() <= 1
    for plane, chroma in zip(found[1:], (u, v), strict=True):
        assert np.abs(plane - chroma.reshape(height // 2, 2, width // 2, 2).mean((1, 3))).max() <= 1.5
