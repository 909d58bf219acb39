"""A second look at objects whose places are known, such as those that are followed.

Of thousands of candidates, a few become instances. Where an object is known to be, the best of the others is often the
better mask; it is found by its box, as that of a prompted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamseg.engines import Raw
from streamseg.geometry import Letterbox, clip_boxes
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.candidates import best_fit, boxes_in_image
from streamseg.segmentation.masks import instance_masks, tight_mask
from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.second_look import Look

__all__ = ["Looker", "agreement"]


@dataclass(frozen=True, eq=False)
class Looker:
    """A `SecondLook` at one image of a batch."""

    refiner: Refiner
    raw: Raw
    """The network's output."""
    row: int
    """Row of the image in it."""
    image: ImageArray
    """(H, W, 3), the source image."""
    place: Letterbox
    """Its placement in the network's input."""
    input_image: ImageArray
    """(h, w, 3), the network's input."""

    def __call__(self, boxes: Float32Array, logits: Float32Array, min_iou: float) -> list[Look]:
        """See `SecondLook`. The refiner runs once, for one mask of each object."""
        wanted = clip_boxes(torch.from_numpy(boxes), self.place.image_size)
        scores = torch.from_numpy(self.raw.scores[self.row])
        every = clip_boxes(
            boxes_in_image(torch.from_numpy(self.raw.boxes[self.row]), self.place), self.place.image_size
        )
        anchors, _ = best_fit(wanted, every, scores, 0.0)
        prototypes = torch.from_numpy(self.raw.prototypes[self.row]).float()
        coefficients = torch.from_numpy(self.raw.mask_coefficients[self.row][anchors.numpy()]).float()
        found = torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:])
        given = torch.from_numpy(logits)
        to_image = self.place.to_image(PROTOTYPE_STRIDE)
        agrees = agreement(found, given, wanted, to_image) >= min_iou
        chosen = Instances(
            boxes=wanted,
            # The objects are known: only the quality of the masks is in question.
            scores=torch.ones(len(wanted)),
            mask_logits=torch.where(agrees[:, None, None], found, given),
            grid_to_image=to_image,
            image_size=self.place.image_size,
        )
        refined, qualities = self.refiner.refine(chosen, prototypes, self.image, self.place, self.input_image)
        masks = [tight_mask(mask) for mask in instance_masks(refined, as_pixels=True)]
        return [Look(*one) for one in zip(masks, qualities.tolist(), agrees.tolist(), strict=True)]


def agreement(found: Tensor, given: Tensor, boxes: Tensor, to_image: GridTransform) -> Tensor:
    """Return the IoUs (N,) of two masks each, positive logits (N, Mh, Mw) inside, within N boxes (N, 4) xyxy.

    `to_image` is the transform from the grid of the masks to the pixels of the boxes.
    """
    cells = _cells(boxes, to_image, found.shape[1:])
    inside, others = (found > 0) & cells, (given > 0) & cells
    shared, union = (inside & others).sum(dim=(1, 2)), (inside | others).sum(dim=(1, 2))
    return shared / union.clamp(min=1)


def _cells(boxes: Tensor, to_image: GridTransform, size: Sequence[int]) -> Tensor:
    """Return which cells (N, Mh, Mw) of a grid have their centre in each of N boxes (N, 4) xyxy."""
    x = to_image.scale_x * (torch.arange(size[1]) + 0.5) + to_image.offset_x
    y = to_image.scale_y * (torch.arange(size[0]) + 0.5) + to_image.offset_y
    x0, y0, x1, y1 = boxes[:, :, None].unbind(dim=1)  # (N, 1) each
    return ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]
