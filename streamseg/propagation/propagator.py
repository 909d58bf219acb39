"""Propagation of the masks of all targets of one source, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from streamseg.propagation.affinity import similar_cells
from streamseg.propagation.basis import FeatureBasis
from streamseg.propagation.extent import Extents, extents
from streamseg.propagation.grid_memory import NO_FRAME
from streamseg.propagation.memory import TargetMemory
from streamseg.propagation.pixels import enlarged
from streamseg.propagation.settings import PropagationSettings
from streamseg.propagation.tiles import TILE, reach, search_tiles, windows
from streamseg.structures.arrays import Float32Array, Float64Array, IndexArray
from streamseg.structures.feature_map import FeatureMap
from streamseg.structures.grid import GridTransform

__all__ = ["LabelPropagator"]

REGION_MARGIN = 3.0
"""Margin of a search region around the expected box of its target, per side, in cells."""
REGION_SHARE = 0.25
"""The same as a fraction of the box side: large objects deform and move farther."""
MIN_AREA_SHARE = 0.1
"""Minimum area of a propagated mask relative to the target's newest memory frame; a smaller one is a remnant."""


class LabelPropagator:
    """The memories of the targets of one source, and their masks in the next frame.

    Call `propagate` and then `learn` for each frame. Without targets, neither costs anything.

    Args:
        settings: settings of the propagation.
    """

    def __init__(self, settings: PropagationSettings | None = None) -> None:
        self._settings = settings if settings is not None else PropagationSettings()
        self._radii = (self._settings.radius, -(-self._settings.radius // 2))
        self._reaches: dict[tuple[int, int], Float32Array] = {}
        """`tiles.reach` by level, repeated for a number of frames."""
        self._basis = FeatureBasis(self._settings.num_components)
        self._shape: tuple[int, ...] | None = None
        self._to_image: GridTransform | None = None
        self._memory: TargetMemory | None = None
        self._newest: tuple[FeatureMap, int] | None = None
        """The newest features, and their slot in the memory."""

    @property
    def target_ids(self) -> tuple[str, ...]:
        """Ids of the targets with a memory."""
        return () if self._memory is None else tuple(self._memory.target_ids)

    def retain(self, target_ids: Iterable[str]) -> None:
        """Forget all targets except these."""
        if self._memory is not None:
            self._memory.retain(target_ids)

    def is_ready(self, features: FeatureMap) -> bool:
        """Return whether the targets in the memory can be found in a frame with features; else they start anew."""
        return self._memory is not None and features.values.shape == self._shape

    def rest(self, boxes: Mapping[str, Float64Array]) -> None:
        """Move targets whose masks are not needed in a frame.

        Args:
            boxes: their boxes (4,) xyxy in pixels of the image, by target id.
        """
        memory, to_image = self._memory, self._to_image
        at = [] if memory is None else [position for position, one in enumerate(memory.target_ids) if one in boxes]
        if memory is not None and to_image is not None and at:
            offsets, scales = ([first, second] * 2 for first, second in (to_image[2:], to_image[:2]))
            chosen = np.array([boxes[memory.target_ids[position]] for position in at])
            memory.move_boxes(np.array(at), (chosen - offsets) / scales)

    def propagate(
        self, features: FeatureMap, resting: Mapping[str, Float64Array] | None = None
    ) -> dict[str, Float32Array]:
        """Return the masks of the targets in the next frame.

        Args:
            features: features of the frame. A grid of another size than before empties the memory.
            resting: the targets whose masks are not needed in this frame, see `rest`, which is not called besides.

        Returns:
            Soft masks (H, W), 0..1, by target id, for the other targets that are visible; a cell belongs to a target
            above 0.5. Cells outside of all search regions are 0.
        """
        memory = self._memory
        if memory is None or not memory.target_ids or not self.is_ready(features):
            self._memory = None
            return {}
        resting = resting or {}
        self.rest(resting)
        at = np.array([position for position, one in enumerate(memory.target_ids) if one not in resting], np.int64)
        if not len(at):
            return {}
        labels = self._all_labels(memory, self._slot(memory, features), at)
        soft = np.ascontiguousarray(np.moveaxis(labels, 2, 0))  # (n, H, W)
        found = extents(soft > 0.5)
        is_visible = found.areas > MIN_AREA_SHARE * memory.areas[at]
        memory.move(at, found, is_visible)
        return {memory.target_ids[at[one]]: soft[one] for one in np.flatnonzero(is_visible).tolist()}

    def learn(self, features: FeatureMap, masks: Mapping[str, Float32Array]) -> None:
        """Write the masks of some targets in the newest frame to the memory; unknown targets start with it.

        Args:
            features: the features of the frame.
            masks: (H, W), 0..1, by target id: how much of each cell belongs to the target. An empty mask is not
                written.
        """
        if not masks:
            return
        memory = self._memory
        if memory is None or not memory.target_ids or features.values.shape != self._shape:
            # The basis is chosen with the first target.
            self._basis, self._newest = FeatureBasis(self._settings.num_components), None
            self._shape, self._to_image = features.values.shape, features.to_image
            channels = self._basis.reduced(features).values.shape[2]
            self._memory = memory = TargetMemory(features.size, channels, self._radii, self._settings.num_recent)
        labels = np.stack(list(masks.values()))  # (T, H, W)
        # A mask smaller than a cell consists of the cells that it covers most.
        found = extents(labels >= np.minimum(labels.max(axis=(1, 2), keepdims=True), 0.5).clip(min=1e-6))
        solid = np.flatnonzero(found.areas)
        if len(solid):
            slot = self._slot(memory, features)
            if memory.is_used(slot):  # by a target that has learnt from the same features already
                slot = memory.add_frame(self._basis.reduced(features).values)
            target_ids = list(masks)
            chosen = Extents(*(values[solid] for values in found))
            memory.learn(slot, [target_ids[position] for position in solid.tolist()], labels[solid], chosen)

    def _slot(self, memory: TargetMemory, features: FeatureMap) -> int:
        """Return the slot of a frame, which is added to the memory unless it is the newest one already."""
        if self._newest is None or self._newest[0] is not features:
            self._newest = features, memory.add_frame(self._basis.reduced(features).values)
        return self._newest[1]

    def _all_labels(self, memory: TargetMemory, slot: int, at: IndexArray) -> Float32Array:
        """Return the soft masks (H, W, n) of the targets at some positions (n,) in their search regions.

        If the search regions have too many tiles, cells of twice the width are used, and the finest ones only in those
        tiles in which the result is uncertain: at outlines.
        """
        boxes, size = _regions(memory.expected_boxes[at]), memory.grid(0).size
        tiles, owners = search_tiles(boxes, size)
        if len(tiles) <= self._settings.max_tiles:
            return self._labels(memory, slot, tiles, owners, at, level=0)
        coarse_tiles, coarse_owners = search_tiles(boxes / 2, memory.grid(1).size)
        coarse = self._labels(memory, slot, coarse_tiles, coarse_owners, at, level=1)
        labels = _doubled(coarse)[: size[0], : size[1]]
        chosen = _uncertain(labels, tiles, self._settings.max_tiles - len(coarse_tiles))
        return self._labels(memory, slot, tiles[chosen], owners[chosen], at, level=0, elsewhere=labels)

    def _labels(
        self,
        memory: TargetMemory,
        slot: int,
        tiles: IndexArray,
        owners: IndexArray,
        at: IndexArray,
        *,
        level: int,
        elsewhere: Float32Array | None = None,
    ) -> Float32Array:
        """Return the labels (H, W, n) of the targets at some positions (n,) on the grid of a level.

        A window is displaced by as much as the owner of its tile has moved since the frame. A frame that does not
        contain a target does not count for it; without any such frame, its labels are 0.

        Args:
            memory: the memory.
            slot: the frame.
            tiles: (N, 2), the tiles that are computed, see `search_tiles`.
            owners: (N,), the owner of each, as a position in `at`.
            at: (n,), positions of the targets in the memory.
            level: see `TargetMemory.grid`.
            elsewhere: labels (H, W, n) outside of the tiles; None for 0.
        """
        grid = memory.grid(level)
        (height, width), (down, across) = grid.size, (-(-length // TILE) for length in grid.size)
        labels = np.zeros((down, TILE, across, TILE, len(at)), np.float32)
        whole = labels.reshape(down * TILE, across * TILE, -1)[:height, :width]
        if elsewhere is not None:
            whole[:] = elsewhere
        if not len(tiles):
            return whole
        slots = memory.slots[at[owners]]  # (N, M)
        shifts = np.rint(memory.motions[at[owners]][..., ::-1] / 2**level).astype(np.int64)  # (N, M, 2) rows, columns
        starts = windows(grid.padded, tiles, shifts, grid.radius)
        votes = similar_cells(
            grid.queries(slot, tiles),
            grid.keys(slots, starts),
            self._reach(level, slots.shape[1]),
            num_votes=self._settings.num_votes,
            temperature=self._settings.temperature,
        )
        found = grid.voted(votes, slots, starts)[..., at]  # (N, Q, n)
        known = memory.known(slots)[..., at]  # (N, M, n)
        if not known[slots != NO_FRAME].all():
            counted = np.einsum("nqm,nmt->nqt", votes.weights.sum(axis=3), known.astype(np.float32))
            found /= np.maximum(counted, 1e-9)
        labels[tiles[:, 0], :, tiles[:, 1]] = found.reshape(len(tiles), TILE, TILE, -1)
        return whole

    def _reach(self, level: int, num_frames: int) -> Float32Array:
        """Return `tiles.reach` (Q, M * L) for M frames."""
        if (level, num_frames) not in self._reaches:
            self._reaches[level, num_frames] = np.tile(reach(self._radii[level]), (1, num_frames))
        return self._reaches[level, num_frames]


def _uncertain(labels: Float32Array, tiles: IndexArray, number: int) -> IndexArray:
    """Return the positions of the `number` tiles with the most uncertain labels (H, W, n), in order."""
    height, width = labels.shape[:2]
    doubt = np.zeros((-(-height // TILE) * TILE, -(-width // TILE) * TILE), np.float32)
    doubt[:height, :width] = np.minimum(labels, 1 - labels).max(axis=2)
    sums = doubt.reshape(doubt.shape[0] // TILE, TILE, -1, TILE).sum(axis=(1, 3))[tiles[:, 0], tiles[:, 1]]
    chosen: IndexArray = np.sort(np.argsort(-sums, kind="stable")[: max(number, 0)])
    return chosen


def _regions(boxes: Float64Array) -> Float64Array:
    """Return the search regions (T, 4) xyxy around expected boxes (T, 4), in cells."""
    margins = REGION_MARGIN + REGION_SHARE * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate((boxes[:, :2] - margins, boxes[:, 2:] + margins), axis=1)


def _doubled(grid: Float32Array) -> Float32Array:
    """Interpolate a grid (H, W, T) to cells of half the width: (2 H, 2 W, T)."""
    return enlarged(grid, (2 * grid.shape[0], 2 * grid.shape[1]))
