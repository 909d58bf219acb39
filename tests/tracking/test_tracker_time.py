"""Irregular frame times, and predicted positions in a future frame."""

from __future__ import annotations

import pytest

from streamseg.config import TrackingConfig
from streamseg.tracking import Tracker
from tests.support.shapes import Shape, detect_shapes


class TestTime:
    @pytest.mark.parametrize(
        "times",
        [
            pytest.param([0.0, 0.1, 0.2, 0.9, 1.0, 1.05, 1.3], id="irregular intervals"),
            pytest.param([5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0], id="clock standing still"),
            pytest.param([5.0, 5.1, 5.2, 1.0, 1.1, 1.2, 1.3], id="clock stepping back"),
            pytest.param([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0], id="intervals longer than max_lost_seconds"),
            pytest.param([1.7e9 + 0.1 * frame for frame in range(7)], id="seconds since the epoch"),
            pytest.param([0.0, 0.1, 0.2, 60.0, 60.1, 60.2, 60.3], id="stall of a minute"),
        ],
    )
    def test_any_frame_times(self, times):
        tracker = Tracker(TrackingConfig())
        ids = [tracker.update(detect_shapes([Shape(100, 100, 50, 50)]), time).track_ids.tolist()[0] for time in times]
        assert ids == [-1, -1, 1, 1, 1, 1, 1]

    def test_speed_is_per_second_and_not_per_frame(self):
        tracker = Tracker(TrackingConfig())
        seconds = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.0, 1.4]
        ids = [
            tracker.update(detect_shapes([Shape(40 + 150 * at, 100, 24, 24)]), at).track_ids.tolist()[0]
            for at in seconds
        ]
        assert ids[2:] == [1] * 7

    @pytest.mark.parametrize("time_seconds", [float("nan"), float("inf"), float("-inf")])
    def test_non_finite_time_is_rejected(self, time_seconds):
        with pytest.raises(ValueError, match="time_seconds must be finite"):
            Tracker(TrackingConfig()).update(detect_shapes([]), time_seconds)


class TestExpected:
    """Predicted positions of tracks in a future frame."""

    @staticmethod
    def seen(num_frames: int, *, speed: float = 90.0) -> Tracker:
        """Return a tracker that saw one moving object, last at `num_frames - 1` tenths of a second."""
        tracker = Tracker(TrackingConfig())
        for frame in range(num_frames):
            tracker.update(detect_shapes([Shape(60 + speed * frame / 10, 100, 50, 50)]), frame / 10)
        return tracker

    def test_confirmed_track_is_predicted_along_its_motion(self):
        ((x0, y0, x1, y1),) = self.seen(8).expected(0.8).tolist()
        assert (x0 + x1) / 2 == pytest.approx(60 + 90 * 0.8, abs=4)
        assert (y0, y1) == pytest.approx((75, 125), abs=3)

    @pytest.mark.parametrize("num_frames", [0, 1, 2])
    def test_tentative_tracks_are_not_predicted(self, num_frames):
        assert self.seen(num_frames).expected(1.0).shape == (0, 4)

    def test_prediction_has_no_side_effects_and_never_goes_back_in_time(self):
        tracker = self.seen(8)
        assert tracker.expected(0.0).tolist() == tracker.expected(0.7).tolist()
        twice = [tracker.expected(0.9).tolist() for _ in range(2)]
        assert twice[0] == twice[1]

    @pytest.mark.parametrize(("lost_seconds", "count"), [(0.1, 1), (0.4, 1), (0.7, 0)])
    def test_long_lost_track_is_not_predicted(self, lost_seconds, count):
        tracker = self.seen(8)
        tracker.update(detect_shapes([]), 0.8)
        assert len(tracker.expected(0.8 + lost_seconds)) == count
