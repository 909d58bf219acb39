"""Messages as arrays, and as supervision's detections if it is installed."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.structures.message import detection_arrays
from tests.support.messages import disc, make_message, make_object

CUP = make_object(disc(9), 3, 2, track_id=4, score=0.75, label="cup", prompt_ids=("everything", "cup"))
HAND = make_object(disc(7), 30, 20, track_id=-1, score=0.5, prompt_ids=("everything", "hand"))
BOTH = make_message(CUP, HAND)

needs_supervision = pytest.mark.skipif(
    importlib.util.find_spec("supervision") is None, reason="supervision is not installed (pip install supervision)"
)


def test_arrays_have_one_row_per_object():
    arrays = detection_arrays(BOTH)
    assert np.array_equal(arrays.xyxy, np.array([CUP.box, HAND.box], np.float32))
    assert np.array_equal(arrays.mask, [found.mask.full(BOTH.mask_size) for found in (CUP, HAND)])
    assert arrays.confidence.tolist() == [0.75, 0.5]
    assert arrays.tracker_id.tolist() == [4, -1]
    assert arrays.class_id.tolist() == [0, 0]
    assert arrays.labels.tolist() == ["cup", ""]
    assert arrays.prompt_ids.tolist() == [("everything", "cup"), ("everything", "hand")]
    assert arrays.prompt_ids.shape == (2,)


@pytest.mark.parametrize(
    ("classes", "class_ids"),
    [
        pytest.param(["hand", "cup"], [1, -1], id="known"),
        pytest.param([], [-1, -1], id="none"),
        pytest.param(["", "door"], [-1, 0], id="class-for-no-label"),
    ],
)
def test_class_ids_follow_given_classes(classes, class_ids):
    assert detection_arrays(BOTH, classes=classes).class_id.tolist() == class_ids


def test_masks_have_image_size():
    message = replace(BOTH, image_size=(96, 128), mask_to_image=(2.0, 2.0, 0.0, 0.0))
    mask = detection_arrays(message).mask
    assert mask.shape == (2, 96, 128)
    assert mask.sum(axis=(1, 2)).tolist() == [4 * CUP.area, 4 * HAND.area]


def test_message_without_objects():
    arrays = detection_arrays(make_message())
    shapes = {name: getattr(arrays, name).shape for name in arrays.__dataclass_fields__}
    assert shapes == {
        "xyxy": (0, 4),
        "mask": (0, 48, 64),
        **dict.fromkeys(("confidence", "class_id", "tracker_id", "labels", "prompt_ids"), (0,)),
    }
    assert (arrays.xyxy.dtype, arrays.mask.dtype, arrays.labels.dtype.kind) == (np.float32, np.bool_, "U")


@pytest.mark.skipif(importlib.util.find_spec("supervision") is not None, reason="supervision is installed")
def test_error_names_install_command():
    with pytest.raises(DataError, match=r"run: pip install supervision$"):
        BOTH.to_supervision()


@needs_supervision
def test_converts_to_supervision_detections():
    detections = BOTH.to_supervision(classes=["cup"])
    assert len(detections) == 2
    tracked = detections[detections.tracker_id >= 0]
    assert tracked.data["class_name"].tolist() == ["cup"]
    assert tracked.data["prompt_ids"].tolist() == [("everything", "cup")]
    assert tracked.class_id.tolist() == [0]
    assert np.array_equal(tracked.mask[0], CUP.mask.full(BOTH.mask_size))


@needs_supervision
def test_converts_empty_message_to_supervision_detections():
    from supervision import Detections

    empty = make_message().to_supervision()
    assert empty.is_empty()
    assert len(Detections.merge([empty, BOTH.to_supervision()])) == 2
    assert empty[empty.tracker_id >= 0].is_empty()
