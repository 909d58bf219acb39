"""Slots and tickets, on a device whose copies complete only when they are waited for."""

from functools import partial

import numpy as np
import pytest
import torch

from streamseg.geometry import letterbox
from streamseg.modeling.decoding import DecodedPredictions
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.batches import MAX_PLANS, SLOTS, DeviceBatches
from streamseg.segmentation.device.step import DeviceStep
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions

SETTINGS = SelectionSettings(conf=0.25, iou=0.7, max_det=5, expected_conf=0.05)
PLACE = letterbox((64, 64), 64)


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
        return step

    def download(self, source, target):
        self.log.append("down")
        return torch.inference_mode()(partial(target.copy_, source.clone()))

    def close(self):
        self.closed = True


def predict(pixels):
    """Find one object per image, whose score is the first pixel's red value in percent."""
    batch = len(pixels)
    scores = torch.zeros(batch, 3)
    scores[:, 1] = pixels[:, 0, 0, 0] / 100
    boxes = torch.tensor([8.0, 8, 40, 40]).expand(batch, 3, 4)
    return DecodedPredictions(
        boxes, scores, torch.ones(batch, 3, 2), pixels[:, ::4, ::4, :2].permute(0, 3, 1, 2).float()
    )


def grey(*values, size=64):
    return np.stack([np.full((size, size, 3), value, np.uint8) for value in values])


@pytest.fixture
def device():
    return LateDevice()


@pytest.fixture
def batches(device):
    return DeviceBatches(DeviceStep(predict, SETTINGS), device)


def submit(batches, *values, regions=NO_REGIONS, size=64):
    return batches.submit(grey(*values, size=size), [PLACE] * len(values), [regions] * len(values))


def scores(ticket):
    return [round(float(found.scores[0]), 2) for found in ticket.result()]


def test_one_copy_up_and_one_down_per_batch(batches, device):
    submit(batches, 40).result()
    device.log.clear()
    for value in (50, 60, 70):
        assert scores(submit(batches, value)) == [value / 100]
    assert device.log == ["up", "down"] * 3


def test_host_buffers_are_allocated_before_the_step_is_compiled(batches, device):
    submit(batches, 40)
    assert device.log == ["pin", "pin"] * SLOTS + ["compile", "up", "down"]


def test_results_of_batches_in_flight_are_not_mixed_up(batches):
    tickets = [submit(batches, 30 + value) for value in range(SLOTS)]
    assert [scores(ticket) for ticket in reversed(tickets)] == [
        [(30 + value) / 100] for value in reversed(range(SLOTS))
    ]


def test_more_batches_than_slots_keep_their_results(batches):
    tickets = [submit(batches, 30 + value) for value in range(3 * SLOTS)]
    assert [scores(ticket) for ticket in tickets] == [[(30 + value) / 100] for value in range(3 * SLOTS)]


def test_results_do_not_change_with_later_batches(batches):
    (found,) = submit(batches, 40).result()
    before = found.prototypes.copy(), found.scores.clone()
    for _ in range(2 * SLOTS):
        submit(batches, 90).result()
    np.testing.assert_array_equal(found.prototypes, before[0])
    assert found.scores.equal(before[1])


@pytest.mark.parametrize("num_images", [1, 2, 3, 5])
def test_batches_are_padded_to_powers_of_two(batches, device, num_images):
    values = [40 + number for number in range(num_images)]
    assert scores(submit(batches, *values)) == [value / 100 for value in values]
    device.log.clear()
    assert scores(submit(batches, *[50] * (1 << (num_images - 1).bit_length()))) == [0.5] * (
        1 << (num_images - 1).bit_length()
    )
    assert "compile" not in device.log


def test_capacity_for_regions_grows_in_steps(batches, device):
    for expected, prompted, compiles in (
        (0, 0, 1),
        (1, 0, 0),
        (64, 0, 0),
        (65, 0, 1),
        (0, 1, 1),
        (9, 16, 0),
        (0, 17, 1),
    ):
        device.log.clear()
        boxes = [np.tile([50.0, 50, 60, 60], (count, 1)) for count in (prompted, expected)]
        submit(batches, 40, regions=SearchRegions(*boxes)).result()
        assert device.log.count("compile") == compiles


def test_image_without_objects_has_no_rows(batches):
    (found,) = submit(batches, 0).result()
    assert found.boxes.shape == (0, 4)
    assert found.coefficients.shape == (0, 2)
    assert found.prototypes.shape == (2, 16, 16)
    assert found.embeddings is None


def test_least_recently_used_shape_is_released(batches, device):
    sizes = [32 * number for number in range(1, MAX_PLANS + 1)]
    first = submit(batches, 40, size=sizes[0])
    for size in sizes[1:]:
        submit(batches, 40, size=size).result()
    submit(batches, 40, size=sizes[1]).result()
    device.log.clear()
    submit(batches, 40, size=32 * (MAX_PLANS + 1)).result()  # releases sizes[0]
    assert scores(first) == [0.4]
    submit(batches, 40, size=sizes[1]).result()
    assert device.log.count("compile") == 1


def test_closing_finishes_what_is_in_flight(batches, device):
    ticket = submit(batches, 40)
    batches.close()
    batches.close()
    assert device.closed
    assert scores(ticket) == [0.4]
