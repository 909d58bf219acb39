"""ROS 2 messages as dictionaries."""

import numpy as np
import pytest
from hypothesis import given

from streamseg.ros import messages as ros
from streamseg.ros.id_image import IdPainter
from streamseg.structures.message import PromptStatus
from tests.support.messages import disc, make_message, make_object, messages

BLOCK = np.ones((10, 20), np.bool_)
PART = np.ones((4, 5), np.bool_)


def test_an_image_message_has_rows_of_two_bytes_per_pixel():
    built = ros.instances(make_message(make_object(BLOCK, 3, 2, track_id=300)), IdPainter())
    assert (built["height"], built["width"], built["encoding"], built["step"]) == (48, 64, "mono16", 128)
    pixels = built["data"].view("<u2").reshape(48, 64)
    assert pixels[5, 10] == 300


@pytest.mark.parametrize(("frame_id", "expected"), [("", "cam0"), ("mast", "mast")])
def test_headers_have_the_time_of_the_capture(frame_id, expected):
    built = ros.header(make_message(frame_id=frame_id))
    assert built == {"stamp": {"sec": 1_700_000_000, "nanosec": 250_000_000}, "frame_id": expected}


@pytest.mark.parametrize(
    ("captured_ns", "expected"),
    [(0, (0, 0)), (1_999_999_999, (1, 999_999_999)), (2**31 * 10**9, (2**31 - 1, 0)), (2**62, (2**31 - 1, 427387904))],
)
def test_times_fit_into_32_bits(captured_ns, expected):
    assert tuple(ros.stamp(make_message(captured_ns=captured_ns)).values()) == expected


def test_detections_have_centre_size_label_and_identity():
    labelled = make_object(BLOCK, 3, 2, track_id=5, label="cup", score=0.75)
    tentative = make_object(PART, 40, 30, track_id=-1)
    first, second = ros.detections(make_message(labelled, tentative))["detections"]
    assert first["id"] == "5"
    assert first["results"][0]["hypothesis"] == {"class_id": "cup", "score": 0.75}
    assert first["bbox"]["center"]["position"] == {"x": 13.0, "y": 7.0}
    assert (first["bbox"]["size_x"], first["bbox"]["size_y"]) == (20.0, 10.0)
    assert (second["id"], second["results"][0]["hypothesis"]["class_id"]) == ("", "object")


def test_prompts_aim_at_the_centroid_and_keep_their_state_without_an_object():
    corner = np.triu(np.ones((9, 9), np.bool_))
    found = make_object(corner, 10, 10, track_id=5, prompt_ids=("cup",))
    message = make_message(
        found,
        prompts=(PromptStatus("cup", "bound", 0.9, 5), PromptStatus("pen", "lost", 0.0, 3)),
    )
    cup, pen = ros.prompts(message)["detections"]
    assert cup["id"] == "cup"
    assert cup["results"][0]["hypothesis"] == {"class_id": "bound", "score": 0.9}
    assert cup["bbox"]["center"]["position"] == pytest.approx(dict(zip("xy", found.centroid, strict=True)))
    assert pen["results"][0]["hypothesis"] == {"class_id": "lost", "score": 0.0}
    assert (pen["bbox"]["size_x"], pen["bbox"]["center"]["position"]["x"]) == (0.0, 0.0)


def test_label_info_names_the_tracks_in_order():
    first, second = make_object(BLOCK, 0, 0, track_id=9, label="cup"), make_object(PART, 0, 0, track_id=4)
    built = ros.label_info(make_message(first, second, make_object(PART, 9, 9, track_id=-1)))
    assert built["class_map"] == [
        {"class_id": 4, "class_name": "object"},
        {"class_id": 9, "class_name": "cup"},
    ]


def test_annotations_outline_masks_in_pixels_of_the_image():
    message = make_message(
        make_object(BLOCK, 3, 2, track_id=5, label="cup"), image_size=(96, 128), mask_to_image=(2.0, 2.0, 0.0, 0.0)
    )
    built = ros.image_annotations(message)
    (outline,) = built["points"]
    assert sorted(map(tuple, outline["points"].tolist())) == [(7, 5), (7, 23), (45, 5), (45, 23)]
    assert [text["text"] for text in built["texts"]] == ["5 cup"]


def test_annotations_of_a_ring_and_of_nothing():
    ring = disc(20)
    ring[6:14, 6:14] = False
    built = ros.image_annotations(make_message(make_object(ring, 5, 5), make_object(np.zeros((3, 3), np.bool_), 0, 0)))
    assert len(built["points"]) == 2  # the outline and the hole
    assert ros.image_annotations(make_message()) == {"circles": [], "points": [], "texts": []}


@given(messages())
def test_all_but_images_can_be_built_from_any_message(message):
    for build in (ros.header, ros.detections, ros.label_info):
        build(message)
    assert len(ros.detections(message)["detections"]) == len(message.objects)
