"""JPEG images, encoded once for several outputs."""

import gc
import threading

import numpy as np
import pytest

from streamseg.errors import PublishError
from streamseg.publish.jpeg import SharedJpeg, encode_jpeg


def image(value: int = 0) -> np.ndarray:
    return np.full((8, 12, 3), value, np.uint8)


def test_an_image_is_encoded_once_for_all():
    shared, one = SharedJpeg(80), image()
    found = []
    threads = [threading.Thread(target=lambda: found.append(shared(one))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(jpeg) for jpeg in found} == {id(found[0])}
    assert found[0] == encode_jpeg(one, 80)


def test_images_are_not_mixed_up_though_memory_is_reused():
    shared = SharedJpeg(80)
    for value in range(0, 250, 10):
        one = image(value)
        assert shared(one) == encode_jpeg(one, 80)
        del one
        gc.collect()


@pytest.mark.parametrize("wrong", [np.zeros((8, 12), np.uint8), np.zeros((0, 12, 3), np.uint8)])
def test_what_is_no_image_is_refused_each_time(wrong):
    shared = SharedJpeg(80)
    for _ in range(2):
        with pytest.raises(PublishError, match="must be uint8"):
            shared(wrong)
