"""Instances from the results of a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.modeling.preprocess import letterbox_images
from streamseg.segmentation.device.batches import ImageResult
from streamseg.segmentation.device.mask_runs import crops_from_runs
from streamseg.segmentation.device.shapes import BatchShape
from streamseg.segmentation.features import feature_map
from streamseg.segmentation.resampling import axis_of
from streamseg.segmentation.results import ImageInstances
from streamseg.structures.arrays import ImageArray
from streamseg.structures.feature_map import FeatureMap
from streamseg.structures.lazy_tensor import LazyTensor
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.mask_samples import MaskSamples
from streamseg.structures.nv12 import Nv12Image

__all__ = ["instances_from_device", "num_found"]


def num_found(result: ImageResult) -> int:
    """Return the number of objects of an image, which may exceed the capacity."""
    return int(result.values["counts"])


def instances_from_device(
    result: ImageResult, shape: BatchShape, image: ImageArray | Nv12Image, *, calibrated: bool
) -> ImageInstances:
    """Return the instances of one image, whose results must be exact and fit.

    Logits, corrections and features of the image stay on the device until somebody needs them.

    Args:
        result: the results.
        shape: shape of the batch.
        image: the image, uint8 (H, W, 3) RGB or in NV12; needed later if features are.
        calibrated: whether calibrated scores replace those of the network, where the refiner ran.
    """
    count, values, place = num_found(result), result.values, shape.place
    kept = {name: one[result.row] for name, one in result.kept.items()}
    corrections = kept.get("corrections")
    boxes = values["boxes"][:count]
    fits = int(values["num_changes"]) <= shape.changes
    crops = partial(_crops, values, boxes, shape, is_corrected=corrections is not None)
    embeddings = values.get("embeddings")
    instances = ImageInstances(
        boxes=boxes,
        scores=values["scores"][:count],
        mask_logits=LazyTensor((count, *shape.grid_size), partial(_logits, kept, count)),
        grid_to_image=place.to_image(PROTOTYPE_STRIDE),
        image_size=place.image_size,
        corrections=None if corrections is None else _lazy(corrections[:count]),
        embeddings=None if embeddings is None else embeddings[:count],
        features=None if embeddings is None else partial(_features, kept, image, place),
        samples=MaskSamples.of(
            values["silhouettes"][:count], values["widened"][:count], cache(crops) if fits else None
        ),
    )
    if not calibrated or "calibrated" not in values:
        return instances
    scores = values["calibrated"][:count]
    return replace(instances, scores=scores)[scores.argsort(descending=True, stable=True)]


def _crops(values: dict[str, Tensor], boxes: Tensor, shape: BatchShape, *, is_corrected: bool) -> list[CropMask]:
    (height, width), (rows, columns) = shape.place.image_size, shape.grid_size
    grid = shape.place.to_image(PROTOTYPE_STRIDE)
    return crops_from_runs(
        values["changes"][: int(values["num_changes"])].numpy(),
        boxes.double().numpy(),
        axis_of(width, width, columns, grid.scale_x, grid.offset_x),
        axis_of(height, height, rows, grid.scale_y, grid.offset_y),
        MaskSpace.of((height, width)),
        is_corrected=is_corrected,
    )


def _lazy(values: Tensor) -> LazyTensor:
    fetch: Callable[[], Tensor] = values.cpu
    return LazyTensor(tuple(values.shape), fetch)


@torch.inference_mode()
def _logits(kept: dict[str, Tensor], count: int) -> Tensor:
    prototypes = kept["prototypes"].cpu().float()
    coefficients = kept["coefficients"][:count].cpu().float()
    return torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:])


def _features(kept: dict[str, Tensor], image: ImageArray | Nv12Image, place: Letterbox) -> FeatureMap:
    rgb = image.to_host() if isinstance(image, Nv12Image) else image
    features = kept.get("features")
    return feature_map(
        kept["prototypes"].float().cpu().numpy(),
        None if features is None else features.float().cpu().numpy(),
        letterbox_images([rgb], [place])[0],
        place,
    )
