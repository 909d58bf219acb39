"""Changes in the middle of a stream: image size, codec, frame rate, with and without a new connection."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from streamseg.structures.frame import Frame
from tests.support.camera_site import Site
from tests.support.frames import take
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_camera import RtspCamera, Step, encoded_frames, play
from tests.support.videos import numbered_image, read_number

SMALL, LARGE, TALL = (96, 128), (240, 320), (128, 96)
WORST_ERROR = 12.0
"""Largest mean difference of the luma of an intact image to the one that was sent; a damaged one has 25 and more."""
LUMA = np.array([0.299, 0.587, 0.114])

Units = list[list[bytes]]
"""NAL units of each frame."""


@pytest.fixture(scope="module")
def encoded() -> dict[tuple[str, tuple[int, int]], Units]:
    """Ten frames of each codec and size, a keyframe every five."""
    kinds = [("h264", SMALL), ("h264", LARGE), ("h264", TALL), ("hevc", SMALL), ("hevc", LARGE)]
    return {(codec, size): encoded_frames(10, size=size, codec=codec, key_every=5) for codec, size in kinds}


@pytest.fixture
def finished() -> Iterator[threading.Event]:
    """Event that ends all waits of the server at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def camera_of(frames: Units, finished: threading.Event, *scripts: list[Step], **values: object) -> RtspCamera:
    chosen = scripts or (play(range(len(frames))),)
    return RtspCamera(chosen, frames, finished.wait, threading.Event().wait, **values)  # type: ignore[arg-type]


def error_of(frame: Frame) -> float:
    """Mean difference of the luma of an image to that of the one that was sent."""
    sent = numbered_image(read_number(frame.image), size=frame.size)
    return float(np.abs((frame.image - sent.astype(float)) @ LUMA).mean())


def check(frames: list[Frame], sizes: list[tuple[int, int]], numbers: list[int]) -> None:
    """Every image is intact and of its size; time goes on, and no frame is missing."""
    assert [frame.size for frame in frames] == sizes
    assert [read_number(frame.image) for frame in frames] == numbers
    assert max(error_of(frame) for frame in frames) < WORST_ERROR
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.pts_seconds for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_size_changes_by_parameter_sets_in_the_stream(encoded, finished, codec):
    """The description has those of the first size; the new ones come with the keyframe."""
    frames = encoded[codec, SMALL] + encoded[codec, LARGE] + encoded[codec, SMALL]
    with LoopbackServer(camera_of(frames, finished, codec=codec).serve) as server:
        found = take(Site(server).source.frames(), 30)
        finished.set()
    check(found, [SMALL] * 10 + [LARGE] * 10 + [SMALL] * 10, list(range(10)) * 3)


def test_camera_is_turned(encoded, finished):
    """As many pixels as before, in another shape."""
    with LoopbackServer(camera_of(encoded["h264", SMALL] + encoded["h264", TALL], finished).serve) as server:
        found = take(Site(server).source.frames(), 20)
        finished.set()
    check(found, [SMALL] * 10 + [TALL] * 10, list(range(10)) * 2)


class LosingCamera(RtspCamera):
    """All packets of one frame are lost on their way."""

    lost_frame = 10

    def _packets(self, frame, sequence):
        packets = super()._packets(frame, sequence)
        return [b""] * len(packets) if frame == self.lost_frame else packets  # their numbers are missing


def test_lost_keyframe_of_the_new_size_shows_nothing_of_it(encoded, finished):
    """The frames up to the next keyframe refer to one that is missing, of a size that the decoder does not know."""
    frames = encoded["h264", SMALL] + encoded["h264", LARGE]
    camera = LosingCamera([play(range(20))], frames, finished.wait, threading.Event().wait)
    with LoopbackServer(camera.serve) as server:
        found = take(Site(server).source.frames(), 15)
        finished.set()
    assert [frame.size for frame in found] == [SMALL] * 10 + [LARGE] * 5
    assert [read_number(frame.image) for frame in found] == [*range(10), *range(5, 10)]
    assert max(error_of(frame) for frame in found) < WORST_ERROR


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("h264", SMALL), ("h264", LARGE), id="size"),
        pytest.param(("h264", SMALL), ("hevc", SMALL), id="codec"),
        pytest.param(("hevc", LARGE), ("h264", SMALL), id="size-and-codec"),
    ],
)
def test_description_changes_between_two_connections(encoded, finished, before, after):
    kinds = iter([before, after])

    def serve(connection):
        kind = next(kinds, after)
        is_last = kind == after
        camera = camera_of(encoded[kind], finished, codec=kind[0])
        if not is_last:
            camera.finished = lambda: None
        camera.serve(connection)

    with LoopbackServer(serve) as server:
        found = take(Site(server).source.frames(), 20)
        finished.set()
    check(found, [before[1]] * 10 + [after[1]] * 10, list(range(10)) * 2)


def test_another_codec_within_a_session_shows_no_damaged_image(encoded, finished):
    """A camera that breaks its own description; it keeps it again ten frames later."""
    frames = encoded["h264", SMALL] + encoded["hevc", SMALL] + encoded["h264", SMALL]
    with LoopbackServer(camera_of(frames, finished).serve) as server:
        source = Site(server).source
        found = []
        for frame in source.frames():
            found.append(frame)
            if frame.index >= 20 and read_number(frame.image) == 9:
                break
        finished.set()
    assert max(error_of(frame) for frame in found) < WORST_ERROR
    numbers = [read_number(frame.image) for frame in found]
    assert numbers[:10] == list(range(10))
    assert numbers[-5:] == list(range(5, 10))


class ChangingRate(RtspCamera):
    """The second half of the frames has a fifth of the frame period."""

    def _packets(self, frame, sequence):
        half = len(self.encoded) // 2
        place = frame if frame < half else half + (frame - half) / 5
        return self._packets_at(frame, sequence, place)


def test_rate_changes(encoded, finished):
    frames = encoded["h264", SMALL] + encoded["h264", SMALL]
    camera = ChangingRate([play(range(20))], frames, finished.wait, threading.Event().wait)
    with LoopbackServer(camera.serve) as server:
        found = take(Site(server).source.frames(), 20)
        finished.set()
    check(found, [SMALL] * 20, list(range(10)) * 2)
    steps = [later.pts_seconds - earlier.pts_seconds for earlier, later in pairwise(found)]
    assert steps == pytest.approx([0.2] * 10 + [0.04] * 9, abs=1e-3)
