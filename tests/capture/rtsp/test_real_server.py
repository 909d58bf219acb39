"""The RTP reader with GStreamer's RTSP server, whose images show if any of their pixels is wrong."""

import time

import numpy as np
import pytest

from benchmarks.rtsp_latency.site import BLOCK_ERROR, NO_CAMERA, camera, has_camera, largest_block_error, read_code
from streamseg.capture import open_source
from streamseg.config import StreamSource
from tests.support.loss_proxy import LossProxy
from tests.support.udp_loss_proxy import UdpLossProxy

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_camera(), reason=NO_CAMERA)]


def received(port, *, seconds=60.0, num_frames=10_000, **values):
    """Return the frames of a camera and their source, for a number of seconds or of frames."""
    source = open_source(StreamSource(id="camera", url=f"rtsp://127.0.0.1:{port}/live", mode="every_frame", **values))
    frames, started = [], time.monotonic()
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == num_frames or time.monotonic() - started > seconds:
            source.stop()
    return frames, source


def numbers_of(frames):
    return [read_code(frame.image.mean(axis=2))[0] for frame in frames]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_frame_arrives_intact(transport):
    with camera(15) as port:
        frames, source = received(port, num_frames=40, transport=transport)
    assert source.drops.snapshot() == {}
    numbers = numbers_of(frames)
    assert np.diff(numbers).tolist() == [1] * 39
    assert max(largest_block_error(frame.image) for frame in frames) < BLOCK_ERROR


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_camera_clock(transport):
    """The first sender report follows within seconds; the ages are those of a busy machine, not hours."""
    with camera(15) as port:
        source = open_source(StreamSource(id="camera", url=f"rtsp://127.0.0.1:{port}/live", transport=transport))
        for frame in source.frames():
            if frame.clock == "camera" or frame.index > 300:
                source.stop()
    assert frame.clock == "camera"


@pytest.mark.parametrize("probability", [0.01, 0.05])
def test_no_damaged_image_is_delivered(probability):
    """The frames between a loss and the next keyframe are dropped; all others are intact."""
    with camera(30) as port, LossProxy(port, probability) as proxy:
        frames, source = received(proxy.port, seconds=8.0)
    assert proxy.num_lost
    assert source.drops.snapshot()["capture"]["packet_loss"]
    assert len(frames) >= 10
    assert [frame.index for frame in frames if largest_block_error(frame.image) > BLOCK_ERROR] == []


def test_no_damaged_image_over_udp():
    """Packets that overtake each other cost nothing; lost ones cost the frames up to the next keyframe."""
    with camera(30) as port, UdpLossProxy(port, reorder=0.1) as proxy:
        frames, source = received(proxy.port, num_frames=60, transport="udp")
    assert proxy.num_overtaken
    assert source.drops.snapshot() == {}
    with camera(30) as port, UdpLossProxy(port, loss=0.01, reorder=0.1) as proxy:
        frames, source = received(proxy.port, seconds=8.0, transport="udp")
    assert proxy.num_lost
    assert source.drops.snapshot()["capture"]["packet_loss"]
    assert [frame.index for frame in frames if largest_block_error(frame.image) > BLOCK_ERROR] == []


def test_damage_would_be_noticed():
    """FFmpeg's reader delivers damaged images under the same conditions."""
    with camera(30) as port, LossProxy(port, 0.05) as proxy:
        frames, _ = received(proxy.port, seconds=8.0, reader="ffmpeg")
    assert [frame.index for frame in frames if largest_block_error(frame.image) > BLOCK_ERROR]


def test_jpeg_is_read_by_ffmpeg():
    with camera(15, "jpeg") as port:
        frames, _ = received(port, num_frames=10)
    assert np.diff(numbers_of(frames)).tolist() == [1] * 9
