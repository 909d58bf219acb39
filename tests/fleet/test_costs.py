"""Rates and costs of cameras from counts."""

from __future__ import annotations

import pytest

from streamseg.fleet.costs import WARM_FRAMES, CostMeter
from streamseg.telemetry import Histogram


def histogram(num_values: int, mean_ms: float) -> Histogram:
    return Histogram((num_values,), num_values * mean_ms)


def counts(**cameras: tuple[int, float, float]) -> dict[tuple[str, str], Histogram]:
    """Histograms of the network and of tracking, from (frames, ms, ms) by camera."""
    return {
        key: value
        for name, (frames, segment_ms, track_ms) in cameras.items()
        for key, value in (
            (("segment", name), histogram(frames, segment_ms)),
            (("track", name), histogram(frames, track_ms)),
        )
    }


def warm_meter(**cameras: tuple[int, float, float]) -> CostMeter:
    """A meter that has seen the first frames of its cameras, one per batch."""
    meter = CostMeter(0.0)
    meter.update({name: values[0] for name, values in cameras.items()}, counts(**cameras), 2 * WARM_FRAMES, 1.0)
    return meter


def test_without_frames():
    meter = CostMeter(0.0)
    assert (meter.arrived_fps("a"), meter.cost_ms("a")) == (0.0, None)
    meter.update({"a": 0}, {}, 0, 1.0)
    assert (meter.arrived_fps("a"), meter.cost_ms("a")) == (0.0, None)


def test_first_frames_do_not_count():
    meter = warm_meter(a=(WARM_FRAMES, 900.0, 1.0))
    assert meter.cost_ms("a") is None
    meter.update({"a": WARM_FRAMES + 20}, counts(a=(WARM_FRAMES, 900.0, 1.0)), 2 * WARM_FRAMES, 2.0)
    assert meter.cost_ms("a") is None, "no new frame"
    histograms = {("segment", "a"): Histogram((25,), WARM_FRAMES * 900.0 + 20 * 30.0)}
    meter.update({"a": WARM_FRAMES + 40}, histograms, 2 * WARM_FRAMES + 20, 3.0)
    assert meter.cost_ms("a") == pytest.approx(30.0)
    assert meter.arrived_fps("a") > WARM_FRAMES


def test_a_batch_is_shared_by_its_frames():
    meter = warm_meter(a=(WARM_FRAMES, 0.0, 0.0), b=(WARM_FRAMES, 0.0, 0.0))
    frames = WARM_FRAMES + 10
    histograms = {("segment", name): Histogram((frames,), 10 * 40.0) for name in "ab"}
    meter.update({"a": frames, "b": frames}, histograms, 2 * WARM_FRAMES + 10, 2.0)
    assert meter.cost_ms("a") == pytest.approx(20.0)


def test_the_busier_thread_counts():
    meter = warm_meter(a=(WARM_FRAMES, 0.0, 0.0))
    histograms = {
        ("segment", "a"): Histogram((WARM_FRAMES + 10,), 100.0),
        ("track", "a"): Histogram((WARM_FRAMES + 10,), 150.0),
        ("masks", "a"): Histogram((WARM_FRAMES + 10,), 150.0),
    }
    meter.update({"a": WARM_FRAMES + 10}, histograms, 2 * WARM_FRAMES + 10, 2.0)
    assert meter.cost_ms("a") == pytest.approx(30.0)


def test_short_intervals_are_skipped_and_cameras_forgotten():
    meter = warm_meter(a=(WARM_FRAMES, 1.0, 1.0))
    rate = meter.arrived_fps("a")
    meter.update({"a": 10_000}, {}, 0, 1.1)
    assert meter.arrived_fps("a") == rate
    meter.forget("a")
    assert meter.arrived_fps("a") == 0.0
