"""Replay of MCAP files, written by a run and by other programs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture import open_source
from streamseg.capture.cdr_reader import CdrReader
from streamseg.config import RecordingSource, parse_source
from streamseg.errors import SourceError
from streamseg.pipeline import Pipeline
from streamseg.publish.jpeg import encode_jpeg
from tests.support.messages import disc, make_message, make_object
from tests.support.stages import AT_ONCE, point

pytest.importorskip("mcap", reason="needs the extra record")
pytest.importorskip("rosbags", reason="needs the extra record")

from streamseg.ros.mcap_writer import McapWriter

START_NS = 1_700_000_000_250_000_000
SIZE = (48, 64)


def frame_image(index: int) -> np.ndarray:
    return np.full((*SIZE, 3), (5 * index, 100, 200), np.uint8)


def frame_message(index: int, **changes):
    """A cup with a hole through which a coin is seen, which moves to the right."""
    cup = make_object(disc(21), 5 + index % 20, 9, track_id=5, label="cup", score=0.9)
    coin = make_object(disc(7), 12 + index % 20, 16, track_id=9, score=0.6)
    tentative = make_object(disc(7), 50, 2, track_id=-1)
    return make_message(
        cup, coin, tentative, captured_ns=START_NS + index * 40_000_000, frame_index=index, clock="camera", **changes
    )


def write(path: Path, indices=range(4), *, sources=("front.left",), is_closed: bool = True) -> Path:
    writer = McapWriter(path)
    for index in indices:
        for source_id in sources:
            message = replace(frame_message(index), source_id=source_id)
            writer.write(message, encode_jpeg(frame_image(index), 95))
    if is_closed:
        writer.close()
    else:
        writer.abandon()
    return path


def replay(path: Path, **settings):
    return open_source(
        RecordingSource.model_validate({"id": "cam", "path": str(path), "mode": "every_frame", **settings})
    )


def test_frames_have_their_images_indices_times_and_clock(tmp_path):
    source = replay(write(tmp_path / "run.mcap", [0, 1, 3]))
    frames = list(source.frames())
    assert [frame.index for frame in frames] == [0, 1, 3]
    assert [frame.captured_ns - START_NS for frame in frames] == [0, 40_000_000, 120_000_000]
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.04, 0.12])
    assert {frame.clock for frame in frames} == {"camera"}
    assert {frame.instances for frame in frames} == {None}
    assert source.drops.snapshot() == {"capture": {"not_recorded": 1}}
    for frame in frames:
        assert np.abs(frame.image.astype(int) - frame_image(frame.index)).max() < 6
    assert source.frame_id == "front.left"


def test_the_file_of_a_killed_process_is_replayed_up_to_its_last_chunk(tmp_path):
    path = write(tmp_path / "run.mcap", range(43), is_closed=False)
    indices = [frame.index for frame in replay(path).frames()]
    assert 20 < len(indices) < 43
    assert indices == list(range(len(indices)))


def test_new_prompts_are_answered_from_the_recorded_objects(tmp_path):
    """No network is there: a segmenter that is called fails."""

    def network(images, regions=None):
        raise AssertionError("the network was called")

    source = replay(write(tmp_path / "run.mcap"), instances="recorded")
    pipeline = Pipeline(network, tracking=AT_ONCE, prompts=[point("coin", 15, 19)])
    messages = pipeline(list(source.frames()))
    assert [message.prompts[0].state for message in messages] == ["bound"] * 4
    for index, message in enumerate(messages):
        (coin,) = message.objects
        assert coin.centroid == pytest.approx((15.5 + index, 19.5), abs=0.8)
        assert coin.score == pytest.approx(0.6)


def test_frames_without_recorded_objects_go_to_the_network(tmp_path):
    """Images of another program, in the same batch as recorded frames."""
    recorded = list(replay(write(tmp_path / "run.mcap"), instances="recorded").frames())
    live = replace(recorded[1], source_id="live", instances=None)
    calls = []

    def network(images, regions=None):
        calls.append(len(images))
        return [recorded[0].instances[:1] for _ in images]

    found = Pipeline(network).segment([recorded[0], live, recorded[2]])
    assert calls == [1]
    assert [len(one) for one in found] == [2, 1, 2]


def bag(path: Path, topics: list[str], *, type_name: str = "sensor_msgs/msg/CompressedImage") -> Path:
    """A bag of another program: images, without any metadata."""
    from mcap.writer import Writer

    from streamseg.ros.cdr import CdrTypes

    types = CdrTypes()
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2", library="another")
        schema = writer.register_schema(type_name, "ros2msg", types.schema(type_name).encode())
        channels = {topic: writer.register_channel(topic, "cdr", schema) for topic in topics}
        for index in range(3):
            data = np.frombuffer(encode_jpeg(frame_image(index), 95), np.uint8)
            header = {"stamp": {"sec": index, "nanosec": 0}, "frame_id": "optical"}
            message = types.serialize(
                "sensor_msgs/msg/CompressedImage", {"header": header, "format": "jpeg", "data": data}
            )
            for channel in channels.values():
                writer.add_message(channel, log_time=index * 10**9 + 5, publish_time=0, data=message)
        writer.finish()
    return path


def test_a_bag_of_another_program(tmp_path):
    source = replay(bag(tmp_path / "bag.mcap", ["/camera/image/compressed", "/camera/other"]), topic="/camera/other")
    frames = list(source.frames())
    assert [(frame.index, frame.clock, frame.captured_ns) for frame in frames] == [
        (index, "driver", index * 10**9 + 5) for index in range(3)
    ]
    assert source.frame_id == "optical"


@pytest.mark.parametrize(
    ("topics", "settings", "words"),
    [
        (["/a", "/b"], {}, "holds the images of 2 topics; set topic to one of /a, /b"),
        (["/a"], {"topic": "/c"}, "has no images in /c; topics with images are /a"),
        ([], {}, "holds no compressed images"),
    ],
)
def test_the_topic_must_be_clear(tmp_path, topics, settings, words):
    with pytest.raises(SourceError, match=words):
        replay(bag(tmp_path / "bag.mcap", topics), **settings)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "no MCAP file"), (b"RIFF" * 50, "no MCAP file"), (None, "cannot be read")]
)
def test_what_is_no_mcap_file_is_one_line(tmp_path, content, words):
    path = tmp_path / "run.mcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=words) as caught:
        replay(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_ends_before_the_damage(tmp_path, caplog):
    path = write(tmp_path / "run.mcap", range(43))
    body = bytearray(path.read_bytes())
    body[len(body) // 3] ^= 0xFF
    path.write_bytes(body)
    assert 0 < len(list(replay(path).frames())) < 43
    assert "cam: run.mcap ends early" in caplog.text
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(body[: len(body) // 3 - 10])
    assert 0 < len(list(replay(cut).frames())) < 43
    assert "cam: cut.mcap ends early" in caplog.text


def test_a_folder_has_no_topic(tmp_path):
    with pytest.raises(SourceError, match="is a folder, which has no topics"):
        replay(tmp_path, topic="/a")


def test_on_the_command_line(tmp_path):
    assert parse_source("runs/rec.MCAP") == RecordingSource(path="runs/rec.MCAP")


def read_all(data: bytes) -> None:
    reader = CdrReader(b"\x00\x01\x00\x00" + data)
    for _ in range(100):
        reader.header()
        reader.numbers("3d")
        reader.blob()


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
    with pytest.raises(ValueError, match=r"ends too early|exceeds the message|codec can't decode"):
        read_all(data)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00abc"])
def test_other_encodings_are_refused(data):
    with pytest.raises(ValueError, match="little-endian"):
        CdrReader(data)
