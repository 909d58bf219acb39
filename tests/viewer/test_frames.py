import io
from dataclasses import replace

import cv2
import numpy as np
import pytest

from streamseg.config.effect import EffectConfig
from streamseg.drawing.effect_book import EffectBook
from streamseg.drawing.effects import load_style
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.pipeline import FrameResult
from streamseg.pipeline.compose import SelectionMatcher
from streamseg.publish.jpeg import SharedJpeg
from streamseg.structures.message import MessageObject
from streamseg.structures.prompt import PointPrompt
from streamseg.viewer.frames import NumberedFrame, complete_message, display_size, drawn_jpeg, drawn_png, packed_frame
from streamseg.wire import decode, unpack_single
from tests.support.messages import comparable
from tests.support.viewers import BOXES, make_result

POINT = PointPrompt("cup", ((12.0, 12.0),), (1,))
NOWHERE = PointPrompt("nothing", ((1.0, 47.0),), (1,))
SIZE = (48, 64)


def decode_image(body: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(io.BytesIO(body).read(), np.uint8), cv2.IMREAD_COLOR)


def pixels(one: MessageObject, size: tuple[int, int] = SIZE) -> np.ndarray:
    return one.mask.full(size)


@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        pytest.param((720, 1280), 1280, (720, 1280), id="same-width"),
        pytest.param((720, 1280), 1920, (720, 1280), id="never-enlarged"),
        pytest.param((1080, 1920), 1280, (720, 1280), id="reduced"),
        pytest.param((1920, 1080), 720, (1280, 720), id="portrait"),
        pytest.param((1, 4000), 64, (1, 64), id="flat"),
    ],
)
def test_display_size(size: tuple[int, int], max_width: int, expected: tuple[int, int]):
    assert display_size(size, max_width) == expected


@pytest.mark.parametrize(
    ("prompts", "names"),
    [
        pytest.param([POINT], [("cup",), ()], id="one-prompt"),
        pytest.param([NOWHERE], [(), ()], id="no-match"),
        pytest.param([], [(), ()], id="no-prompt"),
        pytest.param([POINT, PointPrompt("cup2", ((10.0, 10.0),), (1,))], [("cup", "cup2"), ()], id="two-prompts"),
    ],
)
def test_complete_message_has_every_instance_with_its_prompts(prompts: list[PointPrompt], names: list[tuple[str, ...]]):
    result = make_result(prompts=prompts)
    everything = make_result()
    complete = complete_message(result, max_width=1280)
    assert [one.prompt_ids for one in complete.objects] == names
    for one, expected in zip(complete.objects, everything.message.objects, strict=True):
        assert one.box == expected.box
        assert one.area == expected.area == np.count_nonzero(pixels(one))
        assert np.array_equal(pixels(one), pixels(expected))
    assert complete.prompts == result.message.prompts


def test_message_with_every_instance_keeps_its_masks():
    result = make_result()
    complete = complete_message(result, max_width=64)
    assert [one.mask for one in complete.objects] == [one.mask for one in result.message.objects]


def test_masks_are_reduced_with_the_image():
    complete = complete_message(make_result(prompts=[POINT]), max_width=32)
    assert complete.image_size == (48, 64)
    assert complete.mask_size == (24, 32)
    assert complete.mask_to_image == (2.0, 2.0, 0.0, 0.0)
    assert [one.prompt_ids for one in complete.objects] == [("cup",), ()]
    for one, box in zip(complete.objects, BOXES, strict=True):
        x0, y0, x1, y1 = (round(side / 2) for side in box)
        expected = np.zeros((24, 32), np.bool_)
        expected[y0:y1, x0:x1] = True
        assert np.array_equal(pixels(one, (24, 32)), expected)
        assert one.box == tuple(box), "boxes remain in pixels of the source"


def test_masks_published_at_a_smaller_size_keep_it():
    complete = complete_message(make_result(prompts=[POINT], matcher=SelectionMatcher(0.5)), max_width=1280)
    assert complete.mask_size == (24, 32)
    assert [pixels(one, (24, 32)).sum() for one in complete.objects] == [64, 15 * 15]


