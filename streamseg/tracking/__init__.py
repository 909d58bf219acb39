"""Tracking: identities over time, for class-agnostic objects that may be nested.

    tracker = Tracker(TrackingConfig())
    for frame, instances in …:
        tracked = tracker.update(instances, frame.captured_ns / 1e9)

motion        positions: a constant-velocity Kalman filter per track
appearance    boxes and silhouettes of objects, and their overlaps
association   costs and assignment of tracks and detections
tracks        the table of all tracks of a tracker
tracker       `Tracker`: the life of a track
"""

from streamseg.tracking.tracker import Tracker

__all__ = ["Tracker"]
