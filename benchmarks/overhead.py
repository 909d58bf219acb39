"""What share of a frame's time is not the network's? A 720p picture with 30 objects, everything asked for.

Letterbox, network, NMS, tracking, selection, full-size masks and wire encoding, one after the other as
the synchronous pipeline does it.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.harness import Timing, parser, report
from streamseg.capture.scene import SceneRenderer
from streamseg.config import TrackingConfig
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter
from streamseg.segmentation.engines import leave_cores
from streamseg.structures.frame import Frame
from streamseg.wire import encode

STAGES = ("preprocess", "network", "postprocess", "track", "select", "masks")


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="default")
    arguments.add_argument("--engine", default="onnx")
    arguments.add_argument("--imgsz", type=int, default=None, help="default: the configuration's")
    arguments.add_argument("--masks", choices=["plain", "sharp"], default="plain", help="sharp: the refiner as well")
    arguments.add_argument("--objects", type=int, default=30)
    arguments.add_argument("--frames", type=int, default=150)
    args = arguments.parse_args()

    # A low threshold, cut at the number of objects that is asked for: the work depends on the number.
    options = {} if args.imgsz is None else {"imgsz": args.imgsz}
    options |= {"masks": args.masks, "scores": "raw" if args.masks == "plain" else "calibrated"}
    segmenter = Segmenter(args.weights, engine=args.engine, conf=0.001, max_det=args.objects, **options)
    leave_cores(segmenter.engine)  # as in a run
    pipeline = Pipeline(segmenter, tracking=TrackingConfig())
    scene = SceneRenderer(1280, 720, num_objects=20, seed=11)
    seconds: dict[str, list[float]] = {name: [] for name in (*STAGES, "encode", "whole frame")}
    num_objects, num_bytes = [], []
    for index in range(10 + args.frames):
        frame = Frame(scene.render(index), "scene", index, index / 30, time.time_ns(), "driver", time.monotonic_ns())
        before = {name: timings.num_values for name, timings in pipeline.timer.stages.items()}
        started = time.perf_counter()
        (message,) = pipeline([frame])
        encoding = time.perf_counter()
        parts = encode(message)
        ended = time.perf_counter()
        if index < 10:
            continue
        for name in STAGES:
            timings = pipeline.timer.stages[name]
            assert timings.num_values == before[name] + 1
            seconds[name].append(timings.last / 1000)
        seconds["encode"].append(ended - encoding)
        seconds["whole frame"].append(ended - started)
        num_objects.append(len(message.objects))
        num_bytes.append(sum(map(len, parts)))
    whole, network = np.array(seconds["whole frame"]), np.array(seconds["network"])
    share = float(np.median((whole - network) / whole))
    timings_by_stage = {name: Timing.of(values) for name, values in seconds.items()}
    engine = f"{segmenter.engine.name} on {segmenter.engine.device}"
    print(f"1280x720, {np.mean(num_objects):.0f} objects, imgsz {segmenter.imgsz}, {engine}, {args.frames} frames")
    for name, timing in timings_by_stage.items():
        print(f"  {name:<12} {timing}")
    print(
        f"  outside the network: {share:.1%} of a frame's time (median); {np.mean(num_bytes) / 1000:.1f} kB a message"
    )
    report(
        {
            "benchmark": "overhead",
            "num_objects": float(np.mean(num_objects)),
            "imgsz": segmenter.imgsz,
            "engine": engine,
            "outside_network_share": round(share, 4),
            "message_bytes": float(np.mean(num_bytes)),
            "stages_ms": timings_by_stage,
        },
        args.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