def test_merged_masks_follow_the_instances():
    both = PointPrompt("both", ((12.0, 12.0), (40.0, 20.0)), (1, 1))
    result = make_result(prompts=[both], matcher=ReferenceMatcher())
    assert [one.track_id for one in result.message.objects] == [-1], "one mask, merged from two"
    for max_width in (1280, 32):
        complete = complete_message(result, max_width=max_width)
        assert [one.prompt_ids for one in complete.objects] == [(), (), ("both",)]
        assert complete.mask_size == SIZE, "a merged mask is not computed again"
        assert np.array_equal(pixels(complete.objects[2]), pixels(complete.objects[0]) | pixels(complete.objects[1]))


def test_frame_without_objects():
    result = make_result(boxes=[])
    assert complete_message(result, max_width=1280).objects == ()
    assert decode(unpack_single(packed(result))).objects == ()


def packed(result: FrameResult, *, max_width: int = 1280) -> bytes:
    return packed_frame(NumberedFrame(7, result), epoch="abc", max_width=max_width, encode_image=SharedJpeg(80))


@pytest.mark.parametrize(("max_width", "jpeg_size"), [(1280, (48, 64)), (32, (24, 32))])
def test_packed_frame_is_one_message_with_its_image(max_width: int, jpeg_size: tuple[int, int]):
    result = make_result(100, prompts=[POINT])
    body = packed(result, max_width=max_width)
    assert body.startswith(b"pic/1/cam0/\x00")
    message = decode(unpack_single(body))
    assert (message.seq, message.epoch, message.frame_index) == (7, "abc", 100)
    assert message.image_size == (48, 64)
    assert message.jpeg is not None
    image = decode_image(message.jpeg)
    assert image.shape[:2] == jpeg_size
    assert abs(float(image.mean()) - 100) < 3, "image and masks are of the same frame"
    expected = complete_message(result, max_width=max_width)
    assert comparable(message)["objects"] == [
        {**found, "score": pytest.approx(found["score"], abs=1e-4)} for found in comparable(expected)["objects"]
    ]


def test_page_encodes_the_image_that_other_outputs_encode():
    encoded: list[np.ndarray] = []

    def encode(image: np.ndarray) -> bytes:
        encoded.append(image)
        return b"jpeg"

    result = make_result()
    packed_frame(NumberedFrame(0, result), epoch="abc", max_width=1280, encode_image=encode)
    packed_frame(NumberedFrame(0, result), epoch="abc", max_width=32, encode_image=encode)
    assert encoded[0] is result.frame.image  # by which SharedJpeg recognises it
    assert encoded[1].shape == (24, 32, 3)


def test_drawn_images_show_only_prompted_objects():
    result = make_result(50, prompts=[POINT])
    plain = float(result.frame.image[0, 0, 0])
    png = decode_image(drawn_png(result)).astype(int)
    assert png.shape == (48, 64, 3)
    assert abs(png[12, 12] - plain).max() > 20, "the prompted object is tinted"
    assert (png[25, 45] == plain).all(), "the other object is not"
    jpeg = decode_image(drawn_jpeg(NumberedFrame(0, result), max_width=32, encode_image=SharedJpeg(90)))
    assert jpeg.shape[:2] == (24, 32)
    assert abs(jpeg[6, 6].astype(int) - plain).max() > 20


def test_images_with_an_effect_replace_the_image_and_the_overlay():
    result = make_result(50, prompts=[POINT])
    effects = EffectBook(load_style(EffectConfig(kind="cutout", background="#404040")))
    hidden = replace(result, effect=effects.update(result.frame.image, replace(result.message, prompts=())))
    message = decode(unpack_single(packed(hidden)))
    assert message.jpeg is not None
    images = [
        decode_image(message.jpeg),
        decode_image(drawn_png(hidden)),
        decode_image(drawn_jpeg(NumberedFrame(0, hidden), max_width=32, encode_image=SharedJpeg(90))),
    ]
    assert all(abs(image.astype(int) - 0x40).max() < 3 for image in images)
    # What can be clicked is outlined by the page nevertheless.
    assert len(message.objects) == len(decode(unpack_single(packed(result))).objects)
