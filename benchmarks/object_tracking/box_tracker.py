"""A baseline tracker that associates by boxes alone."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.config import TrackingConfig
from streamseg.geometry import box_iou
from streamseg.structures.instances import Instances, Tracked
from streamseg.tracking.association import assign
from streamseg.tracking.motion import Motion

__all__ = ["BoxTracker"]


class BoxTracker:
    """Two rounds of box IoU with a Kalman filter and a patience of 30 frames, as in ByteTrack."""

    def __init__(self, config: TrackingConfig) -> None:
        self._config = config
        self._motion: Motion | None = None
        self._ids = np.zeros(0, np.int64)
        self._num_seen = np.zeros(0, np.int64)
        self._last_seen = np.zeros(0)
        self._time = 0.0
        self._last_id = 0

    def update(self, instances: Instances, time_seconds: float) -> Tracked:
        """Return the instances with identities."""
        boxes = instances.boxes.numpy().astype(np.float64)
        high = instances.scores.numpy() >= self._config.high_score
        elapsed, self._time = time_seconds - self._time, time_seconds
        motion = self._motion if self._motion is not None else Motion.start(np.zeros((0, 4)), instances.image_size)
        motion = motion.predicted(elapsed)
        costs = 1 - box_iou(torch.from_numpy(motion.boxes), torch.from_numpy(boxes)).numpy()
        confirmed = self._ids > 0
        matches = np.full(len(motion), -1)
        for rows, columns in ((confirmed, high), (confirmed, ~high), (~confirmed, high)):
            left = np.flatnonzero(rows & (matches < 0))
            free = np.flatnonzero(columns & ~np.isin(np.arange(len(boxes)), matches))
            matched, taken = assign(costs[np.ix_(left, free)], 0.8)
            matches[left[matched]] = free[taken]
        seen = matches >= 0
        kept = np.flatnonzero(~seen & confirmed & (time_seconds - self._last_seen <= self._config.max_lost_seconds))
        starting = np.flatnonzero(high & ~np.isin(np.arange(len(boxes)), matches))
        found = motion[seen].corrected(boxes[matches[seen]], elapsed)
        self._motion = found + Motion.start(boxes[starting], instances.image_size) + motion[kept]
        present = np.concatenate((self._ids[seen], np.full(len(starting), -1)))
        self._num_seen = np.concatenate((self._num_seen[seen] + 1, np.ones(len(starting), int), self._num_seen[kept]))
        for row in np.flatnonzero((present < 0) & (self._num_seen[: len(present)] >= self._config.confirm_frames)):
            self._last_id += 1
            present[row] = self._last_id
        self._last_seen = np.concatenate((np.full(len(present), time_seconds), self._last_seen[kept]))
        self._ids = np.concatenate((present, self._ids[kept]))
        ids = np.full(len(boxes), -1, np.int64)
        ids[np.concatenate((matches[seen], starting)).astype(int)] = present
        return Tracked(instances, torch.from_numpy(ids))
