"""How one object comes into the picture, moves through it, and leaves it for good."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamseg.synthetic.textures import Rng

__all__ = ["Passage", "draw_passage"]

Affine = npt.NDArray[np.float64]
"""(2, 3): sprite pixel coordinates to picture pixel coordinates."""


@dataclass(frozen=True)
class Passage:
    """The way of one object from outside the picture to outside the picture.

    Along one axis it crosses, or comes in and goes out on the same side; along the other it stays
    inside. So it is in the picture once, without a gap, and one passage is one identity.
    """

    sprite: int
    """Which sprite of the scene."""
    nearness: float
    """0 far .. 1 near: what is nearer hides what is farther, and is larger."""
    picture_size: tuple[int, int]
    """(H, W)."""
    reach_px: float
    """From its centre, the farthest that it ever extends."""
    horizontal: bool
    """Crosses along x, else along y."""
    forward: bool
    """Enters at the left (top), else at the right (bottom)."""
    returns: bool
    """Leaves where it came in."""
    lane: float
    """Where it stays along the other axis, 0..1 of that side."""
    sway: float
    """Amplitude of its movement around the lane, in the same unit."""
    sway_turns: float
    """Periods of that movement in one passage."""
    dwell: float
    """0 even pace .. 1 comes to rest on the way."""
    rest: float
    """Where on the way it is slowest, -0.5..0.5 around the middle."""
    scale: float
    """Of the sprite."""
    breathing: float
    """Relative amplitude of the slow change of scale."""
    degrees: float
    """Rotation at the start."""
    spin_degrees: float
    """How far it turns in all."""
    rocking_degrees: float
    """Amplitude of rocking."""

    def matrix(self, progress: float, sprite_size: tuple[int, int]) -> Affine:
        """Where the sprite of (H, W) pixels lies when `progress` 0..1 of the passage is over."""
        x, y = self.centre(progress)
        scale = self.scale * (1.0 + self.breathing * math.sin(2 * math.pi * (progress + self.lane)))
        rocking = self.rocking_degrees * math.sin(2 * math.pi * 3 * progress)
        angle = math.radians(self.degrees + self.spin_degrees * progress + rocking)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        # Figures are drawn facing right.
        facing = -1.0 if self.horizontal and not self.forward else 1.0
        middle_x, middle_y = (sprite_size[1] - 1) / 2, (sprite_size[0] - 1) / 2
        linear = np.array([[cos * facing, -sin], [sin * facing, cos]])
        offset = np.array([x, y]) - linear @ np.array([middle_x, middle_y])
        return np.column_stack([linear, offset])

    def centre(self, progress: float) -> tuple[float, float]:
        """(x, y) of the object's centre in picture pixels."""
        height, width = self.picture_size
        length, side = (width, height) if self.horizontal else (height, width)
        # The derivative is 1 + dwell * cos(2 pi (p - rest)) >= 0: from 0 to 1 and never backwards.
        turn = 2 * math.pi
        pace = progress + self.dwell * (math.sin(turn * (progress - self.rest)) + math.sin(turn * self.rest)) / turn
        if self.returns:
            pace = 0.6 * math.sin(math.pi * pace)
        along = -self.reach_px + pace * (length + 2 * self.reach_px)
        across = side * (self.lane + self.sway * math.sin(2 * math.pi * self.sway_turns * progress))
        if not self.forward:
            along = length - along
        return (along, across) if self.horizontal else (across, along)


def draw_passage(
    rng: Rng, *, sprite: int, sprite_size: tuple[int, int], grounded: bool, picture_size: tuple[int, int]
) -> Passage:
    """Draw a way for a sprite: along the floor for what stands on it, anywhere for the rest."""
    nearness = float(rng.uniform(0, 1))
    height = picture_size[0]
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
    # What stays upright is out of the picture as soon as its width is; rocking adds a little of its height.
    reach_px = 0.5 * sprite_size[1] + 0.05 * sprite_size[0] if grounded else 0.5 * math.hypot(*sprite_size)
    horizontal = grounded or bool(rng.random() < 0.6)
    return Passage(
        sprite=sprite,
        nearness=nearness,
        picture_size=picture_size,
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
