"""Selection on the device equals that on the host, row by row."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.engines import Raw
from streamseg.geometry import letterbox
from streamseg.segmentation.candidates import SelectionSettings, select_detections
from streamseg.segmentation.device.selection import Regions, select
from streamseg.segmentation.device.step import placement_of
from streamseg.structures.search_regions import SearchRegions

PLACES = (letterbox((90, 160), 128), letterbox((100, 75), 128))
SETTINGS = SelectionSettings(conf=0.25, iou=0.7, max_det=30, expected_conf=0.05)


def candidates(seed: int, num_anchors: int, *, levels: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clustered boxes (1, A, 4) of a 96 x 128 input and scores (1, A) with many ties."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(max(num_anchors // 6, 1), 2, generator=generator) * torch.tensor([128.0, 96.0])
    centres = centres[torch.randint(len(centres), (num_anchors,), generator=generator)]
    centres = centres + torch.randn(num_anchors, 2, generator=generator) * 2
    sides = torch.rand(num_anchors, 2, generator=generator) * 30 + 4
    boxes = torch.cat([centres - sides / 2, centres + sides / 2], dim=1)
    if seed % 3 == 0:
        boxes = boxes.round()
    scores = (torch.rand(num_anchors, generator=generator) * levels).round() / levels
    return boxes[None], scores[None]


def random_regions(seed: int, num_prompted: int, num_expected: int) -> SearchRegions:
    generator = np.random.default_rng(seed)

    def boxes(count: int) -> np.ndarray:
        low = generator.uniform(-10, 150, (count, 2))
        return np.concatenate([low, low + generator.uniform(0, 40, (count, 2))], axis=1)

    return SearchRegions(prompted=boxes(num_prompted), expected=boxes(num_expected))


def padded(boxes: np.ndarray, capacity: int) -> torch.Tensor:
    result = torch.zeros(1, capacity, 4)
    result[0, : len(boxes)] = torch.from_numpy(boxes).float()
    return result


def both(boxes, scores, place, regions, limits, *, spare=3):
    """Return anchors and boxes from the device's and from the host's selection; None if the device leaves it."""
    unused = np.zeros((1, 0), np.float32)
    raw = Raw(boxes.numpy(), scores.numpy(), unused, unused)
    expected = select_detections(
        raw,
        0,
        place,
        conf=limits.conf,
        iou=limits.iou,
        max_det=limits.max_det,
        regions=regions,
        expected_conf=limits.expected_conf,
    )
    capacity = [len(one) + spare if len(one) or spare else 0 for one in (regions.prompted, regions.expected)]
    inputs = Regions(padded(regions.prompted, capacity[0]), padded(regions.expected, capacity[1]))
    found = select(boxes, scores, placement_of([place]), inputs, limits)
    if not bool(found.is_exact):
        return None, expected
    count = int(found.counts)
    assert found.scores[0, :count].equal(scores[0, found.anchors[0, :count]])
    return (found.anchors[0, :count], found.boxes[0, :count]), expected


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_anchors=st.sampled_from([1, 2, 40, 300]),
    num_prompted=st.integers(0, 4),
    num_expected=st.integers(0, 12),
    place=st.sampled_from(PLACES),
    max_det=st.sampled_from([1, 5, 300]),
    conf=st.sampled_from([0.0, 0.25, 0.9, 1.0]),
    iou=st.sampled_from([0.0, 0.5, 0.7, 1.0]),
    spare=st.sampled_from([0, 3]),
)
def test_device_selects_as_the_host(seed, num_anchors, num_prompted, num_expected, place, max_det, conf, iou, spare):
    boxes, scores = candidates(seed, num_anchors)
    limits = SelectionSettings(conf=conf, iou=iou, max_det=max_det, expected_conf=0.05)
    regions = random_regions(seed, num_prompted, num_expected)
    found, expected = both(boxes, scores, place, regions, limits, spare=spare)
    if found is not None:
        assert found[0].tolist() == expected[0].tolist()
        assert found[1].equal(expected[1])


def test_most_outputs_are_selected_on_the_device():
    results = [both(*candidates(seed, 300), PLACES[0], SearchRegions(), SETTINGS)[0] for seed in range(20)]
    assert all(result is not None for result in results)


def test_images_of_a_batch_do_not_affect_each_other():
    one, other = candidates(1, 200), candidates(2, 200)
    empty = Regions(torch.zeros(2, 0, 4), torch.zeros(2, 0, 4))
    together = select(
        torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]), placement_of(PLACES), empty, SETTINGS
    )
    for row, (boxes, scores) in enumerate((one, other)):
        nothing = Regions(empty.prompted[:1], empty.expected[:1])
        alone = select(boxes, scores, placement_of(PLACES[row : row + 1]), nothing, SETTINGS)
        for values, single in zip(together, alone, strict=True):
            assert values[row].equal(single[0])


@pytest.mark.parametrize(
    ("num_boxes", "is_exact"),
    [pytest.param(8, True, id="short chain"), pytest.param(200, False, id="long chain")],
)
def test_chains_that_do_not_settle_are_reported(num_boxes, is_exact):
    left = torch.arange(num_boxes) * 3.0
    boxes = torch.stack([left, left * 0, left + 10, left * 0 + 10], dim=1)[None]
    scores = torch.linspace(0.99, 0.3, num_boxes)[None]
    limits = SelectionSettings(conf=0.25, iou=0.5, max_det=300, expected_conf=0.05)
    found, expected = both(boxes, scores, letterbox((640, 640), 640), SearchRegions(), limits)
    assert (found is not None) is is_exact
    assert len(expected[0]) == num_boxes // 2


def test_more_candidates_than_fit_are_reported():
    boxes, scores = candidates(4, 1300)
    limits = SelectionSettings(conf=0.0, iou=0.7, max_det=300, expected_conf=0.05)
    found, _ = both(boxes, scores + 0.01, PLACES[0], SearchRegions(), limits)
    assert found is None
