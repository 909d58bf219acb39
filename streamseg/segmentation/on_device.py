"""Segmentation of images on a device, in batches of one shape; the host segments those that the device leaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from streamseg.geometry import Letterbox
from streamseg.segmentation.device import DeviceSegmentation, PendingInstances
from streamseg.segmentation.host import HostSegmentation
from streamseg.segmentation.results import ImageInstances
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import Nv12Image, YuvColours
from streamseg.structures.search_regions import SearchRegions
from streamseg.telemetry import StageTimer

__all__ = ["on_host", "segment_on_device"]


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
