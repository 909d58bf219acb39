"""Identities over time, for objects without a class that lie inside one another.

    tracker = Tracker(TrackingConfig())
    for frame, instances in …:
        tracked = tracker.update(instances, frame.captured_ns / 1e9)

`motion` says where a track is, `appearance` what it looks like, `association` which object it is, `tracker` whether it
lives; `tracks` is the table of all of them.
"""

from streamseg.tracking.tracker import Tracker

__all__ = ["Tracker"]
