"""The publisher never waits, never encodes without a subscriber and never loses an error."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import zmq

from streamseg.errors import PublishError, WireError
from streamseg.publish import Publisher, Subscriber
from streamseg.structures.mask import CropMask
from streamseg.wire import MASK_ENCODINGS, decode, decode_status, unpack_single
from tests.support.messages import comparable, disc, make_message, make_object
from tests.support.zeromq import WAIT_SECONDS, GatedObjects, UnreadableObjects, leak_checked_context, received_within

MESSAGE = make_message(make_object(disc(9), 3, 2), make_object(disc(20), 30, 20), drops={"capture": {"newer_frame": 3}})
ANYWHERE = "tcp://127.0.0.1:0"


@pytest.fixture
def context():
    with leak_checked_context() as context:
        yield context


def _connected(context, publisher, **options):
    subscriber = Subscriber(publisher.endpoint, timeout_seconds=WAIT_SECONDS, context=context, **options)
    assert subscriber.wait_connected(WAIT_SECONDS)
    return subscriber


@pytest.mark.parametrize("mask_encoding", MASK_ENCODINGS)
@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_message_arrives(context, mask_encoding, compression):
    with (
        Publisher(ANYWHERE, mask_encoding=mask_encoding, compression=compression, context=context) as publisher,
        _connected(context, publisher) as subscriber,
    ):
        assert publisher.publish(MESSAGE) == 0
        received = subscriber.receive(WAIT_SECONDS)
        assert comparable(received) == comparable(replace(MESSAGE, epoch=publisher.epoch, seq=0))


def test_ipc_and_inproc_work(context, tmp_path):
    for endpoint in (f"ipc://{tmp_path}/s", "inproc://here"):
        with (
            Publisher(endpoint, context=context) as publisher,
            _connected(context, publisher) as subscriber,
        ):
            publisher.publish(MESSAGE)
            assert subscriber.receive(WAIT_SECONDS) is not None


def test_sequence_numbers_count_per_source(context):
    with Publisher(ANYWHERE, context=context) as publisher:
        other = replace(MESSAGE, source_id="cam1")
        assert [publisher.publish(message) for message in (MESSAGE, other, MESSAGE, MESSAGE, other)] == [0, 0, 1, 2, 1]


def test_each_run_has_its_own_epoch(context):
    with Publisher(ANYWHERE, context=context) as one, Publisher(ANYWHERE, context=context) as other:
        assert one.epoch != other.epoch


def test_image_is_sent_to_its_subscribers_only(context):
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[:, 32:] = (255, 0, 0)
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher) as masks_only:
        assert (publisher.wants_masks("cam0"), publisher.wants_image("cam0")) == (True, False)
        with _connected(context, publisher, sources=["cam0"], images=True) as with_image:
            assert (publisher.wants_image("cam0"), publisher.wants_image("cam1")) == (True, False)
            publisher.publish(MESSAGE, image)
            assert masks_only.receive(WAIT_SECONDS).jpeg is None
            received = with_image.receive(WAIT_SECONDS)
        assert len(received.objects) == 2
        decoded = cv2.cvtColor(
            cv2.imdecode(np.frombuffer(received.jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
        )
        assert np.abs(decoded.astype(int) - image)[:, [10, 50]].max() < 20


def test_image_subscriber_receives_message_without_image(context):
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher, images=True) as subscriber:
        publisher.publish(MESSAGE)
        received = subscriber.receive(WAIT_SECONDS)
        assert received.jpeg is None
        assert len(received.objects) == 2


def test_existing_jpeg_is_sent_unchanged(context):
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher, images=True) as subscriber:
        publisher.publish(replace(MESSAGE, jpeg=b"made elsewhere"))
        assert subscriber.receive(WAIT_SECONDS).jpeg == b"made elsewhere"


def test_nothing_is_encoded_without_subscriber(context):
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher, sources=["cam1"]):
        assert not publisher.wants_masks("cam0")
        publisher.publish(replace(MESSAGE, objects=UnreadableObjects()))


def test_age_when_sent_counts_from_capture(context):
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher) as subscriber:
        publisher.publish(replace(MESSAGE, age_ms=400.0))
        assert subscriber.receive(WAIT_SECONDS) is not None
    (key, histogram) = publisher.ages.snapshot().popitem()
    assert key == ("publish", MESSAGE.source_id)
    assert histogram.num_values == 1
    assert 400.0 <= histogram.sum_ms < 400.0 + WAIT_SECONDS * 1000


def test_message_that_nobody_wants_has_no_age(context):
    with Publisher(ANYWHERE, context=context) as publisher:
        publisher.publish(MESSAGE)
    assert not publisher.ages.snapshot()


def test_newest_message_wins(context):
    blocked = GatedObjects.closed()
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher) as subscriber:
        publisher.publish(replace(MESSAGE, objects=blocked))
        assert blocked.entered.wait(WAIT_SECONDS)
        for index in (1, 2, 3):
            publisher.publish(replace(MESSAGE, frame_index=index))
        publisher.publish(replace(MESSAGE, source_id="cam1"))
        assert publisher.drops("cam0") == {"publish": {"newer_frame": 2}}
        blocked.gate.set()
        newest = {}
        while len(newest) < 2 or newest["cam0"].seq < 3:
            message = subscriber.receive(WAIT_SECONDS)
            newest[message.source_id] = message
        assert newest["cam0"].frame_index == 3
        assert newest["cam0"].drops == {"capture": {"newer_frame": 3}, "publish": {"newer_frame": 2}}
        assert publisher.drops("cam1") == {}
        assert subscriber.gaps == {"cam0": 2, "cam1": 0}


def test_file_source_waits_instead(context):
    blocked = GatedObjects.closed()
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher) as subscriber:
        publisher.publish(replace(MESSAGE, objects=blocked))
        assert blocked.entered.wait(WAIT_SECONDS)
        publisher.publish(MESSAGE)
        waiting = threading.Thread(target=publisher.publish, args=(MESSAGE,), kwargs={"wait_seconds": WAIT_SECONDS})
        waiting.start()
        blocked.gate.set()
        waiting.join(WAIT_SECONDS)
        assert not waiting.is_alive()
        assert [message.seq for message in _receive_until(subscriber, seq=2)][-1] == 2
        assert subscriber.gaps == {"cam0": 0}
        assert publisher.drops("cam0") == {}


def _receive_until(subscriber, seq):
    for message in subscriber:
        yield message
        if message.seq == seq:
            return


def test_wait_is_bounded(context):
    blocked = GatedObjects.closed()
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher):
        publisher.publish(replace(MESSAGE, objects=blocked))
        assert blocked.entered.wait(WAIT_SECONDS)
        publisher.publish(MESSAGE)
        publisher.publish(MESSAGE, wait_seconds=0.01)
        assert publisher.drops("cam0") == {"publish": {"newer_frame": 1}}
        blocked.gate.set()


def test_submitted_messages_are_sent_before_closing(context):
    with Publisher(ANYWHERE, context=context) as publisher:
        subscriber = _connected(context, publisher)
        for source_id in ("cam0", "cam1", "cam2"):
            publisher.publish(replace(MESSAGE, source_id=source_id))
    with subscriber:
        assert {subscriber.receive(WAIT_SECONDS).source_id for _ in range(3)} == {"cam0", "cam1", "cam2"}


def test_large_message_is_sent_before_closing(context, monkeypatch):
    # The time that a busy machine may need.
    monkeypatch.setattr("streamseg.publish.socket.LINGER_MS", round(1000 * WAIT_SECONDS))
    large = make_message(make_object(disc(9), 3, 2), size=(2000, 2000))
    with Publisher(ANYWHERE, mask_encoding="label-u16", context=context) as publisher:
        subscriber = _connected(context, publisher)
        publisher.publish(large)
    with subscriber:
        assert subscriber.receive(WAIT_SECONDS).mask_size == (2000, 2000)


def test_publishing_after_closing_is_rejected(context):
    publisher = Publisher(ANYWHERE, context=context)
    publisher.close()
    publisher.close()
    with pytest.raises(PublishError, match="closed"):
        publisher.publish(MESSAGE)


OUTSIDE = replace(MESSAGE, objects=(make_object(disc(9), 0, 0, mask=CropMask(disc(9), 60, 0)),))


def _publish_often(publisher):
    """Publish three times: the second waits until the first is sent, which never happens once the thread has failed."""
    for _ in range(3):
        publisher.publish(MESSAGE, wait_seconds=WAIT_SECONDS)


def test_thread_error_is_raised_in_caller(context):
    publisher = Publisher(ANYWHERE, context=context)
    with _connected(context, publisher):
        publisher.publish(OUTSIDE)
        with pytest.raises(PublishError, match="outside the mask space") as caught:
            _publish_often(publisher)
        assert isinstance(caught.value.__cause__, WireError)
        with pytest.raises(PublishError, match="outside the mask space"):
            publisher.close()


def test_error_of_last_message_is_raised_on_closing(context):
    publisher = Publisher(ANYWHERE, context=context)
    with _connected(context, publisher):
        publisher.publish(OUTSIDE)
        with pytest.raises(PublishError, match="outside the mask space"):
            publisher.close()


def test_invalid_image_is_an_error(context):
    publisher = Publisher(ANYWHERE, context=context)
    with _connected(context, publisher, images=True):
        publisher.publish(MESSAGE, np.zeros((48, 64), dtype=np.uint8))
        with pytest.raises(PublishError, match=r"must be uint8 \(H, W, 3\)"):
            publisher.close()


def test_invalid_source_id_is_rejected_at_once(context):
    with Publisher(ANYWHERE, context=context) as publisher, pytest.raises(WireError, match="source id"):
        publisher.publish(replace(MESSAGE, source_id="a/b"))


@pytest.mark.slow
def test_status_is_sent_on_subscription_and_repeated(context):
    with Publisher(ANYWHERE, context=context) as publisher, _connected(context, publisher) as subscriber:
        publisher.publish(MESSAGE)
        assert subscriber.receive(WAIT_SECONDS).seq == 0
        with context.socket(zmq.SUB) as socket:
            socket.subscribe(b"status/1/")
            socket.connect(publisher.endpoint)
            first, second = (
                decode_status(received_within(socket)),
                decode_status(received_within(socket)),
            )
        assert first.epoch == second.epoch == publisher.epoch
        assert first.sources == second.sources == {"cam0": 0}
        assert first.stamp_ns < second.stamp_ns


def test_single_part_readers_receive_same_message(context):
    with (
        Publisher(ANYWHERE, single_endpoint=ANYWHERE, context=context) as publisher,
        context.socket(zmq.SUB) as reader,
    ):
        reader.setsockopt(zmq.CONFLATE, 1)
        reader.subscribe(b"seg/1/cam0/")
        reader.connect(publisher.single_endpoint)
        for _ in range(200):  # until the subscription has reached the publisher
            seq = publisher.publish(MESSAGE)
            if reader.poll(50):
                break
        received = decode(unpack_single(received_within(reader)[0]))
        assert comparable(received) == comparable(replace(MESSAGE, epoch=publisher.epoch, seq=seq))


def test_new_subscribers_do_not_wait_for_next_status(context):
    with Publisher(ANYWHERE, context=context) as publisher:
        stamps = []
        for _ in range(6):
            with context.socket(zmq.SUB) as socket:
                socket.subscribe(b"status/1/")
                socket.connect(publisher.endpoint)
                stamps.append(decode_status(received_within(socket)).stamp_ns)
    # The periodic status is sent once a second.
    assert stamps[-1] - stamps[0] < 4e9


def test_status_reaches_single_part_readers(context):
    with (
        Publisher(ANYWHERE, single_endpoint=ANYWHERE, context=context) as publisher,
        context.socket(zmq.SUB) as reader,
    ):
        reader.setsockopt(zmq.CONFLATE, 1)
        reader.subscribe(b"status/1/")
        reader.connect(publisher.single_endpoint)
        assert decode_status(unpack_single(received_within(reader)[0])).epoch == publisher.epoch


def test_single_endpoint_is_off_by_default(context):
    with Publisher(ANYWHERE, context=context) as publisher:
        assert publisher.single_endpoint is None


def test_port_in_use_is_rejected_without_leaks(context):
    with Publisher(ANYWHERE, context=context) as publisher:
        num_threads = threading.active_count()
        for endpoints in (
            {"endpoint": publisher.endpoint},
            {"endpoint": ANYWHERE, "single_endpoint": publisher.endpoint},
        ):
            with pytest.raises(PublishError, match="in use"):
                Publisher(**endpoints, context=context)
            with pytest.raises(PublishError, match="in use"):
                Publisher(**endpoints)
        assert threading.active_count() == num_threads


def test_public_endpoint_requires_permission(context):
    with pytest.raises(PublishError, match="allow_public"):
        Publisher("tcp://0.0.0.0:0", context=context)
    with Publisher("tcp://0.0.0.0:0", allow_public=True, context=context) as publisher:
        assert publisher.endpoint.startswith("tcp://0.0.0.0:")


def test_terminating_context_ends_publisher():
    with leak_checked_context() as context:
        publisher = Publisher(ANYWHERE, context=context)
    with pytest.raises(PublishError, match="closed"):
        publisher.publish(MESSAGE)
    publisher.close()
