import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from streamseg.capture import open_source
from streamseg.capture.video_file import VideoFile
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from tests.support.data import data_folder
from tests.support.frames import take
from tests.support.videos import read_number, write_video


def source_of(path, **values):
    return open_source(StreamSource(id="video", url=str(path), **values))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4", 20)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        pytest.param("a.mp4", "libx264", id="mp4 h264"),
        pytest.param("a.mkv", "ffv1", id="mkv ffv1"),
        pytest.param("a.avi", "mpeg4", id="avi mpeg4"),
        pytest.param("a.ts", "libx264", id="ts h264, late start"),
        pytest.param("a.mov", "mjpeg", id="mov mjpeg"),
        pytest.param("name: with a colon.mp4", "libx264", id="colon in the name"),
    ],
)
def test_every_frame_in_order(tmp_path, name, codec):
    options = {"output_ts_offset": "1.4"} if name == "a.ts" else {}
    source = source_of(write_video(tmp_path / name, 20, codec=codec, container_options=options))
    frames = list(source.frames())
    assert [read_number(frame.image) for frame in frames] == list(range(20))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([index / 25 for index in range(20)], abs=1e-3)
    assert {frame.clock for frame in frames} == {"arrival"}
    assert {frame.source_id for frame in frames} == {"video"}
    assert all(frame.size == (96, 128) for frame in frames)
    assert source.drops.snapshot() == {}
    assert not source.is_live


def test_properties_known_before_reading(video):
    source = source_of(video)
    assert isinstance(source, VideoFile)
    assert source.num_frames == 20
    assert source.fps == 25
    assert source.num_missing_bytes == 0


def test_file_address(video):
    assert len(list(source_of(f"file://{video}").frames())) == 20


def test_capture_time_is_the_time_of_reading(video):
    before_ns = time.time_ns()
    frame = next(source_of(video).frames())
    assert before_ns <= frame.captured_ns <= time.time_ns()
    assert 0 <= time.monotonic_ns() - frame.received_ns < 60e9


@pytest.mark.parametrize(
    ("vid_stride", "numbers"),
    [
        pytest.param(1, list(range(20)), id="all"),
        pytest.param(7, [0, 7, 14], id="every seventh"),
        pytest.param(99, [0], id="longer than the video"),
    ],
)
def test_vid_stride(video, vid_stride, numbers):
    source = source_of(video, vid_stride=vid_stride)
    frames = list(source.frames())
    assert [read_number(frame.image) for frame in frames] == numbers
    assert [frame.index for frame in frames] == list(range(len(numbers))), "frames skipped by the stride leave no gap"
    assert source.drops.snapshot() == {}


def test_loop_continues_the_index(video):
    frames = take(source_of(video, loop=True).frames(), 50)
    assert [read_number(frame.image) for frame in frames] == [index % 20 for index in range(50)]
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([index / 25 for index in range(50)], abs=1e-3)


@pytest.mark.slow
def test_live_is_paced_by_its_time_stamps(tmp_path):
    source = source_of(write_video(tmp_path / "fast.mp4", 12, fps=60), mode="live")
    assert source.is_live
    frames = list(source.frames())
    spans = [(frame.received_ns - frames[0].received_ns) / 1e9 for frame in frames]
    for frame, span in zip(frames, spans, strict=True):
        assert span >= frame.index / 60 - 1e-3, "never early"
    num_drops = source.drops.snapshot().get("capture", {}).get("late", 0)
    assert num_drops + len(frames) == 12


@pytest.mark.slow
def test_live_drops_frames_that_a_slow_reader_missed(tmp_path):
    source = source_of(write_video(tmp_path / "fast.mp4", 60, fps=60), mode="live")
    frames = source.frames()
    take(frames, 2)
    threading.Event().wait(0.6)
    rest = list(frames)
    late = source.drops.snapshot()["capture"]["late"]
    assert late >= 5
    assert 2 + len(rest) + late == 60


@pytest.mark.slow
def test_live_converts_only_wanted_frames(tmp_path):
    source = source_of(write_video(tmp_path / "fast.mp4", 24, fps=60), mode="live")
    reasons = iter([None, "busy", "busy"] * 8)
    source.unwanted = lambda: next(reasons)
    frames = list(source.frames())
    drops = source.drops.snapshot()["capture"]
    assert drops["busy"] >= 2
    assert len(frames) + sum(drops.values()) == 24
    assert [read_number(frame.image) for frame in frames] == [frame.index for frame in frames]


def test_stop_ends_a_wait_permanently(tmp_path):
    source = source_of(write_video(tmp_path / "slow.mkv", 3, fps=Fraction(1, 9)), mode="live")
    frames = source.frames()
    take(frames, 1)
    timer = threading.Timer(0.05, source.stop)
    timer.start()
    started = time.monotonic()
    rest = list(frames)
    assert time.monotonic() - started < 8, "the next frame is due after 9 s"
    assert len(rest) <= 1
    timer.join()
    assert list(source.frames()) == []


