"""MCAP files, read by the libraries that robots and Foxglove's users have."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamseg.publish.jpeg import encode_jpeg
from streamseg.ros.id_image import IdPainter
from streamseg.structures.message import Message, PromptStatus
from tests.support.messages import disc, make_message, make_object

pytest.importorskip("mcap", reason="needs the extra record")
pytest.importorskip("rosbags", reason="needs the extra record")

from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory

from streamseg.ros.mcap_writer import McapWriter

START_NS = 1_700_000_000_250_000_000


def message_at(index: int, **changes) -> Message:
    """A cup that moves to the right by one pixel per frame."""
    cup = make_object(disc(21), 5 + index, 9, track_id=5, label="cup", prompt_ids=("cup",))
    other = make_object(np.ones((6, 4), np.bool_), 50, 30, track_id=300)
    status = PromptStatus("cup", "bound", 0.9, 5)
    return make_message(
        cup, other, captured_ns=START_NS + index * 40_000_000, frame_index=index, prompts=(status,), **changes
    )


def write(path: Path, messages: list[Message], jpeg: bytes | None = None) -> None:
    with McapWriter(path) as writer:
        for message in messages:
            writer.write(message, jpeg)


def read(path: Path) -> dict[str, list]:
    """Decoded messages by topic, by mcap-ros2-support."""
    found: dict[str, list] = {}
    with path.open("rb") as file:
        for _, channel, record, decoded in make_reader(
            file, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            found.setdefault(channel.topic, []).append((record.log_time, decoded))
    return found


def test_an_independent_reader_decodes_all_topics(tmp_path):
    image = np.dstack([np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))] * 3)
    messages = [message_at(index) for index in range(4)]
    write(tmp_path / "run.mcap", messages, encode_jpeg(image, 90))
    found = read(tmp_path / "run.mcap")
    assert set(found) == {
        f"/streamseg/cam0/{name}"
        for name in ("image/compressed", "instances", "label_info", "detections", "prompts", "annotations")
    }
    assert len(found["/streamseg/cam0/label_info"]) == 1  # it did not change
    for index, (time_ns, decoded) in enumerate(found["/streamseg/cam0/instances"]):
        assert time_ns == START_NS + index * 40_000_000
        assert (decoded.header.stamp.sec, decoded.header.stamp.nanosec) == divmod(time_ns, 10**9)
        pixels = np.frombuffer(bytes(decoded.data), "<u2").reshape(decoded.height, decoded.width)
        np.testing.assert_array_equal(pixels, IdPainter()(messages[index]))
    _, detections = found["/streamseg/cam0/detections"][2]
    assert [(one.id, one.results[0].hypothesis.class_id) for one in detections.detections] == [
        ("5", "cup"),
        ("300", "object"),
    ]
    assert detections.detections[0].bbox.center.position.x == 7 + 10.5
    _, picture = found["/streamseg/cam0/image/compressed"][0]
    decoded_image = cv2.imdecode(np.frombuffer(bytes(picture.data), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded_image.astype(int) - image).mean() < 3
    _, prompts = found["/streamseg/cam0/prompts"][0]
    assert prompts.detections[0].results[0].hypothesis.score == pytest.approx(0.9)


def test_rosbags_opens_the_file_as_a_ros_2_bag(tmp_path):
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    write(tmp_path / "run.mcap", [message_at(index) for index in range(3)])
    with AnyReader([tmp_path / "run.mcap"], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        chosen = [one for one in reader.connections if one.topic.endswith("/detections")]
        ids = [
            [one.id for one in reader.deserialize(body, connection.msgtype).detections]
            for connection, _, body in reader.messages(chosen)
        ]
    assert ids == [["5", "300"]] * 3


def test_labels_are_written_again_when_they_change(tmp_path):
    messages = [message_at(0), message_at(1), message_at(2, objects=()), message_at(3)]
    write(tmp_path / "run.mcap", messages)
    found = read(tmp_path / "run.mcap")["/streamseg/cam0/label_info"]
    assert [len(decoded.class_map) for _, decoded in found] == [2, 0, 2]


def test_sources_have_topics_of_their_own(tmp_path):
    write(tmp_path / "run.mcap", [message_at(0), message_at(0, source_id="cam.1")])
    assert {"/streamseg/cam0/detections", "/streamseg/cam_1/detections"} <= set(read(tmp_path / "run.mcap"))


def test_the_file_of_a_killed_process_is_readable_up_to_its_last_frames(tmp_path):
    """What has reached the disk after each frame, which is what a killed process leaves."""
    path = tmp_path / "run.mcap"
    jpeg = encode_jpeg(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8), 95)
    writer = McapWriter(path)
    for index in range(10):
        writer.write(message_at(index), jpeg)
        left = path.read_bytes()
        times = _times(left)
        assert len(set(times)) >= index  # the last frame may be incomplete
    writer.close()
    writer.close()


def test_an_abandoned_file_ends_after_its_last_frame(tmp_path):
    path = tmp_path / "run.mcap"
    writer = McapWriter(path)
    jpeg = encode_jpeg(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8), 95)
    writer.write(message_at(0), jpeg)
    size = path.stat().st_size
    writer.abandon()
    assert path.stat().st_size == size
    assert len(set(_times(path.read_bytes()))) == 1


def _times(body: bytes) -> list[int]:
    """Log times of the messages in the complete records of a file without an end."""
    from mcap.exceptions import EndOfFile

    times: list[int] = []
    try:
        for record in StreamReader(io.BytesIO(body)).records:
            if type(record).__name__ == "Message":
                times.append(record.log_time)
    except EndOfFile:
        pass
    return times
