"""Age of the frames displayed in real browsers, also in a slow one.

Four pages watch a live scene with ground-truth segmentation, so that the results exclude the network's time. The last
page is slow in one of two ways: its thread is throttled as by Chromium's developer tools, or its whole process is
stopped most of the time. Ages are those on the pages: from the capture of a frame to its drawing.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.harness import parser, report
from benchmarks.page.browser import chromium, missing_browser
from benchmarks.page.scene import TruthSegmenter
from streamseg.capture.scene import RenderedScene
from streamseg.config import SceneSource, ViewerConfig
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.structures.frame import Frame
from streamseg.viewer import Run, Viewer

if TYPE_CHECKING:
    from playwright.sync_api import Page

NUM_PAGES = 4
STATS = ("p50", "p95", "fps", "skipped")
SETTLE_MS = 3000
PATIENCE_MS = 120_000
STOPPED_SECONDS = 0.02
"""Duration of each stop of a slowed-down process."""
KINDS = ("none", "thread", "process")


class NumberedScene(RenderedScene):
    """The live scene; the first pixel of each frame encodes its index."""

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the scene."""
        for frame in super().frames():
            frame.image[0, 0] = (frame.index % 256, frame.index // 256, 0)
            yield frame


def slow_thread(page: Page, slowdown: float) -> Callable[[], None]:
    """Throttle the page's thread; return a function that ends it."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})

    def end() -> None:
        session.send("Emulation.setCPUThrottlingRate", {"rate": 1})

    return end


def slow_process(page: Page, slowdown: float) -> Callable[[], None]:
    """Stop the page's process, with its workers, for most of the time; return a function that ends it."""
    process = process_of(page)
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(STOPPED_SECONDS / (slowdown - 1)):
            os.kill(process.pid, signal.SIGSTOP)
            ended.wait(STOPPED_SECONDS)
            os.kill(process.pid, signal.SIGCONT)

    thread = threading.Thread(target=work)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()

    return end


def process_of(page: Page) -> psutil.Process:
    """Return the process that is busy while the page is busy."""
    processes = [one for one in psutil.Process().children(recursive=True) if "--type=renderer" in one.cmdline()]
    before = [sum(one.cpu_times()[:2]) for one in processes]
    page.evaluate("() => { const end = performance.now() + 600; while (performance.now() < end); }")
    used = [sum(one.cpu_times()[:2]) - was for one, was in zip(processes, before, strict=True)]
    return processes[used.index(max(used))]


@contextmanager
def live_run(fps: float) -> Iterator[tuple[Runtime, str]]:
    """Run at a frame rate; yield the run and the URL of its page."""
    source = NumberedScene(SceneSource(type="scene", id="scene", width=640, height=360, num_objects=6, fps=fps))
    pipeline = Pipeline(TruthSegmenter(source.renderer))
    with Viewer(["scene"], ViewerConfig(port=0)) as viewer:
        runtime = Runtime([source], pipeline, [viewer])
        viewer.attach(Run({}, lambda: runtime.stats().as_json(), lambda: pipeline.prompts))
        thread = threading.Thread(target=runtime.run)
        thread.start()
        try:
            yield runtime, viewer.url
        finally:
            runtime.stop()
            thread.join()


def measured(kind: str, *, slowdown: float, seconds: float, fps: float) -> dict[str, Any]:
    """Return the statistics of each page, the last of which is slow in this way, and of the run."""
    # Without a GPU, its emulation only costs time.
    with live_run(fps) as (runtime, url), chromium(flags=["--disable-gpu"], patience_ms=PATIENCE_MS) as browser:
        pages = [browser.new_context(viewport={"width": 800, "height": 500}).new_page() for _ in range(NUM_PAGES)]
        for page in pages:
            page.set_default_timeout(PATIENCE_MS)
            page.goto(url)
            page.locator("canvas[data-seq]").wait_for()
        slow = {"thread": slow_thread, "process": slow_process}.get(kind)
        end = slow(pages[-1], slowdown) if slow is not None else None
        pages[0].wait_for_timeout(SETTLE_MS + seconds * 1000)
        # Read at once, because values may change between two queries.
        script = "(names) => names.map((name) => document.querySelector(`[data-stat=${name}]`).textContent)"
        page_stats = [dict(zip(STATS, page.evaluate(script, list(STATS)), strict=True)) for page in pages]
        if end is not None:
            end()
        stats = runtime.stats()
        for number, values in enumerate(page_stats):
            which = "normal" if number < NUM_PAGES - 1 or kind == "none" else f"{kind} slowed down {slowdown:g}x"
            print(f"page {number} ({which}): " + ", ".join(f"{name} {words}" for name, words in values.items()))
        print(f"the run: {stats}")
    return {"slow": kind, "pages": page_stats, "run_fps": stats.recent_fps, "run_age_p50_ms": stats.ages.p50_ms}


def main() -> None:
    """Measure and report."""
    made = parser(__doc__)
    # The page's statistics cover its last 20 seconds.
    made.add_argument("--seconds", type=float, default=20.0, help="per run, at least 20 (default %(default)s)")
    made.add_argument("--slowdown", type=float, default=6.0, help="slowdown of the last page (default %(default)s)")
    made.add_argument("--fps", type=float, default=30.0)
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="slow part of the last page")
    args = made.parse_args()
    if reason := missing_browser():
        raise SystemExit(f"cannot measure viewer_pages: {reason}")
    started = time.perf_counter()
    runs = [measured(kind, slowdown=args.slowdown, seconds=args.seconds, fps=args.fps) for kind in args.kinds]
    report({"slowdown": args.slowdown, "runs": runs, "seconds": round(time.perf_counter() - started)}, args.json)


if __name__ == "__main__":
    main()
