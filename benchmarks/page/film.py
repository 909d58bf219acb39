"""Films the page and takes its screenshots: `python -m benchmarks.page.film FOLDER`, or scripts/record_page.

The default network looks at the rendered scene one picture at a time, and each is filmed as the page shows it, so that
the film is as smooth on any machine. The age that the page tells is that of this machine, with the camera on top.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.page.browser import chromium, picture, place_of, why_no_browser
from benchmarks.page.scene import SceneRun, inner_point, scene_run, truth_masks
from streamseg.config import SegmentationConfig
from streamseg.segmentation import Segmenter

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

SEED, NUM_OBJECTS, SIZE = 5, 8, (720, 1280)
FOLLOWED, BOXED, HOVERED = 135, 90, 99
"""Identities in the scene."""
FPS = 10
"""Of the film."""
STRIDE = 3
"""Of the scene's 30 pictures per second, every third is filmed."""
VIEWPORT: ViewportSize = {"width": 1280, "height": 720}
JPEG_QUALITY = 82
PATIENCE_MS = 120_000
ARROW = np.array([[0, 0], [0, 19], [5, 15], [8, 22], [11, 21], [8, 14], [14, 14]])


class Camera:
    """Shows one picture of the scene after the other, and keeps what the page looks like."""

    def __init__(self, run: SceneRun, page: Page, first: int) -> None:
        self.run, self.page, self.index = run, page, first
        self.shots: list[npt.NDArray[np.uint8]] = []
        self.pointer = (1000.0, 640.0)
        self.show()

    def show(self) -> None:
        """Wait until the picture is on the page."""
        from playwright.sync_api import expect

        self.run.show(self.index)
        expect(picture(self.page, "scene")).to_have_attribute("data-index", str(self.index))

    def look(self) -> npt.NDArray[np.uint8]:
        """The page as it is, (H, W, 3) BGR."""
        shot = cv2.imdecode(np.frombuffer(self.page.screenshot(type="png"), np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None
        return shot.astype(np.uint8)

    def film(self, num_shots: int, target: Callable[[], tuple[float, float]] | None = None) -> None:
        """Go on; meanwhile the pointer moves to where the target is by then."""
        for left in range(num_shots, 0, -1):
            self.index += STRIDE
            self.show()
            if target is not None:
                (x, y), (goal_x, goal_y) = self.pointer, target()
                self.pointer = (x + (goal_x - x) / left, y + (goal_y - y) / left)
            self.page.mouse.move(*self.pointer)
            shot = self.look()
            arrow = np.round(ARROW + self.pointer).astype(np.int32)
            cv2.fillPoly(shot, [arrow], (255, 255, 255), cv2.LINE_AA)
            cv2.polylines(shot, [arrow], True, (30, 30, 30), 1, cv2.LINE_AA)
            self.shots.append(shot)

    def at(self, track_id: int) -> Callable[[], tuple[float, float]]:
        """Where an object of the scene is in the window, as long as it is there."""

        def place() -> tuple[float, float]:
            mask = truth_masks(self.run.renderer, self.index).get(track_id)
            return self.pointer if mask is None else place_of(self.page, *inner_point(mask), SIZE, "scene")

        return place


def record(folder: Path, first: int, num_seconds: float) -> None:
    """Write page.mp4 and the screenshots into a folder."""
    segmenter = Segmenter.from_config(SegmentationConfig(), embeddings=True)
    with (
        scene_run(seed=SEED, num_objects=NUM_OBJECTS, size=SIZE, segmenter=segmenter, first=first) as run,
        chromium(patience_ms=PATIENCE_MS) as browser,
    ):
        page = browser.new_page(viewport=VIEWPORT, color_scheme="dark")
        page.set_default_timeout(PATIENCE_MS)
        page.goto(run.url)
        camera = Camera(run, page, first)
        camera.film(6)
        write_jpeg(folder / "page-dark.jpg", camera.look())
        camera.film(9, camera.at(HOVERED))
        write_jpeg(folder / "page-hover.jpg", camera.shots[-1])
        camera.film(9, camera.at(FOLLOWED))
        page.mouse.click(*camera.pointer)
        camera.film(14, lambda: (camera.pointer[0] + 2, min(camera.pointer[1] + 6, 690)))
        mask = truth_masks(run.renderer, camera.index)[BOXED]
        height, width = mask.crop.shape
        start = place_of(page, mask.x - 6, mask.y - 6, SIZE, "scene")
        end = place_of(page, mask.x + width + 6, mask.y + height + 6, SIZE, "scene")
        camera.film(7, lambda: start)
        page.mouse.down()
        camera.film(6, lambda: end)
        page.mouse.up()
        camera.film(4, lambda: (1000, 690))
        write_jpeg(folder / "page-prompts.jpg", camera.look())
        camera.film(max(int(num_seconds * FPS) - len(camera.shots) - 10, 10), lambda: (1000, 690))
        page.keyboard.press("e")
        camera.film(10)
        page.keyboard.press("e")
        page.emulate_media(color_scheme="light")
        camera.film(1)
        write_jpeg(folder / "page-light.jpg", camera.look())
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        camera.index += 1
        camera.show()
        page.locator(".tile:not(.stale)").wait_for()
        write_jpeg(folder / "page-phone.jpg", camera.look())
        write_film(folder / "page.mp4", camera.shots[:-1])


def write_jpeg(path: Path, shot: npt.NDArray[np.uint8]) -> None:
    cv2.imwrite(str(path), shot, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def write_film(path: Path, shots: list[npt.NDArray[np.uint8]]) -> None:
    """MP4, H.264."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "28", "preset": "slow"})
        stream.height, stream.width = shots[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for shot in shots:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shot, format="bgr24")))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description="Film the page and take its screenshots.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("benchmarks/results"))
    parser.add_argument("--first", type=int, default=168, help="first picture of the scene (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the film (default %(default)s)")
    args = parser.parse_args()
    if reason := why_no_browser():
        raise SystemExit(f"the page is not filmed: {reason}")
    args.folder.mkdir(parents=True, exist_ok=True)
    record(args.folder, args.first, args.seconds)


if __name__ == "__main__":
    main()
