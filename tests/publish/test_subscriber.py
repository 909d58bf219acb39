"""Receiving the newest message, and knowing what is missing."""

import logging
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import psutil
import pytest
import zmq

from streamseg.errors import PublishError, WireError
from streamseg.publish import Publisher, Subscriber, message_age_ms
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
    """Sends whatever it is given, once its subscriber is there; a status closes each batch."""

    def __init__(self, context):
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._num_sent = 0

    def wait_for(self, prefix):
        while True:
            assert self._socket.poll(WAIT_SECONDS * 1000), "nobody subscribed"
            if self._socket.recv() == b"\x01" + prefix:
                return

    def send(self, subscriber, *messages, sources=None):
        """Send the messages, and wait until the subscriber has seen them all."""
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


def test_the_newest_is_handed_out_once(raw, subscriber):
    raw.send(subscriber, _parts(0), _parts(1), _parts(2))
    assert subscriber.receive(0).seq == 2
    assert subscriber.receive(0) is None
    assert subscriber.skipped == {"cam0": 2}
    assert subscriber.gaps == {"cam0": 0}


def test_an_old_message_is_never_handed_out(raw, subscriber):
    raw.send(subscriber, _parts(5))
    assert subscriber.receive(0).seq == 5
    raw.send(subscriber, _parts(5), _parts(4))
    assert subscriber.receive(0) is None


def test_the_source_that_waits_longest_comes_first(raw, subscriber):
    raw.send(subscriber, _parts(0, source_id="a"), _parts(0, source_id="b"), _parts(1, source_id="a"))
    assert [(message.source_id, message.seq) for message in subscriber] == [("a", 1), ("b", 0)]


def test_gaps_and_restarts_are_counted(raw, subscriber):
    raw.send(subscriber, _parts(3), _parts(6), _parts(0, epoch="f"), _parts(2, epoch="f"))
    assert subscriber.gaps == {"cam0": 3}
    assert subscriber.restarts == {"cam0": 1}


def test_a_status_tells_that_the_last_messages_were_lost(raw, subscriber):
    raw.send(subscriber, _parts(3, epoch="raw"), sources={"cam0": 5, "cam1": 9})
    assert subscriber.gaps == {"cam0": 2}
    assert subscriber.status.sources == {"cam0": 5, "cam1": 9}


BROKEN_MASK = _parts(1)
BROKEN_MASK[2] = BROKEN_MASK[2][:-4] + b"\xff\xff\xff\x7f"


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param([b"seg/1/"], id="topic alone"),
        pytest.param([b"seg/1/cam0/", b"{"], id="broken JSON"),
        pytest.param([b"seg/1/cam0/", b"\xff\x00" * 500, b"x"], id="noise"),
        pytest.param(BROKEN_MASK, id="a broken mask"),
        pytest.param([b"status/1/", b"{}"], id="a broken status"),
        pytest.param(_parts(1)[:-1], id="a part too few"),
    ],
)
def test_malformed_messages_are_counted_and_do_no_harm(raw, subscriber, garbage, caplog):
    caplog.set_level(logging.INFO, "streamseg")
    raw.send(subscriber, _parts(0), garbage)
    while subscriber.receive(0) is not None:
        pass
    assert subscriber.malformed == 1
    assert "could not be read" in caplog.text
    raw.send(subscriber, _parts(2))
    assert comparable(subscriber.receive(0)) == comparable(replace(MESSAGE, seq=2))
    assert subscriber.malformed == 1


def test_only_the_chosen_sources_arrive(context):
    with (
        Publisher(ANYWHERE, context=context) as publisher,
        Subscriber(publisher.endpoint, sources=["cam1"], context=context) as subscriber,
    ):
        assert subscriber.wait_connected(WAIT_SECONDS)
        for source_id in ("cam10", "cam", "cam1"):
            publisher.publish(replace(MESSAGE, source_id=source_id))
        assert subscriber.receive(WAIT_SECONDS).source_id == "cam1"
        assert set(subscriber.gaps) == {"cam1"}


def test_iteration_ends_when_nothing_comes(context):
    with (
        Publisher(ANYWHERE, context=context) as publisher,
        Subscriber(publisher.endpoint, timeout_seconds=0.05, context=context) as subscriber,
    ):
        assert list(subscriber) == []


