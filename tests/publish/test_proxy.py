"""Several publishers behind one address."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streamseg.errors import PublishError
from streamseg.publish import ClientKeys, Publisher, ServerKeys, Subscriber
from streamseg.publish.keys import create_key_files
from streamseg.publish.proxy import Proxy
from tests.support.messages import make_message
from tests.support.waiting import WAIT_SECONDS, wait_until

ANYWHERE = "tcp://127.0.0.1:0"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(ANYWHERE) as proxy:
        yield proxy


def receive(subscriber: Subscriber, *publishers: tuple[Publisher, str], sources: set[str]) -> set[str]:
    """Publish until the messages of all sources have arrived; return the sources of all messages that did."""
    is_over, found = threading.Event(), set()

    def publish() -> None:
        while not is_over.wait(0.01):
            for publisher, source in publishers:
                publisher.publish(make_message(source_id=source))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        while not sources <= found:
            message = subscriber.receive(WAIT_SECONDS)
            assert message is not None, f"only {found} arrived"
            found.add(message.source_id)
    finally:
        is_over.set()
        thread.join()
    return found


def test_messages_of_all_publishers_arrive_at_one_address(proxy: Proxy):
    with (
        Publisher(ANYWHERE) as first,
        Publisher(ANYWHERE) as second,
        Subscriber(proxy.endpoint) as all_sources,
        Subscriber(proxy.endpoint, sources=["b"]) as only_b,
    ):
        proxy.set_publishers([first.endpoint, second.endpoint])
        assert receive(all_sources, (first, "a"), (second, "b"), sources={"a", "b"}) == {"a", "b"}
        assert receive(only_b, (first, "a"), (second, "b"), sources={"b"}) == {"b"}
        assert all_sources.wait_connected(10)
    assert proxy.num_messages > 0


def test_publishers_encode_only_what_a_subscriber_reads(proxy: Proxy):
    with Publisher(ANYWHERE) as publisher:
        proxy.set_publishers([publisher.endpoint])
        assert not publisher.wants_masks("a")
        with Subscriber(proxy.endpoint, sources=["a"]), Subscriber(proxy.endpoint, sources=["a"], images=True):
            with Subscriber(proxy.endpoint, sources=["a"]):
                wait_until(lambda: publisher.wants_image("a"))
            assert publisher.wants_masks("a")
            assert not publisher.wants_masks("b")
        wait_until(lambda: not publisher.wants_masks("a"))


def test_a_publisher_that_comes_later_learns_the_subscriptions(proxy: Proxy):
    with Subscriber(proxy.endpoint) as subscriber, Publisher(ANYWHERE) as first:
        proxy.set_publishers([first.endpoint])
        receive(subscriber, (first, "a"), sources={"a"})
        with Publisher(ANYWHERE) as second:
            proxy.set_publishers([first.endpoint, second.endpoint])
            receive(subscriber, (second, "b"), sources={"b"})


def test_a_publisher_that_was_removed_is_heard_no_more(proxy: Proxy):
    with Subscriber(proxy.endpoint) as subscriber, Publisher(ANYWHERE) as lost, Publisher(ANYWHERE) as other:
        proxy.set_publishers([lost.endpoint])
        receive(subscriber, (lost, "a"), sources={"a"})
        proxy.set_publishers([other.endpoint])
        wait_until(lambda: not lost.wants_masks("a"))
        assert receive(subscriber, (other, "b"), sources={"b"}) <= {"a", "b"}


def test_encrypted_on_both_sides(tmp_path):
    public, secret = create_key_files(tmp_path, "fleet")
    _, reader = create_key_files(tmp_path, "reader")
    keys = ServerKeys.load(secret, read=[str(tmp_path / "reader.key")])
    own = ClientKeys.load(secret, public)
    with (
        Publisher(ANYWHERE, keys=ServerKeys.load(secret, read=[str(public)])) as publisher,
        Proxy("tcp://*:0", keys=keys, publisher_keys=own) as proxy,
        Subscriber(proxy.endpoint.replace("0.0.0.0", "127.0.0.1"), keys=ClientKeys.load(reader, public)) as subscriber,
    ):
        proxy.set_publishers([publisher.endpoint])
        receive(subscriber, (publisher, "a"), sources={"a"})


def test_invalid_addresses(proxy: Proxy):
    with pytest.raises(PublishError, match="reachable from other machines"):
        Proxy("tcp://*:0")
    with pytest.raises(PublishError, match="in use"):
        Proxy(proxy.endpoint)
    proxy.set_publishers(["tcp://127.0.0.1:0"])
    with pytest.raises(PublishError, match="use the port"):
        wait_until(lambda: proxy.set_publishers(["tcp://127.0.0.1:0"]) is not None)
    with pytest.raises(PublishError):
        proxy.close()
    proxy.close()
