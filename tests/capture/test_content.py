"""The content of a file decides how it is read, whatever its suffix and its section."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from streamseg.capture import open_source
from streamseg.capture.animation import AnimatedImage
from streamseg.capture.content import fit_to_content
from streamseg.capture.images import ImageFiles
from streamseg.capture.video_file import VideoFile
from streamseg.config import ImagesSource, StreamSource, parse_source
from tests.support.videos import write_video

STILL = Image.fromarray(np.zeros((16, 16, 3), np.uint8))


def write_still(path):
    STILL.save(path, "JPEG")


def write_animation(path):
    STILL.save(path, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])


def write_movie(path):
    write_video(path.with_suffix(".mp4"), 3).rename(path)


def write_motion_jpeg(path):
    write_still(path)
    path.write_bytes(path.read_bytes() * 3)


@pytest.mark.parametrize(
    ("name", "write", "kind", "num_frames"),
    [
        pytest.param("photo.jfif", write_still, ImageFiles, 1, id="JFIF"),
        pytest.param("photo.mp4", write_still, ImageFiles, 1, id="image named as video"),
        pytest.param("photo[1].jpg", write_still, ImageFiles, 1, id="image named as pattern"),
        pytest.param("photo", write_still, ImageFiles, 1, id="image without a suffix"),
        pytest.param("film.jpg", write_movie, VideoFile, 3, id="video named as image"),
        pytest.param("film[2].mp4", write_movie, VideoFile, 3, id="video named as pattern"),
        pytest.param("a.webp", write_animation, AnimatedImage, 2, id="animation"),
        pytest.param("a.gif", write_animation, AnimatedImage, 2, id="animation of another suffix"),
        pytest.param("cam.mjpeg", write_motion_jpeg, VideoFile, 3, id="motion JPEG"),
    ],
)
def test_kind_of_source(tmp_path, name, write, kind, num_frames):
    write(tmp_path / name)
    text = str(tmp_path / name)
    for config in (parse_source(text), StreamSource(url=text), ImagesSource(path=text)):
        source = open_source(config.model_copy(update={"id": "a", "frame_id": "camera"}))
        assert isinstance(source, kind)
        assert (source.source_id, source.frame_id) == ("a", "camera")
        assert len(list(source.frames())) == num_frames


def test_repeated_still_image_stays_a_stream(tmp_path):
    write_still(tmp_path / "a.jpg")
    config = StreamSource(url=str(tmp_path / "a.jpg"), loop=True)
    assert fit_to_content(config) is config


@pytest.mark.parametrize("text", ["scene", "0", "rtsp://camera/1", "missing.jpg", "missing.mp4", "."])
def test_other_sources_are_unchanged(text):
    config = parse_source(text)
    assert fit_to_content(config) is config
