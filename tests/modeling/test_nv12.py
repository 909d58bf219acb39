"""NV12 to RGB: known colours, and the pixels of FFmpeg's conversion of real clips."""

from itertools import islice

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from streamseg.modeling.nv12 import nv12_to_rgb
from streamseg.structures.nv12 import YuvColours
from tests.support.data import data_folder

LIMITED, FULL = (YuvColours("bt601", is_full) for is_full in (False, True))


@pytest.mark.parametrize(
    ("colours", "yuv", "rgb"),
    [
        pytest.param(LIMITED, (16, 128, 128), (0, 0, 0), id="black"),
        pytest.param(LIMITED, (235, 128, 128), (255, 255, 255), id="white"),
        pytest.param(LIMITED, (0, 128, 128), (0, 0, 0), id="below black"),
        pytest.param(LIMITED, (255, 128, 128), (255, 255, 255), id="above white"),
        pytest.param(FULL, (0, 128, 128), (0, 0, 0), id="black, full range"),
        pytest.param(FULL, (255, 128, 128), (255, 255, 255), id="white, full range"),
        pytest.param(LIMITED, (81, 90, 240), (254, 0, 0), id="red, BT.601"),
        pytest.param(YuvColours("bt709", is_full_range=False), (63, 102, 240), (255, 0, 0), id="red, BT.709"),
        pytest.param(YuvColours("bt2020", is_full_range=False), (74, 97, 240), (255, 0, 0), id="red, BT.2020"),
        pytest.param(FULL, (29, 255, 107), (0, 0, 254), id="blue, full range"),
    ],
)
def test_known_colours(colours, yuv, rgb):
    luma = torch.full((1, 2, 2), yuv[0], dtype=torch.uint8)
    chroma = torch.tensor(yuv[1:], dtype=torch.uint8).view(1, 1, 1, 2)
    found = nv12_to_rgb(luma, chroma, colours)
    assert found.shape == (1, 2, 2, 3)
    assert (found.view(-1, 3).int() - torch.tensor(rgb)).abs().max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 6)])
def test_pixels_share_the_chroma_of_their_block(size):
    height, width = size
    luma = torch.full((1, height, width), 100, dtype=torch.uint8)
    blocks = (1, -(-height // 2), -(-width // 2), 2)
    chroma = torch.randint(0, 256, blocks, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = nv12_to_rgb(luma, chroma, FULL)[0]
    for y in range(height):
        for x in range(width):
            assert found[y, x].equal(found[y // 2 * 2, x // 2 * 2])


def frames_of_clips():
    folder = data_folder()
    if folder is None or not (clips := sorted((folder / "clips").glob("*.mp4"))[:3]):
        pytest.skip("STREAMSEG_DATA has no clips")
    for clip in clips:
        with av.open(str(clip)) as container:
            yield from islice(container.decode(video=0), 5, 26, 10)


@pytest.mark.parametrize("is_full", [False, True], ids=["limited range", "full range"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_real_clips_look_as_converted_by_ffmpeg(matrix, is_full):
    """At most 3 levels, 1.3 in the mean: FFmpeg's tables round each product, mostly down."""
    space = Colorspace.ITU601 if matrix == "bt601" else Colorspace.ITU709
    for frame in frames_of_clips():
        planes = VideoReformatter().reformat(frame, format="nv12").planes
        luma, chroma = (torch.from_dlpack(plane)[None].contiguous() for plane in planes)
        found = nv12_to_rgb(luma, chroma, YuvColours(matrix, is_full))[0].numpy()
        value_range = ColorRange.JPEG if is_full else ColorRange.MPEG
        expected = VideoReformatter().reformat(
            frame, format="rgb24", src_colorspace=space, src_color_range=value_range, threads=1
        )
        difference = np.abs(found.astype(int) - expected.to_ndarray())
        assert difference.max() <= 3
        assert difference.mean() <= 1.3
