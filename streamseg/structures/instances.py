"""All objects of one picture, and the same with identities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

__all__ = ["CORRECTION_MARGIN", "TENTATIVE", "GridTransform", "Instances", "Tracked"]

CORRECTION_MARGIN = 0.15
"""How far the raster of a mask's corrections reaches beyond its box, on each side, as a share of the box's size."""

TENTATIVE: Final = -1
"""In place of a track id: seen too briefly to be given one, or not followed at all."""

Rows = Tensor | slice | list[int]
"""What selects rows: integer indices (N,), a bool mask (K,), a slice or a list of indices."""


class GridTransform(NamedTuple):
    """Continuous prototype-grid coordinates to continuous image coordinates, per axis.

    `x_image = scale_x * x_grid + offset_x`, likewise y. Coordinates are continuous: the centre of
    pixel (or cell) 0 is at 0.5. The offset is where letterbox padding goes, to sub-pixel accuracy.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


STRIDE_4 = GridTransform(4.0, 4.0, 0.0, 0.0)
"""The prototype grid of an unpadded, unscaled picture."""


@dataclass(frozen=True, eq=False)
class Instances:
    """K objects of one picture, by descending score; K may be 0."""

    boxes: Tensor
    """float32 (K, 4) xyxy, continuous pixels of the source image, clipped to it."""
    scores: Tensor
    """float32 (K,), 0..1, descending."""
    mask_logits: Tensor
    """float (K, Mh, Mw) on the prototype grid, before any threshold; a pixel is inside where > 0."""
    grid_to_image: GridTransform
    """Places the grid of `mask_logits` in the source image."""
    image_size: tuple[int, int]
    """(H, W) of the source image."""
    corrections: Tensor | None = None
    """float (K, R, R) to be added to the logits: R x R cells over the box and `CORRECTION_MARGIN` around it, bilinear
    between their centres. A corrected mask may reach as far beyond its box. None: the logits are as the network
    gave them."""
    embeddings: Tensor | None = None
    """float32 (K, D), each of length 1: what the objects look like, to tell them apart by their cosines. None: not
    known."""

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
        """The chosen rows, in the order given."""
        rows = _as_index(rows)
        return replace(
            self,
            boxes=_chosen(self.boxes, rows),
            scores=_chosen(self.scores, rows),
            mask_logits=_chosen(self.mask_logits, rows),
            corrections=None if self.corrections is None else _chosen(self.corrections, rows),
            embeddings=None if self.embeddings is None else _chosen(self.embeddings, rows),
        )

    def to(self, device: torch.device | str) -> Instances:
        """The same on another device."""
        return replace(
            self,
            boxes=self.boxes.to(device),
            scores=self.scores.to(device),
            mask_logits=self.mask_logits.to(device),
            corrections=None if self.corrections is None else self.corrections.to(device),
            embeddings=None if self.embeddings is None else self.embeddings.to(device),
        )

    def corrected(self, corrections: Tensor | None) -> Instances:
        """The same with these corrections in place of its own; None for the masks as the network gave them."""
        return replace(self, corrections=corrections)

    @classmethod
    def empty(
        cls,
        image_size: tuple[int, int],
        grid_size: tuple[int, int] = (0, 0),
        grid_to_image: GridTransform = STRIDE_4,
    ) -> Instances:
        """No object at all, in a picture of `image_size` (H, W)."""
        return cls(
            boxes=torch.zeros((0, 4)),
            scores=torch.zeros((0,)),
            mask_logits=torch.zeros((0, *grid_size)),
            grid_to_image=grid_to_image,
            image_size=image_size,
        )


@dataclass(frozen=True, eq=False)
class Tracked:
    """Instances with identities: the same rows in the same order."""

    instances: Instances
    track_ids: Tensor
    """int64 (K,); `TENTATIVE`, which is -1, while seen too briefly to be given an identity."""

    def __post_init__(self) -> None:
        if self.track_ids.shape != (len(self.instances),):
            raise ValueError(f"track_ids must have shape ({len(self.instances)},), got {tuple(self.track_ids.shape)}")

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, rows: Rows) -> Tracked:
        """The chosen rows, in the order given."""
        return Tracked(self.instances[rows], self.track_ids[rows])


def _as_index(rows: Rows) -> Tensor | slice:
    """A list as a tensor."""
    return torch.tensor(rows, dtype=torch.int64) if isinstance(rows, list) else rows


def _chosen(values: Tensor, rows: Tensor | slice) -> Tensor:
    """`values[rows]`; where rows are copied one by one, in a tenth of the time that indexing takes for it."""
    if isinstance(rows, Tensor) and rows.dtype == torch.int64 and rows.ndim == 1 and not bool((rows < 0).any()):
        return values.index_select(0, rows.to(values.device))
    return values[rows]
