"""`run --effect blur --webcam DEVICE` to its end, with a device that answers as v4l2loopback does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.v4l2_output import COMPILER, preloaded

SIZE = HEIGHT, WIDTH = 96, 128
NUM_FRAMES = 4
SCENE = f"{{type: scene, width: {WIDTH}, height: {HEIGHT}, num_frames: {NUM_FRAMES}, mode: every_frame}}"
WORDS = ("run", "--set", f"sources=[{SCENE}]", "--set", "segmentation.imgsz=96", "--set", "publish.endpoint=null")
MORE = ("--set", "publish.control_endpoint=null", "--set", "prompts=[{id: me, points: [[64, 48]]}]")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="v4l2loopback is a module of Linux"),
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (apt install gcc)"),
]


def luma_of_run(folder: Path, *words: str) -> list[np.ndarray]:
    """Return the luma planes that arrived at the device, each (H, W)."""
    device = folder / "video9"
    device.write_bytes(b"")
    subprocess.run(
        [sys.executable, "-m", "streamseg", *WORDS, *MORE, *words, "--webcam", str(device)],
        env={**os.environ, **preloaded(folder)},
        check=True,
    )
    images = np.frombuffer(device.read_bytes(), dtype=np.uint8).reshape(-1, HEIGHT * 3 // 2, WIDTH)
    return [image[:HEIGHT] for image in images]


def test_the_background_is_blurred_and_the_run_ends_by_itself(tmp_path: Path):
    plain, blurred = luma_of_run(tmp_path), luma_of_run(tmp_path, "--effect", "blur")
    assert len(plain) == len(blurred) == NUM_FRAMES
    details = [np.mean([cv2.Laplacian(image, cv2.CV_64F).var() for image in images]) for images in (plain, blurred)]
    assert details[1] < 0.5 * details[0], "fewer details than with the overlay on the sharp image"


def test_a_file_is_no_device_without_the_answers(tmp_path: Path):
    device = tmp_path / "video9"
    device.touch()
    done = subprocess.run(
        [sys.executable, "-m", "streamseg", *WORDS, *MORE, "--webcam", str(device)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is no video device" in done.stderr.splitlines()[-1]
