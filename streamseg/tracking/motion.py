"""Motion of objects: a constant-velocity Kalman filter per track, for all tracks at once.

The filter estimates the *whole* object. When an object slides behind another, its box shrinks from one side. The edge
that still moves as predicted then determines its position, and its size is kept, so that it is expected in the right
place when it reappears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamseg.structures.arrays import BoolArray, Float64Array, IndexArray

__all__ = ["Motion", "rigid_offset"]

POSITION_NOISE = 0.05
"""Standard deviation of an observed centre, in object sizes. Boxes of good detectors are off by 2 to 4 %, and objects
turn and deform."""
POSITION_NOISE_PX = 2.0
"""Standard deviation of an observed centre in pixels, dominant for small objects: half a cell of the prototype grid."""
START_SPEED = 0.5
"""Standard deviation of an unknown speed, in image diagonals per second: few objects cross an image in less than a
second."""
ACCELERATION = 2.0
"""Standard deviation of the change of speed within one second, in object sizes per second: large enough for a person
who turns round, and small enough to extrapolate through a second of occlusion."""
MAX_EXTRAPOLATION_SECONDS = 2.0
"""Maximum time over which speed is extrapolated. A longer gap is a stall: no object keeps its speed for that long."""
SIZE_SECONDS = 0.2
"""Time constant with which the estimated size follows the observed one."""
HIDDEN_SIZE_SECONDS = 2.0
"""Time constant of the size while only one edge moves inwards, as in an occlusion."""


def rigid_offset(low: Float64Array, high: Float64Array) -> Float64Array:
    """Estimate the displacement of a rigid object along an axis from the offsets of its two edges.

    If both edges move alike, the displacement is the mean. If the extent shrinks (the high edge moves towards the low
    one), the object may be occluded: the closer an edge is to its prediction, the higher its weight. Shrinking equally
    from both sides is no displacement.

    Args:
        low: offsets of the left or upper edges from their prediction, any shape.
        high: offsets of the right or lower edges, the same shape.

    Returns:
        Displacements of the whole objects, the same shape.
    """
    low_squared, high_squared = low * low, high * high
    total = low_squared + high_squared
    shrunk = (high < low) & (total > 0)
    low_weight = np.where(shrunk, high_squared / np.where(shrunk, total, 1.0), 0.5)
    return low_weight * low + (1 - low_weight) * high


@dataclass(frozen=True, eq=False)
class Motion:
    """State of T filters. Immutable: every operation returns a new state."""

    centre: Float64Array
    """(T, 2) x, y in pixels."""
    velocity: Float64Array
    """(T, 2) x, y in pixels per second."""
    size: Float64Array
    """(T, 2) width, height of the whole object in pixels."""
    variance: Float64Array
    """(T, 3) variance of the centre (px²), covariance of centre and velocity (px²/s), variance of the velocity
    (px²/s²); the same for both axes."""

    @classmethod
    def start(cls, boxes: Float64Array, image_size: tuple[int, int]) -> Motion:
        """Create filters for objects seen once, in `boxes` (T, 4) xyxy of an image of `image_size` (H, W)."""
        size = boxes[:, 2:] - boxes[:, :2]
        variance = np.zeros((len(boxes), 3))
        variance[:, 0] = _observation_variance(size)
        variance[:, 2] = (START_SPEED * np.hypot(*image_size)) ** 2
        return cls((boxes[:, :2] + boxes[:, 2:]) / 2, np.zeros((len(boxes), 2)), size, variance)

    def __len__(self) -> int:
        return len(self.centre)

    def __getitem__(self, rows: IndexArray | BoolArray) -> Motion:
        """Return the selected tracks."""
        return Motion(self.centre[rows], self.velocity[rows], self.size[rows], self.variance[rows])

    def __add__(self, other: Motion) -> Motion:
        """Concatenate the tracks of both."""
        return Motion(
            np.concatenate((self.centre, other.centre)),
            np.concatenate((self.velocity, other.velocity)),
            np.concatenate((self.size, other.size)),
            np.concatenate((self.variance, other.variance)),
        )

    @property
    def boxes(self) -> Float64Array:
        """Boxes (T, 4) xyxy of the whole objects in pixels; may extend beyond the image."""
        return np.concatenate((self.centre - self.size / 2, self.centre + self.size / 2), axis=1)

    @property
    def deviation(self) -> Float64Array:
        """Standard deviations (T,) of the next observation of the centre, in pixels."""
        deviation: Float64Array = np.sqrt(self.variance[:, 0] + _observation_variance(self.size))
        return deviation

    def predicted(self, elapsed_seconds: float) -> Motion:
        """Return the state `elapsed_seconds` (not negative) later."""
        elapsed = min(elapsed_seconds, MAX_EXTRAPOLATION_SECONDS)
        centre_variance, covariance, velocity_variance = self.variance.T
        # White noise on the acceleration, integrated over the gap: frame intervals may vary.
        density = (ACCELERATION * np.sqrt(self.size[:, 0] * self.size[:, 1])) ** 2
        grown = elapsed * velocity_variance
        variance = np.empty_like(self.variance)
        variance[:, 0] = centre_variance + elapsed * (2 * covariance + grown) + density * elapsed**3 / 3
        variance[:, 1] = covariance + grown + density * elapsed**2 / 2
        variance[:, 2] = velocity_variance + density * elapsed
        return Motion(self.centre_after(elapsed_seconds), self.velocity, self.size, variance)

    def centre_after(self, elapsed_seconds: float) -> Float64Array:
        """Return the centres (T, 2) `elapsed_seconds` (not negative) later."""
        return self.centre + min(elapsed_seconds, MAX_EXTRAPOLATION_SECONDS) * self.velocity

    def corrected(self, boxes: Float64Array, elapsed_seconds: float) -> Motion:
        """Return the state after an observation of every track.

        Args:
            boxes: (T, 4) xyxy, the visible part of each object.
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
        # 1 if one edge alone moved inwards, 0 if both did equally or the extent grew.
        one_sided = np.where(growth < 0, np.abs(low + high) / np.maximum(np.abs(low) + np.abs(high), 1e-9), 0.0)
        rate = one_sided / HIDDEN_SIZE_SECONDS + (1 - one_sided) / SIZE_SECONDS
        return Motion(
            self.centre + gain[:, :1] * innovation,
            self.velocity + gain[:, 1:] * innovation,
            self.size + (1 - np.exp(-elapsed_seconds * rate)) * growth,
            variance,
        )


def _observation_variance(size: Float64Array) -> Float64Array:
    """Return the variance (T,) in px² of an observed centre, for objects of `size` (T, 2)."""
    variance: Float64Array = POSITION_NOISE**2 * (size[:, 0] * size[:, 1]) + POSITION_NOISE_PX**2
    return variance
