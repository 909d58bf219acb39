"""The newest unsent message of each source."""

import threading

import pytest

from streamseg.errors import PublishError
from streamseg.publish.outbox import Outbox
from tests.support.messages import make_message
from tests.support.zeromq import WAIT_SECONDS


def nothing() -> None:
    """The thread that takes has not failed."""


def put(outbox, source_id="cam0", *, wait_seconds=0.0, check=nothing):
    return outbox.put(make_message(source_id=source_id), None, wait_seconds=wait_seconds, check=check)


def test_messages_are_numbered_by_source():
    outbox = Outbox("e")
    assert [put(outbox, "a"), put(outbox, "b"), put(outbox, "a")] == [0, 0, 1]
    taken = [outbox.take(), outbox.take(), outbox.take()]
    assert [(one.message.source_id, one.message.seq, one.message.epoch) for one in taken[:2]] == [
        ("a", 1, "e"),
        ("b", 0, "e"),
    ]
    assert taken[2] is None


def test_newer_message_replaces_the_older_one_in_its_place():
    outbox = Outbox("e")
    put(outbox, "a")
    put(outbox, "b")
    put(outbox, "a")
    assert outbox.drops("a") == {"publish": {"newer_frame": 1}}
    assert outbox.drops("b") == {}
    assert outbox.take().message.source_id == "a"


def test_file_waits_until_its_message_is_taken():
    outbox = Outbox("e")
    put(outbox)
    thread = threading.Thread(target=put, args=(outbox,), kwargs={"wait_seconds": WAIT_SECONDS})
    thread.start()
    assert outbox.take().message.seq == 0
    thread.join(WAIT_SECONDS)
    assert outbox.take().message.seq == 1
    assert outbox.drops("cam0") == {}


def test_closing_ends_waits_and_keeps_the_pending_message():
    outbox = Outbox("e")
    put(outbox)
    errors = []

    def wait() -> None:
        try:
            put(outbox, wait_seconds=WAIT_SECONDS)
        except PublishError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    outbox.close()
    outbox.close()
    thread.join(WAIT_SECONDS)
    assert len(errors) == 1
    assert outbox
    assert outbox.take().message.seq == 0
    assert not outbox


def test_error_of_the_sending_thread_comes_first():
    def fail() -> None:
        raise PublishError("the publisher's thread has failed")

    outbox = Outbox("e")
    outbox.close()
    with pytest.raises(PublishError, match="has failed"):
        put(outbox, check=fail)
