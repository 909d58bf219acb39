from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.numbering import Numbering
from streamseg.telemetry import DropCounter


def test_stride_takes_every_third():
    drops = DropCounter()
    numbering = Numbering(drops, vid_stride=3)
    assert [numbering.take() for _ in range(7)] == [0, None, None, 1, None, None, 2]
    assert drops.snapshot() == {}


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_every_gap_is_a_counted_drop(lost, vid_stride):
    drops = DropCounter()
    numbering = Numbering(drops, vid_stride=vid_stride)
    indices = []
    for is_lost in lost:
        if is_lost:
            numbering.drop("corrupt")
        elif (index := numbering.take()) is not None:
            indices.append(index)
    num_drops = drops.snapshot().get("capture", {}).get("corrupt", 0)
    assert indices == sorted(set(indices))
    assert num_drops + len(indices) == -(-len(lost) // vid_stride)
