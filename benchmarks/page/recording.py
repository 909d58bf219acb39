"""Record a video and screenshots of the page: `python -m benchmarks.page.recording FOLDER`, or scripts/record_page.

The default network processes the rendered scene one frame at a time, and the page is captured after each, so that the
video is equally smooth on any machine. The image age on the page is that of this machine, including the capture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from benchmarks.page.browser import canvas_of, chromium, missing_browser, window_point
from benchmarks.page.scene import SceneRun, inner_point, scene_run, truth_masks
from streamseg.config import SegmentationConfig
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import ImageArray

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

SEED, NUM_OBJECTS, SIZE = 5, 8, (720, 1280)
TRACKED, BOXED, HOVERED = 135, 90, 99
"""Track ids in the scene."""
FPS = 10
"""Frame rate of the video."""
STRIDE = 3
"""Every third of the scene's 30 frames per second is recorded."""
VIEWPORT: ViewportSize = {"width": 1280, "height": 720}
JPEG_QUALITY = 82
PATIENCE_MS = 120_000
ARROW = np.array([[0, 0], [0, 19], [5, 15], [8, 22], [11, 21], [8, 14], [14, 14]])


class Recorder:
    """Advances the scene frame by frame and captures the page."""

    def __init__(self, run: SceneRun, page: Page, first: int, stride: int) -> None:
        self.run, self.page, self.index, self.stride = run, page, first, stride
        self.shots: list[ImageArray] = []
        self.pointer = (1000.0, 640.0)
        self.show()

    def show(self) -> None:
        """Wait until the frame is displayed on the page."""
        from playwright.sync_api import expect

        self.run.show(self.index)
        expect(canvas_of(self.page, "scene")).to_have_attribute("data-index", str(self.index))

    def screenshot(self) -> ImageArray:
        """Return the page as it is, (H, W, 3) BGR."""
        shot = cv2.imdecode(np.frombuffer(self.page.screenshot(type="png"), np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None
        return shot.astype(np.uint8)

    def record(self, num_shots: int, target: Callable[[], tuple[float, float]] | None = None) -> None:
        """Record frames while the pointer moves to the target, which may move, too.

        Args:
            num_shots: number of frames at the usual stride; fewer at a larger one, over the same time.
            target: position in the window; None: the pointer stays.
        """
        for left in range(max(num_shots * STRIDE // self.stride, 1), 0, -1):
            self.index += self.stride
            self.show()
            if target is not None:
                (x, y), (goal_x, goal_y) = self.pointer, target()
                self.pointer = (x + (goal_x - x) / left, y + (goal_y - y) / left)
            self.page.mouse.move(*self.pointer)
            shot = self.screenshot()
            arrow = np.round(ARROW + self.pointer).astype(np.int32)
            cv2.fillPoly(shot, [arrow], (255, 255, 255), cv2.LINE_AA)
            cv2.polylines(shot, [arrow], True, (30, 30, 30), 1, cv2.LINE_AA)
            self.shots.append(shot)

    def at(self, track_id: int) -> Callable[[], tuple[float, float]]:
        """Return a function that returns the position of an object in the window while it is visible."""

        def position() -> tuple[float, float]:
            mask = truth_masks(self.run.renderer, self.index).get(track_id)
            return self.pointer if mask is None else window_point(self.page, *inner_point(mask), SIZE, "scene")

        return position


def record(folder: Path, first: int, num_seconds: float, stride: int = STRIDE) -> None:
    """Write page.mp4 and the screenshots to a folder; every `stride`-th frame of the scene is recorded."""
    segmenter = Segmenter.from_config(SegmentationConfig(), embeddings=True)
    with (
        scene_run(seed=SEED, num_objects=NUM_OBJECTS, size=SIZE, segmenter=segmenter, first=first) as run,
        chromium(patience_ms=PATIENCE_MS) as browser,
    ):
        page = browser.new_page(viewport=VIEWPORT, color_scheme="dark")
        page.set_default_timeout(PATIENCE_MS)
        page.goto(run.url)
        recorder = Recorder(run, page, first, stride)
        recorder.record(6)
        write_jpeg(folder / "page-dark.jpg", recorder.screenshot())
        recorder.record(9, recorder.at(HOVERED))
        write_jpeg(folder / "page-hover.jpg", recorder.shots[-1])
        recorder.record(9, recorder.at(TRACKED))
        page.mouse.click(*recorder.pointer)
        recorder.record(14, lambda: (recorder.pointer[0] + 2, min(recorder.pointer[1] + 6, 690)))
        mask = truth_masks(run.renderer, recorder.index)[BOXED]
        height, width = mask.crop.shape
        start = window_point(page, mask.x - 6, mask.y - 6, SIZE, "scene")
        end = window_point(page, mask.x + width + 6, mask.y + height + 6, SIZE, "scene")
        recorder.record(7, lambda: start)
        page.mouse.down()
        recorder.record(6, lambda: end)
        page.mouse.up()
        recorder.record(4, lambda: (1000, 690))
        write_jpeg(folder / "page-prompts.jpg", recorder.screenshot())
        recorder.record(max(int(num_seconds * FPS) - len(recorder.shots) - 10, 10), lambda: (1000, 690))
        page.keyboard.press("e")
        recorder.record(10)
        page.keyboard.press("e")
        page.emulate_media(color_scheme="light")
        recorder.record(1)
        write_jpeg(folder / "page-light.jpg", recorder.screenshot())
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        recorder.index += 1
        recorder.show()
        page.locator(".tile:not(.stale)").wait_for()
        write_jpeg(folder / "page-phone.jpg", recorder.screenshot())
        write_video(folder / "page.mp4", recorder.shots[:-1])


def write_jpeg(path: Path, shot: ImageArray) -> None:
    cv2.imwrite(str(path), shot, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def write_video(path: Path, shots: list[ImageArray]) -> None:
    """Write an MP4 file, H.264."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "28", "preset": "slow"})
        stream.height, stream.width = shots[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for shot in shots:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shot, format="bgr24")))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description="Record a video and screenshots of the page.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("benchmarks/results"))
    parser.add_argument("--first", type=int, default=168, help="first frame of the scene (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of the video (default %(default)s)")
    args = parser.parse_args()
    if reason := missing_browser():
        raise SystemExit(f"cannot record the page: {reason}")
    args.folder.mkdir(parents=True, exist_ok=True)
    record(args.folder, args.first, args.seconds)


if __name__ == "__main__":
    main()
