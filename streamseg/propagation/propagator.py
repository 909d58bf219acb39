"""Propagation of the masks of all targets of one source, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from streamseg.propagation.affinity import similar_cells
from streamseg.propagation.basis import FeatureBasis
from streamseg.propagation.extent import extents
from streamseg.propagation.gather import gather_windows
from streamseg.propagation.memory import MemoryFrame, Sighting, TargetMemory
from streamseg.propagation.pixels import enlarged
from streamseg.propagation.settings import PropagationSettings
from streamseg.propagation.tiles import TILE, pad_features, reach, search_tiles
from streamseg.structures.arrays import Float32Array, Float64Array, IndexArray
from streamseg.structures.feature_map import FeatureMap

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
        self._reaches = [reach(radius) for radius in self._radii]
        self._targets: dict[str, TargetMemory] = {}
        self._grid: tuple[int, ...] | None = None
        self._basis = FeatureBasis(self._settings.num_components)

    @property
    def target_ids(self) -> tuple[str, ...]:
        """Ids of the targets with a memory."""
        return tuple(self._targets)

    def retain(self, target_ids: Iterable[str]) -> None:
        """Forget all targets except these."""
        kept = set(target_ids)
        self._targets = {one: memory for one, memory in self._targets.items() if one in kept}

    def propagate(self, features: FeatureMap) -> dict[str, Float32Array]:
        """Return the masks of all targets in the next frame.

        Args:
            features: features of the frame. A grid of another size than before empties the memory.

        Returns:
            Soft masks (H, W), 0..1, by target id, for the targets that are visible; a cell belongs to a target above
            0.5. Cells outside of all search regions are 0.
        """
        self._prepare(features)
        if not self._targets:
            return {}
        soft = np.ascontiguousarray(np.moveaxis(self._all_labels(self._basis.reduced(features)), 2, 0))  # (T, H, W)
        areas, centres, found_boxes = extents(soft > 0.5)
        found = {}
        for position, (target_id, memory) in enumerate(self._targets.items()):
            if areas[position] > MIN_AREA_SHARE * memory.area:
                memory.move(centres[position], found_boxes[position])
                found[target_id] = soft[position]
            else:
                memory.stay()
        return found

    def learn(self, features: FeatureMap, masks: Mapping[str, Float32Array]) -> None:
        """Write the masks of some targets in the newest frame to the memory; unknown targets start with it.

        Args:
            features: the features of the frame.
            masks: (H, W), 0..1, by target id: how much of each cell belongs to the target. An empty mask is not
                written.
        """
        if not masks:
            return
        self._prepare(features)
        features = self._basis.reduced(features)
        columns = {target_id: column for column, target_id in enumerate(masks)}
        labels = np.stack(list(masks.values()))  # (T, H, W)
        frame = MemoryFrame(features, np.ascontiguousarray(np.moveaxis(labels, 0, 2)), columns, self._radii)
        # A mask smaller than a cell consists of the cells that it covers most.
        inside = labels >= np.minimum(labels.max(axis=(1, 2), keepdims=True), 0.5).clip(min=1e-6)
        areas, centres, boxes = extents(inside)
        for position, target_id in enumerate(masks):
            if not areas[position]:
                continue
            sighting = Sighting(frame, centres[position])
            memory = self._targets.get(target_id)
            if memory is None:
                memory = TargetMemory(sighting, boxes[position], self._settings.num_recent)
                self._targets[target_id] = memory
            else:
                memory.add(sighting, boxes[position])
            memory.area = areas[position]

    def _prepare(self, features: FeatureMap) -> None:
        """Forget everything if the features have another shape than before; choose a basis before the first target."""
        if features.values.shape != self._grid:
            self._targets, self._grid = {}, features.values.shape
        if not self._targets:
            self._basis = FeatureBasis(self._settings.num_components)

    def _all_labels(self, features: FeatureMap) -> Float32Array:
        """Return the soft masks (H, W, T) of all targets.

        If the search regions have too many tiles, cells of twice the width are used, and the finest ones only in those
        tiles in which the result is uncertain: at outlines.
        """
        boxes = np.stack([_region(memory) for memory in self._targets.values()])
        tiles, owners = search_tiles(boxes, features.size)
        labels = np.zeros((*features.size, len(self._targets)), np.float32)
        if len(tiles) > self._settings.max_tiles:
            coarse_tiles, coarse_owners = search_tiles(boxes / 2, features.coarser.size)
            coarse = np.zeros((*features.coarser.size, len(self._targets)), np.float32)
            self._write(coarse, features.coarser, coarse_tiles, coarse_owners, level=1)
            labels[:] = _doubled(coarse)[: labels.shape[0], : labels.shape[1]]
            chosen = _uncertain(labels, tiles, self._settings.max_tiles - len(coarse_tiles))
            tiles, owners = tiles[chosen], owners[chosen]
        self._write(labels, features, tiles, owners, level=0)
        return labels

    def _write(
        self, labels: Float32Array, features: FeatureMap, tiles: IndexArray, owners: IndexArray, *, level: int
    ) -> None:
        """Write the labels of all targets in some tiles to those (H, W, T) of the grid of a level."""
        if not len(tiles):
            return
        height, width = features.size
        radius = self._radii[level]
        padded = pad_features(features.values, radius)
        queries = np.empty((len(tiles), TILE, TILE, padded.shape[2]), np.float32)
        for tile, (row, column) in enumerate((tiles * TILE + radius).tolist()):
            queries[tile] = padded[row : row + TILE, column : column + TILE]
        queries[..., -1] = 1
        memory = gather_windows(list(self._targets.values()), tiles, owners, level=level, radius=radius)
        votes = similar_cells(
            queries.reshape(len(tiles), TILE * TILE, -1),
            memory.keys,
            self._reaches[level],
            num_votes=self._settings.num_votes,
            temperature=self._settings.temperature,
        )
        found = memory.labels(votes, list(self._targets)).reshape(len(tiles), TILE, TILE, -1)
        for (row, column), one in zip((tiles * TILE).tolist(), found, strict=True):
            labels[row : row + TILE, column : column + TILE] = one[: height - row, : width - column]


def _uncertain(labels: Float32Array, tiles: IndexArray, number: int) -> IndexArray:
    """Return the positions of the `number` tiles with the most uncertain labels (H, W, T), in order."""
    height, width = labels.shape[:2]
    doubt = np.zeros((-(-height // TILE) * TILE, -(-width // TILE) * TILE), np.float32)
    doubt[:height, :width] = np.minimum(labels, 1 - labels).max(axis=2)
    sums = doubt.reshape(doubt.shape[0] // TILE, TILE, -1, TILE).sum(axis=(1, 3))[tiles[:, 0], tiles[:, 1]]
    chosen: IndexArray = np.sort(np.argsort(-sums, kind="stable")[: max(number, 0)])
    return chosen


def _region(memory: TargetMemory) -> Float64Array:
    """Return the search region (4,) xyxy of a target, in cells."""
    box = memory.expected_box
    margin = REGION_MARGIN + REGION_SHARE * (box[2:] - box[:2])
    return np.concatenate((box[:2] - margin, box[2:] + margin))


def _doubled(grid: Float32Array) -> Float32Array:
    """Interpolate a grid (H, W, T) to cells of half the width: (2 H, 2 W, T)."""
    return enlarged(grid, (2 * grid.shape[0], 2 * grid.shape[1]))
