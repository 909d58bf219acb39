"""Decoding on demand against decoding everything: the delivered images are the same, bit for bit."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streamseg.capture.decoder import RgbConverter, VideoDecoder
from streamseg.capture.on_demand import MOST_PACKETS, OnDemandDecoder
from streamseg.capture.source import FrameCounter
from streamseg.telemetry import DropCounter
from tests.support.videos import numbered_image

NUM_FRAMES, KEY_EVERY = 60, 20


def encode(options: dict[str, str], *, codec: str = "libx264", num_frames: int = NUM_FRAMES) -> list[av.Packet]:
    """Packets of numbered images, without a container."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 128, 96, "yuv420p"
    context.time_base, context.gop_size = Fraction(1, 25), KEY_EVERY
    context.options = options
    packets = []
    for index in range(num_frames):
        frame = av.VideoFrame.from_ndarray(numbered_image(index), format="rgb24")
        frame.pts = index
        packets += context.encode(frame)
    return packets + context.encode(None)


CAMERA = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20"}
REORDERED = {"preset": "veryfast", "bf": "2", "crf": "20", "sc_threshold": "0"}
X265 = "log-level=none:bframes=0:keyint=20:min-keyint=20:scenecut=0"


class Wanted:
    """Answers whether each packet is wanted, by its number, and counts the questions."""

    def __init__(self, wanted) -> None:
        self._wanted = wanted
        self.num_asked = 0

    def __call__(self) -> str | None:
        is_wanted = self._wanted(self.num_asked)
        self.num_asked += 1
        return None if is_wanted else "busy"


class Site:
    """A decoder on demand that has decoded packets, and what it delivered."""

    def __init__(self, packets, wanted, *, codec="h264", lost=()) -> None:
        self.drops = DropCounter()
        self.counter = FrameCounter(self.drops)
        self.wanted = Wanted(wanted)
        context = av.CodecContext.create(codec, "r")
        frames = OnDemandDecoder(VideoDecoder(context, self.counter, live=True), self.counter, self.wanted)
        convert = RgbConverter().convert
        self.images, self.indices = {}, []
        for place, packet in enumerate(packets):
            if place in lost:
                frames.lose(place / 25)
                continue
            for frame in frames.decode(packet, place / 25):
                self.images[frame.pts] = convert(frame)
                self.indices.append(self.counter.next_index())

    @property
    def num_drops(self) -> int:
        return sum(self.drops.snapshot().get("capture", {}).values())


@pytest.mark.parametrize(
    ("options", "codec", "encoder"),
    [
        pytest.param(CAMERA, "h264", "libx264", id="h264"),
        pytest.param(REORDERED, "h264", "libx264", id="h264 with B-frames"),
        pytest.param({"x265-params": X265}, "hevc", "libx265", id="hevc"),
    ],
)
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(lambda nth: nth % 7 == 0, id="some"),
        pytest.param(lambda nth: nth % 25 == 24, id="fewer than keyframes"),
        pytest.param(lambda nth: nth < 10 or nth > 47, id="a pause"),
        pytest.param(lambda nth: True, id="all"),
    ],
)
def test_same_images_as_when_everything_is_decoded(options, codec, encoder, wanted):
    packets = encode(options, codec=encoder)
    everything, some = (Site(packets, which, codec=codec) for which in (lambda nth: True, wanted))
    assert some.images
    for pts, image in some.images.items():
        np.testing.assert_array_equal(image, everything.images[pts], err_msg=f"frame {pts}")
    assert some.wanted.num_asked == len(packets)
    assert some.indices == sorted(some.indices)
    assert len(some.indices) + some.num_drops == some.counter.num_frames, "each missing index is one counted drop"
    assert some.counter.num_frames <= len(packets)


def test_newest_frame_is_delivered_and_all_others_are_counted():
    site = Site(encode(CAMERA), lambda nth: nth in (9, 33, 34))
    assert list(site.images) == [9, 33, 34]
    assert site.indices == [9, 33, 34], "indices count every frame that arrived"
    assert site.drops.snapshot() == {"capture": {"busy": 9 + 23 + 5}}, "35 to 39, when the keyframe 40 arrives"


def test_keyframe_replaces_everything_before_it():
    packets = encode(CAMERA)
    # Frames 1..19 are broken beyond repair, and nobody notices, because none is decoded.
    broken = [packets[0], *(av.Packet(b"\x00\x00\x00\x01\x41\xff") for _ in range(1, KEY_EVERY)), *packets[KEY_EVERY:]]
    site = Site(broken, lambda nth: nth in (0, 25))
    assert site.indices == [0, 25]
    assert site.drops.snapshot() == {"capture": {"busy": 24 + 14}}, "26 to 39, when the keyframe 40 arrives"


def test_stream_with_rare_keyframes_is_decoded_behind():
    packets = encode({**CAMERA, "g": "1000"}, num_frames=2 * MOST_PACKETS)
    site = Site(packets, lambda nth: nth == 2 * MOST_PACKETS - 1)
    np.testing.assert_array_equal(
        site.images[2 * MOST_PACKETS - 1], Site(packets, lambda nth: True).images[2 * MOST_PACKETS - 1]
    )
    assert site.drops.snapshot() == {"capture": {"busy": 2 * MOST_PACKETS - 1}}


def test_loss_discards_what_is_kept_and_waits_for_a_keyframe():
    site = Site(encode(CAMERA), lambda nth: nth in (0, 12, 30), lost=[10])
    # Packet 10 is lost without a question: question 12 is about packet 13, question 30 about packet 31.
    assert list(site.images) == [0, 31]
    assert site.drops.snapshot()["capture"]["packet_loss"] == 1
    assert site.indices == [0, 31]
