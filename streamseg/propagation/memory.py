"""The memory of a target: its first frame and some recent ones, shared with the other targets of the source.

GridMemory    features and labels of one frame on one grid
MemoryFrame   one frame on the finest grid and on one of cells of twice the width
TargetMemory  the frames and positions of one target
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamseg.propagation.tiles import pad_features, pad_labels
from streamseg.structures.arrays import Float32Array, Float64Array
from streamseg.structures.feature_map import FeatureMap, halved

__all__ = ["GridMemory", "MemoryFrame", "Sighting", "TargetMemory"]


@dataclass(frozen=True, eq=False)
class GridMemory:
    """Features and labels of one frame on one grid, padded as `tiles` describes."""

    features: Float32Array
    """(Hp, Wp, C + 1)."""
    labels: Float32Array
    """(Hp, Wp, T), 0..1: how much of a cell belongs to each target."""


@dataclass(frozen=True, eq=False)
class MemoryFrame:
    """One frame with the labels of some targets."""

    features: FeatureMap
    labels: Float32Array
    """(H, W, T), 0..1."""
    columns: dict[str, int]
    """Channel of the labels by target id."""
    radii: tuple[int, int]
    """Padding of the two grids, in their cells."""

    def grid(self, level: int) -> GridMemory:
        """Return the frame on the grid of a level: 0 for the finest, 1 for cells of twice the width."""
        return self._coarse if level else self._fine

    @cached_property
    def _fine(self) -> GridMemory:
        return GridMemory(pad_features(self.features.values, self.radii[0]), pad_labels(self.labels, self.radii[0]))

    @cached_property
    def _coarse(self) -> GridMemory:
        values = self.features.coarser.values
        return GridMemory(pad_features(values, self.radii[1]), pad_labels(halved(self.labels), self.radii[1]))


@dataclass(frozen=True, eq=False)
class Sighting:
    """A target in one memory frame."""

    frame: MemoryFrame
    centre: Float64Array
    """(2,) x, y of its centre of mass, in cells."""


class TargetMemory:
    """First frame, recent frames and motion of one target.

    Args:
        first: the frame that shows what the target is.
        box: (4,) xyxy of the target in it, in cells.
        num_recent: maximum number of later frames.
    """

    def __init__(self, first: Sighting, box: Float64Array, num_recent: int) -> None:
        self._first = first
        self._recent: deque[Sighting] = deque(maxlen=num_recent)
        self.box = box
        """Latest box (4,) xyxy, in cells."""
        self.area = 0.0
        """Area in the newest memory frame, in cells."""
        self._centre = first.centre
        self._velocity = np.zeros(2)

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """The first frame, then the recent ones, oldest first."""
        return (self._first, *self._recent)

    @property
    def expected_centre(self) -> Float64Array:
        """Expected centre (2,) x, y in the next frame, in cells."""
        expected: Float64Array = self._centre + self._velocity
        return expected

    @property
    def expected_box(self) -> Float64Array:
        """Expected box (4,) xyxy in the next frame, in cells."""
        expected: Float64Array = self.box + np.tile(self._velocity, 2)
        return expected

    def move(self, centre: Float64Array, box: Float64Array) -> None:
        """Set the position in the newest frame; called once per frame in which the target is visible."""
        self._velocity, self._centre, self.box = centre - self._centre, centre, box

    def stay(self) -> None:
        """Expect the target at its latest position: it is not visible."""
        self._velocity = np.zeros(2)

    def add(self, sighting: Sighting, box: Float64Array) -> None:
        """Add the newest frame, with the box (4,) of the target in it; the oldest of the recent ones is dropped."""
        self._recent.append(sighting)
        self._velocity, self._centre, self.box = self._velocity + sighting.centre - self._centre, sighting.centre, box
