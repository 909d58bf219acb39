"""The memory of all targets of a source: their first and recent frames, their positions and motion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from streamseg.propagation.extent import Extents
from streamseg.propagation.grid_memory import NO_FRAME, GridMemory
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array, IndexArray
from streamseg.structures.feature_map import halved

__all__ = ["TargetMemory"]


class TargetMemory:
    """First frame, recent frames and motion of T targets, which share the frames.

    Args:
        size: (H, W) of the grid.
        channels: number of channels of the features.
        radii: extent of the windows around their tiles, on the finest grid and on that of cells of twice the width.
        num_recent: maximum number of frames of a target after its first one.
    """

    def __init__(self, size: tuple[int, int], channels: int, radii: tuple[int, int], num_recent: int) -> None:
        self.target_ids: list[str] = []
        """The targets, in the order of all arrays."""
        self._fine = GridMemory(size, channels, radii[0])
        self._coarse = GridMemory((-(-size[0] // 2), -(-size[1] // 2)), channels, radii[1])
        self._uncoarsened: tuple[set[int], set[int]] = set(), set()
        """Slots whose features, and whose labels, are not up to date on the coarser grid."""
        self._known: BoolArray = np.zeros((1, 0), np.bool_)
        """(S, T): whether the frame of a slot contains the labels of a target."""
        self._slots: IndexArray = np.zeros((0, 1 + num_recent), np.int64)
        """(T, 1 + num_recent): first frame of each target, then its recent ones, oldest first, then `NO_FRAME`."""
        self._num_frames = 0
        """Maximum number of memory frames of a target."""
        self._seen_at: Float64Array = np.zeros((0, 1 + num_recent, 2))
        """(T, 1 + num_recent, 2): x, y of its centre of mass in them, in cells."""
        self.areas: Float64Array = np.zeros(0)
        """(T,): area in the newest memory frame of each target, in cells."""
        self._centres: Float64Array = np.zeros((0, 2))
        self._velocities: Float64Array = np.zeros((0, 2))
        self._boxes: Float64Array = np.zeros((0, 4))

    @property
    def slots(self) -> IndexArray:
        """(T, M): memory frames of each target, `NO_FRAME` for those that it has fewer than another target."""
        return self._slots[:, : self._num_frames]

    @property
    def motions(self) -> Float64Array:
        """(T, M, 2): x, y of each target in its memory frames relative to where it is expected, in cells."""
        motions: Float64Array = self._seen_at - (self._centres + self._velocities)[:, None]
        return motions[:, : self._num_frames]

    @property
    def expected_boxes(self) -> Float64Array:
        """(T, 4) xyxy: expected box of each target in the next frame, in cells."""
        expected: Float64Array = self._boxes + np.tile(self._velocities, 2)
        return expected

    def grid(self, level: int) -> GridMemory:
        """Return the frames on the grid of a level: 0 for the finest, 1 for cells of twice the width."""
        if not level:
            return self._fine
        features, labels = self._uncoarsened
        for slot in features:
            values = halved(self._fine.features(slot))
            lengths = np.sqrt(np.einsum("hwc,hwc->hw", values, values))[..., None]
            self._coarse.write(slot, values / np.maximum(lengths, 1e-6))
        for slot in labels:
            self._coarse.labels(slot)[:] = halved(self._fine.labels(slot))
        features.clear()
        labels.clear()
        return self._coarse

    def add_frame(self, features: Float32Array) -> int:
        """Return the slot of a frame with features (H, W, C); it is kept as long as `learn` assigns targets to it."""
        used = set(self._slots.ravel().tolist())
        slot = next(one for one in range(NO_FRAME + 1, len(used) + 2) if one not in used)
        if slot >= len(self._known):
            self._fine.reserve(slot + 1)
            self._coarse.reserve(slot + 1)
            self._known = np.concatenate([self._known, np.zeros((1, len(self.target_ids)), np.bool_)])
        self._fine.write(slot, features)
        self._known[slot] = False
        self._uncoarsened[0].add(slot)
        return slot

    def is_used(self, slot: int) -> bool:
        """Return whether any target has the frame in its memory."""
        return bool((self._slots == slot).any())

    def known(self, slots: IndexArray) -> BoolArray:
        """Return whether frames (...) contain the labels of each target: (..., T)."""
        known: BoolArray = self._known[slots]
        return known

    def retain(self, target_ids: Iterable[str]) -> None:
        """Forget all targets except these."""
        kept = set(target_ids)
        positions = np.array([at for at, one in enumerate(self.target_ids) if one in kept], np.int64)
        if len(positions) == len(self.target_ids):
            return
        self.target_ids = [self.target_ids[at] for at in positions]
        self._fine.keep_targets(positions)
        self._coarse.keep_targets(positions)
        self._known = self._known[:, positions]
        self._slots, self._seen_at = self._slots[positions], self._seen_at[positions]
        self._num_frames = int(np.count_nonzero(self._slots, axis=1).max(initial=0))
        self.areas, self._boxes = self.areas[positions], self._boxes[positions]
        self._centres, self._velocities = self._centres[positions], self._velocities[positions]

    def move(self, at: IndexArray, found: Extents, is_visible: BoolArray) -> None:
        """Set the positions in the newest frame of n targets, of which those not visible (n,) are expected to stay.

        Each target is moved once per frame, by this method or by `move_boxes`.

        Args:
            at: (n,), positions of the targets in the order of all arrays.
            found: their extents.
            is_visible: (n,).
        """
        seen = is_visible[:, None]
        self._velocities[at] = np.where(seen, found.centres - self._centres[at], 0)
        self._centres[at] = np.where(seen, found.centres, self._centres[at])
        self._boxes[at] = np.where(seen, found.boxes, self._boxes[at])

    def move_boxes(self, at: IndexArray, boxes: Float64Array) -> None:
        """Set the positions in the newest frame of n targets at (n,), of which only the boxes (n, 4) xyxy are known."""
        moved = boxes - self._boxes[at]
        self._velocities[at] = (moved[:, :2] + moved[:, 2:]) / 2
        self._centres[at] += self._velocities[at]
        self._boxes[at] = boxes

    def learn(self, slot: int, target_ids: Sequence[str], labels: Float32Array, found: Extents) -> None:
        """Assign some targets to a frame; of the recent frames of a target, the oldest one is dropped.

        Args:
            slot: the frame.
            target_ids: the n targets; unknown ones start with this frame.
            labels: (n, H, W), 0..1: how much of each cell belongs to each.
            found: extents of the targets in the frame.
        """
        self._start([one for one in target_ids if one not in self.target_ids])
        position = {one: at for at, one in enumerate(self.target_ids)}
        at = np.array([position[one] for one in target_ids], np.int64)
        self._fine.labels(slot)[..., at] = np.moveaxis(labels, 0, 2)
        self._uncoarsened[1].add(slot)
        self._known[slot, at] = True
        counts = np.count_nonzero(self._slots[at], axis=1)
        is_new, places = counts == 0, np.minimum(counts, self._slots.shape[1] - 1)
        # A target without recent frames keeps its first one only.
        full = at[counts == self._slots.shape[1]] if self._slots.shape[1] > 1 else at[:0]
        self._slots[full, 1:-1], self._seen_at[full, 1:-1] = self._slots[full, 2:], self._seen_at[full, 2:]
        written = np.ones(len(at), np.bool_) if self._slots.shape[1] > 1 else is_new
        self._slots[at[written], places[written]] = slot
        self._num_frames = int(np.count_nonzero(self._slots, axis=1).max(initial=0))
        self._seen_at[at[written], places[written]] = found.centres[written]
        shifted = self._velocities[at] + found.centres - self._centres[at]
        self._velocities[at] = np.where(is_new[:, None], 0, shifted)
        self._centres[at], self._boxes[at], self.areas[at] = found.centres, found.boxes, found.areas

    def _start(self, target_ids: list[str]) -> None:
        """Append targets without any frame."""
        number = len(target_ids)
        if not number:
            return
        self.target_ids = self.target_ids + target_ids
        self._fine.add_targets(number)
        self._coarse.add_targets(number)
        self._known = np.pad(self._known, ((0, 0), (0, number)))
        self._slots = np.pad(self._slots, ((0, number), (0, 0)))
        self._seen_at = np.pad(self._seen_at, ((0, number), (0, 0), (0, 0)))
        self.areas, self._boxes = np.pad(self.areas, (0, number)), np.pad(self._boxes, ((0, number), (0, 0)))
        self._centres = np.pad(self._centres, ((0, number), (0, 0)))
        self._velocities = np.pad(self._velocities, ((0, number), (0, 0)))
