"""Measure the share of a frame's time spent outside the network: a 720p image with 30 objects, all selected.

Letterbox, network, NMS, tracking, selection, full-size masks and wire encoding run one after the other, as in the
synchronous pipeline. Plain and sharp masks (whose refiner counts as outside the network) alternate frame by frame on
one engine, so their ratio is the cost of sharp masks.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Timing, parser, report
from streamseg.config import TrackingConfig
from streamseg.engines import build_engine, leave_cores
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter
from streamseg.structures.frame import Frame
from streamseg.synthetic import SceneRenderer
from streamseg.wire import encode

NUM_WARMUP = 10
STAGES = ("preprocess", "network", "postprocess", "track", "select", "masks")


class Stopwatch:
    """Stage times of one pipeline.

    Args:
        pipeline: the pipeline to run frame by frame.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.seconds: dict[str, list[float]] = {name: [] for name in (*STAGES, "encode", "whole frame")}
        self.num_objects: list[int] = []
        self.num_bytes: list[int] = []

    def run(self, image: npt.NDArray[np.uint8], index: int) -> None:
        """Run one frame through all stages."""
        frame = Frame(image, "scene", index, index / 30, time.time_ns(), "driver", time.monotonic_ns())
        before = {name: timings.num_values for name, timings in self.pipeline.timer.stages.items()}
        started = time.perf_counter()
        (message,) = self.pipeline([frame])
        encoding = time.perf_counter()
        parts = encode(message)
        ended = time.perf_counter()
        if index < NUM_WARMUP:
            return
        for name in STAGES:
            timings = self.pipeline.timer.stages[name]
            assert timings.num_values == before[name] + 1
            self.seconds[name].append(timings.last / 1000)
        self.seconds["encode"].append(ended - encoding)
        self.seconds["whole frame"].append(ended - started)
        self.num_objects.append(len(message.objects))
        self.num_bytes.append(sum(map(len, parts)))

    def results(self) -> dict[str, Any]:
        """Return all measurements."""
        whole, network = np.array(self.seconds["whole frame"]), np.array(self.seconds["network"])
        return {
            "num_objects": float(np.mean(self.num_objects)),
            "outside_network_share": round(float(np.median((whole - network) / whole)), 4),
            "message_bytes": float(np.mean(self.num_bytes)),
            "stages_ms": {name: Timing.of(values) for name, values in self.seconds.items()},
        }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="default")
    arguments.add_argument("--engine", default="onnx")
    arguments.add_argument("--imgsz", type=int, default=None, help="default: that of the weights")
    arguments.add_argument("--objects", type=int, default=30)
    arguments.add_argument("--frames", type=int, default=150)
    args = arguments.parse_args()

    options = {} if args.imgsz is None else {"imgsz": args.imgsz}
    engine = build_engine(args.weights, engine=args.engine, device="auto", half="auto")
    leave_cores(engine)  # as in a run
    # A low threshold, limited to the requested number of objects, because the work depends on that number.
    segmenter_of = partial(Segmenter, engine=engine, conf=0.001, max_det=args.objects, **options)
    segmenter = segmenter_of(masks="plain", scores="raw")
    stopwatches = {"plain": Stopwatch(Pipeline(segmenter, tracking=TrackingConfig()))}
    if engine.refiner is not None:
        sharp = segmenter_of(masks="sharp", scores="calibrated")
        stopwatches["sharp"] = Stopwatch(Pipeline(sharp, tracking=TrackingConfig()))
    scene = SceneRenderer(1280, 720, num_objects=20, seed=11)
    for index in range(NUM_WARMUP + args.frames):
        image = scene.render(index)
        order = list(stopwatches.values())
        for stopwatch in order if index % 2 else reversed(order):
            stopwatch.run(image, index)
    results = {kind: stopwatch.results() for kind, stopwatch in stopwatches.items()}
    print(f"1280x720, imgsz {segmenter.imgsz}, {engine.name} on {engine.device}, {args.frames} frames each")
    for kind, of in results.items():
        print(f"{kind} masks, {of['num_objects']:.0f} objects, {of['message_bytes'] / 1000:.1f} kB per message")
        for name, timing in of["stages_ms"].items():
            print(f"  {name:<12} {timing}")
        print(f"  outside the network: {of['outside_network_share']:.1%} of a frame's time (median)")
    ratio = None
    if "sharp" in stopwatches:
        pairs = [np.array(stopwatch.seconds["whole frame"]) for stopwatch in stopwatches.values()]
        ratio = round(float(np.median(pairs[1] / pairs[0])), 4)
        print(f"a frame with sharp masks takes {ratio:.3f} times as long as with plain ones (median over frames)")
    report(
        {
            "benchmark": "overhead",
            "imgsz": segmenter.imgsz,
            "engine": f"{engine.name} on {engine.device}",
            "sharp_to_plain": ratio,
            "masks": results,
        },
        args.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
