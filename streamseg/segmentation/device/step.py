"""The work on the device for one batch: network, decoding, selection, and packing of the results.

A pure function of tensors: no shape depends on data, and nothing is read back, so that it runs inside a CUDA graph. On
torch's `meta` device, which has no data, any violation of this raises; the tests run it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.selection import Placement, Regions, select
from streamseg.segmentation.device.slab import Slab
from streamseg.structures.arrays import Float64Array

__all__ = ["BatchShape", "DeviceStep", "padded_boxes", "placement_of"]

_ROW_PARTS = ("scale", "offset", "limits")


@dataclass(frozen=True)
class BatchShape:
    """The shapes that determine all others; a CUDA graph serves one of them."""

    batch: int
    height: int
    width: int
    prompted: int
    """Capacity for prompted boxes per image."""
    expected: int
    """Capacity for expected boxes per image."""

    def inputs(self) -> Slab:
        """Return the layout of the step's input."""
        floats = {"prompted": (self.prompted, 4), "expected": (self.expected, 4)} | dict.fromkeys(_ROW_PARTS, (4,))
        pixels = ("pixels", torch.uint8, (self.batch, self.height, self.width, 3))
        return Slab.of([pixels, *((name, torch.float32, (self.batch, *shape)) for name, shape in floats.items())])


class DeviceStep:
    """Segments one batch on the device.

    Args:
        predict: runs the network on uint8 (B, H, W, 3) and decodes its output, see `TorchEngine.predict`.
        settings: thresholds of the selection.
    """

    def __init__(self, predict: Callable[[Tensor], DecodedPredictions], settings: SelectionSettings) -> None:
        self._predict = predict
        self._settings = settings

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run the step.

        Args:
            inputs: the views of `BatchShape.inputs`.

        Returns:
            `boxes`, `scores`, `counts` and `is_exact` as in `Selected`; `coefficients` (B, N, num_masks) of the rows;
            `prototypes` (B, num_masks, H / 4, W / 4); and `embeddings` (B, E, H / 8, W / 8) if the network has them.
            Floats of the network are in its precision.
        """
        decoded = self._predict(inputs["pixels"])
        found = select(
            decoded.boxes,
            decoded.scores,
            Placement(*(inputs[name] for name in _ROW_PARTS)),
            Regions(inputs["prompted"], inputs["expected"]),
            self._settings,
        )
        coefficients = decoded.mask_coefficients  # (B, A, num_masks)
        index = found.anchors.unsqueeze(-1).expand(-1, -1, coefficients.shape[2])
        results = {
            "boxes": found.boxes,
            "scores": found.scores,
            "counts": found.counts,
            "is_exact": found.is_exact,
            "coefficients": coefficients.gather(1, index),
            "prototypes": decoded.prototypes,
        }
        return results if decoded.embeddings is None else results | {"embeddings": decoded.embeddings}


def placement_of(places: Sequence[Letterbox]) -> Placement:
    """Return the placement of images as tensors on the CPU."""
    transforms = [place.to_image() for place in places]
    sizes = [place.image_size for place in places]
    return Placement(
        torch.tensor([[one.scale_x, one.scale_y] * 2 for one in transforms], dtype=torch.float32),
        torch.tensor([[one.offset_x, one.offset_y] * 2 for one in transforms], dtype=torch.float32),
        torch.tensor([[width, height] * 2 for height, width in sizes], dtype=torch.float32),
    )


def padded_boxes(boxes: Sequence[Float64Array], capacity: int) -> Tensor:
    """Return boxes (n, 4) of each image as float32 (B, capacity, 4), padded with zeros."""
    result = np.zeros((len(boxes), capacity, 4), dtype=np.float32)
    for row, one in zip(result, boxes, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(result)
