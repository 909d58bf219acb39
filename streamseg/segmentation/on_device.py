"""Segmentation of images on a device: which engines offer it, batches of one shape, and what is left to the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from streamseg.engines import Engine
from streamseg.engines.tensorrt_engine import TensorRtEngine
from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import Letterbox
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device import DeviceSegmentation, PendingInstances
from streamseg.segmentation.host import HostSegmentation
from streamseg.segmentation.results import ImageInstances
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import Nv12Image, YuvColours
from streamseg.structures.search_regions import SearchRegions
from streamseg.telemetry import StageTimer

__all__ = ["on_host", "open_device", "segment_on_device"]


def open_device(
    engine: Engine,
    settings: SelectionSettings,
    *,
    refiner: Refiner | None,
    sharp: bool,
    calibrated: bool,
    embeds: bool,
) -> DeviceSegmentation | None:
    """Return the steps after the network on the device of an engine; None if the engine leaves them to the host.

    Args:
        engine: the network, which the caller closes after the result.
        settings: thresholds.
        refiner: the refiner; None for plain masks and raw scores.
        sharp: whether it corrects masks.
        calibrated: whether its scores replace those of the network.
        embeds: whether to compute appearance embeddings.
    """
    if not (isinstance(engine, TorchEngine | TensorRtEngine) and engine.selects):
        return None
    return DeviceSegmentation(engine, settings, refiner=refiner, sharp=sharp, calibrated=calibrated, embeds=embeds)


def segment_on_device(
    device: DeviceSegmentation,
    host: HostSegmentation,
    images: Sequence[ImageArray | Nv12Image],
    places: Sequence[Letterbox],
    regions: Sequence[SearchRegions],
    refines: Sequence[bool],
    *,
    timer: StageTimer,
) -> list[ImageInstances]:
    """Return the instances of each image, in order; images of one size, quality and format are a batch.

    Args:
        device: the device.
        host: segments the images whose results on the device are not exact.
        images: uint8 (H, W, 3) RGB, or in NV12.
        places: placement of each image in the network's input.
        regions: search regions of each image.
        refines: for each image, whether the refiner, if there is one, runs.
        timer: receives the times of `network`, which only starts the work, and of `postprocess`, which waits for it.
    """
    batches: dict[tuple[Letterbox, bool, YuvColours | None], list[int]] = {}
    for position, (image, place, refine) in enumerate(zip(images, places, refines, strict=True)):
        colours = image.colours if isinstance(image, Nv12Image) else None
        batches.setdefault((place, refine, colours), []).append(position)
    results: dict[int, ImageInstances] = {}

    def finish(found: PendingInstances, positions: list[int]) -> None:
        with timer.stage("postprocess"):
            for p, instances in zip(positions, found(), strict=True):
                if instances is None:
                    instances = host.segment_one(on_host(images[p]), places[p], regions[p], refines=refines[p])
                results[p] = instances

    pending: deque[Callable[[], None]] = deque()
    for (place, refine, _), every in batches.items():
        for first in range(0, len(every), device.max_batch):
            positions = every[first : first + device.max_batch]
            with timer.stage("network"):
                found = device.submit(
                    [images[p] for p in positions], place, [regions[p] for p in positions], refines=refine
                )
            pending.append(partial(finish, found, positions))
            if len(pending) == device.depth:
                pending.popleft()()
    while pending:
        pending.popleft()()
    return [results[position] for position in range(len(images))]


def on_host(image: ImageArray | Nv12Image) -> ImageArray:
    """Return an image as uint8 (H, W, 3) RGB on the host."""
    return image.to_host() if isinstance(image, Nv12Image) else image
