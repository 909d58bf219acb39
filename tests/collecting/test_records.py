"""Images and annotations of a collected data set."""

import json

import pytest

from streamseg.collecting import Occasion, image_record, instances_json
from streamseg.datasets.writers.base import image_objects
from streamseg.rle import coco_to_crop
from tests.support.collected import CUP, CUP_AGAIN, prompted_result, status


def occasion(reason="lost", *, is_confirmed=False, has_mask=True, **changes):
    result = prompted_result(7)
    mask = image_objects(result.message)[0].mask if has_mask else None
    return Occasion(reason, result.frame, CUP, status("lost"), mask, 6, is_confirmed=is_confirmed, **changes)


def test_image_and_annotation():
    one = occasion("corrected", is_confirmed=True, before=CUP_AGAIN)
    record = image_record(one.frame, [one])
    assert record.image == {
        "width": 64,
        "height": 48,
        "source": "cam",
        "frame_index": 7,
        "date_captured": "2023-11-14T22:13:20.700+00:00",
        "partly_labelled": True,
    }
    [annotation] = record.annotations
    segmentation = annotation.pop("segmentation")
    mask = coco_to_crop(segmentation)
    assert (segmentation["size"], mask.x, mask.y, mask.area) == ([48, 64], 8, 16, 256)
    assert annotation == {
        "category_id": 1,
        "bbox": [8, 16, 16, 16],
        "area": 256,
        "iscrowd": 0,
        "reviewed": False,
        "source": "last",
        "mask_frame_index": 6,
        "reason": "corrected",
        "prompt": {"id": "cup", "points": [[12.0, 20.0]], "labels": [1]},
        "state": "lost",
        "confidence": 0.0,
        "track_id": -1,
        "previous_prompt": {"id": "cup", "points": [[12.0, 20.0], [16.0, 24.0]], "labels": [1, 1]},
    }
    assert record.is_click


@pytest.mark.parametrize(
    ("reason", "is_confirmed", "iscrowd", "is_click"),
    [
        ("lost", False, 1, False),
        ("uncertain", False, 1, False),
        ("removed", False, 1, True),
        ("corrected", False, 1, True),
        ("corrected", True, 0, True),
    ],
)
def test_only_what_a_click_has_confirmed_is_trained_on(reason, is_confirmed, iscrowd, is_click):
    one = occasion(reason, is_confirmed=is_confirmed)
    record = image_record(one.frame, [one])
    assert (record.annotations[0]["iscrowd"], record.is_click) == (iscrowd, is_click)


def test_a_correction_that_found_nothing_keeps_its_prompt_with_the_image():
    one = occasion("corrected", has_mask=False)
    record = image_record(one.frame, [one])
    assert record.annotations == ()
    assert [(found["reason"], found["prompt"]["id"]) for found in record.image["unmatched_prompts"]] == [
        ("corrected", "cup")
    ]


def test_instances_json_is_one_object_of_coco():
    records = [({"id": 1}, [{"id": 1}, {"id": 2}]), ({"id": 2}, [])]
    content = json.loads("".join(instances_json(records, "1.0")))
    assert content["images"] == [{"id": 1}, {"id": 2}]
    assert content["annotations"] == [{"id": 1}, {"id": 2}]
    assert json.loads("".join(instances_json([], "1.0")))["images"] == []
