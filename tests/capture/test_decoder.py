from contextlib import closing

import av
import numpy as np
import pytest

from streamseg.capture.container import open_video
from streamseg.capture.decoder import ImageDecoder, KeyframeGate, RgbConverter
from streamseg.capture.numbering import Numbering
from streamseg.telemetry import DropCounter
from tests.support.videos import read_number, write_video


class TestKeyframeGate:
    def test_open_until_something_is_lost(self):
        gate = KeyframeGate()
        assert gate.admits(is_keyframe=False, now_seconds=0.0)

    @pytest.mark.parametrize(
        ("is_keyframe", "elapsed_seconds", "admits"),
        [
            pytest.param(False, 0.1, False, id="refers to what was lost"),
            pytest.param(True, 0.1, True, id="keyframe"),
            pytest.param(False, 9.9, False, id="still waiting"),
            pytest.param(False, 10.0, True, id="a camera that never sends one"),
        ],
    )
    def test_after_a_loss(self, is_keyframe, elapsed_seconds, admits):
        gate = KeyframeGate()
        gate.shut(100.0)
        assert gate.admits(is_keyframe=is_keyframe, now_seconds=100.0 + elapsed_seconds) is admits
        assert gate.admits(is_keyframe=False, now_seconds=100.0 + elapsed_seconds) is admits, "it stays so"

    def test_losses_while_shut_do_not_prolong_the_wait(self):
        gate = KeyframeGate()
        gate.shut(100.0)
        gate.shut(109.0)
        assert gate.admits(is_keyframe=False, now_seconds=110.0)


def decode_all(path, *, live, damage=lambda index, packet: packet):
    """Decode a film whose packets pass through `damage` (None: this one never arrives)."""
    drops = DropCounter()
    container, stream = open_video(str(path), name="film", options={})
    with closing(container):
        decoder = ImageDecoder(stream, Numbering(drops), live=live)
        numbers = []
        for index, packet in enumerate(container.demux(stream)):
            if packet.size:
                packet = damage(index, packet)
            if packet is not None:
                numbers += [
                    read_number(picture.to_ndarray(format="rgb24")) for picture in decoder.decode(packet, index / 25)
                ]
        return numbers, drops.snapshot()


def damaged(packet):
    """The packet with its coded bytes overwritten, as a stream that lost bytes on its way has them."""
    broken = av.Packet(b"\x00\x00\x00\x01\x65" + b"\xff" * 60)
    broken.stream, broken.pts, broken.dts, broken.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    return broken


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """30 pictures in MPEG-TS, a keyframe every 10."""
    return write_video(tmp_path_factory.mktemp("film") / "film.ts", 30, key_every=10)


@pytest.mark.parametrize("live", [True, False])
def test_whole_film(film, live):
    numbers, drops = decode_all(film, live=live)
    assert numbers == [number % 28 for number in range(30)]
    assert drops == {}


def test_live_waits_for_the_first_keyframe(film):
    numbers, drops = decode_all(film, live=True, damage=lambda index, packet: None if index < 3 else packet)
    assert numbers == [number % 28 for number in range(10, 30)]
    assert drops == {"capture": {"before_keyframe": 7}}


def test_live_drops_until_the_next_keyframe_after_damage(film):
    numbers, drops = decode_all(
        film, live=True, damage=lambda index, packet: damaged(packet) if index == 13 else packet
    )
    assert numbers == [number % 28 for number in (*range(13), *range(20, 30))]
    assert drops == {"capture": {"corrupt": 1, "before_keyframe": 6}}


def test_a_file_goes_on_after_damage(film):
    numbers, drops = decode_all(
        film, live=False, damage=lambda index, packet: damaged(packet) if index == 13 else packet
    )
    assert drops == {"capture": {"corrupt": 1}}
    assert len(numbers) >= 25
    assert numbers[:13] == list(range(13))


def test_rgb_of_both_colour_matrices():
    """What a film does not say about its colours is taken as players take it: large BT.709, small BT.601."""
    converter = RgbConverter()
    for size, matrix in (((96, 128), "itu601"), ((720, 1280), "itu709")):
        picture = np.zeros((*size, 3), np.uint8)
        picture[:, : size[1] // 2] = (220, 40, 30)
        picture[:, size[1] // 2 :] = (20, 90, 200)
        coded = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
        coded.colorspace = 2  # unspecified
        rgb = converter.convert(coded)
        assert rgb.shape == (*size, 3)
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
        np.testing.assert_allclose(rgb[10, 10], (220, 40, 30), atol=4)
        np.testing.assert_allclose(rgb[10, -10], (20, 90, 200), atol=4)


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p10le", "nv12", "gray", "rgb24", "bgr0"]
)
def test_rgb_of_every_pixel_format(pixel_format):
    picture = np.full((64, 96, 3), 60, np.uint8)
    picture[:, 48:] = 200
    coded = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
    rgb = RgbConverter().convert(coded)
    np.testing.assert_allclose(rgb[20, [10, 80]], [[60] * 3, [200] * 3], atol=4)


def turned_film(path, degrees):
    """A film whose display matrix says how it is to be turned: the nine numbers of the track header are replaced."""
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:48, :64] = 200  # the coded picture is bright at its upper left
    write_video(path, images=[picture] * 3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    one = 0x00010000
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    values = (a, b, 0, -b, a, 0, 0, 0, 0x40000000)
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, signed=True) for value in values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("degrees", "size", "bright"),
    [
        pytest.param(90, (128, 96), (slice(0, 50), slice(60, 96)), id="clockwise: bright at the upper right"),
        pytest.param(180, (96, 128), (slice(60, 96), slice(80, 128)), id="upside down: lower right"),
        pytest.param(270, (128, 96), (slice(80, 128), slice(0, 40)), id="anticlockwise: lower left"),
    ],
)
def test_films_of_phones_are_turned_upright(tmp_path, degrees, size, bright):
    container, stream = open_video(str(turned_film(tmp_path / "phone.mp4", degrees)), name="film", options={})
    with closing(container):
        rgb = RgbConverter().convert(next(container.decode(stream)))
    assert rgb.shape == (*size, 3)
    assert rgb[bright].mean() > 180
    assert rgb.mean() == pytest.approx(50, abs=6)
