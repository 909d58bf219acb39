"""The network's own boxes of the objects in prompted boxes."""

import numpy as np
import pytest
import torch

from streamseg.engines import Raw
from streamseg.geometry import letterbox
from streamseg.segmentation.detections import Detections
from streamseg.segmentation.own_boxes import own_boxes

PLACE = letterbox((128, 128), 128)
DRAWN = (20.0, 20.0, 60.0, 60.0)
OTHER = (80.0, 80.0, 120.0, 120.0)
CLOSE, LARGER, HALF = (21.0, 20.0, 60.0, 60.0), (18.0, 20.0, 62.0, 66.0), (20.0, 20.0, 40.0, 60.0)


def found(candidates, is_prompted=(True, False)):
    boxes, scores = zip(*candidates, strict=True)
    raw = Raw(
        np.array([boxes], np.float32),
        np.array([scores], np.float32),
        np.zeros((1, len(boxes), 4), np.float32),
        np.zeros((1, 4, 32, 32), np.float32),
    )
    return Detections(
        boxes=torch.tensor([DRAWN, OTHER]),
        scores=torch.tensor([0.9, 0.5]),
        coefficients=torch.zeros(2, 4),
        is_prompted=torch.tensor(is_prompted),
        prototypes=raw.prototypes[0],
        embeddings=None,
        source=(raw, 0),
    )


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([(CLOSE, 0.2), (LARGER, 0.6)], LARGER, id="the highest score among those that fit"),
        pytest.param([(CLOSE, 0.2), (HALF, 0.9), (OTHER, 0.9)], CLOSE, id="not a part, and nothing elsewhere"),
        pytest.param([(HALF, 0.9), (OTHER, 0.9)], (0, 0, 0, 0), id="none fits"),
        pytest.param([(CLOSE, 0.0)], (0, 0, 0, 0), id="certainly no object"),
    ],
)
def test_own_box_of_a_prompted_one(candidates, expected):
    boxes = own_boxes(found(candidates), PLACE)
    assert boxes[0].tolist() == pytest.approx(expected)
    assert boxes[1].tolist() == list(OTHER)


def test_none_without_prompted_boxes():
    assert own_boxes(found([(CLOSE, 0.5)], is_prompted=(False, False)), PLACE) is None
