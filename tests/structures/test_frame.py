from dataclasses import replace

import numpy as np
import pytest

from tests.support.frames import make_frame


@pytest.mark.parametrize(
    ("lag_ns", "waited_ns", "age_ns"),
    [
        pytest.param(0, 0, 0, id="arrival-is-the-capture"),
        pytest.param(0, 5_000_000, 5_000_000, id="since-the-arrival"),
        pytest.param(200_000_000, 5_000_000, 205_000_000, id="and-before-it"),
    ],
)
def test_age_needs_no_wall_clock(lag_ns: int, waited_ns: int, age_ns: int):
    frame = replace(make_frame(3), lag_ns=lag_ns)
    for captured_ns in (0, frame.captured_ns, frame.captured_ns + 3600 * 10**9):  # the wall clock was set
        assert replace(frame, captured_ns=captured_ns).age_ns(frame.received_ns + waited_ns) == age_ns


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_image_must_be_rgb_of_bytes(image):
    with pytest.raises(ValueError, match="uint8"):
        make_frame(image=image)
