"""Subscriptions and sending of one publishing socket."""

import pytest
import zmq

from streamseg.publish.authentication import Gate
from streamseg.publish.socket import QUEUE_MESSAGES, PublishSocket
from streamseg.wire import unpack_single
from tests.support.zeromq import WAIT_SECONDS, leak_checked_context, received_within

BIG = b"x" * 200_000


@pytest.fixture
def context():
    with leak_checked_context() as context:
        yield context


@pytest.fixture
def publisher(context):
    publisher = PublishSocket(
        context, "tcp://127.0.0.1:0", is_single=False, gate=Gate(context, None, "read"), allow_public=False
    )
    yield publisher
    publisher.close()


def _events(publisher, count):
    """Wait for `count` (un)subscriptions; return the prefixes subscribed to."""
    prefixes = []
    for _ in range(count):
        assert publisher.socket.poll(int(WAIT_SECONDS * 1000)), "no subscription event"
        prefixes += publisher.read_subscriptions()
    return prefixes


def _subscriber(context, publisher, *prefixes, queue_messages=1000):
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, queue_messages)
    for prefix in prefixes:
        socket.subscribe(prefix)
    socket.connect(publisher.endpoint)
    return socket


@pytest.mark.parametrize(
    ("prefix", "wanted", "unwanted"),
    [
        pytest.param(b"seg/1/cam1/", [b"seg/1/cam1/"], [b"seg/1/cam10/", b"pic/1/cam1/", b"seg/1/cam"], id="one"),
        pytest.param(b"seg/1/", [b"seg/1/a/", b"seg/1/b/"], [b"pic/1/a/", b"status/1/"], id="all of a kind"),
        pytest.param(b"", [b"seg/1/a/", b"pic/1/a/"], [], id="everything"),
    ],
)
def test_topic_is_wanted_while_prefix_is_subscribed(context, publisher, prefix, wanted, unwanted):
    assert not any(map(publisher.is_wanted, wanted))
    with _subscriber(context, publisher, prefix):
        assert _events(publisher, 1) == [prefix]
        assert all(map(publisher.is_wanted, wanted))
        assert not any(map(publisher.is_wanted, unwanted))
    assert _events(publisher, 1) == []
    assert not any(map(publisher.is_wanted, wanted))


def test_topic_is_wanted_until_last_subscriber_leaves(context, publisher):
    first, second = _subscriber(context, publisher, b"a/"), _subscriber(context, publisher, b"a/")
    _wait_for_subscriptions(publisher, 2)
    first.close()
    assert _events(publisher, 1) == []
    assert publisher.is_wanted(b"a/")
    second.close()
    assert _events(publisher, 1) == []
    assert not publisher.is_wanted(b"a/")


def _wait_for_subscriptions(publisher, count):
    """Wait for `count` subscriptions, which may arrive in several reads."""
    prefixes = []
    while len(prefixes) < count:
        assert publisher.socket.poll(int(WAIT_SECONDS * 1000)), "no subscription"
        prefixes += publisher.read_subscriptions()


def test_messages_from_peers_are_ignored(context, publisher):
    with context.socket(zmq.XSUB) as peer:
        peer.connect(publisher.endpoint)
        peer.send_multipart([b"hello", b"\x01nonsense"])
        peer.send(b"\x01a/")
        _wait_for_subscriptions(publisher, 1)
        assert publisher.is_wanted(b"a/")
        assert not publisher.is_wanted(b"nonsense")


def test_single_part_messages_work_with_conflate(context):
    publisher = PublishSocket(
        context, "tcp://127.0.0.1:0", is_single=True, gate=Gate(context, None, "read"), allow_public=False
    )
    with context.socket(zmq.SUB) as reader:
        reader.setsockopt(zmq.CONFLATE, 1)
        reader.subscribe(b"a/")
        reader.connect(publisher.endpoint)
        _wait_for_subscriptions(publisher, 1)
        for nth in range(20):
            assert publisher.send([b"a/", b"%d" % nth, b"body"])
        last = b""
        while last != b"19":
            (body,) = received_within(reader)
            topic, last, rest = unpack_single(body)
            assert (topic, rest) == (b"a/", b"body")
    publisher.close()


def test_stalled_subscriber_does_not_affect_others(context, publisher):
    stalled = _subscriber(context, publisher, b"a/", queue_messages=1)
    healthy = _subscriber(context, publisher, b"a/")
    _wait_for_subscriptions(publisher, 2)
    was_full = False
    # The queues of the stalled subscriber and the kernel's buffers hold some messages before it falls behind.
    for nth in range(QUEUE_MESSAGES + 500):
        was_full = was_full or not publisher.send([b"a/", b"%d" % nth, BIG])
        assert received_within(healthy)[1] == b"%d" % nth
        if was_full:
            break
    assert was_full, "the stalled subscriber never fell behind"
    for nth in range(1000, 1003):
        publisher.send([b"a/", b"%d" % nth, BIG])
        assert received_within(healthy)[1] == b"%d" % nth
    stalled.close()
    healthy.close()
