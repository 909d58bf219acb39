"""OpenCV windows, as far as they can be tested without a display."""

import subprocess
import sys

import cv2
import pytest

from streamseg.cli.window.screen import OpenCVScreen, Pointer, display_fault


def no_probe() -> str | None:
    raise AssertionError("the probe must not be called")


@pytest.mark.parametrize(
    ("framework", "platform", "environment", "message"),
    [
        pytest.param("", "linux", {"DISPLAY": ":0"}, "this one is headless; run: pip", id="headless-opencv"),
        pytest.param("QT", "linux", {}, "DISPLAY is not set", id="no-display"),
        pytest.param("QT", "linux", {"DISPLAY": ""}, "DISPLAY is not set", id="empty-display"),
        pytest.param("", "darwin", {}, "this one is headless", id="headless-elsewhere"),
    ],
)
def test_reason_why_no_window_can_be_opened(framework, platform, environment, message):
    fault = display_fault(framework, platform, environment, no_probe)
    assert fault is not None
    assert fault.startswith("--show ")
    assert message in fault
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("platform", "environment"),
    [
        pytest.param("linux", {"DISPLAY": ":0"}, id="x11"),
        pytest.param("linux", {"WAYLAND_DISPLAY": "wayland-0"}, id="wayland"),
        pytest.param("darwin", {}, id="mac"),
        pytest.param("win32", {}, id="windows"),
    ],
)
def test_probe_decides_if_there_is_a_display(platform, environment):
    assert display_fault("QT", platform, environment, lambda: None) is None
    fault = display_fault("QT", platform, environment, lambda: "could not connect")
    assert fault is not None
    assert "could not connect; run it in a desktop session" in fault


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY exists on Linux only")
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="no-display"),
        pytest.param({"DISPLAY": ":1234567"}, id="missing-display"),
    ],
)
def test_run_does_not_start_without_a_display(tmp_path, environment):
    command = [sys.executable, "-m", "streamseg.cli.main", "run", "--show", "--out", str(tmp_path / "v.mp4")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("streamseg: --show ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


SHIFT, NONE = cv2.EVENT_FLAG_SHIFTKEY, 0


@pytest.mark.parametrize(
    ("event", "flags", "kind", "is_background"),
    [
        pytest.param(cv2.EVENT_LBUTTONDOWN, NONE, "press", False, id="left"),
        pytest.param(cv2.EVENT_LBUTTONDOWN, SHIFT, "press", True, id="shift-left"),
        pytest.param(cv2.EVENT_RBUTTONDOWN, NONE, "press", True, id="right"),
        pytest.param(cv2.EVENT_MOUSEMOVE, cv2.EVENT_FLAG_LBUTTON, "move", False, id="drag"),
        pytest.param(cv2.EVENT_LBUTTONUP, NONE, "release", False, id="left-up"),
        pytest.param(cv2.EVENT_RBUTTONUP, NONE, "release", True, id="right-up"),
    ],
)
def test_events_of_opencv(event, flags, kind, is_background):
    screen = OpenCVScreen()
    screen._on_mouse(event, 3, 4, flags, "w")
    assert screen.poll() == [Pointer("w", kind, 3, 4, is_background)]
    assert screen.poll() == []


def test_other_events_of_opencv_are_ignored():
    screen = OpenCVScreen()
    for event in (cv2.EVENT_LBUTTONDBLCLK, cv2.EVENT_MBUTTONDOWN, cv2.EVENT_MOUSEWHEEL):
        screen._on_mouse(event, 3, 4, 0, "w")
    assert screen.poll() == []


def test_unused_screen_needs_no_display():
    screen = OpenCVScreen()
    assert not screen.is_open("w")
    screen.close()
