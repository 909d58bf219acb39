"""One frame, as the follower of masks sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamseg.geometry import box_area
from streamseg.prompting.looks import mean_features, shares_within
from streamseg.prompting.propagated import PropagatedTarget
from streamseg.propagation import Proposals, cell_shares, enlarged, image_mask
from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.feature_map import FeatureMap
from streamseg.structures.instances import Tracked
from streamseg.structures.mask import CropMask
from streamseg.structures.second_look import Look

__all__ = ["MaskFrame", "certainties_of"]


@dataclass(frozen=True, eq=False)
class MaskFrame:
    """What is known about the newest frame."""

    features: FeatureMap
    proposals: Proposals
    tracked: Tracked
    certainties: Mapping[str, float]
    """Mean margin, 0..1, of each propagated mask over the others in its cells, by prompt id."""

    @cached_property
    def track_ids(self) -> list[int]:
        """Track id of each row."""
        return self.tracked.track_ids.tolist()

    @cached_property
    def shares(self) -> Float32Array:
        """How much of each cell of the features belongs to each row, (K, H, W), 0..1."""
        return self.proposals.coverages(self.features.size)

    @cached_property
    def areas(self) -> Float32Array:
        """The number of cells that belong to each row, (K,)."""
        areas: Float32Array = self.shares.sum(axis=(1, 2))
        return areas

    @cached_property
    def box_areas(self) -> list[float]:
        """Area of the box of each row, pixels."""
        return box_area(self.tracked.instances.boxes).tolist()

    @cached_property
    def row_looks(self) -> Float32Array:
        """The look (K, C) of each row, see `looks.mean_features`."""
        return mean_features(self.features, self.shares)

    def overlapping(self, mask: Float32Array, min_share: float) -> BoolArray:
        """Return which rows (K,) share at least `min_share` of the smaller one of both with a mask (H, W), 0..1."""
        return shares_within(self.shares, self.areas, mask, min_share)

    def place(self, seen: PropagatedTarget | None, row: int) -> Float32Array | None:
        """Return how much of each cell (H, W) belongs to what is seen of a target; None if nothing is.

        Args:
            seen: the target according to its propagated mask; None if propagation does not see it.
            row: its row according to its track, which counts then; -1 if it is not visible.
        """
        if seen is not None and seen.row < 0:
            return seen.shares
        chosen = seen.row if seen is not None else row
        return self.proposals.coverage([chosen], self.features.size) if chosen >= 0 else None

    def image_mask(self, soft: Float32Array) -> CropMask:
        """Return a soft mask on the grid of the features at the size of the image."""
        return image_mask(soft, self.features.to_image, self.tracked.instances.image_size)

    def fine_mask(self, soft: Float32Array) -> CropMask:
        """The same for a soft mask on the grid of the proposals."""
        instances = self.tracked.instances
        return image_mask(soft, instances.grid_to_image, instances.image_size)

    def union(self, rows: Sequence[int]) -> CropMask:
        """Return the union of some proposals at the size of the image."""
        return self.fine_mask(self.proposals.union(rows).astype(np.float32))

    def cell_shares(self, mask: CropMask) -> Float32Array:
        """Return how much of each cell (H, W) of the features a mask at the size of the image covers, 0..1."""
        return cell_shares(mask, self.features.to_image, self.features.size)

    def looks(
        self, softs: Mapping[str, Float32Array], masks: Mapping[str, CropMask], *, min_iou: float
    ) -> dict[str, Look]:
        """Return second looks at some targets.

        Args:
            softs: their propagated masks (H, W), 0..1, by prompt id.
            masks: the same at the size of the image; none is empty.
            min_iou: minimum IoU of what the network sees there with them.
        """
        look = self.tracked.instances.look
        if look is None or not softs:
            return {}
        boxes = np.array([masks[one].crop_box for one in softs], np.float32)
        shares = np.stack([enlarged(soft, self.proposals.size) for soft in softs.values()]).clip(0.01, 0.99)
        return dict(zip(softs, look(boxes, np.log(shares / (1 - shares)), min_iou), strict=True))


def certainties_of(found: Mapping[str, Float32Array]) -> dict[str, float]:
    """Return the mean margin, 0..1, of each soft mask (H, W) over the others in its cells."""
    if not found:
        return {}
    masks = np.stack(list(found.values()))  # (T, H, W)
    inside = masks > 0.5
    # The others together are at least as strong as the strongest of them.
    margins = (2 * masks - masks.sum(axis=0)).clip(0, 1)
    means = (margins * inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    return dict(zip(found, means.tolist(), strict=True))
