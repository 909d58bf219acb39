"""Receive the newest message; count gaps, restarts and malformed messages."""

import logging
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import psutil
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import PublishError, WireError
from streamseg.publish import Publisher, Subscriber, message_age_ms
from streamseg.publish.sequences import SequenceTracker
from streamseg.wire import Status, encode, encode_status
from tests.support.messages import comparable, disc, make_message, make_object
from tests.support.paths import REPOSITORY
from tests.support.zeromq import WAIT_SECONDS, leak_checked_context

MESSAGE = make_message(make_object(disc(9), 3, 2), epoch="e", seq=0)
ANYWHERE = "tcp://127.0.0.1:0"


@pytest.fixture
def context():
    with leak_checked_context() as context:
        yield context


class RawPublisher:
    """Sends arbitrary parts once its subscriber is connected; a status ends each batch."""

    def __init__(self, context):
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._num_sent = 0

    def wait_for(self, prefix):
        while True:
            assert self._socket.poll(WAIT_SECONDS * 1000), "no subscription"
            if self._socket.recv() == b"\x01" + prefix:
                return

    def send(self, subscriber, *messages, sources=None):
        """Send the messages and wait until the subscriber has received all of them."""
        for parts in messages:
            self._socket.send_multipart(parts)
        self._num_sent += 1
        self._socket.send_multipart(encode_status(Status("raw", self._num_sent, sources or {})))
        with subscriber._changed:
            assert subscriber._changed.wait_for(
                lambda: subscriber.status is not None and subscriber.status.stamp_ns == self._num_sent, WAIT_SECONDS
            )

    def close(self):
        self._socket.close()


@pytest.fixture
def raw(context):
    raw = RawPublisher(context)
    yield raw
    raw.close()


@pytest.fixture
def subscriber(context, raw):
    with Subscriber(raw.endpoint, context=context, timeout_seconds=0) as subscriber:
        raw.wait_for(b"status/1/")
        yield subscriber


def _parts(seq, **changes):
    return encode(replace(MESSAGE, seq=seq, **changes))


def test_newest_message_is_returned_once(raw, subscriber):
    raw.send(subscriber, _parts(0), _parts(1), _parts(2))
    assert subscriber.receive(0).seq == 2
    assert subscriber.receive(0) is None
    assert subscriber.skipped == {"cam0": 2}
    assert subscriber.gaps == {"cam0": 0}


def test_receive_takes_everything_that_has_arrived(context):
    """A caller that keeps the interpreter to itself, here by its lock, must not get the message of before."""
    with context.socket(zmq.XPUB) as socket:
        socket.bind("inproc://publisher")  # what is sent has arrived
        with Subscriber("inproc://publisher", context=context) as subscriber:
            while socket.recv() != b"\x01status/1/":
                pass
            socket.send_multipart(_parts(0))
            with subscriber._changed:
                assert subscriber._changed.wait_for(lambda: subscriber._inbox, WAIT_SECONDS)
                for seq in range(1, 30):
                    socket.send_multipart(_parts(seq))
            assert subscriber.receive(WAIT_SECONDS).seq == 29
            assert subscriber.skipped == {"cam0": 29}


def test_old_message_is_never_returned(raw, subscriber):
    raw.send(subscriber, _parts(5))
    assert subscriber.receive(0).seq == 5
    raw.send(subscriber, _parts(5), _parts(4))
    assert subscriber.receive(0) is None


def test_longest_waiting_source_is_returned_first(raw, subscriber):
    raw.send(subscriber, _parts(0, source_id="a"), _parts(0, source_id="b"), _parts(1, source_id="a"))
    assert [(message.source_id, message.seq) for message in subscriber] == [("a", 1), ("b", 0)]


def test_gaps_and_restarts_are_counted(raw, subscriber):
    raw.send(subscriber, _parts(3), _parts(6), _parts(0, epoch="f"), _parts(2, epoch="f"))
    assert subscriber.gaps == {"cam0": 3}
    assert subscriber.restarts == {"cam0": 1}


def test_status_reveals_loss_of_last_messages(raw, subscriber):
    raw.send(subscriber, _parts(3, epoch="raw"), sources={"cam0": 5, "cam1": 9})
    assert subscriber.gaps == {"cam0": 2}
    assert subscriber.status.sources == {"cam0": 5, "cam1": 9}


