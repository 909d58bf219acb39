"""Frame indices and reconnection delays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.source import Backoff, FrameCounter
from streamseg.telemetry import DropCounter


class TestFrameCounter:
    def test_stride_selects_every_third(self):
        drops = DropCounter()
        counter = FrameCounter(drops, vid_stride=3)
        assert [counter.next_index() for _ in range(7)] == [0, None, None, 1, None, None, 2]
        assert drops.snapshot() == {}

    @given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
    def test_every_missing_index_is_a_counted_drop(self, lost, vid_stride):
        drops = DropCounter()
        counter = FrameCounter(drops, vid_stride=vid_stride)
        indices = []
        for is_lost in lost:
            if is_lost:
                counter.drop("corrupt")
            elif (index := counter.next_index()) is not None:
                indices.append(index)
        num_drops = drops.snapshot().get("capture", {}).get("corrupt", 0)
        assert indices == sorted(set(indices))
        assert num_drops + len(indices) == -(-len(lost) // vid_stride)


class TestBackoff:
    def test_delays_double_up_to_ten_seconds(self):
        backoff = Backoff()
        assert [backoff.failed(now) for now in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]

    @pytest.mark.parametrize(
        ("lasted_seconds", "delay_seconds"),
        [
            pytest.param(0.0, 4.0, id="accepted and lost at once: keep doubling"),
            pytest.param(0.9, 4.0, id="not stable"),
            pytest.param(1.0, 0.5, id="stable: reset"),
            pytest.param(3600.0, 0.5, id="long: reset"),
        ],
    )
    def test_stable_connection_resets_the_delay(self, lasted_seconds, delay_seconds):
        backoff = Backoff()
        for now in (0, 1, 2):
            backoff.failed(now)
        backoff.connected(10.0)
        backoff.connected(10.0 + lasted_seconds / 2)  # reported for every packet; only the first report counts
        assert backoff.failed(10.0 + lasted_seconds) == delay_seconds

    def test_duration_is_measured_per_connection(self):
        backoff = Backoff()
        backoff.connected(0.0)
        assert backoff.failed(0.5) == 0.5
        backoff.connected(100.0)
        assert backoff.failed(100.5) == 1.0

    @pytest.mark.parametrize(
        ("number", "factor"),
        [
            pytest.param(0.0, 0.8, id="shortest"),
            pytest.param(0.5, 1.0, id="middle"),
            pytest.param(1.0, 1.2, id="longest"),
        ],
    )
    def test_jitter(self, number, factor):
        backoff = Backoff(first_seconds=10, longest_seconds=60, random=lambda: number)
        assert [backoff.failed(0.0) for _ in range(5)] == pytest.approx([factor * d for d in (10, 20, 40, 60, 60)])
