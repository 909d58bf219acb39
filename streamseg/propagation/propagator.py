"""Propagation of the masks of all targets of one source, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
import torch

from streamseg.propagation.affinity import propagate_labels
from streamseg.propagation.extent import extents
from streamseg.propagation.gather import gather_windows
from streamseg.propagation.memory import MemoryFrame, Sighting, TargetMemory
from streamseg.propagation.settings import PropagationSettings
from streamseg.propagation.tiles import TILE, pad_features, search_tiles
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
        self._targets: dict[str, TargetMemory] = {}
        self._grid: tuple[int, ...] | None = None

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
        if features.values.shape != self._grid:
            self._targets, self._grid = {}, features.values.shape
        if not self._targets:
            return {}
        memories = list(self._targets.values())
        boxes = np.stack([_region(memory) for memory in memories])
        tiles, owners = search_tiles(boxes, features.size)
        if len(tiles) <= self._settings.max_tiles:
            soft = self._soft(features, tiles, owners, level=0)
        else:
            height, width = features.size
            coarse = self._soft(features.coarser, *search_tiles(boxes / 2, features.coarser.size), level=1)
            soft = _doubled(coarse)[:height, :width]
        soft = np.ascontiguousarray(np.moveaxis(soft, 2, 0))  # (T, H, W)
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
        if features.values.shape != self._grid:
            self._targets, self._grid = {}, features.values.shape
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

    def _soft(self, features: FeatureMap, tiles: IndexArray, owners: IndexArray, *, level: int) -> Float32Array:
        """Return the soft masks (H, W, T) of all targets on the grid of a level."""
        height, width = features.size
        soft = np.zeros((height, width, len(self._targets)), np.float32)
        if not len(tiles):
            return soft
        radius = self._radii[level]
        found = self._tile_labels(pad_features(features.values, radius), tiles, owners, level)
        for (row, column), labels in zip((tiles * TILE).tolist(), found, strict=True):
            soft[row : row + TILE, column : column + TILE] = labels[: height - row, : width - column]
        return soft

    def _tile_labels(self, padded: Float32Array, tiles: IndexArray, owners: IndexArray, level: int) -> Float32Array:
        """Return the labels (N, TILE, TILE, T) of all targets in the tiles of a padded feature grid."""
        radius = self._radii[level]
        queries = np.empty((len(tiles), TILE, TILE, padded.shape[2]), np.float32)
        for tile, (row, column) in enumerate((tiles * TILE + radius).tolist()):
            queries[tile] = padded[row : row + TILE, column : column + TILE]
        queries[..., -1] = 1
        gathered = gather_windows(
            list(self._targets.values()), list(self._targets), tiles, owners, level=level, radius=radius
        )
        found = propagate_labels(
            torch.from_numpy(queries).flatten(1, 2),
            torch.from_numpy(gathered.keys).flatten(2, 3),
            torch.from_numpy(gathered.labels).flatten(2, 3),
            torch.from_numpy(gathered.known),
            num_neighbours=self._settings.num_neighbours,
            temperature=self._settings.temperature,
        )
        labels: Float32Array = found.numpy().reshape(len(tiles), TILE, TILE, -1)
        return labels


def _region(memory: TargetMemory) -> Float64Array:
    """Return the search region (4,) xyxy of a target, in cells."""
    box = memory.expected_box
    margin = REGION_MARGIN + REGION_SHARE * (box[2:] - box[:2])
    return np.concatenate((box[:2] - margin, box[2:] + margin))


def _doubled(grid: Float32Array) -> Float32Array:
    """Interpolate a grid (H, W, T) to cells of half the width: (2 H, 2 W, T)."""
    height, width = grid.shape[:2]
    # OpenCV limits the number of channels, and drops a single one.
    channels = [cv2.resize(one, (2 * width, 2 * height)) for one in np.moveaxis(grid, 2, 0)]
    doubled: Float32Array = np.stack(channels, axis=2)
    return doubled
