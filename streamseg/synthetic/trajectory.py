"""The motion of one object: it enters the image, moves through it, and leaves it permanently."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamseg.structures.arrays import Float64Array
from streamseg.synthetic.textures import Rng

__all__ = ["Affine", "Trajectory", "sample_trajectory"]

Affine = Float64Array
"""(2, 3) matrix from sprite pixel coordinates to image pixel coordinates."""


@dataclass(frozen=True)
class Trajectory:
    """The path of one object from outside the image to outside the image.

    Along one axis the object crosses the image, or enters and leaves on the same side. Along the other
    axis it stays inside. It is therefore visible once, without a gap, and one trajectory is one identity.
    """

    sprite: int
    """Index of the sprite in the scene."""
    nearness: float
    """0 (far) .. 1 (near): nearer objects are larger and occlude farther ones."""
    image_size: tuple[int, int]
    """(H, W) in pixels."""
    reach_px: float
    """Maximum extent from its centre, in pixels."""
    horizontal: bool
    """Whether it crosses along x, otherwise along y."""
    forward: bool
    """Whether it enters at the left (top), otherwise at the right (bottom)."""
    returns: bool
    """Whether it leaves on the side where it entered."""
    lane: float
    """Position along the other axis, 0..1 of that side."""
    sway: float
    """Amplitude of the oscillation around the lane, in the same unit."""
    sway_turns: float
    """Number of periods of that oscillation in one trajectory."""
    dwell: float
    """0 (constant speed) .. 1 (comes to rest on the way)."""
    rest: float
    """Progress at which it is slowest, -0.5..0.5 relative to the middle."""
    scale: float
    """Mean scale of the sprite."""
    breathing: float
    """Relative amplitude of the slow change of scale."""
    degrees: float
    """Rotation at the start, in degrees."""
    spin_degrees: float
    """Total rotation, in degrees."""
    rocking_degrees: float
    """Amplitude of rocking, in degrees."""

    def matrix(self, progress: float, sprite_size: tuple[int, int]) -> Affine:
        """Return the pose of a sprite of (H, W) pixels at `progress` 0..1 of the trajectory."""
        x, y = self.centre(progress)
        scale = self.scale * (1.0 + self.breathing * math.sin(2 * math.pi * (progress + self.lane)))
        rocking = self.rocking_degrees * math.sin(2 * math.pi * 3 * progress)
        angle = math.radians(self.degrees + self.spin_degrees * progress + rocking)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        # Shapes are drawn facing right.
        facing = -1.0 if self.horizontal and not self.forward else 1.0
        middle_x, middle_y = (sprite_size[1] - 1) / 2, (sprite_size[0] - 1) / 2
        linear = np.array([[cos * facing, -sin], [sin * facing, cos]])
        offset = np.array([x, y]) - linear @ np.array([middle_x, middle_y])
        return np.column_stack([linear, offset])

    def centre(self, progress: float) -> tuple[float, float]:
        """Return the (x, y) of the object's centre in image pixels."""
        height, width = self.image_size
        length, side = (width, height) if self.horizontal else (height, width)
        # The derivative is 1 + dwell * cos(2 pi (p - rest)) >= 0: monotonic from 0 to 1.
        turn = 2 * math.pi
        pace = progress + self.dwell * (math.sin(turn * (progress - self.rest)) + math.sin(turn * self.rest)) / turn
        if self.returns:
            pace = 0.6 * math.sin(math.pi * pace)
        along = -self.reach_px + pace * (length + 2 * self.reach_px)
        across = side * (self.lane + self.sway * math.sin(2 * math.pi * self.sway_turns * progress))
        if not self.forward:
            along = length - along
        return (along, across) if self.horizontal else (across, along)


def sample_trajectory(
    rng: Rng, *, sprite: int, sprite_size: tuple[int, int], grounded: bool, image_size: tuple[int, int]
) -> Trajectory:
    """Sample a trajectory of a sprite: along the floor if `grounded`, otherwise anywhere."""
    nearness = float(rng.uniform(0, 1))
    height = image_size[0]
    breathing = float(rng.uniform(0.02, 0.05) if grounded else rng.uniform(0.05, 0.15))
    # The sprite was drawn for the largest size: the scale stays at or below 1.
    scale = (0.5 + 0.5 * nearness if grounded else float(rng.uniform(0.5, 1.0))) / (1 + breathing)
    if grounded:
        feet = height * (0.66 + 0.32 * nearness)
        lane = (feet - scale * sprite_size[0] / 2) / height
        sway, spin, rocking, start = float(rng.uniform(0.002, 0.008)), 0.0, float(rng.uniform(0, 2.5)), 0.0
    else:
        lane, sway = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.05, 0.25))
        spin, rocking = float(rng.choice([-1, 1]) * rng.uniform(40, 400)), float(rng.uniform(0, 25))
        start = float(rng.uniform(-180, 180))
    # An upright object is outside the image as soon as its width is; rocking adds a little of its height.
    reach_px = 0.5 * sprite_size[1] + 0.05 * sprite_size[0] if grounded else 0.5 * math.hypot(*sprite_size)
    horizontal = grounded or bool(rng.random() < 0.6)
    return Trajectory(
        sprite=sprite,
        nearness=nearness,
        image_size=image_size,
        reach_px=scale * (1 + breathing) * reach_px + 2.0,
        horizontal=horizontal,
        forward=bool(rng.random() < 0.5),
        returns=not grounded and bool(rng.random() < 0.3),
        lane=lane,
        sway=sway,
        sway_turns=float(rng.uniform(6, 12) if grounded else rng.uniform(0.5, 2.5)),
        dwell=float(rng.uniform(0.3, 0.95)),
        rest=float(rng.uniform(-0.25, 0.25)),
        scale=scale,
        breathing=breathing,
        degrees=start,
        spin_degrees=spin,
        rocking_degrees=rocking,
    )
