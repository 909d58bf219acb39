"""Targets that leave their place to their track for some frames, so that following costs less, and many targets little.

What a propagated mask says about a target that an instance of its own track has just agreed with is hardly ever new in
the next frame. Such a target is *settled*, and propagated in every second frame; if there are many, they take turns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from streamseg.structures.arrays import Float64Array

__all__ = ["Turns"]

MAX_PROPAGATED: Final = 4
"""Maximum number of targets that are propagated in each frame, if few of them are in doubt."""
MIN_SETTLED: Final = 2
"""Maximum number of settled targets that are propagated in each frame, if many others are in doubt."""
MAX_WAITING: Final = 4
"""Number of frames after which a settled target does not wait for a frame in which others are propagated as well."""
MIN_STEP_IOU: Final = 0.4
"""Minimum IoU of the boxes of a settled target in consecutive frames; below it, its track may have switched."""


class Turns:
    """Which targets of one source are settled, and which of those are left to their tracks in a frame."""

    def __init__(self) -> None:
        self._settled: dict[str, tuple[int, Float64Array]] = {}
        """Track id and box (4,) of each settled target in the last frame."""
        self._num_waiting: dict[str, int] = {}
        """Number of consecutive frames in which each of them was left to its track."""
        self._were_propagated = False
        """Whether any of them were propagated in the last frame."""

    def retain(self, prompt_ids: Collection[str]) -> None:
        """Forget all targets except these."""
        self._settled = {one: settled for one, settled in self._settled.items() if one in prompt_ids}

    def resting(
        self, rows: Mapping[str, int], boxes: Float64Array, track_ids: list[int], num_targets: int
    ) -> dict[str, Float64Array]:
        """Return the boxes (4,) of the targets that are left to their tracks in the newest frame.

        Args:
            rows: row of each target according to its track, by prompt id; -1 if it is not visible.
            boxes: (K, 4) xyxy of all rows.
            track_ids: track id of each row.
            num_targets: number of targets that are followed.
        """
        eligible = [one for one in self._settled if rows.get(one, -1) >= 0]
        shown = np.array([rows[one] for one in eligible], np.int64)
        before = np.array([self._settled[one][1] for one in eligible]).reshape(-1, 4)
        is_same = _ious(before, boxes[shown]) >= MIN_STEP_IOU
        eligible = [
            one
            for one, row, same in zip(eligible, shown.tolist(), is_same.tolist(), strict=True)
            if same and track_ids[row] == self._settled[one][0]
        ]
        eligible.sort(key=lambda one: -self._num_waiting.get(one, 0))  # stable
        most = max(MAX_PROPAGATED - (num_targets - len(eligible)), MIN_SETTLED)
        waiting = [self._num_waiting.get(one, 0) for one in eligible]
        # They rest together if possible: the features of a frame, and most tiles, cost the same for one of them.
        number = min(most, sum(frames > 0 for frames in waiting))
        if self._were_propagated and max(waiting, default=0) < MAX_WAITING:
            number = 0
        self._were_propagated = number > 0
        resting = {one: boxes[rows[one]] for one in eligible[number:]}
        self._num_waiting = {one: self._num_waiting.get(one, 0) + 1 for one in resting}
        self._settled = {one: (track_ids[rows[one]], box) for one, box in resting.items()}
        return resting

    def settle(
        self, prompt_ids: Collection[str], rows: Mapping[str, int], boxes: Float64Array, track_ids: list[int]
    ) -> None:
        """Remember that instances of their own tracks agree with some targets in the newest frame.

        Args:
            prompt_ids: the targets.
            rows: row of each.
            boxes: (K, 4) xyxy of all rows.
            track_ids: track id of each row.
        """
        for one in prompt_ids:
            if track_ids[rows[one]] >= 0:
                self._settled[one] = track_ids[rows[one]], boxes[rows[one]]


def _ious(first: Float64Array, second: Float64Array) -> Float64Array:
    """Return the IoU (N,) of each pair of boxes (N, 4) xyxy."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    areas = [(one[:, 2:] - one[:, :2]).prod(axis=1) for one in (first, second)]
    ious: Float64Array = shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)
    return ious
