import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.geometry import (
    box_area,
    box_iou,
    clip_boxes,
    letterbox,
    letterbox_into,
    nms,
    raster_points,
    sample_logits,
    silhouettes,
)
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances


@pytest.mark.parametrize(
    ("image_size", "imgsz", "scaled_size", "input_size", "top", "left"),
    [
        pytest.param((720, 1280), 640, (360, 640), (384, 640), 12, 0, id="720p"),
        pytest.param((1080, 1920), 1024, (576, 1024), (576, 1024), 0, 0, id="1080p at 1024: no padding"),
        pytest.param((1280, 720), 640, (640, 360), (640, 384), 0, 12, id="portrait"),
        pytest.param((480, 640), 640, (480, 640), (480, 640), 0, 0, id="unscaled"),
        pytest.param((427, 640), 640, (427, 640), (448, 640), 10, 0, id="odd pixel goes below"),
        pytest.param((100, 100), 640, (640, 640), (640, 640), 0, 0, id="enlarged"),
        pytest.param((100, 200), 100, (64, 128), (64, 128), 0, 0, id="imgsz is rounded up"),
        pytest.param((1, 1000), 64, (1, 64), (32, 64), 15, 0, id="at least one pixel remains"),
    ],
)
def test_letterbox(image_size, imgsz, scaled_size, input_size, top, left):
    assert letterbox(image_size, imgsz) == (image_size, scaled_size, input_size, top, left)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.integers(32, 1300))
@settings(deadline=None)
def test_letterbox_fits_and_transform_inverts_it(image_size, imgsz):
    box = letterbox(image_size, imgsz)
    height, width = box.input_size
    assert height % 32 == width % 32 == 0
    assert max(height, width) == math.ceil(imgsz / 32) * 32
    assert 0 <= height - box.scaled_size[0] < 32
    assert 0 <= width - box.scaled_size[1] < 32
    # The corners of the scaled image map to the corners of the image.
    scale_x, scale_y, offset_x, offset_y = box.to_image()
    assert scale_x * box.left + offset_x == pytest.approx(0, abs=1e-6)
    assert scale_y * box.top + offset_y == pytest.approx(0, abs=1e-6)
    assert scale_x * (box.left + box.scaled_size[1]) + offset_x == pytest.approx(image_size[1])
    assert scale_y * (box.top + box.scaled_size[0]) + offset_y == pytest.approx(image_size[0])
    cell = box.to_image(4)
    assert cell == (4 * scale_x, 4 * scale_y, offset_x, offset_y)


@pytest.mark.parametrize(
    ("image_size", "input_size", "scaled_size", "top", "left"),
    [
        pytest.param((720, 1280), (640, 640), (360, 640), 140, 0, id="720p into a square"),
        pytest.param((1280, 720), (384, 640), (384, 216), 0, 212, id="portrait into landscape"),
        pytest.param((427, 640), (640, 640), (427, 640), 106, 0, id="odd pixel goes below"),
        pytest.param((640, 427), (640, 640), (640, 427), 0, 106, id="odd pixel goes to the right"),
        pytest.param((36, 64), (64, 128), (64, 114), 0, 7, id="enlarged"),
        pytest.param((64, 96), (64, 96), (64, 96), 0, 0, id="unchanged"),
        pytest.param((1, 1000), (64, 64), (1, 64), 31, 0, id="at least one pixel remains"),
    ],
)
def test_letterbox_into(image_size, input_size, scaled_size, top, left):
    assert letterbox_into(image_size, input_size) == (image_size, scaled_size, input_size, top, left)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.tuples(st.integers(1, 1300), st.integers(1, 1300)))
@settings(deadline=None)
def test_letterbox_into_fits_and_transform_inverts_it(image_size, input_size):
    box = letterbox_into(image_size, input_size)
    (height, width), (top, left) = box.scaled_size, (box.top, box.left)
    assert height == input_size[0] or width == input_size[1]
    assert 0 <= input_size[0] - height - 2 * top <= 1
    assert 0 <= input_size[1] - width - 2 * left <= 1
    scale_x, scale_y, offset_x, offset_y = box.to_image()
    assert scale_x * left + offset_x == pytest.approx(0, abs=1e-6)
    assert scale_y * (top + height) + offset_y == pytest.approx(image_size[0])


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        pytest.param([1, 2, 3, 4], [1, 2, 3, 4], id="inside"),
        pytest.param([-5, -6, 100, 200], [0, 0, 64, 48], id="around"),
        pytest.param([-9, -9, -1, -1], [0, 0, 0, 0], id="beyond the top left"),
        pytest.param([70, 50, 80, 60], [64, 48, 64, 48], id="beyond the bottom right"),
    ],
)
def test_clip_boxes(box, clipped):
    assert clip_boxes(torch.tensor([box], dtype=torch.float32), (48, 64)).tolist() == [clipped]


