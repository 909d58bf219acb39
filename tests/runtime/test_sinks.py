import json
from pathlib import Path

import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.pipeline import Pipeline
from streamseg.publish import Publisher, Subscriber
from streamseg.rle import coco_to_crop
from streamseg.runtime.sinks import MessageFile, PublishSink
from streamseg.runtime.workers import CountsDrops, FollowsSources
from tests.support.frames import make_frame
from tests.support.stages import make_instances, make_result
from tests.support.waiting import WAIT_SECONDS

# ---- the message file


def test_message_file_can_be_read_while_it_grows(tmp_path: Path):
    path = tmp_path / "deep" / "messages.jsonl"
    sink = MessageFile(path)
    for index in range(3):
        sink.write(make_result(index))
        lines = path.read_text().splitlines()
        assert [json.loads(line)["index"] for line in lines] == list(range(index + 1))
    sink.close()
    sink.close()


def test_line_contains_header_and_masks(tmp_path: Path):
    path = tmp_path / "messages.jsonl"
    sink = MessageFile(path)
    result = make_result(5, mask_scale=0.5)
    sink.write(result)
    sink.close()
    values = json.loads(path.read_text())
    assert (values["source"], values["index"], values["drops"]) == ("cam", 5, {"capture": {"corrupt": 1}})
    assert "buffers" not in values
    (found,) = values["objects"]
    assert found["segmentation"]["size"] == [24, 32]
    mask = coco_to_crop(found["segmentation"])
    np.testing.assert_array_equal(mask.full((24, 32)), result.message.objects[0].mask.full((24, 32)))


def test_frame_without_objects_is_a_line(tmp_path: Path):
    path = tmp_path / "messages.jsonl"
    pipeline = Pipeline(lambda images, regions=None: [make_instances([]) for _ in images])
    frame = make_frame()
    sink = MessageFile(path)
    sink.write(pipeline.finish(frame, pipeline.segment([frame])[0]))
    sink.close()
    assert json.loads(path.read_text())["objects"] == []


@pytest.mark.parametrize("place", ["", "file/messages.jsonl"], ids=["a-folder", "below-a-file"])
def test_path_that_cannot_be_written_is_a_one_line_error(tmp_path: Path, place: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the messages to") as caught:
        MessageFile(tmp_path / place)
    assert "\n" not in str(caught.value)


def test_earlier_file_is_kept_until_the_first_frame(tmp_path: Path):
    path = tmp_path / "messages.jsonl"
    path.write_text("an earlier run\n")
    MessageFile(path).close()
    assert path.read_text() == "an earlier run\n"
    sink = MessageFile(path)
    sink.write(make_result())
    sink.close()
    assert json.loads(path.read_text())["source"] == "cam"


# ---- the publisher


def test_written_results_are_received():
    publisher = Publisher("tcp://127.0.0.1:0")
    sink = PublishSink(publisher)
    with Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.wait_connected(5)
        sink.write(make_result(3))
        message = subscriber.receive(WAIT_SECONDS)
    sink.close()
    sink.close()
    assert message is not None
    assert message.frame_index == 3
    assert message.jpeg is None


def test_image_is_sent_if_a_subscriber_wants_it():
    publisher = Publisher("tcp://127.0.0.1:0")
    sink = PublishSink(publisher)
    with Subscriber(publisher.endpoint, images=True) as subscriber:
        assert subscriber.wait_connected(5)
        sink.write(make_result(3))
        message = subscriber.receive(WAIT_SECONDS)
    sink.close()
    assert message is not None
    assert message.jpeg is not None


def test_frames_of_a_file_are_not_replaced_in_the_publisher():
    publisher = Publisher("tcp://127.0.0.1:0")
    sink = PublishSink(publisher)
    assert isinstance(sink, FollowsSources)
    sink.add_source("file", is_live=False)
    assert isinstance(sink, CountsDrops)
    with Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.wait_connected(5)
        for index in range(50):
            sink.write(make_result(index, source_id="file"))
    assert "newer_frame" not in sink.drops("file").get("publish", {})
    sink.close()
