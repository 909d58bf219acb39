import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.telemetry import (
    BOUNDS_MS,
    DropCounter,
    Drops,
    Histogram,
    Histograms,
    Percentiles,
    StageTimer,
    merge_drops,
)


class Clock:
    """A clock in nanoseconds that advances only when set."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_drops_are_counted_by_stage_and_reason():
    drops = DropCounter()
    assert drops.snapshot() == {}
    drops.count("capture", "corrupt")
    drops.count("mailbox", "newer_frame")
    drops.count("mailbox", "newer_frame", 3)
    drops.count("mailbox", "paused")
    assert drops.snapshot() == {"capture": {"corrupt": 1}, "mailbox": {"newer_frame": 4, "paused": 1}}


def test_snapshot_does_not_change_afterwards():
    drops = DropCounter()
    drops.count("capture", "corrupt")
    before = drops.snapshot()
    before["capture"]["corrupt"] = 99
    drops.count("capture", "corrupt")
    assert drops.snapshot() == {"capture": {"corrupt": 2}}


@pytest.mark.parametrize(
    ("parts", "total"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([{}, {}], {}, id="empty"),
        pytest.param([{"a": {"x": 1}}], {"a": {"x": 1}}, id="one"),
        pytest.param(
            [{"a": {"x": 1}}, {"a": {"x": 2, "y": 3}}, {"b": {"x": 4}}],
            {"a": {"x": 3, "y": 3}, "b": {"x": 4}},
            id="sum",
        ),
    ],
)
def test_merge_drops(parts: list[Drops], total: Drops):
    assert merge_drops(parts) == total


counts = st.dictionaries(
    st.sampled_from("ab"), st.dictionaries(st.sampled_from("xy"), st.integers(1, 9), min_size=1), max_size=2
)


@pytest.mark.slow
@given(st.lists(counts, max_size=4))
def test_merging_preserves_total(parts: list[Drops]):
    def num_frames(drops: Drops) -> int:
        return sum(sum(reasons.values()) for reasons in drops.values())

    assert num_frames(merge_drops(parts)) == sum(num_frames(part) for part in parts)


def test_percentiles_without_values_are_nan():
    assert all(math.isnan(value) for value in Percentiles().at(50, 95, 99))
    assert Percentiles().at() == ()


def test_percentiles():
    ages = Percentiles()
    for value in range(101):
        ages.add(value)
    assert ages.at(0, 50, 95, 99, 100) == pytest.approx((0, 50, 95, 99, 100))
    assert ages.num_values == 101


def test_percentiles_use_last_window_only():
    ages = Percentiles(window=10)
    for value in [1000] * 50 + [1] * 10:
        ages.add(value)
    assert ages.at(100) == (1,)
    assert ages.num_values == 60


def test_stages_are_timed_separately():
    clock = Clock()
    timer = StageTimer(clock=clock)
    for milliseconds in (10, 30):
        with timer.stage("network"):
            clock.now_ns += milliseconds * 1_000_000
        with timer.stage("masks"):
            clock.now_ns += 1_000_000
    timer.add("mailbox", 4.0)
    assert {name: times.at(50, 100) for name, times in timer.stages.items()} == {
        "network": (20, 30),
        "masks": (1, 1),
        "mailbox": (4, 4),
    }


def test_stage_that_raises_is_not_counted():
    timer = StageTimer(clock=Clock())

    def fail() -> None:
        with timer.stage("network"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert timer.stages == {}


def test_durations_count_for_the_sources_of_the_frames():
    clock = Clock()
    timer = StageTimer(clock=clock)
    with timer.of("cam0", "cam1"), timer.stage("network"):
        clock.now_ns += 30_000_000
    with timer.of("cam0"), timer.stage("track"):
        clock.now_ns += 1_000_000
    with timer.stage("masks"):
        clock.now_ns += 1_000_000
    found = timer.by_source.snapshot()
    assert {key: histogram.sum_ms for key, histogram in found.items()} == {
        ("network", "cam0"): 30.0,
        ("network", "cam1"): 30.0,
        ("track", "cam0"): 1.0,
    }
    assert set(timer.stages) == {"network", "track", "masks"}


def test_sources_are_those_of_the_thread():
    timer = StageTimer()
    with timer.of("cam0"):
        thread = threading.Thread(target=timer.add, args=("decode", 1.0))
        thread.start()
        thread.join()
    assert timer.by_source.snapshot() == {}


@pytest.mark.parametrize(
    ("milliseconds", "bucket"),
    [
        pytest.param(0.0, 0, id="zero"),
        pytest.param(-5.0, 0, id="clock-stepped-back"),
        pytest.param(BOUNDS_MS[0], 0, id="on-a-bound"),
        pytest.param(BOUNDS_MS[0] + 1e-9, 1, id="above-a-bound"),
        pytest.param(BOUNDS_MS[-1], len(BOUNDS_MS) - 1, id="last-bound"),
        pytest.param(1e9, len(BOUNDS_MS), id="beyond"),
    ],
)
def test_buckets_of_a_histogram(milliseconds: float, bucket: int):
    histograms = Histograms()
    histograms.add("age", "cam0", milliseconds)
    histogram = histograms.snapshot()["age", "cam0"]
    assert [index for index, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.num_values == 1
    assert histogram.sum_ms == max(milliseconds, 0.0)


@given(st.lists(st.floats(-1e3, 1e6)))
def test_histograms_count_every_value(values: list[float]):
    histograms = Histograms()
    for value in values:
        histograms.add("age", "cam0", value)
    histogram = histograms.snapshot().get(("age", "cam0"), Histogram((), 0.0))
    assert histogram.num_values == len(values)
    assert histogram.sum_ms == pytest.approx(sum(max(value, 0.0) for value in values))


def test_forgotten_source_has_no_histogram():
    histograms = Histograms()
    for source_id in ("cam0", "cam1"):
        histograms.add("age", source_id, 1.0)
    histograms.forget("cam0")
    histograms.forget("cam0")
    assert set(histograms.snapshot()) == {("age", "cam1")}
