"""Endless, seeded batches: sample k of a run is the same whatever came before it, so a run can resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from streamseg.datasets.samples import Sample
from streamseg.errors import DataError
from streamseg.training.compose import Composed, ComposeSettings, Draw, compose
from streamseg.training.ranks import ALONE, Ranks

__all__ = ["Batch", "SampleSource", "batches", "draw_from"]


class SampleSource(Protocol):
    """Where labelled pictures come from: a folder, or the rendered scene."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample:
        """Picture `index`, 0 <= index < len."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """B pictures with N targets in all."""

    images: Tensor
    """uint8 (B, 3, S, S) RGB."""
    boxes: Tensor
    """float32 (N, 4) xyxy, pixels."""
    masks: Tensor
    """uint8 (N, S / 4, S / 4): how much of each cell the object covers, 0..255."""
    image_indices: Tensor
    """int64 (N,): which picture each target is in, ascending."""
    background_weight: Tensor
    """uint8 (B, S / 4, S / 4): weight of a negative at each cell, 0..255."""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


class _Composer(Dataset[Composed | DataError]):
    def __init__(
        self,
        sources: Sequence[SampleSource],
        weights: Sequence[float],
        sizes: Sequence[int],
        batch_size: int,
        seed: int,
        settings: ComposeSettings,
    ) -> None:
        self._sources = sources
        self._shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self._sizes = sizes
        self._batch_size = batch_size
        self._seed = seed
        self._settings = settings

    def __getitem__(self, index: int) -> Composed | DataError:
        # Every picture of a batch has the same size, drawn from the batch's number.
        batch_rng = np.random.default_rng((self._seed, index // self._batch_size, 1))
        size = int(batch_rng.choice(self._sizes))
        try:
            draw = draw_from(self._sources, self._shares)
            return compose(np.random.default_rng((self._seed, index)), draw, size, self._settings)
        except DataError as error:
            # Raised in a worker, it would arrive as a page of traceback.
            return error


def draw_from(sources: Sequence[SampleSource], shares: npt.NDArray[np.float64]) -> Draw:
    """Draws a source by its share (they sum to 1), and of it any picture alike."""

    def draw(rng: np.random.Generator) -> Sample:
        source = sources[int(rng.choice(len(sources), p=shares))]
        return source.sample(int(rng.integers(len(source))))

    return draw


def _collate(items: Sequence[Composed | DataError]) -> Batch | DataError:
    composed = []
    for item in items:
        if isinstance(item, DataError):
            return item
        composed.append(item)
    counts = [len(one.boxes) for one in composed]
    return Batch(
        images=torch.from_numpy(np.stack([one.image for one in composed])).permute(0, 3, 1, 2),
        boxes=torch.from_numpy(np.concatenate([one.boxes for one in composed])),
        masks=torch.from_numpy(np.concatenate([one.masks for one in composed])),
        image_indices=torch.repeat_interleave(torch.arange(len(composed)), torch.tensor(counts)),
        background_weight=torch.from_numpy(np.stack([one.background_weight for one in composed])),
    )


class _Order:
    """Numbers of the samples of batches `start` to `stop` (exclusive), those at `share` of each batch."""

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
    """End OpenCV's threads: a worker that is forked beside them would wait for ever for threads it does not have."""
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
    ranks: Ranks = ALONE,
) -> Iterator[Batch]:
    """Batches number `start` to `stop` (exclusive) of the run with this seed, or this process's share of each.

    Args:
        sources: where pictures are drawn from, with replacement.
        weights: share of each source, any positive scale.
        sizes: canvas sizes in pixels, multiples of 32; one is drawn per batch.
        batch_size: pictures per batch.
        start: first batch, 0 for a fresh run.
        stop: one past the last batch.
        seed: of the whole run.
        settings: the augmentation.
        num_workers: processes that compose; 0 composes in this one.
        ranks: the processes that share the batches; together they have the pictures that one would have alone.

    Raises:
        ConfigError: the processes cannot share a batch evenly.
        DataError: when its batch comes up: a picture is missing or an annotation contradicts it.
    """
    share = ranks.share(batch_size)
    loader: DataLoader[Composed | DataError] = DataLoader(
        _Composer(sources, weights, sizes, batch_size, seed, settings),
        batch_size=len(share),
        sampler=_Order(start, stop, batch_size, share),
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if num_workers else None,
    )
    with _without_opencv_threads():
        reading = iter(loader)
    for batch in reading:
        if isinstance(batch, DataError):
            raise batch
        yield batch
