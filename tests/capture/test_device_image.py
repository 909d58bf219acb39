"""Decoded frames that stay where they were decoded, with frames on the host in the same formats."""

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter

from streamseg.capture import decoder
from streamseg.capture.decoder import RgbConverter
from streamseg.capture.device_image import nv12_image
from streamseg.capture.health import UnchangedImage
from streamseg.structures.frame import Frame
from streamseg.structures.nv12 import Nv12Image, YuvColours
from tests.support.networks import blobs


def decoded(size=(48, 64), pixel_format="nv12"):
    """Return a decoded frame of an image of (H, W)."""
    image = av.VideoFrame.from_ndarray(blobs(size, 1), format="rgb24")
    return VideoReformatter().reformat(image, format=pixel_format)


def test_image_is_that_of_the_host():
    found = nv12_image(decoded(), colour_space=5)
    assert found.size == (48, 64)
    assert found.colours == YuvColours("bt601", is_full_range=False)
    difference = np.abs(found.to_host().astype(int) - RgbConverter().convert(decoded(pixel_format="yuv420p")))
    assert difference.max() <= 3


@pytest.mark.parametrize(
    ("colour_space", "matrix"), [(1, "bt709"), (2, "bt601"), (5, "bt601"), (6, "bt601"), (9, "bt2020"), (10, "bt2020")]
)
def test_colour_matrix(colour_space, matrix):
    assert nv12_image(decoded(), colour_space=colour_space).colours.matrix == matrix


def test_of_ten_bits_the_upper_eight_are_taken():
    eight, ten = (nv12_image(decoded(pixel_format=one), colour_space=5) for one in ("nv12", "p010le"))
    assert ten.luma.dtype == torch.uint8
    assert (ten.luma.int() - eight.luma.int()).abs().max() <= 1
    assert (ten.chroma.int() - eight.chroma.int()).abs().max() <= 1


def test_planes_outlive_the_decoder():
    frame = decoded()
    found = nv12_image(frame, colour_space=5)
    before = found.luma.clone()
    torch.from_dlpack(frame.planes[0]).zero_()
    assert found.luma.equal(before)


def test_planes_of_other_sizes_are_refused():
    luma, chroma = torch.zeros(4, 6, dtype=torch.uint8), torch.zeros(2, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"chroma of 6x4 pixels must be \(2, 3, 2\), got \(2, 2, 2\)"):
        Nv12Image(luma, chroma, YuvColours("bt601", is_full_range=False), lambda: np.zeros((4, 6, 3), np.uint8))


def test_only_frames_on_a_gpu_stay_there(monkeypatch):
    converter = RgbConverter()
    assert isinstance(converter.image(decoded()), np.ndarray)
    monkeypatch.setattr(decoder, "DEVICE_FORMATS", frozenset({"nv12"}))
    assert isinstance(converter.image(decoded()), Nv12Image)
    assert isinstance(converter.image(decoded(pixel_format="yuv420p")), np.ndarray)


def test_pixels_that_are_not_square_are_converted_on_the_host(monkeypatch):
    monkeypatch.setattr(decoder, "DEVICE_FORMATS", frozenset({"nv12"}))
    found = RgbConverter().image(decoded(), sample_aspect_ratio=1.5)
    assert isinstance(found, np.ndarray)
    assert found.shape == (48, 96, 3)


def frame_of(image):
    return Frame(image, "camera", 0, None, 0, "arrival", 0)


def test_frame_is_converted_once_if_somebody_needs_pixels():
    calls = []
    on_device = nv12_image(decoded(), colour_space=5)

    def to_host():
        calls.append(1)
        return on_device.to_host()

    frame = frame_of(Nv12Image(on_device.luma, on_device.chroma, on_device.colours, to_host))
    assert frame.size == (48, 64)
    assert "64x48" in repr(frame)
    assert not calls
    assert frame.image.shape == (48, 64, 3)
    assert frame.image is frame.image
    assert len(calls) == 1
    assert frame.nv12 is not None


def test_frame_from_the_host_has_no_other_image():
    image = blobs((48, 64), 0)
    frame = frame_of(image)
    assert frame.nv12 is None
    assert frame.image is image
    with pytest.raises(ValueError, match="image must be uint8"):
        frame_of(image[..., :2])


def test_frozen_image_is_seen_without_conversion():
    image = nv12_image(decoded(), colour_space=5)
    still = Nv12Image(image.luma, image.chroma, image.colours, to_host=lambda: pytest.fail("converted"))
    unchanged = UnchangedImage(interval_seconds=0)
    since = [unchanged.add(still, now_ns) for now_ns in (10, 20, 30)]
    assert since == [10, 10, 10]
    moved = Nv12Image(255 - image.luma, image.chroma, image.colours, to_host=still.to_host)
    assert unchanged.add(moved, 40) == 40
