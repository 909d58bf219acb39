"""Batches in flight: submitted without waiting, collected later; at most `SLOTS` of each shape at a time.

While the device works on one batch, the host prepares the next one and finishes the previous one. One copy goes up and
one comes back per batch.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from streamseg.segmentation.device.accelerator import Accelerator, Step
from streamseg.segmentation.device.shapes import BatchShape, padded_boxes
from streamseg.segmentation.device.slab import Slab
from streamseg.segmentation.device.step import StepResults
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.search_regions import SearchRegions

__all__ = ["MAX_PLANS", "SLOTS", "DeviceBatches", "ImageResult", "Ticket"]

SLOTS: Final = 2
"""Batches of one shape in flight: one on the device, one being prepared or finished by the host."""

MAX_PLANS: Final = 32
"""Shapes whose buffers and graphs are kept; the least recently used one is released first."""

StepOfShape = Callable[[BatchShape, torch.device], Callable[[dict[str, Tensor]], StepResults]]
"""Prepares the work for batches of one shape, see `DeviceStep`."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The results for one image."""

    values: dict[str, Tensor]
    """What came back, on the host, see `StepResults.returned`; without the axis of the batch."""
    kept: dict[str, Tensor]
    """What stayed on the device, of the whole batch."""
    row: int
    """Row of the image in the batch."""


class Ticket:
    """A batch in flight."""

    def __init__(self, wait: Callable[[], None], read: Callable[[], list[ImageResult]]) -> None:
        self._wait: Callable[[], None] | None = wait
        self._read = read
        self._results: list[ImageResult] = []

    @property
    def is_done(self) -> bool:
        """Whether the result has been read."""
        return self._wait is None

    def result(self) -> list[ImageResult]:
        """Wait for the batch, and return the results of each image."""
        if self._wait is not None:
            self._wait()
            self._results = self._read()
            self._wait = None
        return self._results


class DeviceBatches:
    """Submits batches to a device. Used by one thread at a time, in which graphs are captured, too.

    Args:
        step_of: prepares the work for batches of one shape.
        accelerator: the device.
    """

    def __init__(self, step_of: StepOfShape, accelerator: Accelerator) -> None:
        self._step_of = step_of
        self._accelerator = accelerator
        self._plans: OrderedDict[BatchShape, _Plan] = OrderedDict()

    @torch.inference_mode()
    def submit(
        self, shape: BatchShape, images: Sequence[ImageArray | Nv12Image], regions: Sequence[SearchRegions]
    ) -> Ticket:
        """Start to segment a batch.

        If `SLOTS` batches of this shape are in flight, the oldest one is waited for; its ticket keeps the result.

        Args:
            shape: the shape, with room for the images and the regions.
            images: uint8 (H, W, 3) RGB each, which may be changed afterwards; or all in NV12 with the colours of the
                shape.
            regions: search regions of each image.
        """
        plan = self._plans.get(shape)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.popitem(last=False)[1].drain()
            plan = self._plans[shape] = _Plan(shape, self._step_of, self._accelerator)
        self._plans.move_to_end(shape)
        planes = [image for image in images if isinstance(image, Nv12Image)]
        rows: dict[str, Sequence[Tensor] | Tensor] = {
            "images": [torch.from_numpy(image) for image in images if not isinstance(image, Nv12Image)],
            "luma": [image.luma for image in planes],
            "chroma": [image.chroma for image in planes],
            "prompted": padded_boxes([one.prompted for one in regions], shape.prompted),
            "expected": padded_boxes([one.expected for one in regions], shape.expected),
        }
        return plan.submit(rows, len(images))

    def close(self) -> None:
        """Wait for all batches, and release buffers and graphs. Idempotent."""
        for plan in self._plans.values():
            plan.drain()
        self._plans.clear()
        self._accelerator.close()


class _Plan:
    """Buffers and the step for one shape; the step is compiled when the shape comes for the second time.

    Pictures of a folder may all differ in size: none of them waits for a graph that is used once.
    """

    def __init__(self, shape: BatchShape, step_of: StepOfShape, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._inputs = shape.inputs()
        self._buffer = torch.zeros(self._inputs.num_bytes, dtype=torch.uint8, device=accelerator.device)
        self._planes = {
            name: torch.zeros(sizes, dtype=torch.uint8, device=accelerator.device)
            for name, sizes in shape.planes().items()
        }
        self._views = self._inputs.views(self._buffer) | self._planes
        self._step = step_of(shape, accelerator.device)
        self._outputs: Slab | None = None
        self._kept_names: tuple[str, ...] = ()
        self._run: Step | None = None
        self._num_runs = 0
        self._free: deque[tuple[Tensor, Tensor | None]] = deque()
        self._pending: deque[Ticket] = deque()

    def submit(self, rows: dict[str, Sequence[Tensor] | Tensor], num_images: int) -> Ticket:
        """Start a batch of `num_images` images, at most the shape's; the remaining ones are left as they are."""
        while self._outputs is not None and not self._free:
            self._pending.popleft().result()
        up, down = self._free.popleft() if self._free else (self._host_buffer(self._inputs.num_bytes), None)
        for name, target in self._inputs.views(up).items():
            for row in range(num_images):
                target[row] = rows[name][row]
        self._accelerator.upload(up, self._buffer)
        for name, target in self._planes.items():
            for row in range(num_images):
                self._accelerator.copy(rows[name][row], target[row])
        results = self._results()
        assert self._outputs is not None
        outputs = self._outputs
        target = down if down is not None else self._host_buffer(outputs.num_bytes)
        if down is None:  # the first batch: all host buffers now, because pinning memory waits for the device
            self._free.extend(
                (self._host_buffer(self._inputs.num_bytes), self._host_buffer(outputs.num_bytes))
                for _ in range(SLOTS - 1)
            )
        kept = dict(zip(self._kept_names, map(self._accelerator.keep, results[1:]), strict=True))
        wait = self._accelerator.download(results[0], target)

        def read() -> list[ImageResult]:
            views = outputs.views(target)
            read_rows = [
                ImageResult({name: values[row].clone() for name, values in views.items()}, kept, row)
                for row in range(num_images)
            ]
            self._free.append((up, target))
            return read_rows

        ticket = Ticket(wait, read)
        self._pending = deque([*(one for one in self._pending if not one.is_done), ticket])
        return ticket

    def drain(self) -> None:
        """Wait for all batches in flight."""
        while self._pending:
            self._pending.popleft().result()

    def _results(self) -> tuple[Tensor, ...]:
        """Start the step, and return the packed results and those that are kept."""
        self._num_runs += 1
        if self._num_runs == 2:
            self._run = self._accelerator.compiled(self._packed)
        return self._accelerator.run(self._packed) if self._run is None else self._run()

    def _packed(self) -> tuple[Tensor, ...]:
        results = self._step(self._views)
        if self._outputs is None:
            self._outputs, self._kept_names = Slab.like(results.returned), tuple(results.kept)
        return (self._outputs.pack(results.returned), *results.kept.values())

    def _host_buffer(self, num_bytes: int) -> Tensor:
        return self._accelerator.host_buffer(num_bytes)
