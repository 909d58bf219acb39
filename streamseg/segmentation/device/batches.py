"""Batches in flight: submitted without waiting, collected later; at most `SLOTS` of each shape at a time.

While the device works on one batch, the host prepares the next one and finishes the previous one. One copy goes up and
one comes back per batch.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.segmentation.detections import Detections
from streamseg.segmentation.device.accelerator import Accelerator
from streamseg.segmentation.device.slab import Slab
from streamseg.segmentation.device.step import BatchShape, DeviceStep, padded_boxes, placement_of
from streamseg.structures.search_regions import SearchRegions

__all__ = ["MAX_PLANS", "SLOTS", "DeviceBatches", "Ticket"]

SLOTS: Final = 2
"""Batches of one shape in flight: one on the device, one being prepared or finished by the host."""

MAX_PLANS: Final = 16
"""Shapes whose buffers and graphs are kept; the least recently used one is released first."""

MIN_EXPECTED: Final = 64
"""Smallest capacity for expected boxes per image, even if there are none: tracks come and go in live video, and a new
shape would have to be captured then."""

MIN_PROMPTED: Final = 16
"""Smallest capacity for prompted boxes per image, unless there are none."""


class Ticket:
    """A batch in flight."""

    def __init__(self, wait: Callable[[], None], read: Callable[[], list[Detections | None]]) -> None:
        self._wait: Callable[[], None] | None = wait
        self._read = read
        self._results: list[Detections | None] = []

    @property
    def is_done(self) -> bool:
        """Whether the result has been read."""
        return self._wait is None

    def result(self) -> list[Detections | None]:
        """Wait for the batch, and return the detections of each image; None for an image that the host must select."""
        if self._wait is not None:
            self._wait()
            self._results = self._read()
            self._wait = None
        return self._results


class DeviceBatches:
    """Submits batches to a device. Used by one thread at a time, in which graphs are captured, too.

    Args:
        step: the work for one batch.
        accelerator: the device.
    """

    def __init__(self, step: DeviceStep, accelerator: Accelerator) -> None:
        self._step = step
        self._accelerator = accelerator
        self._plans: OrderedDict[BatchShape, _Plan] = OrderedDict()

    @torch.inference_mode()
    def submit(
        self, images: npt.NDArray[np.uint8], places: Sequence[Letterbox], regions: Sequence[SearchRegions]
    ) -> Ticket:
        """Start to segment a batch.

        If `SLOTS` batches of this shape are in flight, the oldest one is waited for; its ticket keeps the result.

        Args:
            images: letterboxed images (B, H, W, 3) RGB; may be changed afterwards.
            places: placement of each image.
            regions: search regions of each image.
        """
        batch, height, width, _ = images.shape
        has_prompted = any(len(one.prompted) for one in regions)
        shape = BatchShape(
            batch=1 << (batch - 1).bit_length(),
            height=height,
            width=width,
            prompted=_capacity([one.prompted for one in regions], MIN_PROMPTED) if has_prompted else 0,
            expected=_capacity([one.expected for one in regions], MIN_EXPECTED),
        )
        plan = self._plans.get(shape)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.popitem(last=False)[1].drain()
            plan = self._plans[shape] = _Plan(shape, self._step, self._accelerator)
        self._plans.move_to_end(shape)
        rows = {
            "pixels": torch.from_numpy(images),
            "prompted": padded_boxes([one.prompted for one in regions], shape.prompted),
            "expected": padded_boxes([one.expected for one in regions], shape.expected),
            **placement_of(places)._asdict(),
        }
        return plan.submit(rows, batch)

    def close(self) -> None:
        """Wait for all batches, and release buffers and graphs. Idempotent."""
        for plan in self._plans.values():
            plan.drain()
        self._plans.clear()
        self._accelerator.close()


class _Plan:
    """Buffers and the compiled step for one shape."""

    def __init__(self, shape: BatchShape, step: DeviceStep, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._inputs = shape.inputs()
        self._buffer = torch.zeros(self._inputs.num_bytes, dtype=torch.uint8, device=accelerator.device)
        views = self._inputs.views(self._buffer)
        self._outputs = Slab.like(step(views))
        # All host buffers now: pinning memory waits for the device.
        self._free = deque(
            (accelerator.host_buffer(self._inputs.num_bytes), accelerator.host_buffer(self._outputs.num_bytes))
            for _ in range(SLOTS)
        )
        self._pending: deque[Ticket] = deque()
        self._run = accelerator.compiled(lambda: self._outputs.pack(step(views)))

    def submit(self, rows: dict[str, Tensor], num_images: int) -> Ticket:
        """Start a batch of `num_images` images, at most the shape's; the remaining ones are left as they are."""
        while not self._free:
            self._pending.popleft().result()
        up, down = self._free.popleft()
        for name, target in self._inputs.views(up).items():
            target[:num_images] = rows[name]
        self._accelerator.upload(up, self._buffer)
        wait = self._accelerator.download(self._run(), down)

        def read() -> list[Detections | None]:
            results = [_detections(self._outputs.views(down), row) for row in range(num_images)]
            self._free.append((up, down))
            return results

        ticket = Ticket(wait, read)
        self._pending = deque([*(one for one in self._pending if not one.is_done), ticket])
        return ticket

    def drain(self) -> None:
        """Wait for all batches in flight."""
        while self._pending:
            self._pending.popleft().result()


def _detections(outputs: dict[str, Tensor], row: int) -> Detections | None:
    """Copy one image's results out of the buffer."""
    if not bool(outputs["is_exact"][row]):
        return None
    count = int(outputs["counts"][row])
    embeddings = outputs.get("embeddings")
    return Detections(
        boxes=outputs["boxes"][row, :count].clone(),
        scores=outputs["scores"][row, :count].clone(),
        coefficients=outputs["coefficients"][row, :count].to(torch.float32, copy=True),
        prototypes=_array(outputs["prototypes"][row]),
        embeddings=None if embeddings is None else _array(embeddings[row]),
    )


def _array(values: Tensor) -> npt.NDArray[np.floating]:
    # NumPy has no bfloat16.
    copied = values.float() if values.dtype == torch.bfloat16 else values.clone()
    array: npt.NDArray[np.floating] = copied.numpy()
    return array


def _capacity(boxes: Sequence[npt.NDArray[np.float64]], smallest: int) -> int:
    """Return the capacity for the longest of these lists of boxes, a power of two."""
    return max(smallest, 1 << (max(map(len, boxes)) - 1).bit_length())
