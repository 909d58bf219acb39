"""The objects of one image, and the same objects with identities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

__all__ = ["CORRECTION_MARGIN", "TENTATIVE", "GridTransform", "Instances", "Tracked"]

CORRECTION_MARGIN = 0.15
"""Margin of a mask's correction raster around its box, per side, as a fraction of the box size."""

TENTATIVE: Final = -1
"""Track id of an object seen too briefly to have an identity, or not tracked at all."""

Rows = Tensor | slice | list[int]
"""Row selector: integer indices (N,), a bool mask (K,), a slice or a list of indices."""


class GridTransform(NamedTuple):
    """Transform from continuous prototype-grid coordinates to continuous image coordinates, per axis.

    `x_image = scale_x * x_grid + offset_x`, likewise y. Coordinates are continuous: the centre of pixel (or cell) 0
    is at 0.5. The offset accounts for letterbox padding, to sub-pixel accuracy.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


STRIDE_4 = GridTransform(4.0, 4.0, 0.0, 0.0)
"""Prototype grid of an unpadded, unscaled image."""


@dataclass(frozen=True, eq=False)
class Instances:
    """K objects of one image, by descending score; K may be 0."""

    boxes: Tensor
    """Boxes, float32 (K, 4) xyxy, continuous pixels of the source image, clipped to it."""
    scores: Tensor
    """Scores, float32 (K,), 0..1, descending."""
    mask_logits: Tensor
    """Mask logits, float (K, Mh, Mw) on the prototype grid, without threshold; positive inside the object."""
    grid_to_image: GridTransform
    """Transform from the grid of `mask_logits` to the source image."""
    image_size: tuple[int, int]
    """Size (H, W) of the source image."""
    corrections: Tensor | None = None
    """Corrections added to the logits, float (K, R, R): R x R cells over the box and `CORRECTION_MARGIN` around it,
    interpolated bilinearly between cell centres. A corrected mask may extend beyond its box by this margin. None:
    uncorrected logits of the network."""
    embeddings: Tensor | None = None
    """Appearance embeddings, float32 (K, D) of unit length, compared by cosine similarity. None: not computed."""

    def __post_init__(self) -> None:
        count = self.boxes.shape[0] if self.boxes.ndim else -1
        if self.boxes.shape != (count, 4):
            raise ValueError(f"boxes must have shape (K, 4), got {tuple(self.boxes.shape)}")
        if self.scores.shape != (count,):
            raise ValueError(f"scores must have shape ({count},), got {tuple(self.scores.shape)}")
        if self.mask_logits.ndim != 3 or self.mask_logits.shape[0] != count:
            raise ValueError(f"mask_logits must have shape ({count}, Mh, Mw), got {tuple(self.mask_logits.shape)}")
        if self.corrections is not None and (self.corrections.ndim != 3 or self.corrections.shape[0] != count):
            raise ValueError(f"corrections must have shape ({count}, R, R), got {tuple(self.corrections.shape)}")
        if self.embeddings is not None and (self.embeddings.ndim != 2 or self.embeddings.shape[0] != count):
            raise ValueError(f"embeddings must have shape ({count}, D), got {tuple(self.embeddings.shape)}")

    def __len__(self) -> int:
        return int(self.boxes.shape[0])

    def __getitem__(self, rows: Rows) -> Instances:
        """Return the selected rows, in the given order."""
        rows = _as_index(rows)
        return replace(
            self,
            boxes=_select(self.boxes, rows),
            scores=_select(self.scores, rows),
            mask_logits=_select(self.mask_logits, rows),
            corrections=None if self.corrections is None else _select(self.corrections, rows),
            embeddings=None if self.embeddings is None else _select(self.embeddings, rows),
        )

    def to(self, device: torch.device | str) -> Instances:
        """Return a copy on another device."""
        return replace(
            self,
            boxes=self.boxes.to(device),
            scores=self.scores.to(device),
            mask_logits=self.mask_logits.to(device),
            corrections=None if self.corrections is None else self.corrections.to(device),
            embeddings=None if self.embeddings is None else self.embeddings.to(device),
        )

    def corrected(self, corrections: Tensor | None) -> Instances:
        """Return a copy with these corrections; None for the network's uncorrected masks."""
        return replace(self, corrections=corrections)

    @classmethod
    def empty(
        cls,
        image_size: tuple[int, int],
        grid_size: tuple[int, int] = (0, 0),
        grid_to_image: GridTransform = STRIDE_4,
    ) -> Instances:
        """Return instances without objects, for an image of `image_size` (H, W)."""
        return cls(
            boxes=torch.zeros((0, 4)),
            scores=torch.zeros((0,)),
            mask_logits=torch.zeros((0, *grid_size)),
            grid_to_image=grid_to_image,
            image_size=image_size,
        )


@dataclass(frozen=True, eq=False)
class Tracked:
    """Instances with identities, in the same row order."""

    instances: Instances
    track_ids: Tensor
    """Track ids, int64 (K,); `TENTATIVE`, which is -1, for objects seen too briefly to have an identity."""

    def __post_init__(self) -> None:
        if self.track_ids.shape != (len(self.instances),):
            raise ValueError(f"track_ids must have shape ({len(self.instances)},), got {tuple(self.track_ids.shape)}")

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, rows: Rows) -> Tracked:
        """Return the selected rows, in the given order."""
        return Tracked(self.instances[rows], self.track_ids[rows])


def _as_index(rows: Rows) -> Tensor | slice:
    """Convert a list to a tensor."""
    return torch.tensor(rows, dtype=torch.int64) if isinstance(rows, list) else rows


def _select(values: Tensor, rows: Tensor | slice) -> Tensor:
    """Return `values[rows]`. For integer indices, `index_select` takes a tenth of the time of indexing."""
    if isinstance(rows, Tensor) and rows.dtype == torch.int64 and rows.ndim == 1 and not bool((rows < 0).any()):
        return values.index_select(0, rows.to(values.device))
    return values[rows]
