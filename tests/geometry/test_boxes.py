import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.geometry import box_area, box_iou, clip_boxes, nms


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
