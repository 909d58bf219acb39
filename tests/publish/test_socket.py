"""One publishing socket."""

import pytest
import zmq

from streamseg.publish.socket import QUEUE_MESSAGES, Outlet
from streamseg.wire import unpack_single
from tests.support.zeromq import leak_checked_context, received_within

BIG = b"x" * 200_000


@pytest.fixture
def context():
    with leak_checked_context() as context:
        yield context


@pytest.fixture
def outlet(context):
    outlet = Outlet(context, "tcp://127.0.0.1:0", is_single=False, allow_public=False)
    yield outlet
    outlet.close()


def _events(outlet, count):
    """The next `count` subscriptions or ends of one."""
    prefixes = []
    for _ in range(count):
        assert outlet.socket.poll(10_000), "nobody came or went"
        prefixes += outlet.read_subscriptions()
    return prefixes


def _subscriber(context, outlet, *prefixes, queue_messages=1000):
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, queue_messages)
    for prefix in prefixes:
        socket.subscribe(prefix)
    socket.connect(outlet.endpoint)
    return socket


@pytest.mark.parametrize(
    ("prefix", "wanted", "unwanted"),
    [
        pytest.param(b"seg/1/cam1/", [b"seg/1/cam1/"], [b"seg/1/cam10/", b"pic/1/cam1/", b"seg/1/cam"], id="one"),
        pytest.param(b"seg/1/", [b"seg/1/a/", b"seg/1/b/"], [b"pic/1/a/", b"status/1/"], id="all of a kind"),
        pytest.param(b"", [b"seg/1/a/", b"pic/1/a/"], [], id="everything"),
    ],
)
def test_a_topic_is_wanted_while_somebody_subscribed_to_a_prefix(context, outlet, prefix, wanted, unwanted):
    assert not any(map(outlet.is_wanted, wanted))
    with _subscriber(context, outlet, prefix):
        assert _events(outlet, 1) == [prefix]
        assert all(map(outlet.is_wanted, wanted))
        assert not any(map(outlet.is_wanted, unwanted))
    assert _events(outlet, 1) == []
    assert not any(map(outlet.is_wanted, wanted))


def test_a_topic_is_wanted_until_the_last_subscriber_leaves(context, outlet):
    first, second = _subscriber(context, outlet, b"a/"), _subscriber(context, outlet, b"a/")
    _wait_for_subscriptions(outlet, 2)
    first.close()
    assert _events(outlet, 1) == []
    assert outlet.is_wanted(b"a/")
    second.close()
    assert _events(outlet, 1) == []
    assert not outlet.is_wanted(b"a/")


def _wait_for_subscriptions(outlet, count):
    """Subscriptions may come in one reading or in several."""
    prefixes = []
    while len(prefixes) < count:
        assert outlet.socket.poll(10_000), "nobody came"
        prefixes += outlet.read_subscriptions()


def test_a_peer_that_talks_is_ignored(context, outlet):
    with context.socket(zmq.XSUB) as talker:
        talker.connect(outlet.endpoint)
        talker.send_multipart([b"hello", b"\x01nonsense"])
        talker.send(b"\x01a/")
        _wait_for_subscriptions(outlet, 1)
        assert outlet.is_wanted(b"a/")
        assert not outlet.is_wanted(b"nonsense")


def test_single_part_messages_work_with_conflate(context):
    outlet = Outlet(context, "tcp://127.0.0.1:0", is_single=True, allow_public=False)
    with context.socket(zmq.SUB) as reader:
        reader.setsockopt(zmq.CONFLATE, 1)
        reader.subscribe(b"a/")
        reader.connect(outlet.endpoint)
        _wait_for_subscriptions(outlet, 1)
        for nth in range(20):
            assert outlet.send([b"a/", b"%d" % nth, b"body"])
        last = b""
        while last != b"19":
            (body,) = received_within(reader)
            topic, last, rest = unpack_single(body)
            assert (topic, rest) == (b"a/", b"body")
    outlet.close()


def test_a_stalled_subscriber_costs_the_others_nothing(context, outlet):
    stalled = _subscriber(context, outlet, b"a/", queue_messages=1)
    healthy = _subscriber(context, outlet, b"a/")
    _wait_for_subscriptions(outlet, 2)
    was_full = False
    # The stalled one's queues and the kernel's buffers take some messages before it falls behind.
    for nth in range(QUEUE_MESSAGES + 500):
        was_full = was_full or not outlet.send([b"a/", b"%d" % nth, BIG])
        assert received_within(healthy)[1] == b"%d" % nth
        if was_full:
            break
    assert was_full, "the stalled subscriber never fell behind"
    for nth in range(1000, 1003):
        outlet.send([b"a/", b"%d" % nth, BIG])
        assert received_within(healthy)[1] == b"%d" % nth
    stalled.close()
    healthy.close()
