"""How old are the pictures that pages show, and does a slow one lag? `python tests/viewer_page_ages.py [--json FILE]`

Four pages watch a live scene of which everything is known, so that the network's time is not in the figures; one of
them has a processor that is slowed down. Ages are those that each page tells: from when the picture was taken to when
it is drawn.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from viewer_page_scene import TruthSegmenter

from benchmarks.harness import parser, report
from streamseg.capture.scene import RenderedScene
from streamseg.config import SceneSource, ViewerConfig
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.structures.frame import Frame
from streamseg.viewer import Run, Viewer

NUM_PAGES = 4
FIGURES = ("p50", "p95", "fps", "skipped")


class NumberedScene(RenderedScene):
    """The live scene, with each picture's number in its first pixel."""

    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            frame.image[0, 0] = (frame.index % 256, frame.index // 256, 0)
            yield frame


def main() -> None:
    """Measure and report."""
    from playwright.sync_api import sync_playwright

    made = parser(__doc__)
    made.add_argument("--seconds", type=float, default=25.0)
    made.add_argument("--slowdown", type=float, default=6.0, help="of the last page's processor")
    made.add_argument("--fps", type=float, default=30.0)
    args = made.parse_args()
    section = SceneSource(type="scene", id="scene", width=640, height=360, num_objects=6, fps=args.fps)
    source = NumberedScene(section)
    pipeline = Pipeline(TruthSegmenter(source.renderer))
    with Viewer(["scene"], ViewerConfig(port=0)) as viewer, sync_playwright() as playwright:
        runtime = Runtime([source], pipeline, [viewer])
        viewer.attach(Run({}, lambda: runtime.figures().as_json(), lambda: pipeline.prompts))
        thread = threading.Thread(target=runtime.run)
        thread.start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages = [browser.new_context(viewport={"width": 800, "height": 500}).new_page() for _ in range(NUM_PAGES)]
        for page in pages:
            page.goto(viewer.url)
        slow = pages[-1].context.new_cdp_session(pages[-1])
        slow.send("Emulation.setCPUThrottlingRate", {"rate": args.slowdown})
        pages[0].wait_for_timeout(args.seconds * 1000)
        told = [{name: page.locator(f'[data-figure="{name}"]').text_content() for name in FIGURES} for page in pages]
        figures = runtime.figures()
        browser.close()
        runtime.stop()
        thread.join()
    for number, page_figures in enumerate(told):
        kind = f"slowed down {args.slowdown:g}x" if number == NUM_PAGES - 1 else "as it is"
        print(f"page {number} ({kind}): {page_figures}")
    print(f"the run: {figures}")
    report(
        {"pages": told, "slowdown": args.slowdown, "run_fps": figures.fps, "run_age_p50_ms": figures.ages.p50_ms},
        args.json,
    )


if __name__ == "__main__":
    main()
