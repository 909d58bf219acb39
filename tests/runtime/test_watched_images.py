"""Sinks of the images that people watch."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from streamseg.config.effect import EffectConfig
from streamseg.drawing.effect_book import EffectBook
from streamseg.drawing.effects import load_style
from streamseg.errors import ConfigError
from streamseg.pipeline import FrameResult
from streamseg.runtime.watched_images import ImageZmqSink, WebcamSink
from tests.support.stages import make_result
from tests.support.waiting import wait_until


def with_effect(result: FrameResult) -> FrameResult:
    """The result with everything hidden: it has no prompt."""
    effects = EffectBook(load_style(EffectConfig(kind="cutout", background="#010203")))
    return replace(result, effect=effects.update(result.frame.image, result.message))


def test_images_of_a_result():
    plain = make_result()
    assert plain.shown_image is plain.frame.image
    assert not (plain.drawn_image() == plain.frame.image).all()
    hidden = with_effect(plain)
    assert (hidden.shown_image == (1, 2, 3)).all()
    assert hidden.drawn_image() is hidden.shown_image


def test_readers_of_imagezmq_get_the_effect():
    imagezmq = pytest.importorskip("imagezmq", reason="needs imagezmq, whose reader it is tested with")
    sink = ImageZmqSink("tcp://127.0.0.1:0", image_format="raw", jpeg_quality=90, allow_public=False)
    with contextlib.closing(sink):
        sink.write(make_result())  # nobody listens
        with contextlib.closing(imagezmq.ImageHub(open_port=sink.endpoint, REQ_REP=False)) as hub:
            wait_until(lambda: sink._socket.is_wanted)
            sink.write(with_effect(make_result(1, source_id="door")))
            name, array = hub.recv_image()
            assert name == "door"
            assert (array == (3, 2, 1)).all()


def test_a_missing_webcam_is_refused_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match="there is no virtual webcam"):
        WebcamSink.open(str(tmp_path / "video9"), "cam0")


class ListCamera:
    """Takes images in place of a device."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.is_closed = False

    def write(self, image: np.ndarray) -> None:
        self.images.append(image)

    def close(self) -> None:
        self.is_closed = True


def test_a_webcam_shows_one_source():
    camera = ListCamera()
    sink = WebcamSink(camera, "cam")
    sink.write(make_result(0, source_id="other"))
    sink.write(with_effect(make_result(1)))
    sink.close()
    assert len(camera.images) == 1
    assert (camera.images[0] == (1, 2, 3)).all()
    assert camera.is_closed
