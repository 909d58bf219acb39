"""Time the images of the built-in scene and their exact masks, on one core."""

from __future__ import annotations

import sys
import time

import cv2

from benchmarks.harness import Timing, parser, report
from streamseg.synthetic import SceneRenderer

SIZES = ((640, 360), (1280, 720), (1920, 1080))
FRAME_STEP = 11
"""Distance between rendered frames, large enough to cover many arrangements."""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--num-objects", type=int, default=10)
    arguments.add_argument("--num-frames", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for width, height in SIZES:
        started = time.perf_counter()
        scene = SceneRenderer(width, height, num_objects=args.num_objects, seed=args.seed)
        build_ms = (time.perf_counter() - started) * 1000
        seconds: dict[str, list[float]] = {"render": [], "truth": []}
        for frame in range(args.num_frames):
            for name, run in (("render", scene.render), ("truth", scene.truth)):
                begin = time.perf_counter()
                run(frame * FRAME_STEP)
                seconds[name].append(time.perf_counter() - begin)
        timings = {f"{name}_ms": Timing.of(values) for name, values in seconds.items()}
        rows.append({"size": f"{width}x{height}", "build_ms": round(build_ms, 1), **timings})
        print(f"{width}x{height}: built in {build_ms:.0f} ms")
        for name, timing in timings.items():
            print(f"  {name:<10} {timing}")
    report({"benchmark": "scene", "num_objects": args.num_objects, "seed": args.seed, "rows": rows}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
