"""Seeded batches. Sample k of a run does not depend on earlier samples, so a run can resume at any batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from streamseg.datasets.samples import Sample
from streamseg.errors import DataError
from streamseg.structures.arrays import Float64Array
from streamseg.training.compose import ComposedImage, ComposeSettings, Draw, compose
from streamseg.training.ranks import SINGLE_PROCESS, Ranks

__all__ = ["Batch", "SampleSource", "batches", "draw_from"]

MAX_DRAWS = 100
"""Maximum number of images that are drawn until one is readable."""


class SampleSource(Protocol):
    """A source of labelled images: a folder or the rendered scene."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample:
        """Return labelled image `index`, 0 <= index < len."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """B images with N targets in total."""

    images: Tensor
    """uint8 (B, 3, S, S) RGB."""
    boxes: Tensor
    """float32 (N, 4) xyxy, pixels."""
    masks: Tensor
    """uint8 (N, S / 4, S / 4): share of each cell that the object covers, 0..255."""
    image_indices: Tensor
    """int64 (N,): index of the image that contains each target, ascending."""
    background_weight: Tensor
    """uint8 (B, S / 4, S / 4): weight of a negative at each cell, 0..255."""

    def to(self, device: torch.device) -> Batch:
        """Return a copy of the batch on another device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class _Composed:
    """One composed image, and one message per unreadable image in place of which another one was drawn."""

    image: ComposedImage
    skipped: tuple[str, ...]


class _Composer(Dataset[_Composed | DataError]):
    def __init__(
        self,
        sources: Sequence[SampleSource],
        weights: Sequence[float],
        sizes: Sequence[int],
        batch_size: int,
        seed: int,
        settings: ComposeSettings,
        *,
        skips: bool,
    ) -> None:
        self._sources = sources
        self._shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self._sizes = sizes
        self._batch_size = batch_size
        self._seed = seed
        self._settings = settings
        self._skips = skips

    def __getitem__(self, index: int) -> _Composed | DataError:
        # All images of a batch have the same size, drawn from the number of the batch.
        batch_rng = np.random.default_rng((self._seed, index // self._batch_size, 1))
        size = int(batch_rng.choice(self._sizes))
        skipped: list[str] = []
        try:
            draw = draw_from(self._sources, self._shares, skipped.append if self._skips else None)
            image = compose(np.random.default_rng((self._seed, index)), draw, size, self._settings)
            return _Composed(image, tuple(skipped))
        except DataError as error:
            # Raised in a worker, the error would arrive as a long traceback.
            return error


def draw_from(
    sources: Sequence[SampleSource], shares: Float64Array, on_skip: Callable[[str], None] | None = None
) -> Draw:
    """Return a function that draws a source by its share (shares sum to 1), then one of its images uniformly.

    If the image cannot be read, `on_skip` gets one line about it, and another image is drawn; without `on_skip` the
    function raises a DataError. It also does after `MAX_DRAWS` unreadable images in a row.
    """

    def draw(rng: np.random.Generator) -> Sample:
        for remaining in reversed(range(MAX_DRAWS)):
            source = sources[int(rng.choice(len(sources), p=shares))]
            try:
                return source.sample(int(rng.integers(len(source))))
            except DataError as error:
                if on_skip is None or not remaining:
                    raise
                on_skip(str(error))
        raise AssertionError("the last draw returns or raises")

    return draw


def _collate(items: Sequence[_Composed | DataError]) -> tuple[Batch, tuple[str, ...]] | DataError:
    composed = []
    skipped: list[str] = []
    for item in items:
        if isinstance(item, DataError):
            return item
        composed.append(item.image)
        skipped += item.skipped
    counts = [len(one.boxes) for one in composed]
    batch = Batch(
        images=torch.from_numpy(np.stack([one.image for one in composed])).permute(0, 3, 1, 2),
        boxes=torch.from_numpy(np.concatenate([one.boxes for one in composed])),
        masks=torch.from_numpy(np.concatenate([one.masks for one in composed])),
        image_indices=torch.repeat_interleave(torch.arange(len(composed)), torch.tensor(counts)),
        background_weight=torch.from_numpy(np.stack([one.background_weight for one in composed])),
    )
    return batch, tuple(skipped)


class _Order:
    """Sample numbers of batches `start` to `stop` (exclusive), limited to the positions `share` of each batch."""

    def __init__(self, start: int, stop: int, batch_size: int, share: range) -> None:
        self._firsts = range(start * batch_size, stop * batch_size, batch_size)
        self._share = share

    def __len__(self) -> int:
        return len(self._firsts) * len(self._share)

    def __iter__(self) -> Iterator[int]:
        return (first + offset for first in self._firsts for offset in self._share)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@contextmanager
def _without_opencv_threads() -> Iterator[None]:
    """Stop OpenCV's threads: a worker forked while they run would wait forever for threads that it does not have."""
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)


def batches(
    sources: Sequence[SampleSource],
    weights: Sequence[float],
    *,
    sizes: Sequence[int],
    batch_size: int,
    start: int,
    stop: int,
    seed: int,
    settings: ComposeSettings,
    num_workers: int = 1,
    ranks: Ranks = SINGLE_PROCESS,
    on_skip: Callable[[str], None] | None = None,
) -> Iterator[Batch]:
    """Yield batches `start` to `stop` (exclusive) of the run with this seed, or this process's share of each.

    Args:
        sources: sources of labelled images, which are drawn with replacement.
        weights: share of each source, on any positive scale.
        sizes: canvas sizes in pixels, multiples of 32; one is drawn per batch.
        batch_size: images per batch, over all processes.
        start: first batch, 0 for a new run.
        stop: one past the last batch.
        seed: seed of the whole run.
        settings: settings of the augmentation.
        num_workers: worker processes that compose images; 0 composes in the current process.
        ranks: processes that share the batches; together they get the images that a single process would get.
        on_skip: called with one line for each unreadable image, before its batch is yielded; another image is drawn
            instead. None refuses such images.

    Raises:
        ConfigError: a batch cannot be divided evenly among the processes.
        DataError: without `on_skip`, an image is missing or an annotation contradicts it; raised when its batch is due.
    """
    share = ranks.share(batch_size)
    loader: DataLoader[_Composed | DataError] = DataLoader(
        _Composer(sources, weights, sizes, batch_size, seed, settings, skips=on_skip is not None),
        batch_size=len(share),
        sampler=_Order(start, stop, batch_size, share),
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if num_workers else None,
    )
    with _without_opencv_threads():
        reading = iter(loader)
    for loaded in reading:
        if isinstance(loaded, DataError):
            raise loaded
        batch, skipped = loaded
        for line in skipped:
            if on_skip is not None:
                on_skip(line)
        yield batch
