"""Identities over time, for objects without a class that lie inside one another.

    tracker = Tracker(TrackingConfig())
    for frame, instances in …:
        tracked = tracker.update(instances, frame.captured_ns / 1e9)

`motion` says where a track is, `association` which object it is, `tracker` whether it lives.
"""

from streamseg.tracking.tracker import Tracker

__all__ = ["Tracker"]
