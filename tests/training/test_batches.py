import os
from dataclasses import fields
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from streamseg.datasets.samples import Sample
from streamseg.errors import DataError
from streamseg.training.batches import batches
from streamseg.training.compose import ComposeSettings
from tests.support.images import ListSource, drawn_sample

DRAWN = ListSource([drawn_sample(seed) for seed in range(5)])
EMPTY = ListSource([Sample(np.full((40, 40, 3), 200, dtype=np.uint8), ())])
GREY = ListSource([Sample(np.full((40, 40, 3), 7, dtype=np.uint8), ())])


def made(start, stop, *, sources=(DRAWN, EMPTY), weights=(3, 1), num_workers=0, **changes):
    settings = {"sizes": (64, 96), "batch_size": 3, "seed": 0, "settings": ComposeSettings()} | changes
    return list(batches(sources, weights, start=start, stop=stop, num_workers=num_workers, **settings))


def same(one, other):
    return all(torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def all_same(some, others):
    return len(some) == len(others) and all(same(one, other) for one, other in zip(some, others, strict=True))


# ---- contents of a batch


def test_batch_holds_images_of_one_size_and_their_targets():
    seen = set()
    for batch in made(0, 12):
        size = batch.images.shape[2]
        seen.add(size)
        assert batch.images.shape == (3, 3, size, size)
        assert batch.images.dtype == torch.uint8
        num_targets = len(batch.boxes)
        assert batch.boxes.shape == (num_targets, 4)
        assert batch.boxes.dtype == torch.float32
        assert batch.masks.shape == (num_targets, size // 4, size // 4)
        assert batch.image_indices.shape == (num_targets,)
        assert batch.image_indices.dtype == torch.int64
        assert (batch.image_indices.diff() >= 0).all()
        assert batch.background_weight.shape == (3, size // 4, size // 4)
    assert seen == {64, 96}


def test_targets_belong_to_their_images():
    """Each image, composed again alone, has exactly the targets with its index."""
    for number, batch in enumerate(made(0, 4, sizes=(64,))):
        for position in range(3):
            (alone,) = made(number * 3 + position, number * 3 + position + 1, sizes=(64,), batch_size=1)
            rows = batch.image_indices == position
            assert torch.equal(batch.images[position], alone.images[0])
            assert torch.equal(batch.boxes[rows], alone.boxes)
            assert torch.equal(batch.masks[rows], alone.masks)


def test_images_without_targets():
    (batch,) = made(0, 1, sources=[EMPTY], weights=[1], sizes=(64,))
    assert batch.images.shape == (3, 3, 64, 64)
    assert batch.boxes.shape == (0, 4)
    assert batch.masks.shape == (0, 16, 16)
    assert batch.image_indices.shape == (0,)


def test_batch_moves_to_another_device():
    (batch,) = made(0, 1)
    assert all(getattr(batch.to(torch.device("meta")), field.name).device.type == "meta" for field in fields(batch))


# ---- independence of earlier batches


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 1, 5, 7, 8])
def test_batches_do_not_depend_on_the_start(start):
    assert all_same(made(start, 8), made(0, 8)[start:])


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(num_workers):
    assert all_same(made(2, 6, num_workers=num_workers), made(2, 6))


def test_other_seed_gives_other_batches():
    assert not any(map(same, made(0, 4, sizes=(64,)), made(0, 4, sizes=(64,), seed=1)))


def test_batches_differ():
    some = made(0, 10, sizes=(64,))
    assert not any(same(some[i], some[j]) for i in range(10) for j in range(i))


def test_finished_run_has_no_batches():
    assert made(5, 5) == made(7, 5) == []


def test_iteration_can_stop_early():
    settings = {"sizes": (64,), "batch_size": 2, "seed": 0, "settings": ComposeSettings()}
    endless = batches([DRAWN], [1], start=0, stop=10**9, num_workers=1, **settings)
    assert len(list(islice(endless, 2))) == 2
    endless.close()


# ---- sources


def test_sources_are_drawn_by_their_weights():
    drawn = made(0, 100, sources=[EMPTY, GREY], weights=[1, 3], batch_size=4, sizes=(32,), settings=PLAIN)
    dark = sum(int((batch.images[:, 0].amin(dim=(1, 2)) == 7).sum()) for batch in drawn)
    assert dark == pytest.approx(300, abs=40)


PLAIN = ComposeSettings(mosaic=0, paste=0, photometric=0)


class BrokenSource:
    """A source with one missing image."""

    def __init__(self, broken_index: int) -> None:
        self._broken_index = broken_index

    def __len__(self) -> int:
        return 4

    def sample(self, index: int) -> Sample:
        if index == self._broken_index:
            raise DataError(f"image {index} is missing; process {os.getpid()}")
        return drawn_sample(index)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_image_is_one_line_in_any_process(num_workers):
    reading = batches(
        [BrokenSource(2)],
        [1],
        sizes=(64,),
        batch_size=2,
        start=0,
        stop=100,
        seed=0,
        settings=PLAIN,
        num_workers=num_workers,
    )
    with pytest.raises(DataError) as caught:
        list(reading)
    assert str(caught.value).startswith("image 2 is missing; process ")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(str(os.getpid())) == (num_workers == 0)


def test_batches_before_an_unreadable_image_are_delivered():
    reading = batches(
        [BrokenSource(2)], [1], sizes=(64,), batch_size=1, start=0, stop=100, seed=5, settings=PLAIN, num_workers=1
    )
    delivered = []
    with pytest.raises(DataError):
        delivered.extend(reading)
    expected = []
    with pytest.raises(DataError):
        expected.extend(
            batches(
                [BrokenSource(2)],
                [1],
                sizes=(64,),
                batch_size=1,
                start=0,
                stop=100,
                seed=5,
                settings=PLAIN,
                num_workers=0,
            )
        )
    assert all_same(delivered, expected)


def test_process_keeps_its_opencv_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        assert len(made(0, 1, num_workers=1)) == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_another_image_is_drawn_in_place_of_an_unreadable_one(num_workers):
    """The batches do not depend on where they start or on the number of workers, and every skip is reported."""
    skipped = []
    source = [BrokenSource(0)]
    some = made(0, 6, sources=source, weights=[1], sizes=(64,), num_workers=num_workers, on_skip=skipped.append)
    assert len(some) == 6
    assert skipped
    assert all(line.startswith("image 0 is missing") for line in skipped)
    again = made(3, 6, sources=source, weights=[1], sizes=(64,), on_skip=skipped.append)
    assert all_same(some[3:], again)


def test_source_without_readable_image_ends_the_batches():
    with pytest.raises(DataError, match="image 0 is missing"):
        made(0, 1, sources=[AllBroken(0)], weights=[1], sizes=(64,), on_skip=lambda line: None)


class AllBroken(BrokenSource):
    """A source of one image, which is missing."""

    def __len__(self) -> int:
        return 1


def test_readable_sources_give_the_same_batches_with_and_without_skipping():
    assert all_same(made(0, 2), made(0, 2, on_skip=pytest.fail))