def test_waiting_for_a_publisher_that_is_not_there_ends(context):
    with Subscriber("tcp://127.0.0.1:1", context=context) as subscriber:
        assert not subscriber.wait_connected(0.05)
        assert subscriber.receive(0.05) is None
        assert subscriber.status is None


def test_a_publisher_may_start_later_and_come_back(context):
    with Publisher(ANYWHERE) as first:
        endpoint = first.endpoint
        subscriber = Subscriber(endpoint, context=context)
        assert subscriber.wait_connected(WAIT_SECONDS)
        first.publish(MESSAGE)
        assert subscriber.receive(WAIT_SECONDS).epoch == first.epoch
    # A publisher with a context of its own has let go of the port once it is closed.
    with subscriber, Publisher(endpoint) as second:
        received = None
        for _ in range(200):
            second.publish(MESSAGE)
            if (received := subscriber.receive(0.05)) is not None:
                break
        assert received is not None, "the subscriber did not come back"
        assert received.epoch == second.epoch
        assert subscriber.restarts == {"cam0": 1}
        assert subscriber.gaps == {"cam0": 0}


def test_closing_ends_a_wait(context):
    subscriber = Subscriber("tcp://127.0.0.1:1", context=context)
    answers = []
    waiting = threading.Thread(target=lambda: answers.extend([subscriber.receive(), subscriber.wait_connected()]))
    waiting.start()
    subscriber.close()
    waiting.join(WAIT_SECONDS)
    assert answers == [None, False]
    assert subscriber.receive() is None
    subscriber.close()


def test_ending_the_context_ends_a_wait():
    with leak_checked_context() as context:
        subscriber = Subscriber("tcp://127.0.0.1:1", context=context)
    assert subscriber.receive() is None
    assert not subscriber.wait_connected()
    subscriber.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({"endpoint": "5555"}, PublishError, id="no endpoint"),
        pytest.param({"endpoint": "tcp://127.0.0.1:0"}, PublishError, id="no port"),
        pytest.param({"endpoint": "tcp://127.0.0.1:5555", "sources": ["a/b"]}, WireError, id="no source id"),
    ],
)
def test_bad_arguments_are_refused_and_leave_nothing_behind(context, arguments, error):
    num_threads = threading.active_count()
    with pytest.raises(error):
        Subscriber(**arguments, context=context)
    with pytest.raises(error):
        Subscriber(**arguments)
    assert threading.active_count() == num_threads


def test_opening_and_closing_leaks_nothing():
    process = psutil.Process()

    def open_and_close():
        with Publisher(ANYWHERE) as publisher, Subscriber(publisher.endpoint) as subscriber:
            assert subscriber.wait_connected(WAIT_SECONDS)

    open_and_close()
    before = process.num_fds(), threading.active_count()
    for _ in range(5):
        open_and_close()
    assert (process.num_fds(), threading.active_count()) == before


def test_the_age_counts_from_taking_the_picture():
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
    from streamseg.structures.message import CropMask, Message, MessageObject

    found = MessageObject(1, ("everything",), (0.0, 0.0, 2.0, 3.0), 0.5, CropMask(np.ones((3, 2), bool), 0, 0), 6)
    message = Message("cam0", 0, 1, "arrival", 0.0, (4, 4), (4, 4), (1.0, 1.0, 0.0, 0.0), (found,))
    with Publisher("tcp://127.0.0.1:0") as publisher, Subscriber(publisher.endpoint) as subscriber:
        assert subscriber.wait_connected(10)
        publisher.publish(message)
        received = subscriber.receive(10)
    assert received.objects[0].mask.crop.all() and message_age_ms(received) > 0
    with ControlServer("tcp://127.0.0.1:0", {"echo": lambda args: args}) as server:
        with ControlClient(server.endpoint) as client:
            assert client.call("echo", {"a": 1}) == {"a": 1}
    print("done")
"""


def test_numpy_and_pyzmq_are_enough():
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ROUND_TRIP)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (process.stdout, process.stderr, process.returncode) == ("done\n", "", 0)
