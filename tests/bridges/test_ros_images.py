"""Frames from received images."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from streamseg.bridges.ros_images import LONGEST_GAP_NS, RosImages
from tests.support.waiting import WAIT_SECONDS

IMAGE = np.zeros((4, 6, 3), np.uint8)
NOW_NS = 1_700_000_000 * 10**9


def taken(source: RosImages, stamps: list[int]):
    """The frames of images that are each taken before the next one."""
    frames = []
    iterator = source.frames()
    for stamp in stamps:
        source.offer(IMAGE, stamp)
        frames.append(next(iterator))
    return frames


def test_frames_have_the_stamps_of_their_messages():
    frames = taken(RosImages("cam"), [NOW_NS, NOW_NS + 40_000_000, NOW_NS + 120_000_000])
    assert [frame.captured_ns - NOW_NS for frame in frames] == [0, 40_000_000, 120_000_000]
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.04, 0.12])
    assert [(frame.index, frame.clock) for frame in frames] == [(0, "driver"), (1, "driver"), (2, "driver")]


@pytest.mark.parametrize(
    ("lag_ns", "expected"),
    [(30_000_000, True), (LONGEST_GAP_NS * 2, False), (-(10**9), False)],
    ids=["live", "played bag", "clock of the camera is ahead"],
)
def test_age_counts_from_the_stamp_if_it_is_recent(lag_ns, expected):
    source = RosImages("cam")
    source.offer(IMAGE, time.time_ns() - lag_ns)
    lag = next(source.frames()).lag_ns
    assert (lag >= lag_ns > 0) if expected else lag == 0


def test_without_a_stamp_the_arrival_counts():
    (frame,) = taken(RosImages("cam"), [0])
    assert frame.clock == "arrival"
    assert abs(frame.captured_ns - time.time_ns()) < 10**10


def test_time_increases_though_a_bag_starts_again():
    stamps = [NOW_NS + 10**9, NOW_NS, NOW_NS, NOW_NS + 3600 * 10**9]
    seconds = [frame.pts_seconds for frame in taken(RosImages("cam"), stamps)]
    assert all(after > before for before, after in pairwise(seconds))
    assert seconds[-1] < 60


def test_the_newest_image_wins_and_others_are_counted():
    source = RosImages("cam", "optical")
    for stamp in range(1, 4):
        source.offer(IMAGE, stamp)
    assert next(source.frames()).index == 2
    assert source.drops.snapshot() == {"capture": {"newer_frame": 2}}
    assert source.frame_id == "optical"


def test_stop_ends_the_wait():
    source = RosImages("cam")
    thread = threading.Thread(target=lambda: list(source.frames()))
    thread.start()
    source.stop()
    source.stop()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
