"""Label propagation as plainly as it can be written: cell by cell, frame by frame, target by target.

The package computes the same in batches; tests compare both.
"""

import numpy as np

from streamseg.propagation.pixels import enlarged
from streamseg.propagation.propagator import MIN_AREA_SHARE, REGION_MARGIN, REGION_SHARE
from streamseg.propagation.tiles import OUTSIDE_SIMILARITY, TILE, search_tiles
from streamseg.structures.feature_map import FeatureMap, halved


class PlainTarget:
    """Frames and motion of one target."""

    def __init__(self, number):
        self.frames = []  # (features, {target: labels}, centre), the first one first
        self.number = number
        self.centre = self.velocity = np.zeros(2)
        self.box = np.zeros(4)
        self.area = 0


class PlainPropagator:
    """`LabelPropagator` without principal components, on one of the two grids."""

    def __init__(self, *, radius, num_votes, temperature, num_recent, level):
        self.radius, self.num_votes, self.temperature = -(-radius // 2) if level else radius, num_votes, temperature
        self.num_recent, self.level = num_recent, level
        self.targets = {}

    def propagate(self, features):
        if not self.targets:
            return {}
        grid = features.coarser if self.level else features
        targets = list(self.targets.values())
        soft = np.zeros((*grid.size, len(targets)), np.float32)
        regions = np.stack([self.region(target) for target in targets])
        for (down, across), owner in zip(*search_tiles(regions / 2**self.level, grid.size), strict=True):
            for y in range(down * TILE, min(down * TILE + TILE, grid.size[0])):
                for x in range(across * TILE, min(across * TILE + TILE, grid.size[1])):
                    soft[y, x] = self.labels(grid, y, x, (down * TILE, across * TILE), targets[owner], targets)
        if self.level:
            soft = enlarged(soft, (2 * grid.size[0], 2 * grid.size[1]))[: features.size[0], : features.size[1]]
        return {
            target.number: soft[..., at] for at, target in enumerate(targets) if self.moved(target, soft[..., at] > 0.5)
        }

    def learn(self, features, masks):
        known = {one: np.array(mask) for one, mask in masks.items() if mask.any()}
        for number, mask in known.items():
            target = self.targets.setdefault(number, PlainTarget(number))
            inside = mask >= max(min(mask.max(), 0.5), 1e-6)
            centre, box = centre_and_box(inside)
            if not target.frames:
                target.centre = centre
            target.velocity, target.centre = target.velocity + centre - target.centre, centre
            target.box, target.area = box, np.count_nonzero(inside)
            recent = [*target.frames[1:], (features, known, centre)] if target.frames else []
            first = target.frames[:1] or [(features, known, centre)]
            target.frames = first + recent[len(recent) - min(self.num_recent, len(recent)) :]

    def region(self, target):
        box = target.box + np.tile(target.velocity, 2)
        margin = REGION_MARGIN + REGION_SHARE * (box[2:] - box[:2])
        return np.concatenate([box[:2] - margin, box[2:] + margin])

    def moved(self, target, inside):
        if not np.count_nonzero(inside) > MIN_AREA_SHARE * target.area:
            target.velocity = np.zeros(2)
            return False
        centre, target.box = centre_and_box(inside)
        target.velocity, target.centre = centre - target.centre, centre
        return True

    def labels(self, grid, y, x, tile, owner, targets):
        """The labels of a cell: those of the most similar cells of each frame, as far as a frame knows the target."""
        votes = []
        for features, masks, centre in owner.frames:
            shift = np.rint((centre - owner.centre - owner.velocity)[::-1] / 2**self.level).astype(int)
            memory = features.coarser if self.level else features
            votes += [(similarity, masks, cell) for similarity, cell in self.best(grid, memory, (y, x), tile, shift)]
        weights = np.exp((np.array([one for one, _, _ in votes]) - max(one for one, _, _ in votes)) / self.temperature)
        weights /= weights.sum()
        found = np.zeros(len(targets))
        for at, target in enumerate(targets):
            knows = np.array([target.number in masks for _, masks, _ in votes])
            shares = [self.share(masks.get(target.number), cell) for _, masks, cell in votes]
            found[at] = (weights * shares).sum() / max((weights * knows).sum(), 1e-9)
        return found

    def best(self, grid, memory, cell, tile, shift):
        """The most similar cells of a frame within the radius of a cell, displaced as the window of its tile is.

        The window is moved inside if it leaves the grid, which ends with whole tiles; beside the grid, cells are None.
        """
        ends = [-(-side // TILE) * TILE - TILE for side in grid.size]
        top, left = (int(np.clip(tile[axis] + shift[axis], 0, ends[axis])) - tile[axis] for axis in (0, 1))
        similarities = []
        for y in range(cell[0] + top - self.radius, cell[0] + top + self.radius + 1):
            for x in range(cell[1] + left - self.radius, cell[1] + left + self.radius + 1):
                inside = 0 <= y < grid.size[0] and 0 <= x < grid.size[1]
                similarities.append(
                    (float(grid.values[cell] @ memory.values[y, x]), (y, x)) if inside else (OUTSIDE_SIMILARITY, None)
                )
        return sorted(similarities, key=lambda one: -one[0])[: self.num_votes]

    def share(self, mask, cell):
        if mask is None or cell is None:
            return 0.0
        return float((halved(mask[..., None])[..., 0] if self.level else mask)[cell])


def centre_and_box(inside):
    rows, columns = np.nonzero(inside)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]), np.array(box, np.float64)


def noisy(features, *, seed, scale=0.05):
    """Features with noise, so that no two cells are equally similar."""
    values = features.values + np.random.default_rng(seed).normal(scale=scale, size=features.values.shape)
    return FeatureMap((values / np.linalg.norm(values, axis=2, keepdims=True)).astype(np.float32), features.to_image)
