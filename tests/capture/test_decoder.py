import gc
import os
from contextlib import closing

import av
import av.error
import numpy as np
import pytest

from streamseg.capture.decoder import KeyframeGate, RgbConverter, VideoDecoder, num_threads, open_video, period_seconds
from streamseg.capture.source import FrameCounter
from streamseg.errors import SourceError
from streamseg.telemetry import DropCounter
from tests.support.videos import read_number, write_video


class TestOpenVideo:
    def test_video_among_other_streams(self, tmp_path):
        container, stream = open_video(str(write_video(tmp_path / "a.mp4", 3)), name="a", options={})
        with closing(container):
            assert stream.type == "video"
            assert period_seconds(stream) == pytest.approx(1 / 25)

    def test_messages_use_the_given_name(self, tmp_path):
        path = tmp_path / "secret.txt"
        path.write_text("hello\n" * 200)
        with pytest.raises(SourceError, match=r"^the door contains no video, only text; use a video file") as error:
            open_video(str(path), name="the door", options={})
        assert "secret" not in str(error.value)

    def test_missing_file_raises_the_error_of_ffmpeg(self, tmp_path):
        with pytest.raises(av.error.FileNotFoundError):
            open_video(str(tmp_path / "gone.mp4"), name="gone", options={})


class TestKeyframeGate:
    def test_open_until_a_loss(self):
        gate = KeyframeGate()
        assert gate.admits(is_keyframe=False, now_seconds=0.0)

    @pytest.mark.parametrize(
        ("is_keyframe", "elapsed_seconds", "admits"),
        [
            pytest.param(False, 0.1, False, id="refers to a lost frame"),
            pytest.param(True, 0.1, True, id="keyframe"),
            pytest.param(False, 9.9, False, id="still waiting"),
            pytest.param(False, 10.0, True, id="camera that never sends a keyframe"),
        ],
    )
    def test_after_a_loss(self, is_keyframe, elapsed_seconds, admits):
        gate = KeyframeGate()
        gate.shut(100.0)
        assert gate.admits(is_keyframe=is_keyframe, now_seconds=100.0 + elapsed_seconds) is admits
        assert gate.admits(is_keyframe=False, now_seconds=100.0 + elapsed_seconds) is admits, "unchanged"

    def test_losses_while_shut_do_not_prolong_the_wait(self):
        gate = KeyframeGate()
        gate.shut(100.0)
        gate.shut(109.0)
        assert gate.admits(is_keyframe=False, now_seconds=110.0)


def decode_all(path, *, live, damage=lambda index, packet: packet):
    """Decode a video whose packets pass through `damage`; None means that the packet never arrives."""
    drops = DropCounter()
    container, stream = open_video(str(path), name="video", options={})
    with closing(container):
        decoder = VideoDecoder(stream.codec_context, FrameCounter(drops), live=live)
        numbers = []
        for index, packet in enumerate(container.demux(stream)):
            if packet.size:
                packet = damage(index, packet)
            if packet is not None:
                numbers += [
                    read_number(frame.to_ndarray(format="rgb24")) for frame in decoder.decode(packet, index / 25)
                ]
        return numbers, drops.snapshot()


def damaged(packet):
    """Return the packet with its data overwritten, as after transmission loss."""
    broken = av.Packet(b"\x00\x00\x00\x01\x65" + b"\xff" * 60)
    broken.stream, broken.pts, broken.dts, broken.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    return broken


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """30 frames in MPEG-TS, a keyframe every 10."""
    return write_video(tmp_path_factory.mktemp("video") / "video.ts", 30, key_every=10)


@pytest.mark.parametrize("live", [True, False])
def test_intact_video(video, live):
    numbers, drops = decode_all(video, live=live)
    assert numbers == [number % 28 for number in range(30)]
    assert drops == {}


def test_live_waits_for_the_first_keyframe(video):
    numbers, drops = decode_all(video, live=True, damage=lambda index, packet: None if index < 3 else packet)
    assert numbers == [number % 28 for number in range(10, 30)]
    assert drops == {"capture": {"before_keyframe": 7}}


