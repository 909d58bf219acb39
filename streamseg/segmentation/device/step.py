"""The work on the device for one batch, from whole images to everything that a frame needs on the host.

A pure function of tensors: no shape depends on data, and nothing is read back, so that it runs inside a CUDA graph. On
torch's `meta` device, which has no data, any violation of this raises; the tests run it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.modeling.nv12 import nv12_to_rgb
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.appearance import DeviceEmbedding
from streamseg.segmentation.device.letterbox import DeviceLetterbox
from streamseg.segmentation.device.mask_runs import MaskRuns
from streamseg.segmentation.device.refining import DeviceRefiner
from streamseg.segmentation.device.sampling import Rasters
from streamseg.segmentation.device.selection import Placement, Regions, select
from streamseg.segmentation.device.shapes import BatchShape
from streamseg.structures.mask_samples import LOGIT_LIMIT

__all__ = ["DeviceStep", "StepOptions", "StepResults", "placement_of"]


@dataclass(frozen=True)
class StepOptions:
    """What a step computes."""

    settings: SelectionSettings
    refiner: Refiner | None = None
    sharp: bool = False
    """Whether the refiner corrects masks."""
    embeds: bool = False
    """Whether appearance embeddings are computed."""


@dataclass(frozen=True, eq=False)
class StepResults:
    """The results for one batch, with the capacity of R rows per image."""

    returned: dict[str, Tensor]
    """Goes to the host: `boxes` (B, R, 4), `scores` (B, R), `counts` (B,) and `is_exact` (B,) as in `Selected`,
    `silhouettes` bool (B, R, T, T), `widened` float16 (B, R, 24, 24), `changes`, `num_changes` and `crop_pixels` as in
    `Runs`, and `embeddings` float32 (B, R, D) and `calibrated` float32 (B, R), if computed."""
    kept: dict[str, Tensor]
    """Stays on the device: `prototypes` (B, P, Mh, Mw), `coefficients` (B, R, P), and `corrections` float32
    (B, R, 24, 24) and `features` (B, E, H / 8, W / 8), if there are any."""


def _ignore(stage: str) -> None:
    """Mark nothing."""


class DeviceStep:
    """The work for batches of one shape.

    Args:
        predict: runs the network on uint8 (B, H, W, 3) and decodes its output, see `TorchEngine.predict`.
        options: what is computed.
        shape: the shape of the batches.
        device: the device; constants are allocated here.
    """

    def __init__(
        self,
        predict: Callable[[Tensor], DecodedPredictions],
        options: StepOptions,
        shape: BatchShape,
        device: torch.device,
    ) -> None:
        self._predict, self._options, self._shape = predict, options, shape
        place, grid, size = shape.place, shape.place.to_image(PROTOTYPE_STRIDE), shape.grid_size
        self._letterbox = DeviceLetterbox(place, device)
        self._placement = Placement(*(one.to(device) for one in placement_of([place])))
        self._rasters = Rasters(grid, size, device)
        self._embedding = DeviceEmbedding(grid, device) if options.embeds else None
        refiner = options.refiner if shape.refines else None
        self._refiner = None if refiner is None else DeviceRefiner(refiner, place, device)
        self._runs = MaskRuns(
            place.image_size,
            grid,
            size,
            num_pixels=shape.crop_pixels,
            num_changes=shape.changes,
            device=device,
        )
        self._row_numbers = torch.arange(shape.rows).to(device)

    def __call__(self, inputs: dict[str, Tensor], mark: Callable[[str], None] = _ignore) -> StepResults:
        """Run the step on the views of `BatchShape.inputs`; `mark` is called with the name of each stage at its end."""
        shape = self._shape
        rows = shape.rows
        if shape.colours is None:
            images = inputs["images"]
        else:
            images = nv12_to_rgb(inputs["luma"], inputs["chroma"], shape.colours)
        pixels = self._letterbox(images)
        mark("letterbox")
        decoded = self._predict(pixels)
        mark("network")
        found = select(
            decoded.boxes,
            decoded.scores,
            self._placement,
            Regions(inputs["prompted"], inputs["expected"]),
            self._options.settings,
        )
        mark("selection")
        boxes, scores = found.boxes[:, :rows].contiguous(), found.scores[:, :rows].contiguous()
        coefficients = decoded.mask_coefficients  # (B, A, P)
        index = found.anchors[:, :rows].unsqueeze(-1).expand(-1, -1, coefficients.shape[2])
        chosen = coefficients.gather(1, index)
        prototypes = decoded.prototypes.to(torch.float32, memory_format=torch.contiguous_format)
        logits = torch.bmm(chosen.float(), prototypes.flatten(2)).view(*chosen.shape[:2], *prototypes.shape[2:])
        returned = {"boxes": boxes, "scores": scores, "counts": found.counts, "is_exact": found.is_exact}
        kept = {"prototypes": decoded.prototypes, "coefficients": chosen}
        if decoded.embeddings is not None:
            kept["features"] = decoded.embeddings
        places = self._rasters.places(boxes)
        samples = self._rasters(logits, places)
        mark("logits")
        corrections = None
        if self._refiner is not None:
            cells = self._rasters.widened_grid(places)
            refined = self._refiner(boxes, scores, samples.widened, cells, prototypes, images, pixels)
            returned["calibrated"] = refined.scores
            if self._options.sharp:
                corrections = refined.corrections
                kept["corrections"] = corrections
                samples = self._rasters.corrected(samples, corrections)
            mark("refiner")
        returned["silhouettes"] = samples.tiles > 0
        returned["widened"] = samples.widened.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).half()
        if self._embedding is not None:
            returned["embeddings"] = self._embedding(boxes, logits, prototypes, pixels)
            mark("embeddings")
        valid = self._row_numbers < found.counts[:, None]
        runs = self._runs(boxes, valid, logits, corrections)
        mark("masks")
        returned |= {"changes": runs.changes, "num_changes": runs.counts, "crop_pixels": runs.crop_pixels}
        return StepResults(returned, kept)


def placement_of(places: list[Letterbox]) -> Placement:
    """Return the placement of images as tensors on the CPU."""
    transforms = [place.to_image() for place in places]
    sizes = [place.image_size for place in places]
    return Placement(
        torch.tensor([[one.scale_x, one.scale_y] * 2 for one in transforms], dtype=torch.float32),
        torch.tensor([[one.offset_x, one.offset_y] * 2 for one in transforms], dtype=torch.float32),
        torch.tensor([[width, height] * 2 for height, width in sizes], dtype=torch.float32),
    )
