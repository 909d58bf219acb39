"""Frames of network streams: order, time and drops."""

import threading
import time
from itertools import pairwise

import pytest

from streamseg.errors import SourceError
from tests.support.camera_site import Site, rtsp
from tests.support.frames import take
from tests.support.loopback import LoopbackServer
from tests.support.rtsp_camera import RtspCamera, Step, encoded_frames, play
from tests.support.videos import read_number, write_video


@pytest.fixture(scope="module")
def encoded():
    """28 encoded frames, a keyframe every 10."""
    return encoded_frames(28)


@pytest.fixture
def finished():
    """Event that ends all waits of the server at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def num_drops(source):
    return sum(source.drops.snapshot().get("capture", {}).values())


@pytest.mark.parametrize(
    ("reader", "num_frames"),
    [
        pytest.param("rtp", 28, id="rtp"),
        # Its parser holds each frame back until the next one begins: the last one is not delivered.
        pytest.param("ffmpeg", 27, id="ffmpeg"),
    ],
)
def test_frames_of_a_camera(encoded, finished, reader, num_frames):
    camera = rtsp(encoded, finished, play(range(28)))
    with LoopbackServer(camera.serve) as server:
        site = Site(server, reader=reader)
        frames = take(site.source.frames(), num_frames)
        finished.set()
    assert [read_number(frame.image) for frame in frames] == list(range(num_frames))
    assert [frame.index for frame in frames] == list(range(num_frames))
    assert {frame.clock for frame in frames} == {"arrival"}
    assert {frame.size for frame in frames} == {(96, 128)}
    stamped = [frame.pts_seconds for frame in frames if frame.pts_seconds is not None]
    assert len(stamped) >= 24
    assert [b - a for a, b in pairwise(stamped)] == pytest.approx([0.2] * (len(stamped) - 1))
    assert site.source.is_live
    assert site.source.drops.snapshot() == {}


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["rtp", "ffmpeg"])
def test_arrival_is_that_of_the_first_bytes(encoded, finished, reader):
    """FFmpeg releases a frame with the first bytes of the next one, 0.2 s later; the stamps do not wait for it."""
    pauses = threading.Event()
    sent_ns = []

    def pace(seconds):
        pauses.wait(seconds)
        sent_ns.append(time.monotonic_ns())

    script = [Step(frame=number, wait_seconds=0.2) for number in range(20)]
    camera = RtspCamera([script], encoded, finished.wait, pace)
    with LoopbackServer(camera.serve) as server:
        frames = take(Site(server, reader=reader).source.frames(), 10)
        finished.set()
    delays_ms = [(frame.received_ns - sent_ns[frame.index]) / 1e6 for frame in frames[1:]]
    assert max(delays_ms) < 100, "half a frame period is a margin for a busy machine"
    assert min(delays_ms) > -5
    assert {frame.lag_ns for frame in frames} == {0}, "captured at its arrival, for want of a better clock"


@pytest.mark.parametrize("reader", ["rtp", "ffmpeg"])
def test_camera_clock(encoded, finished, reader):
    """Frame n was captured n / 5 s after the reported time of frame 0, whenever it arrives."""
    camera = rtsp(encoded, finished, play(range(20), report=5.0))
    with LoopbackServer(camera.serve) as server:
        site = Site(server, reader=reader)
        frames = take(site.source.frames(), 19)
        finished.set()
    assert {frame.clock for frame in frames} == {"camera"}
    ages_ms = [(frame.captured_ns - camera.report_wall_ns[0]) / 1e6 for frame in frames]
    assert ages_ms == pytest.approx([index * 200 for index in range(19)], abs=0.1)
    assert site.source.camera_clock.num_rejected == 0
    assert all(frame.lag_ns >= 0 for frame in frames)
    assert frames[0].lag_ns / 1e9 == pytest.approx(5, abs=2)


def test_camera_clock_from_the_first_sender_report(encoded, finished):
    script = play(range(8)) + play(range(8, 20), report=5.0)
    camera = rtsp(encoded, finished, script)
    with LoopbackServer(camera.serve) as server:
        frames = take(Site(server).source.frames(), 19)
        finished.set()
    clocks = [frame.clock for frame in frames]
    assert clocks[:7] == ["arrival"] * 7
    assert clocks[9:] == ["camera"] * 10


def test_wrong_camera_clock_is_rejected(encoded, finished, caplog):
    camera = rtsp(encoded, finished, play(range(12), report=3600.0))
    with LoopbackServer(camera.serve) as server:
        site = Site(server)
        before_ns = time.time_ns()
        frames = take(site.source.frames(), 11)
        finished.set()
    assert {frame.clock for frame in frames} == {"arrival"}
    assert all(before_ns <= frame.captured_ns <= time.time_ns() for frame in frames)
    assert site.source.camera_clock.num_rejected == 11
    assert caplog.text.count("the camera's clock is off by -3") == 1, "logged once"


def test_joining_between_keyframes(encoded, finished):
    camera = rtsp(encoded, finished, play(range(4, 28)))
    with LoopbackServer(camera.serve) as server:
        site = Site(server)
        frames = take(site.source.frames(), 10)
        finished.set()
    assert [read_number(frame.image) for frame in frames] == list(range(10, 20))
    assert site.source.drops.snapshot() == {"capture": {"before_keyframe": 6}}
    assert frames[0].index == 6


@pytest.mark.slow
def test_leftovers_of_a_stall_are_dropped(encoded, finished):
    """After two seconds without data, frames arrive at once, and again: the newest are kept, and the others dropped.

    Bug: a reader without a core looked like one that had waited for a frame, so that it kept all of them.
    """
    script = play(range(8)) + play(range(8, 24), wait=2.2) + play(range(24, 28), wait=0.2)
    camera = rtsp(encoded, finished, script, fps=25.0)
    with LoopbackServer(camera.serve) as server:
        site = Site(server, timeout_seconds=5.0)
        numbers = []
        for frame in site.source.frames():
            numbers.append(read_number(frame.image))
            assert numbers[-1] == frame.index
            if frame.index == 27:
                break
        late = site.source.drops.snapshot()["capture"]["late"]
        finished.set()
    assert numbers[:9] == list(range(9))
    assert late >= 10, "of 17; one per half second of reading is kept"
    assert len(numbers) == 28 - late, "every missing index is a counted drop"
    assert numbers[-1] == 27
    assert 23 in numbers, "the newest of what came at once"


@pytest.mark.slow
def test_every_frame_mode_keeps_late_frames(encoded, finished):
    camera = rtsp(encoded, finished, play(range(8)) + play(range(8, 28), wait=2.2), fps=25.0)
    with LoopbackServer(camera.serve) as server:
        site = Site(server, mode="every_frame", timeout_seconds=5.0)
        frames = take(site.source.frames(), 27)
        finished.set()
    assert [read_number(frame.image) for frame in frames] == list(range(27))
    assert not site.source.is_live


def test_stop_takes_effect_at_the_next_packet(encoded, finished):
    camera = rtsp(encoded, finished, play(range(28)))
    with LoopbackServer(camera.serve) as server:
        site = Site(server)
        frames = site.source.frames()
        take(frames, 3)
        site.source.stop()
        assert list(frames) == []
        finished.set()


def test_damaged_transmission(tmp_path):
    """A section of a transport stream is overwritten: damaged frames are dropped and counted up to a keyframe."""
    stream = bytearray(write_video(tmp_path / "video.ts", 28, key_every=7).read_bytes())
    middle = len(stream) // 2 // 188 * 188
    for packet in range(middle, middle + 20 * 188, 188):
        stream[packet + 4 : packet + 188] = b"\x5a" * 184

    with LoopbackServer(lambda connection: (connection.sendall(stream), connection.shutdown(1))) as server:
        site = Site(server, scheme="tcp", reconnect=False)
        frames = list(site.source.frames())
    assert 14 <= len(frames) < 28
    assert frames[-1].index + 1 == len(frames) + num_drops(site.source)
    assert [read_number(frame.image) for frame in frames[-7:]] == list(range(21, 28)), "intact again"


def serve_file(content, kind):
    def serve(connection):
        connection.recv(4096)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + content)
        connection.shutdown(1)

    return serve


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    return write_video(path, 20, fps=40, container_options={"movflags": "faststart"}).read_bytes()


@pytest.mark.slow
def test_recording_over_http_is_played_in_real_time_and_ends(recording):
    with LoopbackServer(serve_file(recording, "video/mp4")) as server:
        site = Site(server, scheme="http")
        frames = list(site.source.frames())
    assert len(frames) + num_drops(site.source) == 20
    for frame in frames:
        assert (frame.received_ns - frames[0].received_ns) / 1e9 >= frame.index / 40 - 1e-3


def test_recording_over_http_can_be_read_completely(recording):
    with LoopbackServer(serve_file(recording, "video/mp4")) as server:
        frames = list(Site(server, scheme="http", mode="every_frame", vid_stride=3).source.frames())
    assert [read_number(frame.image) for frame in frames] == [0, 3, 6, 9, 12, 15, 18]
    assert [frame.index for frame in frames] == list(range(7))


def test_recording_over_http_can_loop(recording):
    with LoopbackServer(serve_file(recording, "video/mp4")) as server:
        frames = Site(server, scheme="http", mode="every_frame", loop=True).source.frames()
        numbers = [read_number(frame.image) for frame in take(frames, 45)]
        frames.close()
    assert numbers == [index % 20 for index in range(45)]


@pytest.mark.slow
def test_address_without_video():
    with LoopbackServer(serve_file(b"hello\n" * 2000, "text/plain")) as server:
        site = Site(server, scheme="http", open_timeout_seconds=0.3)
        with pytest.raises(SourceError, match=r"http://\*\*\*@127"):
            next(site.source.frames())
