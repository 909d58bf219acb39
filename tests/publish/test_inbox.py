"""The newest unread message of each source."""

from dataclasses import replace

import pytest

from streamseg.publish.inbox import MAX_SOURCES, Inbox
from streamseg.wire import Status, encode, encode_status
from tests.support.messages import make_message

MESSAGE = make_message(epoch="e")


def parts(source_id: str, seq: int) -> list[bytes]:
    return [bytes(part) for part in encode(replace(MESSAGE, source_id=source_id, seq=seq))]


def popped(inbox: Inbox) -> list[tuple[str, int]]:
    found = []
    while inbox:
        _, header = inbox.pop()
        found.append((header.source_id, header.seq))
    return found


@pytest.mark.parametrize(
    ("received", "unread", "skipped", "gaps"),
    [
        pytest.param([], [], {}, {}, id="nothing"),
        pytest.param([("a", 0), ("b", 0)], [("a", 0), ("b", 0)], {}, {"a": 0, "b": 0}, id="two-sources"),
        pytest.param([("a", 0), ("b", 0), ("a", 1)], [("a", 1), ("b", 0)], {"a": 1}, {"a": 0, "b": 0}, id="newer"),
        pytest.param([("a", 1), ("a", 1), ("a", 0)], [("a", 1)], {}, {"a": 0}, id="repeated-and-older"),
        pytest.param([("a", 0), ("a", 3)], [("a", 3)], {"a": 1}, {"a": 2}, id="lost"),
    ],
)
def test_newer_message_replaces_the_older_one_in_its_place(received, unread, skipped, gaps):
    inbox = Inbox()
    for source_id, seq in received:
        inbox.put(parts(source_id, seq))
    assert popped(inbox) == unread
    assert inbox.skipped == skipped
    assert inbox.sequences.gaps == gaps
    assert inbox.num_malformed == 0


def test_status_is_no_message_and_reveals_losses():
    inbox = Inbox()
    inbox.put(parts("a", 0))
    status = Status(stamp_ns=0, epoch="e", sources={"a": 2})
    inbox.put([bytes(part) for part in encode_status(status)])
    assert inbox.status is not None
    assert inbox.status.sources == {"a": 2}
    assert popped(inbox) == [("a", 0)]
    assert inbox.sequences.gaps == {"a": 2}


@pytest.mark.parametrize("garbage", [[b""], [b"x", b"y"], [b"status/1/", b"{}"], [b"\xff" * 9]])
def test_garbage_is_counted_and_replaces_nothing(garbage):
    inbox = Inbox()
    inbox.put(parts("a", 0))
    inbox.put(garbage)
    assert inbox.num_malformed == 1
    assert popped(inbox) == [("a", 0)]


def test_number_of_sources_is_limited():
    inbox = Inbox()
    for number in range(MAX_SOURCES + 1):
        inbox.put(parts(f"s{number}", 0))
    inbox.put(parts("s0", 1))
    assert inbox.num_malformed == 1
    assert len(popped(inbox)) == MAX_SOURCES
    assert inbox.skipped == {"s0": 1}