INVALID_MASK = _parts(1)
INVALID_MASK[2] = INVALID_MASK[2][:-4] + b"\xff\xff\xff\x7f"


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param([b"seg/1/"], id="topic only"),
        pytest.param([b"seg/1/cam0/", b"{"], id="invalid JSON"),
        pytest.param([b"seg/1/cam0/", b"\xff\x00" * 500, b"x"], id="noise"),
        pytest.param(INVALID_MASK, id="invalid mask"),
        pytest.param([b"status/1/", b"{}"], id="invalid status"),
        pytest.param(_parts(1)[:-1], id="one part too few"),
    ],
)
def test_malformed_messages_are_counted_and_skipped(raw, subscriber, garbage, caplog):
    caplog.set_level(logging.INFO, "streamseg")
    raw.send(subscriber, _parts(0), garbage)
    while subscriber.receive(0) is not None:
        pass
    assert subscriber.malformed == 1
    assert "could not be decoded" in caplog.text
    raw.send(subscriber, _parts(2))
    assert comparable(subscriber.receive(0)) == comparable(replace(MESSAGE, seq=2))
    assert subscriber.malformed == 1


def test_only_requested_sources_arrive(context):
    with (
        Publisher(ANYWHERE, context=context) as publisher,
        Subscriber(publisher.endpoint, sources=["cam1"], context=context) as subscriber,
    ):
        assert subscriber.wait_connected(WAIT_SECONDS)
        for source_id in ("cam10", "cam", "cam1"):
            publisher.publish(replace(MESSAGE, source_id=source_id))
        assert subscriber.receive(WAIT_SECONDS).source_id == "cam1"
        assert set(subscriber.gaps) == {"cam1"}


def test_iteration_ends_on_timeout(context):
    with (
        Publisher(ANYWHERE, context=context) as publisher,
        Subscriber(publisher.endpoint, timeout_seconds=0.05, context=context) as subscriber,
    ):
        assert list(subscriber) == []


def test_waiting_for_missing_publisher_times_out(context):
    with Subscriber("tcp://127.0.0.1:1", context=context) as subscriber:
        assert not subscriber.wait_connected(0.05)
        assert subscriber.receive(0.05) is None
        assert subscriber.status is None


def test_publisher_may_start_later_and_restart(context):
    with Publisher(ANYWHERE) as first:
        endpoint = first.endpoint
        subscriber = Subscriber(endpoint, context=context)
        assert subscriber.wait_connected(WAIT_SECONDS)
        first.publish(MESSAGE)
        assert subscriber.receive(WAIT_SECONDS).epoch == first.epoch
    # A publisher that owns its context has released the port once it is closed.
    with subscriber, Publisher(endpoint) as second:
        received = None
        for _ in range(200):
            second.publish(MESSAGE)
            if (received := subscriber.receive(0.05)) is not None:
                break
        assert received is not None, "the subscriber did not reconnect"
        assert received.epoch == second.epoch
        assert subscriber.restarts == {"cam0": 1}
        assert subscriber.gaps == {"cam0": 0}


def test_closing_ends_wait(context):
    subscriber = Subscriber("tcp://127.0.0.1:1", context=context)
    results = []
    waiting = threading.Thread(target=lambda: results.extend([subscriber.receive(), subscriber.wait_connected()]))
    waiting.start()
    subscriber.close()
    waiting.join(WAIT_SECONDS)
    assert results == [None, False]
    assert subscriber.receive() is None
    subscriber.close()


def test_terminating_context_ends_wait():
    with leak_checked_context() as context:
        subscriber = Subscriber("tcp://127.0.0.1:1", context=context)
    assert subscriber.receive() is None
    assert not subscriber.wait_connected()
    subscriber.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({"endpoint": "5555"}, PublishError, id="invalid endpoint"),
        pytest.param({"endpoint": "tcp://127.0.0.1:0"}, PublishError, id="no port"),
        pytest.param({"endpoint": "tcp://127.0.0.1:5555", "sources": ["a/b"]}, WireError, id="invalid source id"),
    ],
)
def test_invalid_arguments_are_rejected_without_leaks(context, arguments, error):
    num_threads = threading.active_count()
    with pytest.raises(error):
        Subscriber(**arguments, context=context)
    with pytest.raises(error):
        Subscriber(**arguments)
    assert threading.active_count() == num_threads


def test_opening_and_closing_does_not_leak():
    process = psutil.Process()

    def open_and_close():
        with Publisher(ANYWHERE) as publisher, Subscriber(publisher.endpoint) as subscriber:
            assert subscriber.wait_connected(WAIT_SECONDS)

    open_and_close()
    before = process.num_fds(), threading.active_count()
    for _ in range(5):
        open_and_close()
    assert (process.num_fds(), threading.active_count()) == before


def test_age_is_measured_from_capture():
    assert message_age_ms(MESSAGE, MESSAGE.captured_ns + 12_500_000) == 12.5
    assert message_age_ms(MESSAGE) > 0


