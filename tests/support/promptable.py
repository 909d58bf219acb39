"""Scripted promptable models: they return planted masks, take planted times, and fail when they are told to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from streamseg.structures.arrays import Float32Array, ImageArray, MaskArray
from streamseg.structures.grid import GridTransform
from streamseg.tiers.quality.decoding import TimedMasks
from streamseg.tiers.quality.fits import fit_of
from streamseg.tiers.quality.model import Decoded, Embedding, Queries

__all__ = ["ManualClock", "ManualStart", "ScriptedModel", "filled_box"]


def filled_box(image: ImageArray, box: Float32Array) -> MaskArray:
    """The mask of a box: all of its pixels."""
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return mask


class ManualClock:
    """A clock in ns that moves only when it is told to."""

    def __init__(self) -> None:
        self.now_ms = 0.0

    def __call__(self) -> int:
        return round(self.now_ms * 1e6)


@dataclass
class ScriptedModel:
    """A model whose masks are those of a function, on a grid of the pixels of the image."""

    answer: Callable[[ImageArray, Float32Array], MaskArray] = filled_box
    """Returns the mask (H, W) for an image and a box xyxy; for a point, the box is the point twice."""
    quality: float = 0.9
    clock: ManualClock = field(default_factory=ManualClock)
    encode_ms: float = 0.0
    decode_ms: float = 0.0
    """Time per query."""
    error: Exception | None = None
    """Raised by the next calls."""
    name: str = "scripted"
    encoded: list[ImageArray] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    """Number of queries of each call of `decode`."""

    def encode(self, image: ImageArray) -> Embedding:
        if self.error is not None:
            raise self.error
        self.clock.now_ms += self.encode_ms
        self.encoded.append(image)
        return Embedding({"image": image}, fit_of((image.shape[0], image.shape[1]), "stretch", 64))

    def decode(self, embedding: Embedding, queries: Queries) -> Decoded:
        self.clock.now_ms += self.decode_ms * len(queries)
        self.batches.append(len(queries))
        image = embedding.tensors["image"]
        boxes = [np.concatenate((one[0], one[-1])) for one in queries.coords]
        logits = np.stack([np.where(self.answer(image, box), 8.0, -8.0) for box in boxes]).astype(np.float32)
        qualities = np.full((len(queries), 1), self.quality, dtype=np.float32)
        return Decoded(logits[:, None], qualities, GridTransform(1.0, 1.0, 0.0, 0.0))


class ManualStart:
    """A background that works when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[TimedMasks], Callable[[], TimedMasks]]] = []

    def __call__(self, work: Callable[[], TimedMasks]) -> Future[TimedMasks]:
        future: Future[TimedMasks] = Future()
        self.waiting.append((future, work))
        return future

    def run(self) -> None:
        """Do the waiting work."""
        waiting, self.waiting = self.waiting, []
        for future, work in waiting:
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)
