"""One image through a segmenter, to `Results`."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.fastsam.reference_masks import as_reference, native_masks, plain_masks, plain_size, stacked
from streamseg.fastsam.results import NAMES, Prompting, Results
from streamseg.fastsam.rows import Boxes, Masks
from streamseg.fastsam.sources import SourceImage
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import Instances
from streamseg.tracking import Tracker

__all__ = ["segment_image"]


def segment_image(
    source_image: SourceImage,
    segmenter: Segmenter,
    *,
    prompting: Prompting,
    retina: bool,
    tracker: Tracker | None = None,
) -> Results:
    """Segment one image.

    Args:
        source_image: the image.
        segmenter: the network with its thresholds.
        prompting: rules for boxes and masks.
        retina: masks at the size of the image, instead of the network's input.
        tracker: assigns identities; objects without one are omitted. None: no identities.
    """
    instances = segmenter([source_image.image[:, :, ::-1]])[0]
    columns = [instances.scores[:, None], torch.zeros(len(instances), 1)]
    with segmenter.timer.stage("masks"):
        boxes, masks = _boxes_and_masks(instances, prompting, retina)
    if tracker is not None:
        track_ids = tracker.update(instances, source_image.time_seconds).track_ids
        kept = track_ids >= 0
        boxes, masks, instances = boxes[kept], masks[kept], instances[kept]
        columns = [track_ids[kept][:, None].float(), *(column[kept] for column in columns)]
    took = {name: stage.last for name, stage in segmenter.timer.stages.items()}
    size = instances.image_size
    return Results(
        source_image.image,
        source_image.path,
        Boxes(torch.cat([boxes, *columns], dim=1), size),
        Masks(masks, size),
        instances=instances,
        prompting=prompting,
        names=NAMES,
        speed={
            "preprocess": took["preprocess"],
            "inference": took["network"],
            "postprocess": took["postprocess"] + took["masks"],
        },
    )


def _boxes_and_masks(instances: Instances, prompting: Prompting, retina: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return boxes (K, 4) and masks uint8 (K, Mh, Mw)."""
    size = instances.image_size
    if prompting == "reference":
        instances = as_reference(instances)
        size = size if retina else plain_size(instances)
        crops = native_masks(instances) if retina else plain_masks(instances)
    else:
        size = size if retina else _scaled_size(instances)
        crops = instance_masks(instances, size=size, as_pixels=True)
    return instances.boxes, torch.from_numpy(stacked(crops, size).view(np.uint8))


def _scaled_size(instances: Instances) -> tuple[int, int]:
    """Return (H, W) of the image inside the network's input."""
    height, width = instances.image_size
    scale_x, scale_y, _, _ = instances.grid_to_image
    return max(round(height / scale_y * PROTOTYPE_STRIDE), 1), max(round(width / scale_x * PROTOTYPE_STRIDE), 1)
