from dataclasses import replace

import pytest

from streamseg.runtime.mailbox import FILE_CAPACITY, Mailbox
from streamseg.structures.frame import Frame
from tests.support.stages import fresh_frame


def frame_at(source_id: str, index: int, received_ns: int = 0) -> Frame:
    return replace(fresh_frame(source_id, index), received_ns=received_ns)


def test_live_mailbox_keeps_the_newest_frame_and_the_waiting_time():
    mailbox = Mailbox("cam", is_live=True)
    for index, now_ns in enumerate([100, 200, 300]):
        assert mailbox.has_room
        mailbox.put(frame_at("cam", index, now_ns), now_ns)
    state = mailbox.state()
    assert (state.num_ready, state.since_ns, state.received_ns) == (1, 100, 300)
    assert mailbox.take(400).index == 2
    assert mailbox.drops.snapshot() == {"mailbox": {"newer_frame": 2}}


@pytest.mark.parametrize(
    ("before_ns", "num_left"),
    [
        pytest.param(100, 1, id="received at that time"),
        pytest.param(101, 0, id="received before"),
    ],
)
def test_frame_that_waits_for_long_is_discarded(before_ns, num_left):
    mailbox = Mailbox("cam", is_live=True)
    mailbox.drop_older(before_ns)
    mailbox.put(frame_at("cam", 0, 100), 300)
    mailbox.drop_older(before_ns)
    assert len(mailbox) == num_left
    assert mailbox.drops.snapshot() == ({} if num_left else {"mailbox": {"newer_frame": 1}})


def test_file_mailbox_keeps_the_order_and_reports_when_it_is_full():
    mailbox = Mailbox("file", is_live=False)
    for index in range(FILE_CAPACITY):
        assert mailbox.has_room
        mailbox.put(frame_at("file", index), index)
    assert not mailbox.has_room
    assert [mailbox.take(9).index for _ in range(FILE_CAPACITY)] == list(range(FILE_CAPACITY))
    assert mailbox.drops.snapshot() == {}
    with pytest.raises(IndexError):
        mailbox.take(9)