def test_stop_between_frames(video):
    source = source_of(video)
    frames = source.frames()
    take(frames, 3)
    source.stop()
    assert list(frames) == []


def open_files():
    """Return the number of files that this process has open; None if the system does not report it."""
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.is_dir() else None


def test_file_is_closed_when_the_iterator_is_closed(video):
    before = open_files()
    frames = source_of(video).frames()
    take(frames, 2)
    frames.close()
    assert open_files() == before


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        pytest.param("a.mp4", "libx264", {"movflags": "faststart"}, id="mp4"),
        pytest.param("a.mkv", "libx264", {}, id="mkv"),
        pytest.param("a.avi", "mpeg4", {}, id="avi"),
        pytest.param("a.flv", "libx264", {}, id="flv: detected at the last frame only"),
    ],
)
def test_truncated_video_delivers_intact_frames_and_then_fails(tmp_path, name, codec, options):
    path = write_video(tmp_path / name, 20, codec=codec, container_options=options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    source = source_of(path)
    numbers = []
    with pytest.raises(SourceError, match="is truncated") as error:
        numbers.extend(read_number(frame.image) for frame in source.frames())
    assert 8 <= len(numbers) < 20
    assert numbers == list(range(len(numbers)))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated_video_does_not_loop(tmp_path):
    path = write_video(tmp_path / "a.mkv", 20)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SourceError, match="is truncated"):
        list(source_of(path, loop=True).frames())


def test_video_with_a_damaged_middle_is_read_to_the_end(tmp_path):
    path = write_video(tmp_path / "a.mp4", 20, key_every=5, container_options={"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1500] = b"\xff" * 1500
    path.write_bytes(content)
    source = source_of(path)
    frames = list(source.frames())
    assert 15 <= len(frames) <= 20
    num_drops = sum(source.drops.snapshot().get("capture", {}).values())
    assert frames[-1].index + 1 == len(frames) + num_drops, "every gap is a counted drop"


def truncate_before_the_index(path):
    write_video(path, 10)
    path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize(
    ("name", "make", "match"),
    [
        pytest.param("gone.mp4", lambda path: None, "no such file", id="missing"),
        pytest.param("folder", Path.mkdir, "is not a file; for a folder of images", id="folder"),
        pytest.param("empty.mp4", Path.touch, "is not a readable video: the file is empty", id="empty"),
        pytest.param("text.mp4", lambda path: path.write_text("hello\n" * 99), "is not a readable video", id="text"),
        pytest.param(
            "text.txt", lambda path: path.write_text("hello\n" * 99), "contains no video, only text", id="terminal"
        ),
        pytest.param(
            "noise.mkv", lambda path: path.write_bytes(bytes(range(256)) * 40), "not a readable video", id="noise"
        ),
        pytest.param(
            "index.mp4",
            truncate_before_the_index,
            "is truncated: at least .* it cannot be read without them",
            id="no index",
        ),
    ],
)
def test_unusable_file_is_reported_before_the_first_frame(tmp_path, name, make, match):
    path = tmp_path / name
    make(path)
    with pytest.raises(SourceError, match=match) as error:
        source_of(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_audio_only(tmp_path):
    import av
    import numpy as np

    path = tmp_path / "audio.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="contains no video, only audio"):
        source_of(path)


def write_with_cover(path, *, video):
    """Write audio with a large cover image, and with a video if `video`."""
    import av
    import numpy as np
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        audio = container.add_stream("libmp3lame", rate=44100)
        audio.layout = "mono"
        cover = container.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 640, 480, "rgb24"
        cover.disposition = Disposition.attached_pic
        streams = [(cover, np.zeros((480, 640, 3), np.uint8))]
        if video:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            streams.append((stream, np.zeros((48, 64, 3), np.uint8)))
        for stream, image in streams:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = 0
            container.mux([*stream.encode(frame), *stream.encode()])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux([*audio.encode(frame), *audio.encode()])
    return path


@pytest.mark.parametrize("name", ["song.mp3", "song.mp4"])
def test_cover_image_is_no_video(tmp_path, name):
    with pytest.raises(SourceError, match="contains no video, only a cover image, audio; use a video"):
        source_of(write_with_cover(tmp_path / name, video=False))


def test_video_beside_a_cover_image(tmp_path):
    assert [frame.size for frame in source_of(write_with_cover(tmp_path / "a.mp4", video=True)).frames()] == [(48, 64)]


def test_file_deleted_before_it_is_read(tmp_path):
    path = write_video(tmp_path / "a.mp4", 3)
    source = source_of(path)
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        list(source.frames())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe(tmp_path, video):
    content = write_video(tmp_path / "video.ts", 12).read_bytes()
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    source = source_of(pipe)  # does not open the pipe: data read for inspection would be lost
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert [read_number(frame.image) for frame in source.frames()] == list(range(12))
    writer.join()


def test_real_video():
    folder = data_folder()
    if folder is None:
        pytest.skip("no data folder; set STREAMSEG_DATA")
    source = source_of(folder / "clips" / "blackswan.mp4")
    assert len(list(source.frames())) == source.num_frames == 50
