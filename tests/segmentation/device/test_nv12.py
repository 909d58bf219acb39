"""Images that were decoded on the device: results equal those of the same pixels from the host."""

import av
import pytest
from av.video.reformatter import VideoReformatter

from streamseg.capture.device_image import nv12_image
from streamseg.engines.torch_engine import TorchEngine
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.frame import Frame
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.search_regions import NO_REGIONS
from tests.support.networks import blobs, lively_network
from tests.support.refiners import trained_refiner


def on_device(seed, size=(96, 144), *, to_host=None):
    """Return an image as a decoder leaves it."""
    frame = VideoReformatter().reformat(av.VideoFrame.from_ndarray(blobs(size, seed), format="rgb24"), format="nv12")
    image = nv12_image(frame, colour_space=5)
    return Nv12Image(image.luma, image.chroma, image.colours, to_host or image.to_host)


@pytest.fixture(scope="module")
def segmenters():
    """Return a segmenter that selects on the device, and one that selects on the host."""
    engines = [TorchEngine(lively_network(), imgsz=96, refiner=trained_refiner(), selects=one) for one in (True, False)]
    return [Segmenter(engine=engine, max_det=8) for engine in engines]


def assert_equal(found, expected):
    assert len(found) == len(expected) > 0
    assert found.boxes.equal(expected.boxes)
    assert found.scores.equal(expected.scores)
    assert all(
        (one() == other()).all() for one, other in zip(instance_masks(found), instance_masks(expected), strict=True)
    )


def test_results_equal_those_of_the_same_pixels(segmenters):
    device, _ = segmenters
    images = [on_device(seed) for seed in range(3)]
    pixels = [image.to_host() for image in images]
    for _ in range(2):  # the second batch of a shape is compiled
        found = device.segment_batch(images, [NO_REGIONS] * 3)
        expected = device.segment_batch(pixels, [NO_REGIONS] * 3)
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def test_images_of_both_kinds_in_one_call(segmenters):
    device, _ = segmenters
    images = [on_device(0), on_device(1).to_host(), on_device(2, (64, 96))]
    device.segment_batch(images, [NO_REGIONS] * 3)
    found = device.segment_batch(images, [NO_REGIONS] * 3)
    for one, image in zip(found, images, strict=True):
        pixels = image.to_host() if isinstance(image, Nv12Image) else image
        assert_equal(one, device.segment_batch([pixels], [NO_REGIONS])[0])


def test_host_converts_what_it_segments(segmenters):
    _, host = segmenters
    assert not host.reads_nv12
    (found,) = host.segment_batch([on_device(0)], [NO_REGIONS])
    assert_equal(found, host.segment_batch([on_device(0).to_host()], [NO_REGIONS])[0])


def test_pipeline_needs_no_pixels_on_the_host(segmenters):
    device, _ = segmenters
    assert device.reads_nv12
    pipeline = Pipeline(device)  # without prompts, every object is in the message
    image = on_device(0, to_host=lambda: pytest.fail("copied to the host"))
    for index in range(3):
        frame = Frame(image, "camera", index, index / 30, 0, "arrival", 0)
        (message,) = pipeline([frame])
    assert len(message.objects) > 0
