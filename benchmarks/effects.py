"""Processor time of the effects of a frame, by one thread: 1280x720, one large object or 20 of any size.

`large` is as somebody in a video call; `scene` are the objects of the rendered scene; `lost` is the large one, fading.
`overlay` is what an output draws without an effect, in the same run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from benchmarks.drawing import frames
from benchmarks.harness import Timing, parser, report
from streamseg.config.effect import EffectConfig
from streamseg.drawing import draw_objects
from streamseg.drawing.effects import EffectStyle, Layer, load_style, render_effect
from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.structures.message import MessageObject

SIZE = (720, 1280)
SPACE = MaskSpace.of(SIZE)
WARM_UP = 3


def large_object() -> MessageObject:
    """Return an object like a head and shoulders in a video call: 420 x 540 pixels."""
    rows, columns = np.indices((540, 420))
    crop = ((rows - 300) / 300) ** 2 + ((columns - 209.5) / 210) ** 2 <= 1
    return MessageObject(1, ("me",), (430.0, 180.0, 850.0, 720.0), 0.9, CropMask(crop, 430, 180), int(crop.sum()))


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--frames", type=int, default=40)
    args = arguments.parse_args()
    cv2.setNumThreads(1)
    shown = frames(args.frames + WARM_UP, 20)
    one = large_object()
    timings: dict[str, Timing] = {}
    for kind in ("blur", "cutout", "highlight"):
        style = load_style(EffectConfig(kind=kind))  # type: ignore[arg-type]
        assert style is not None
        timings[f"{kind}_large"] = _timed([_rendering(image, (one,), style) for image, _ in shown])
        timings[f"{kind}_scene"] = _timed([_rendering(image, tuple(found), style) for image, found in shown])
        timings[f"{kind}_lost"] = _timed([_rendering(image, (one,), style, opacity=0.5) for image, _ in shown])
    timings["overlay_large"] = _timed([lambda image=image: draw_objects(image, [one]) for image, _ in shown])
    timings["overlay_scene"] = _timed(
        [lambda image=image, found=found: draw_objects(image, found) for image, found in shown]
    )
    for name, timing in timings.items():
        print(f"  {name:<16} {timing}")
    report({"benchmark": "effects", **{f"{name}_cpu_ms": timing for name, timing in timings.items()}}, args.json)
    return 0


def _rendering(
    image: ImageArray, objects: tuple[MessageObject, ...], style: EffectStyle, opacity: float = 1.0
) -> Callable[[], object]:
    layer = Layer(image if opacity >= 1 else image.copy(), objects, SPACE)
    return lambda: render_effect(image, [replace(layer, opacity=opacity)], style)


def _timed(runs: list[Callable[[], object]]) -> Timing:
    """Measure the processor time of this thread, without the first runs."""
    seconds = []
    for run in runs:
        started = time.thread_time()
        run()
        seconds.append(time.thread_time() - started)
    return Timing.of(seconds[WARM_UP:])


if __name__ == "__main__":
    sys.exit(main())
