"""Images for the readers of imagezmq, read by imagezmq itself."""

import contextlib
import socket

import cv2
import numpy as np
import pytest

from streamseg.errors import PublishError
from streamseg.publish.imagezmq import ImageSocket, check_image_endpoint
from streamseg.publish.jpeg import encode_jpeg
from tests.support.waiting import wait_until

imagezmq = pytest.importorskip("imagezmq", reason="needs imagezmq, whose reader it is tested with")

IMAGE = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)


@pytest.fixture
def images():
    with ImageSocket("tcp://127.0.0.1:0") as one:
        yield one


def connected(images: ImageSocket) -> contextlib.closing:
    hub = imagezmq.ImageHub(open_port=images.endpoint, REQ_REP=False)
    wait_until(lambda: images.is_wanted)
    return contextlib.closing(hub)


def test_arrays_are_read_as_opencv_has_them(images):
    with connected(images) as hub:
        images.send_image("cam 1", IMAGE)
        name, array = hub.recv_image()
        assert name == "cam 1"
        assert (array == IMAGE[:, :, ::-1]).all()


def test_jpeg_files_are_read(images):
    with connected(images) as hub:
        plain = np.full((24, 32, 3), (200, 30, 30), dtype=np.uint8)
        images.send_jpeg("cam0", encode_jpeg(plain, 95))
        name, jpeg = hub.recv_jpg()
        read = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
        assert name == "cam0"
        assert np.abs(read[:, :, ::-1].astype(int) - plain).max() < 8


def test_readers_come_and_go_and_a_slow_one_delays_nothing(images):
    assert not images.is_wanted
    images.send_jpeg("cam0", b"nobody listens")
    with connected(images):
        for _ in range(500):
            images.send_image("cam0", IMAGE)
    wait_until(lambda: not images.is_wanted)


@pytest.mark.parametrize("endpoint", ["tcp://*:5557", "tcp://0.0.0.0:0", "127.0.0.1:5557"])
def test_addresses_that_others_reach_must_be_allowed(endpoint):
    with pytest.raises(PublishError):
        check_image_endpoint(endpoint, allow_public=False)


def test_a_port_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PublishError, match="in use"):
            ImageSocket(f"tcp://127.0.0.1:{port}")
