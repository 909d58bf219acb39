"""The virtual webcam: a device that answers as v4l2loopback does, and devices that are none."""

import os
import subprocess
import sys

import numpy as np
import pytest

from streamseg.drawing.webcam import VirtualWebcam, check_webcam
from streamseg.errors import ConfigError, DataError
from tests.support.v4l2_output import COMPILER, preloaded

SCRIPT = """
import sys
import numpy as np
from streamseg.drawing.webcam import VirtualWebcam, check_webcam
check_webcam(sys.argv[1])
camera = VirtualWebcam(sys.argv[1])
for level, size in ((0, (48, 64)), (255, (48, 64)), (128, (97, 129))):
    camera.write(np.full((*size, 3), level, dtype=np.uint8))
camera.close()
camera.close()
"""


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (apt install gcc)")
def test_images_arrive_at_the_device_in_the_size_of_the_first(tmp_path):
    device = tmp_path / "video9"
    device.touch()
    environment = {**os.environ, **preloaded(tmp_path)}
    subprocess.run([sys.executable, "-c", SCRIPT, device], env=environment, check=True)
    images = np.frombuffer(device.read_bytes(), dtype=np.uint8).reshape(-1, 72, 64)
    assert len(images) == 3
    # Planes of Y, U and V in limited range.
    assert [int(image[:48].mean()) for image in images] == [16, 235, 126]
    assert all((image[48:] == 128).all() for image in images)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "there is no virtual webcam"),
        ("file", "is no video device"),
        ("folder", "cannot open the virtual webcam"),
        ("/dev/null", "is no video device"),
    ],
)
def test_what_is_no_device_is_refused_in_one_line(tmp_path, name, problem):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=problem) as error:
        check_webcam(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_device_that_goes_away_is_an_error_and_opened_again(tmp_path):
    camera = VirtualWebcam(str(tmp_path / "video9"))
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    for _ in range(2):
        with pytest.raises(DataError, match=r"cannot write to the virtual webcam .*No such file"):
            camera.write(image)
    camera.close()


def test_a_file_rejects_the_format(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write to the virtual webcam"):
        VirtualWebcam(str(tmp_path / "file")).write(np.zeros((48, 64, 3), dtype=np.uint8))
