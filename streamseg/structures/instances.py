"""The objects of one image, and the same objects with identities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import index
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.errors import counted
from streamseg.structures.feature_map import FeatureSource
from streamseg.structures.grid import STRIDE_4, GridTransform
from streamseg.structures.lazy_tensor import LazyTensor
from streamseg.structures.mask_samples import MaskSamples
from streamseg.structures.second_look import SecondLook

__all__ = ["CORRECTION_MARGIN", "TENTATIVE", "Instances", "Tracked"]

CORRECTION_MARGIN = 0.15
"""Margin of a mask's correction raster around its box, per side, as a fraction of the box size."""

TENTATIVE: Final = -1
"""Track id of an object seen too briefly to have an identity, or not tracked at all."""

Rows = Tensor | slice | int | list[int] | list[bool] | npt.NDArray[Any]
"""Row selector: a number, integer indices (N,), a bool mask (K,) or a slice. Negative numbers count from the end."""


@dataclass(frozen=True, eq=False, repr=False)
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
    features: FeatureSource | None = None
    """Features of the whole image, computed on demand, by which masks are propagated. None: no features."""
    look: SecondLook | None = None
    """Looks at objects of the same image whose places are known, such as followed ones. None: no refiner, or the output
    of the network is not on the host."""
    samples: MaskSamples | None = None
    """Masks computed together with the instances, which save work on `mask_logits`. None: not computed."""
    own_boxes: Tensor | None = None
    """The network's own boxes, float32 (K, 4) like `boxes`, of which some were drawn by users; (0, 0, 0, 0) if it has
    none there. None: `boxes` are the network's."""

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

    def __iter__(self) -> Iterator[Self]:
        """Iterate over the objects, each as Instances with one row."""
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: Rows) -> Self:
        """Return the selected rows, in the given order; a single number returns one row.

        Raises:
            IndexError: there is no such row, or a bool mask has another length.
        """
        rows = _as_index(rows, len(self))
        if isinstance(rows, Tensor) and rows.dtype == torch.int64 and bool((rows < 0).any()):
            rows = torch.where(rows < 0, rows + len(self), rows)  # once, for all fields
        return replace(
            self,
            boxes=_select(self.boxes, rows),
            scores=_select(self.scores, rows),
            mask_logits=_select(self.mask_logits, rows),
            corrections=None if self.corrections is None else _select(self.corrections, rows),
            embeddings=None if self.embeddings is None else _select(self.embeddings, rows),
            samples=None if self.samples is None else self.samples.select(lambda values: _select(values, rows)),
            own_boxes=None if self.own_boxes is None else _select(self.own_boxes, rows),
        )

    def __repr__(self) -> str:
        height, width = self.image_size
        count = counted(len(self), "object")
        scores = f", scores {self.scores.max():.2f}..{self.scores.min():.2f}" if len(self) else ""
        return f"Instances({count} in {width}x{height}{scores})"

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on another device."""
        return replace(
            self,
            boxes=self.boxes.to(device),
            scores=self.scores.to(device),
            mask_logits=_moved(self.mask_logits, device),
            corrections=None if self.corrections is None else _moved(self.corrections, device),
            embeddings=None if self.embeddings is None else self.embeddings.to(device),
            own_boxes=None if self.own_boxes is None else self.own_boxes.to(device),
        )

    def corrected(self, corrections: Tensor | None) -> Self:
        """Return a copy with these corrections; None for the network's uncorrected masks."""
        return replace(self, corrections=corrections, samples=None)

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
        return Tracked(self.instances[rows], self.track_ids[_as_index(rows, len(self))])


def _as_index(rows: Rows, count: int) -> Tensor | slice:
    """Convert a row number, a list or an array to a tensor, for `count` rows."""
    if isinstance(rows, Tensor):
        return rows if rows.ndim else rows.reshape(1)
    if isinstance(rows, list):
        # A list of bools is a mask, as in NumPy; True is not the number 1.
        is_mask = bool(rows) and isinstance(rows[0], bool | np.bool_)
        return torch.tensor(rows, dtype=torch.bool if is_mask else torch.int64)
    if isinstance(rows, slice):
        if rows.step is None or rows.step > 0:
            return rows
        return torch.tensor(range(count)[rows], dtype=torch.int64)  # torch has no negative steps
    if isinstance(rows, np.ndarray):
        return torch.from_numpy(rows if rows.dtype == np.bool_ else rows.astype(np.int64)).reshape(-1)
    row = index(rows)
    if not -count <= row < count:
        raise IndexError(f"row {row} does not exist, there are {count}")
    return torch.tensor([row % count], dtype=torch.int64)


def _moved(values: Tensor, device: torch.device | str) -> Tensor:
    """Move values to a device; lazy ones, whose values will be on the host, stay lazy there."""
    is_here = isinstance(values, LazyTensor) and torch.device(device).type == "cpu"
    return values if is_here else values.to(device)


def _select(values: Tensor, rows: Tensor | slice) -> Tensor:
    """Return `values[rows]`; integers are not negative: `index_select` takes a tenth of the time of indexing then."""
    if isinstance(values, LazyTensor):
        return values.rows(lambda whole: _select(whole, rows), len(_select(torch.arange(len(values)), rows)))
    if isinstance(rows, Tensor) and rows.dtype == torch.int64 and rows.ndim == 1:
        return values.index_select(0, rows.to(values.device))
    return values[rows]