def test_clip_boxes_without_boxes():
    assert clip_boxes(torch.zeros(0, 4), (48, 64)).shape == (0, 4)


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        pytest.param([0, 0, 4, 4], [0, 0, 4, 4], 1, id="identical"),
        pytest.param([0, 0, 4, 4], [2, 0, 6, 4], 1 / 3, id="half"),
        pytest.param([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4, id="nested"),
        pytest.param([0, 0, 4, 4], [4, 0, 8, 4], 0, id="touching"),
        pytest.param([0, 0, 4, 4], [9, 9, 9, 9], 0, id="without extent"),
        pytest.param([9, 9, 9, 9], [9, 9, 9, 9], 0, id="both without extent"),
        pytest.param([4, 4, 0, 0], [0, 0, 4, 4], 0, id="inverted"),
    ],
)
def test_box_iou(a, b, iou):
    found = box_iou(torch.tensor([a, a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32))
    assert found.shape == (2, 1)
    assert found[:, 0].tolist() == pytest.approx([iou, iou])


def test_box_iou_without_boxes():
    assert box_iou(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    assert box_iou(torch.zeros(3, 4), torch.zeros(0, 4)).shape == (3, 0)


def test_box_area():
    boxes = torch.tensor([[1.0, 2, 4, 6], [4, 6, 1, 2], [1, 1, 1, 9]])
    assert box_area(boxes).tolist() == [12, 0, 0]


def slow_nms(boxes, scores, iou):
    """Implement the definition: by descending score, keep boxes that overlap no kept box by more than `iou`."""
    kept = []
    for index in scores.argsort(descending=True, stable=True).tolist():
        if all(box_iou(boxes[index : index + 1], boxes[other : other + 1]).item() <= iou for other in kept):
            kept.append(index)
    return kept


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
@settings(max_examples=60, deadline=None)
def test_nms_is_exact(seed, num_boxes, iou):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num_boxes, 2, 2, generator=generator) * 40
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    scores = (torch.rand(num_boxes, generator=generator) * 8).round() / 8  # many are equal
    assert nms(boxes, scores, iou).tolist() == slow_nms(boxes, scores, iou)


@pytest.mark.parametrize(
    ("boxes", "scores", "iou", "kept"),
    [
        pytest.param([], [], 0.5, [], id="none"),
        pytest.param([[0, 0, 4, 4]], [0.1], 0.5, [0], id="one"),
        pytest.param([[0, 0, 4, 4], [0, 0, 4, 4]], [0.5, 0.9], 0.5, [1], id="better of two"),
        pytest.param([[0, 0, 4, 4], [0, 0, 4, 4]], [0.5, 0.5], 0.5, [0], id="first of equals"),
        pytest.param([[0, 0, 4, 4], [0, 0, 4, 2]], [0.9, 0.5], 0.5, [0, 1], id="overlap equal to the limit is kept"),
        pytest.param(
            [[0, 0, 4, 4], [1, 0, 5, 4], [2, 0, 6, 4]], [0.9, 0.8, 0.7], 0.5, [0, 2], id="removed box removes none"
        ),
        pytest.param([[2, 2, 2, 2], [2, 2, 2, 2]], [0.9, 0.8], 0.5, [0, 1], id="without extent"),
    ],
)
def test_nms(boxes, scores, iou, kept):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    found = nms(boxes, torch.tensor(scores), iou)
    assert found.dtype == torch.int64
    assert found.tolist() == kept


@pytest.mark.parametrize("iou", [0.0, 0.5])
def test_nms_of_several_blocks_is_exact(iou):
    generator = torch.Generator().manual_seed(5)
    corners = torch.rand(400, 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + 4 + torch.rand(400, 2, generator=generator) * 8], dim=1)
    scores = (torch.rand(400, generator=generator) * 8).round() / 8
    expected = slow_nms(boxes, scores, iou)
    assert len(expected) < 300
    assert nms(boxes, scores, iou).tolist() == expected
    assert nms(boxes, scores, iou, max_kept=len(expected) - 1).tolist() == expected[:-1]


@pytest.mark.parametrize("max_kept", [0, 1, 3, 99])
def test_nms_stops_at_maximum(max_kept):
    boxes = torch.arange(8.0)[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    scores = torch.linspace(0.1, 0.9, 8)
    assert nms(boxes, scores, 0.5, max_kept=max_kept).tolist() == [7, 6, 5, 4, 3, 2, 1, 0][:max_kept]


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
