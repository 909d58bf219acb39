import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.geometry import logits_in_boxes, raster_logits, raster_points, sample_logits, silhouettes
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN, Instances


def make_instances(logits, boxes=None):
    boxes = torch.zeros(len(logits), 4) if boxes is None else torch.tensor(boxes, dtype=torch.float32)
    return Instances(boxes, torch.ones(len(logits)), logits, GridTransform(4, 4, 0, 0), (16, 24))


@pytest.mark.parametrize(
    ("x", "y", "logit"),
    [
        pytest.param(2, 2, 0, id="centre of the first cell"),
        pytest.param(6, 2, 1, id="next column"),
        pytest.param(2, 6, 10, id="next row"),
        pytest.param(4, 4, 5.5, id="between four"),
        pytest.param(3, 2, 0.25, id="a quarter along"),
        pytest.param(0, 0, 0, id="border repeats the cell"),
        pytest.param(22, 14, 35, id="centre of the last cell"),
        pytest.param(99, 99, 35, id="far outside"),
    ],
)
def test_sample_logits(x, y, logit):
    # Row r, column c holds 10 r + c; the second instance the same plus 100.
    plane = torch.arange(4.0)[:, None] * 10 + torch.arange(6.0)
    instances = make_instances(torch.stack([plane, plane + 100]))
    x, y = torch.tensor([float(x)]), torch.tensor([float(y)])
    found = sample_logits(instances, torch.tensor([[0], [1]]), x, y)
    assert found.shape == (2, 1)
    assert found[:, 0].tolist() == pytest.approx([logit, logit + 100])


def test_sample_logits_without_points():
    empty = torch.zeros(0)
    assert sample_logits(Instances.empty((16, 24)), empty.long(), empty, empty).shape == (0,)
    assert sample_logits(make_instances(torch.zeros(1, 4, 6)), empty.long(), empty, empty).shape == (0,)


@pytest.mark.parametrize(
    ("x", "y", "in_box"),
    [
        pytest.param(6, 2, True, id="inside"),
        pytest.param(4, 2, True, id="left side"),
        pytest.param(6, 1, True, id="upper side"),
        pytest.param(12, 2, False, id="right side"),
        pytest.param(6, 6, False, id="lower side"),
        pytest.param(3, 2, False, id="outside"),
        pytest.param(float("nan"), 2, False, id="NaN"),
    ],
)
def test_logits_in_boxes_end_at_the_box(x, y, in_box):
    instances = make_instances(torch.ones(2, 4, 6), [[4, 1, 12, 6], [0, 0, 24, 16]])
    x, y = torch.tensor([x, 1.0]), torch.tensor([float(y), 1.0])
    found = logits_in_boxes(instances, torch.arange(2)[:, None], x, y)
    assert found.shape == (2, 2)
    assert found[0, 0] == (1 if in_box else -torch.inf)
    assert found[1, 1] == 1


def test_logits_in_boxes_without_points():
    empty = torch.zeros(0)
    assert logits_in_boxes(Instances.empty((16, 24)), empty.long(), empty, empty).shape == (0,)
    assert logits_in_boxes(Instances.empty((16, 24)), empty.long()[:, None], torch.ones(2), torch.ones(2)).shape == (
        0,
        2,
    )


def test_silhouettes_show_mask_in_box():
    logits = -torch.ones(2, 4, 6)
    logits[0, :, :3] = 1.0  # the left half of the image
    logits[1] = 1.0
    found = silhouettes(make_instances(logits, [[0, 0, 24, 16], [3, 3, 5, 5]]), 8)
    assert found.shape == (2, 8, 8)
    assert found[0, :, :4].all()
    assert not found[0, :, 4:].any()
    assert found[1].all()


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 24, 31]))
def test_silhouettes_and_points_have_same_corrections(seed, num_tiles):
    generator = torch.Generator().manual_seed(seed)
    boxes = [[0, 0, 24, 16], [3.5, 2.25, 9, 13]]
    plain = make_instances(torch.randn((2, 4, 6), generator=generator), boxes)
    instances = plain.corrected(4 * torch.randn((2, 24, 24), generator=generator))
    x, y = raster_points(instances.boxes, num_tiles)
    logits = sample_logits(instances, torch.arange(2)[:, None, None], x[:, None, :], y[:, :, None])
    is_certain = logits.abs() > 1e-4
    assert torch.equal(silhouettes(instances, num_tiles)[is_certain], (logits > 0)[is_certain])


def test_silhouettes_without_instances():
    assert silhouettes(Instances.empty((16, 24)), 8).shape == (0, 8, 8)


@pytest.mark.parametrize("margin", [0.0, CORRECTION_MARGIN])
@pytest.mark.parametrize("side", [None, 24, 10])
def test_raster_logits_equal_those_at_points(side, margin):
    generator = torch.Generator().manual_seed(3)
    boxes = [[0, 0, 24, 16], [3.5, 2.25, 9, 13], [-2, 5, 3, 5], [20, 10, 30, 30]]
    instances = make_instances(torch.randn((4, 4, 6), generator=generator), boxes)
    if side is not None:
        instances = instances.corrected(torch.randn((4, side, side), generator=generator))
    x, y = raster_points(instances.boxes, 24, margin=margin)
    expected = sample_logits(instances, torch.arange(4)[:, None, None], x[:, None, :], y[:, :, None])
    found = raster_logits(instances, 24, margin=margin)
    has_extent = [0, 1, 3] if side is not None else [0, 1, 2, 3]  # corrections of a line differ
    torch.testing.assert_close(found[has_extent], expected[has_extent], atol=1e-4, rtol=0)
