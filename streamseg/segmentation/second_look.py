"""A second look at objects whose places are known, such as those that are followed.

Of thousands of candidates, a few become instances. Where an object is known to be, the best of the others is often the
better mask; it is found by its box, as that of a prompted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamseg.engines import Raw
from streamseg.geometry import Letterbox, clip_boxes
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.candidates import best_fit, boxes_in_image
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.second_look import Look, SharpMask

__all__ = ["Looker"]


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

    def __call__(self, boxes: Float32Array, logits: Float32Array) -> list[Look]:
        """See `SecondLook`. The refiner runs once, for all objects."""
        wanted = clip_boxes(torch.from_numpy(boxes), self.place.image_size)
        scores = torch.from_numpy(self.raw.scores[self.row])
        every = clip_boxes(
            boxes_in_image(torch.from_numpy(self.raw.boxes[self.row]), self.place), self.place.image_size
        )
        anchors, _ = best_fit(wanted, every, scores, 0.0)
        prototypes = torch.from_numpy(self.raw.prototypes[self.row]).float()
        coefficients = torch.from_numpy(self.raw.mask_coefficients[self.row][anchors.numpy()]).float()
        found = torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:])
        both = Instances(
            boxes=torch.cat([wanted, wanted]),
            # The objects are known: only the quality of the masks is in question.
            scores=torch.ones(2 * len(wanted)),
            mask_logits=torch.cat([found, torch.from_numpy(logits)]),
            grid_to_image=self.place.to_image(PROTOTYPE_STRIDE),
            image_size=self.place.image_size,
        )
        masks = self._refined(both, prototypes)
        return [Look(*pair) for pair in zip(masks[: len(wanted)], masks[len(wanted) :], strict=True)]

    def _refined(self, instances: Instances, prototypes: Tensor) -> list[SharpMask]:
        refined, qualities = self.refiner.refine(instances, prototypes, self.image, self.place, self.input_image)
        masks = [_tight(mask) for mask in instance_masks(refined)]
        return [SharpMask(*pair) for pair in zip(masks, qualities.tolist(), strict=True)]


def _tight(mask: CropMask) -> CropMask:
    """Return a mask cropped to its tight box."""
    tight = CropMask.of(mask.crop)
    return CropMask(tight.crop, mask.x + tight.x, mask.y + tight.y, mask.space)
