"""The detector of `engine: device`: the network and the selection on the device, in one launch per batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import Letterbox
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.detections import Detections, PendingDetections, select_on_host
from streamseg.segmentation.device.accelerator import Accelerator, open_accelerator
from streamseg.segmentation.device.batches import SLOTS, DeviceBatches
from streamseg.segmentation.device.step import DeviceStep
from streamseg.structures.search_regions import SearchRegions

__all__ = ["DeviceDetector"]


class DeviceDetector:
    """Selects detections on the device of a torch engine; rows and boxes equal those of `HostDetector`.

    A batch with an image that the device cannot select exactly (see `Selected.is_exact`) runs once more, for the
    selection on the host.
    """

    depth = SLOTS

    def __init__(
        self, engine: TorchEngine, settings: SelectionSettings, *, accelerator: Accelerator | None = None
    ) -> None:
        """Prepare; buffers are allocated and graphs captured with the first batch of each shape.

        Args:
            engine: the network.
            settings: thresholds.
            accelerator: the device; None for that of the engine.
        """
        self._engine = engine
        self._settings = settings
        self._batches = DeviceBatches(
            DeviceStep(engine.predict, settings), accelerator or open_accelerator(engine.device)
        )
        self.num_repeated = 0
        """Batches that ran once more for the selection on the host."""

    def submit(
        self, images: npt.NDArray[np.uint8], places: Sequence[Letterbox], regions: Sequence[SearchRegions]
    ) -> PendingDetections:
        """See `Detector.submit`. Returns before the device has finished."""
        ticket = self._batches.submit(images, places, regions)

        def result() -> list[Detections]:
            found = ticket.result()
            exact = [one for one in found if one is not None]
            if len(exact) == len(found):
                return exact
            self.num_repeated += 1
            raw = self._engine.run(images)
            return [
                select_on_host(raw, row, place, region, self._settings) if one is None else one
                for row, (one, place, region) in enumerate(zip(found, places, regions, strict=True))
            ]

        return result

    def close(self) -> None:
        """See `Detector.close`."""
        self._batches.close()
