"""Processor time of what a demo adds to a frame: the overlay, its video, and the message with image for the page.

720p, 20 objects with exact masks of the rendered scene. Another checkout on PYTHONPATH is measured with the
same file: `PYTHONPATH=FOLDER python benchmarks/drawing.py`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from benchmarks.harness import Timing, parser, report
from streamseg.drawing import draw_objects
from streamseg.drawing.video import VideoWriter
from streamseg.publish.jpeg import encode_jpeg
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import MessageObject
from streamseg.synthetic import SceneRenderer

FRAME_STEP = 10
"""Distance between the frames, large enough to cover many arrangements."""


def frames(num_frames: int, num_objects: int) -> list[tuple[ImageArray, list[MessageObject]]]:
    """Return images with at most `num_objects` objects each."""
    scene = SceneRenderer(1280, 720, num_objects=20, seed=0)
    found = []
    for index in range(0, num_frames * FRAME_STEP, FRAME_STEP):
        truth = scene.truth(index)
        rows = zip(truth.track_ids.tolist(), truth.boxes.tolist(), truth.masks, strict=True)
        objects = [MessageObject(one % 100, (), tuple(box), 0.9, mask, mask.area) for one, box, mask in rows]
        found.append((scene.render(index), objects[:num_objects]))
    return found


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--frames", type=int, default=40)
    arguments.add_argument("--objects", type=int, default=20)
    args = arguments.parse_args()
    cv2.setNumThreads(1)
    shown = frames(args.frames, args.objects)
    drawn = [draw_objects(image, objects) for image, objects in shown]
    seconds: dict[str, list[float]] = {"overlay": [], "video": [], "jpeg": []}
    with tempfile.TemporaryDirectory() as folder, VideoWriter(Path(folder) / "a.mp4", is_recoverable=True) as video:
        for (image, objects), overlay in zip(shown, drawn, strict=True):
            _time(seconds["overlay"], lambda image=image, objects=objects: draw_objects(image, objects))
            _time(seconds["video"], lambda overlay=overlay: video.write(overlay))
            _time(seconds["jpeg"], lambda image=image: encode_jpeg(image, 80))
    seconds["all"] = [sum(of_frame) for of_frame in zip(*seconds.values(), strict=True)]
    timings = {f"{name}_cpu_ms": Timing.of(values) for name, values in seconds.items()}
    for name, timing in timings.items():
        print(f"  {name:<16} {timing}")
    report({"benchmark": "drawing", "num_objects": args.objects, **timings}, args.json)
    return 0


def _time(seconds: list[float], run: Callable[[], object]) -> None:
    """Add the processor time of all threads."""
    started = time.process_time()
    run()
    seconds.append(time.process_time() - started)


if __name__ == "__main__":
    sys.exit(main())
