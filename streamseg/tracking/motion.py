"""Where objects are going: a constant-velocity Kalman filter per track, all tracks at once.

The filter follows the *whole* object. An object that slides behind another shows a box that shrinks
from one side; the edge that still moves as predicted tells where the object is, and its size is
remembered, so that it is looked for in the right place when it comes out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Motion", "rigid_offset"]

Floats = npt.NDArray[np.float64]

POSITION_NOISE = 0.05
"""Standard deviation of an observed centre, in object sizes. Boxes of good detectors are off by 2 to 4 %, and
objects turn and bend."""
POSITION_NOISE_PX = 2.0
"""The same in pixels, which rules for small objects: half a cell of the prototype grid."""
START_SPEED = 0.5
"""Standard deviation of an unknown speed, in picture diagonals per second: few things cross a picture in
less than a second."""
ACCELERATION = 2.0
"""Standard deviation of the change of speed within one second, in object sizes per second: enough for a
person who turns round, and little enough to extrapolate a second of occlusion."""
MAX_EXTRAPOLATION_SECONDS = 2.0
"""A longer gap is a stall, not a movement: nothing goes on at the same speed for that long."""
SIZE_SECONDS = 0.2
"""Time constant with which the remembered size follows the observed one."""
HIDDEN_SIZE_SECONDS = 2.0
"""The same while one edge only comes in, which is what an occlusion looks like."""


def rigid_offset(low: Floats, high: Floats) -> Floats:
    """How far a rigid object moved along an axis, from the offsets of its two edges.

    Where the edges move alike, that is the mean. Where the extent has shrunk (the high edge came in
    towards the low one), something may be in front: an edge counts the more, the less it departed
    from the prediction; a shrinking from both sides alike moves nothing.

    Args:
        low: offset of the left or upper edges from their prediction, any shape.
        high: offset of the right or lower edges, the same shape.

    Returns:
        The offset of the whole, the same shape.
    """
    low_squared, high_squared = low * low, high * high
    total = low_squared + high_squared
    shrunk = (high < low) & (total > 0)
    low_weight = np.where(shrunk, high_squared / np.where(shrunk, total, 1.0), 0.5)
    return low_weight * low + (1 - low_weight) * high


@dataclass(frozen=True, eq=False)
class Motion:
    """State of T filters. Every operation gives a new one."""

    centre: Floats
    """(T, 2) x, y in pixels."""
    velocity: Floats
    """(T, 2) pixels per second."""
    size: Floats
    """(T, 2) width, height of the whole object in pixels."""
    variance: Floats
    """(T, 3): of the centre (px²), of centre with velocity (px²/s), of the velocity (px²/s²). Both axes share it."""

    @classmethod
    def start(cls, boxes: Floats, image_size: tuple[int, int]) -> Motion:
        """Filters for objects seen once in `boxes` (T, 4) xyxy of a picture of `image_size` (H, W)."""
        size = boxes[:, 2:] - boxes[:, :2]
        variance = np.zeros((len(boxes), 3))
        variance[:, 0] = _observation_variance(size)
        variance[:, 2] = (START_SPEED * np.hypot(*image_size)) ** 2
        return cls((boxes[:, :2] + boxes[:, 2:]) / 2, np.zeros((len(boxes), 2)), size, variance)

    def __len__(self) -> int:
        return len(self.centre)

    def __getitem__(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Motion:
        """The chosen tracks."""
        return Motion(self.centre[rows], self.velocity[rows], self.size[rows], self.variance[rows])

    def __add__(self, other: Motion) -> Motion:
        """Both, one after the other."""
        return Motion(
            np.concatenate((self.centre, other.centre)),
            np.concatenate((self.velocity, other.velocity)),
            np.concatenate((self.size, other.size)),
            np.concatenate((self.variance, other.variance)),
        )

    @property
    def boxes(self) -> Floats:
        """(T, 4) xyxy of the whole objects; may reach beyond the picture."""
        return np.concatenate((self.centre - self.size / 2, self.centre + self.size / 2), axis=1)

    @property
    def deviation(self) -> Floats:
        """(T,) standard deviation, in pixels, of where the next observation of the centre will be."""
        deviation: Floats = np.sqrt(self.variance[:, 0] + _observation_variance(self.size))
        return deviation

    def predicted(self, elapsed_seconds: float) -> Motion:
        """The same, `elapsed_seconds` (not negative) later."""
        elapsed = min(elapsed_seconds, MAX_EXTRAPOLATION_SECONDS)
        centre_variance, covariance, velocity_variance = self.variance.T
        # White noise on the acceleration, integrated over the gap: frames may come at any distance.
        density = (ACCELERATION * np.sqrt(self.size.prod(axis=1))) ** 2
        variance = np.stack(
            (
                centre_variance + elapsed * (2 * covariance + elapsed * velocity_variance) + density * elapsed**3 / 3,
                covariance + elapsed * velocity_variance + density * elapsed**2 / 2,
                velocity_variance + density * elapsed,
            ),
            axis=1,
        )
        return Motion(self.centre + elapsed * self.velocity, self.velocity, self.size, variance)

    def corrected(self, boxes: Floats, elapsed_seconds: float) -> Motion:
        """The same after every track was seen.

        Args:
            boxes: (T, 4) xyxy, what is visible of each object.
            elapsed_seconds: time since the last frame, not negative.
        """
        expected = self.boxes
        low, high = boxes[:, :2] - expected[:, :2], boxes[:, 2:] - expected[:, 2:]
        innovation = rigid_offset(low, high)
        total = self.variance[:, 0] + _observation_variance(self.size)
        gain = self.variance[:, :2] / total[:, None]
        variance = self.variance.copy()
        variance[:, 0] -= gain[:, 0] * self.variance[:, 0]
        variance[:, 1] -= gain[:, 0] * self.variance[:, 1]
        variance[:, 2] -= gain[:, 1] * self.variance[:, 1]

        growth = high - low
        # 1 where one edge alone came in, 0 where both did alike or the extent grew.
        one_sided = np.where(growth < 0, np.abs(low + high) / np.maximum(np.abs(low) + np.abs(high), 1e-9), 0.0)
        rate = one_sided / HIDDEN_SIZE_SECONDS + (1 - one_sided) / SIZE_SECONDS
        return Motion(
            self.centre + gain[:, :1] * innovation,
            self.velocity + gain[:, 1:] * innovation,
            self.size + (1 - np.exp(-elapsed_seconds * rate)) * growth,
            variance,
        )


def _observation_variance(size: Floats) -> Floats:
    """(T,) px², of an observed centre of objects of `size` (T, 2)."""
    variance: Floats = POSITION_NOISE**2 * size.prod(axis=1) + POSITION_NOISE_PX**2
    return variance
