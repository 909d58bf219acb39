"""Slots and tickets, on a device whose copies complete only when they are waited for."""

from functools import partial

import numpy as np
import pytest
import torch

from streamseg.geometry import letterbox
from streamseg.segmentation.device.batches import MAX_PLANS, SLOTS, DeviceBatches
from streamseg.segmentation.device.shapes import BatchShape, capacity, crop_pixels_for, rows_for
from streamseg.segmentation.device.step import StepResults
from streamseg.structures.search_regions import NO_REGIONS


class LateDevice:
    """A CPU that copies results only when somebody waits, from a snapshot, like a queue of work."""

    device = torch.device("cpu")

    def __init__(self):
        self.log = []
        self.closed = False

    def host_buffer(self, num_bytes):
        self.log.append("pin")
        return torch.zeros(num_bytes, dtype=torch.uint8)

    def upload(self, source, target):
        self.log.append("up")
        target.copy_(source)

    def compiled(self, step):
        self.log.append("compile")
        outputs = step()

        def replay():  # like a graph, into the same memory
            for output, values in zip(outputs, step(), strict=True):
                output.copy_(values)
            return outputs

        return replay

    def run(self, step):
        return step()

    def keep(self, values):
        self.log.append("keep")
        return values.clone()

    def download(self, source, target):
        self.log.append("down")
        return torch.inference_mode()(partial(target.copy_, source.clone()))

    def close(self):
        self.closed = True


def step_of(shape, device):
    """Return a step whose result is the first red value of each image, and keeps the image's upper left corner."""

    def step(inputs):
        images = inputs["images"]
        assert images.shape == (shape.batch, *shape.place.image_size, 3)
        return StepResults({"red": images[:, 0, 0, 0].clone()}, {"corner": images[:, :4, :4].clone()})

    return step


def shape_of(batch=1, *, size=64, **parts):
    return BatchShape(letterbox((size, size), size), batch, **{"rows": 64, "crop_pixels": size * size, **parts})


@pytest.fixture
def device():
    return LateDevice()


@pytest.fixture
def batches(device):
    return DeviceBatches(step_of, device)


def submit(batches, *values, shape=None, size=64):
    images = [np.full((size, size, 3), value, np.uint8) for value in values]
    return batches.submit(shape or shape_of(len(values), size=size), images, [NO_REGIONS] * len(values))


def reds(ticket):
    return [int(one.values["red"]) for one in ticket.result()]


def test_one_copy_up_and_one_down_per_batch(batches, device):
    for _ in range(2):
        submit(batches, 40).result()
    device.log.clear()
    for value in (50, 60, 70):
        assert reds(submit(batches, value)) == [value]
    assert device.log == ["up", "keep", "down"] * 3


def test_steps_are_compiled_with_the_second_batch_and_after_all_host_buffers(batches, device):
    for _ in range(3):
        submit(batches, 40).result()
    assert device.log.count("pin") == 2 * SLOTS
    assert device.log.count("compile") == 1
    rest = device.log[device.log.index("compile") :]
    assert rest == ["compile", "keep", "down", "up", "keep", "down"]
    assert device.log[: device.log.index("compile")].count("down") == 1


def test_results_of_batches_in_flight_are_not_mixed_up(batches):
    tickets = [submit(batches, 30 + value) for value in range(SLOTS)]
    assert [reds(ticket) for ticket in reversed(tickets)] == [[30 + value] for value in reversed(range(SLOTS))]


def test_more_batches_than_slots_keep_their_results(batches):
    tickets = [submit(batches, 30 + value) for value in range(3 * SLOTS)]
    assert [reds(ticket) for ticket in tickets] == [[30 + value] for value in range(3 * SLOTS)]


def test_results_do_not_change_with_later_batches(batches):
    for _ in range(2):
        (found,) = submit(batches, 40).result()
    for _ in range(2 * SLOTS):
        submit(batches, 90).result()
    assert int(found.values["red"]) == 40
    assert found.kept["corner"][found.row].unique().tolist() == [40]


def test_images_of_a_smaller_batch_fill_the_first_rows(batches):
    assert reds(submit(batches, 40, 41, 42, shape=shape_of(4))) == [40, 41, 42]


@pytest.mark.parametrize(
    ("count", "rows"),
    [(0, 64), (51, 64), (52, 128), (102, 128), (103, 300), (300, 300), (1000, 300)],
)
def test_capacity_for_objects_leaves_room(count, rows):
    assert rows_for(count, 300) == rows
    assert rows_for(count, 50) == 50


@pytest.mark.parametrize(("count", "images"), [(0, 1), (800, 1), (801, 2), (1601, 4), (9999, 4)])
def test_capacity_for_pixels_leaves_room(count, images):
    assert crop_pixels_for(count, (20, 50)) == 1000 * images


@pytest.mark.parametrize(
    ("counts", "prompted", "expected"), [([0], 0, 64), ([1, 3], 16, 64), ([16, 0], 16, 64), ([65], 128, 128)]
)
def test_capacity_for_regions_grows_in_steps(counts, prompted, expected):
    boxes = [np.zeros((count, 4)) for count in counts]
    assert (capacity(boxes, prompted=True), capacity(boxes, prompted=False)) == (prompted, expected)


def test_least_recently_used_shape_is_released(batches, device):
    sizes = [32 * number for number in range(1, MAX_PLANS + 1)]
    first = submit(batches, 40, size=sizes[0])
    for size in sizes[1:]:
        submit(batches, 40, size=size).result()
    submit(batches, 40, size=sizes[1]).result()
    device.log.clear()
    submit(batches, 40, size=32 * (MAX_PLANS + 1)).result()  # releases sizes[0]
    assert reds(first) == [40]
    submit(batches, 40, size=sizes[1]).result()
    assert device.log.count("pin") == 2 * SLOTS  # of the new shape


def test_closing_finishes_what_is_in_flight(batches, device):
    ticket = submit(batches, 40)
    batches.close()
    batches.close()
    assert device.closed
    assert reds(ticket) == [40]
