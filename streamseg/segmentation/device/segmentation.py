"""Segmentation of `engine: device`: everything from the image to the masks in one launch per batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamseg.engines.tensorrt_engine import TensorRtEngine
from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import Letterbox
from streamseg.modeling.preprocess import PADDING
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.accelerator import Accelerator, open_accelerator
from streamseg.segmentation.device.batches import SLOTS, DeviceBatches
from streamseg.segmentation.device.results import instances_from_device, num_found
from streamseg.segmentation.device.shapes import BatchShape, capacity, crop_pixels_for, rows_for
from streamseg.segmentation.device.step import DeviceStep, StepOptions
from streamseg.segmentation.results import ImageInstances
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions

__all__ = ["DeviceSegmentation", "PendingInstances"]

PendingInstances = Callable[[], list[ImageInstances | None]]
"""Waits for a batch, and returns the instances of each image; None for an image that the host must segment."""


class DeviceSegmentation:
    """Segments images on the device of a torch engine, with the results of the host.

    The host must segment images whose selection is not exact (see `Selected.is_exact`) or that have more objects than
    the current capacity, which grows with the number of objects that were found.
    """

    depth = SLOTS
    """Number of batches that may be pending at a time."""
    max_batch = 16
    """Maximum number of images per batch."""

    def __init__(
        self,
        engine: TorchEngine | TensorRtEngine,
        settings: SelectionSettings,
        *,
        refiner: Refiner | None,
        sharp: bool,
        calibrated: bool,
        embeds: bool,
        accelerator: Accelerator | None = None,
    ) -> None:
        """Prepare; buffers are allocated with the first batch of each shape, and graphs captured with the second.

        Args:
            engine: the network.
            settings: thresholds.
            refiner: the refiner, on the same device; None for plain masks and raw scores.
            sharp: whether it corrects masks.
            calibrated: whether its scores replace those of the network.
            embeds: whether to compute appearance embeddings.
            accelerator: the device; None for that of the engine.
        """
        self._most = settings.max_det
        self._calibrated = calibrated
        self._refiner = refiner
        self._sharp = sharp
        options = StepOptions(settings, refiner, sharp, embeds)
        self._batches = DeviceBatches(
            lambda shape, device: DeviceStep(engine.predict, options, shape, device),
            accelerator or open_accelerator(engine.device, graphs=engine.graphs),
        )
        self._found: dict[Letterbox, int] = {}
        self._crops: dict[Letterbox, int] = {}
        self.num_left = 0
        """Images that were left to the host."""

    def submit(
        self,
        images: Sequence[ImageArray | Nv12Image],
        place: Letterbox,
        regions: Sequence[SearchRegions],
        *,
        refines: bool = True,
    ) -> PendingInstances:
        """Start a batch of images of one size, RGB or in NV12 with equal colours; does not wait for the device.

        Args:
            images: 1 to `max_batch`, uint8 (H, W, 3) each, or on the device.
            place: placement of all of them in the network's input.
            regions: search regions of each image.
            refines: whether the refiner, if there is one, runs.
        """
        prompted = capacity([one.prompted for one in regions], prompted=True)
        shape = BatchShape(
            place=place,
            batch=1 << (len(images) - 1).bit_length(),
            rows=rows_for(self._found.get(place, 0), max(self._most, prompted)),
            crop_pixels=crop_pixels_for(self._crops.get(place, 0), place.image_size),
            prompted=prompted,
            expected=capacity([one.expected for one in regions], prompted=False),
            refines=refines and self._refiner is not None,
            colours=images[0].colours if isinstance(images[0], Nv12Image) else None,
        )
        ticket = self._batches.submit(shape, images, regions)
        # The device knows neither the search around points nor the fit of corrected masks to prompted boxes.
        fits_boxes = shape.refines and self._sharp
        is_for_host = [bool(len(one.points)) or (fits_boxes and bool(len(one.prompted))) for one in regions]

        def result() -> list[ImageInstances | None]:
            found = ticket.result()
            # The capacities for the next batch.
            self._found[place] = max(map(num_found, found))
            self._crops[place] = max(int(one.values["crop_pixels"]) for one in found)
            instances = [
                instances_from_device(one, shape, image, calibrated=self._calibrated)
                if bool(one.values["is_exact"]) and num_found(one) <= shape.rows and not left
                else None
                for one, image, left in zip(found, images, is_for_host, strict=True)
            ]
            self.num_left += sum(one is None for one in instances)
            return instances

        return result

    def warmup(self, place: Letterbox, num_images: int) -> None:
        """Allocate the buffers and capture the graphs for batches of `num_images` images, with and without prompts.

        The graphs are those of the smallest capacity for objects, which suits most scenes.
        """
        grey = np.full((*place.image_size, 3), PADDING, np.uint8)
        box = np.array([[0.0, 0.0, *place.image_size[::-1]]])
        for regions in (NO_REGIONS, SearchRegions(prompted=box)):
            for _ in range(2):  # the second batch of a shape captures its graph
                self.submit([grey] * num_images, place, [regions] * num_images)()
                self._found.clear()
                self._crops.clear()

    def close(self) -> None:
        """Release buffers and graphs, not the engine. Idempotent."""
        self._batches.close()