def test_live_drops_until_the_next_keyframe_after_damage(video):
    numbers, drops = decode_all(
        video, live=True, damage=lambda index, packet: damaged(packet) if index == 13 else packet
    )
    assert numbers == [number % 28 for number in (*range(13), *range(20, 30))]
    assert drops == {"capture": {"corrupt": 1, "before_keyframe": 6}}


def test_file_continues_after_damage(video):
    numbers, drops = decode_all(
        video, live=False, damage=lambda index, packet: damaged(packet) if index == 13 else packet
    )
    assert drops == {"capture": {"corrupt": 1}}
    assert len(numbers) >= 25
    assert numbers[:13] == list(range(13))


@pytest.mark.parametrize(
    ("num_cores", "num_decoders", "expected"),
    [
        pytest.param(2, 1, 2, id="all cores for one camera"),
        pytest.param(16, 4, 4, id="shared"),
        pytest.param(16, 3, 5, id="rounded down"),
        pytest.param(2, 16, 1, id="more cameras than cores"),
    ],
)
def test_num_threads(num_cores, num_decoders, expected):
    assert num_threads(num_cores, num_decoders) == expected


def test_live_decoders_share_the_cores_with_equal_images(tmp_path):
    path = write_video(tmp_path / "slices.mp4", 12, size=(192, 256))
    decoders, images = [], []
    for _ in range(1 + (os.cpu_count() or 1)):
        container, stream = open_video(str(path), name="video", options={})
        with closing(container):
            decoders.append(VideoDecoder(stream.codec_context, FrameCounter(DropCounter()), live=True))
            packets = list(container.demux(stream))
            images.append([frame.to_ndarray() for packet in packets for frame in decoders[-1].decode(packet, 0.0)])
            num_taken = stream.codec_context.thread_count
    assert num_taken == 1, "the last one of more decoders than cores"
    assert len(images[0]) == 12
    for others in images[1:]:
        assert all((one == other).all() for one, other in zip(images[0], others, strict=True))


def test_rgb_of_both_colour_matrices():
    """An undeclared colour matrix is chosen like video players do: large BT.709, small BT.601."""
    converter = RgbConverter()
    for size, matrix in (((96, 128), "itu601"), ((720, 1280), "itu709")):
        image = np.zeros((*size, 3), np.uint8)
        image[:, : size[1] // 2] = (220, 40, 30)
        image[:, size[1] // 2 :] = (20, 90, 200)
        decoded = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
        decoded.colorspace = 2  # unspecified
        rgb = converter.convert(decoded)
        assert rgb.shape == (*size, 3)
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
        np.testing.assert_allclose(rgb[10, 10], (220, 40, 30), atol=4)
        np.testing.assert_allclose(rgb[10, -10], (20, 90, 200), atol=4)


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p10le", "nv12", "gray", "rgb24", "bgr0"]
)
def test_rgb_of_every_pixel_format(pixel_format):
    image = np.full((64, 96, 3), 60, np.uint8)
    image[:, 48:] = 200
    decoded = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
    rgb = RgbConverter().convert(decoded)
    np.testing.assert_allclose(rgb[20, [10, 80]], [[60] * 3, [200] * 3], atol=4)


def test_frames_are_released_without_the_collector(tmp_path):
    """A frame that waits for Python's collector keeps its image: hundreds of them per source."""
    container, stream = open_video(str(write_video(tmp_path / "a.mp4", 30)), name="a", options={})
    with closing(container):
        decoder, converter = VideoDecoder(stream.codec_context, FrameCounter(DropCounter()), live=True), RgbConverter()
        gc.collect()
        gc.disable()
        try:
            num_converted, num_before = 0, _num_frames()
            for packet in container.demux(stream):
                for frame in decoder.decode(packet, 0.0):
                    converter.convert(frame)
                    num_converted += 1
            assert num_converted == 30
            assert _num_frames() - num_before <= 2, "the last one, and the decoder's next one"
        finally:
            gc.enable()


def _num_frames():
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())