ROUND_TRIP = """
    import sys

    class Forbid:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"torch", "torchvision", "cv2", "yaml", "pydantic", "av", "scipy"}:
                raise ImportError(f"{name} must not be needed")

    sys.meta_path.insert(0, Forbid())

    import numpy as np
    from streamseg import Subscriber
    from streamseg.publish import ControlClient, ControlServer, Publisher, message_age_ms
    from streamseg.structures.mask import CropMask
    from streamseg.structures.message import Message, MessageObject

    found = MessageObject(1, ("everything",), (0.0, 0.0, 2.0, 3.0), 0.5, CropMask(np.ones((3, 2), bool), 0, 0), 6)
    message = Message("cam0", 0, 1, "arrival", 0.0, (4, 4), (4, 4), (1.0, 1.0, 0.0, 0.0), (found,))
    with Publisher("tcp://127.0.0.1:0") as publisher, Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.wait_connected(10)
        publisher.publish(message)
        received = subscriber.receive(30)
    assert received.objects[0].mask.crop.all() and message_age_ms(received) > 0
    with ControlServer("tcp://127.0.0.1:0", {"echo": lambda args: args}) as server:
        with ControlClient(server.endpoint) as client:
            assert client.call("echo", {"a": 1}) == {"a": 1}
    print("done")
"""


@pytest.mark.slow
def test_numpy_and_pyzmq_suffice():
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ROUND_TRIP)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (process.stdout, process.stderr, process.returncode) == ("done\n", "", 0)


@pytest.mark.parametrize(
    ("events", "is_new", "gap", "restarts"),
    [
        pytest.param([("a", 0)], [True], 0, 0, id="first message"),
        pytest.param([("a", 57)], [True], 0, 0, id="joined late"),
        pytest.param([("a", 0), ("a", 1), ("a", 2)], [True] * 3, 0, 0, id="nothing lost"),
        pytest.param([("a", 0), ("a", 3)], [True] * 2, 2, 0, id="two lost"),
        pytest.param([("a", 0), ("a", 2), ("a", 5)], [True] * 3, 3, 0, id="lost twice"),
        pytest.param([("a", 4), ("a", 4)], [True, False], 0, 0, id="duplicate"),
        pytest.param([("a", 4), ("a", 3), ("a", 5)], [True, False, True], 0, 0, id="old message"),
        pytest.param([("a", 9), ("b", 0)], [True] * 2, 0, 1, id="restart"),
        pytest.param([("a", 9), ("b", 5)], [True] * 2, 0, 1, id="restart, joined late"),
        pytest.param([("a", 9), ("b", 5), ("b", 7)], [True] * 3, 1, 1, id="lost after a restart"),
    ],
)
def test_tracker_counts_gaps_and_restarts(events, is_new, gap, restarts):
    tracker = SequenceTracker()
    assert [tracker.received("cam0", epoch, seq) for epoch, seq in events] == is_new
    assert tracker.gaps == {"cam0": gap}
    assert tracker.restarts == {"cam0": restarts}


@pytest.mark.parametrize(
    ("sent", "next_seq", "gap"),
    [
        pytest.param(("a", 5), 6, 2, id="last two lost"),
        pytest.param(("a", 5), 7, 3, id="and one more after them"),
        pytest.param(("a", 3), 4, 0, id="up to date"),
        pytest.param(("a", 1), 4, 0, id="behind"),
        pytest.param(("b", 9), 4, 0, id="other epoch"),
    ],
)
def test_sent_messages_not_received_count_as_gap(sent, next_seq, gap):
    tracker = SequenceTracker()
    tracker.received("cam0", "a", 3)
    tracker.was_sent("cam0", *sent)
    assert tracker.received("cam0", "a", next_seq)
    assert tracker.gaps == {"cam0": gap}


def test_source_without_message_has_no_gap():
    tracker = SequenceTracker()
    tracker.was_sent("cam0", "a", 5)
    assert tracker.gaps == {}
    tracker.received("cam0", "a", 9)
    assert tracker.gaps == {"cam0": 0}


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_received_and_gaps_add_up_to_sent(steps):
    """Each step publishes a message, which may arrive, and optionally a status."""
    tracker, num_received = SequenceTracker(), 1
    tracker.received("cam0", "a", 0)
    last_known = 0
    for seq, (arrives, status) in enumerate(steps, start=1):
        if arrives:
            num_received += tracker.received("cam0", "a", seq)
            last_known = seq
        if status:
            tracker.was_sent("cam0", "a", seq)
            last_known = seq
    assert num_received + tracker.gaps["cam0"] == last_known + 1
